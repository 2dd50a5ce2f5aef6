"""A report's markdown, by the templates beside this module: they hold the markup and the sentences, `Report` what is said."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from bench.report.content import Report
from bench.report.style import COMPARISON_FIGURE, SAVINGS_FIGURE, WATERFALL_FIGURE
from bench.report.tables import ratio_text

if TYPE_CHECKING:
    from jinja2 import Environment


def report_markdown(report: Report, excerpts: Mapping[str, str], beside: Sequence[str]) -> str:
    """report.md. `excerpts`: of each point's first start, by label. `beside`: the names of the files in its folder."""
    return render("report.md.j2", report=report, excerpts=excerpts, beside=beside)


def summary_markdown(report: Report) -> str:
    """For the terminal and the sweep's note in MLflow: key metrics, speedups, and which starts failed or are invalid."""
    return render("summary.md.j2", report=report).strip()


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
    }
    made.filters |= {"ratio": ratio_text, "cell": lambda text: text.replace("|", "\\|")}
    return made
