"""A text without a terminal's colours and decoded from a URL, with the position of each part in the original. Pure."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Span = tuple[int, int]

COLOUR = re.compile(r"(?:\x1b|\\(?:x1b|u001b|033))\[[0-9;:?]*[A-Za-z]")
# Of printable ASCII, also where it was encoded twice: `%3D`, `%253D`.
PERCENT = re.compile(r"%(?:25)*([2-7][0-9A-Fa-f])")


@dataclass(frozen=True)
class View:
    """A text made of pieces of another. `starts`: where each piece begins here; `origins`: there; `widths`: characters there for each
    character here.
    """

    text: str
    starts: list[int]
    origins: list[int]
    widths: list[int]

    def original(self, span: Span) -> Span:
        """What is written there for a span that is not empty."""
        begin, last = (bisect_right(self.starts, at) - 1 for at in (span[0], span[1] - 1))
        end = self.origins[last] + (span[1] - self.starts[last]) * self.widths[last]
        return self.origins[begin] + (span[0] - self.starts[begin]) * self.widths[begin], end


def views(text: str) -> Iterator[View]:
    """The text without colours; and, where it holds percent-encoded characters, decoded as well."""
    plain = without_colours(text)
    yield plain
    if PERCENT.search(text):
        yield _rewritten(text, re.compile(f"{COLOUR.pattern}|{PERCENT.pattern}"))


def without_colours(text: str) -> View:
    """The text that a terminal would show."""
    return _rewritten(text, COLOUR)


def _rewritten(text: str, escapes: re.Pattern[str]) -> View:
    """With each percent-encoded character decoded, and each other escape left out."""
    parts: list[str] = []
    view = View("", [], [], [])
    at = length = 0
    for match in [*escapes.finditer(text), None]:
        start, end = match.span() if match else (len(text), len(text))
        code = chr(int(match[1], 16)) if match and match.re.groups and match[1] else ""
        for part, origin, width in ((text[at:start], at, 1), (code, start, end - start)):
            if part:
                view.starts.append(length)
                view.origins.append(origin)
                view.widths.append(width)
                parts.append(part)
                length += len(part)
        at = end
    return View("".join(parts), view.starts, view.origins, view.widths)


def hidden(text: str, spans: Iterable[Span], mask: str) -> str:
    """The text with the mask in place of each span; those that touch are one."""
    parts, end = [], 0
    for start, stop in _merged(spans):
        parts += [text[end:start], mask]
        end = stop
    return "".join([*parts, text[end:]]) if parts else text


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    current: Span | None = None
    for start, stop in sorted(span for span in spans if span[0] < span[1]):
        if current and start <= current[1]:
            current = (current[0], max(current[1], stop))
            continue
        if current:
            yield current
        current = (start, stop)
    if current:
        yield current
