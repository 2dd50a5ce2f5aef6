"""The templates of bench.report.templates: one set of values, rendered as markdown or as a page."""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from bench.report.comparison_figures import COMPARISON_FIGURE, SAVINGS_FIGURE
from bench.report.numbers import ratio_text, usd_text
from bench.report.roofline_figure import ROOFLINE_FIGURE
from bench.start.files import WATERFALL_FIGURE

if TYPE_CHECKING:
    from jinja2 import Environment
    from markdown_it import MarkdownIt
    from markupsafe import Markup


def render(template: str, **values: Any) -> str:
    """A template of bench.report.templates with these values. A name that it lacks is an error, not an empty text."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape

    folder = files("bench.report") / "templates"
    made = Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals |= {
        "comparison_figure": COMPARISON_FIGURE,
        "waterfall_figure": WATERFALL_FIGURE,
        "savings_figure": SAVINGS_FIGURE,
        "roofline_figure": ROOFLINE_FIGURE,
    }
    made.filters |= {
        "ratio": ratio_text,
        "usd": usd_text,
        "cell": lambda text: text.replace("|", "\\|"),
        "markdown": markdown,
    }
    return made


def markdown(text: str) -> "Markup":
    """The markdown of a template as HTML: paragraphs, lists and code. Whatever a start printed, it makes no element, link or picture."""
    from markupsafe import Markup

    return Markup(_markdown().render(str(text).strip()))  # noqa: S704  # its html is off: what looks like some is escaped


@cache
def _markdown() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("strikethrough").disable(["link", "image", "autolink"])
