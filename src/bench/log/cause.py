"""One cause of a failed start, as far as its lines have come. Pure."""

from dataclasses import dataclass, field

from bench.log.lines import LogLine
from bench.log.message import READ
from bench.log.texts.failures import BAD_VALUE, CLAP, OF_RUST, USAGE, VALIDATION

DETAIL = 2  # lines of its process that say what pydantic did not like
ITEM = "- "  # of a list of clap's


@dataclass
class Cause:
    """An exception, or what a parser of arguments says. `stage` is what its process was doing."""

    order: int
    kind: str
    message: str
    echo: bool
    stage: str | None
    line: LogLine  # that it begins in
    usage: bool = False  # a parser said it: there was no exception
    lists: bool = False  # what is wrong comes in the next lines
    detail: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    opened: int = 0  # as `order`, where it was raised anew
    followed_by: int = 0  # lines of the same process that are not blank

    @property
    def words(self) -> str:
        return ": ".join(filter(None, [self.kind, self.message, *self.detail, ", ".join(self.items)]))

    def takes(self, bare: str) -> bool:
        """Whether this next line of its process says what is wrong, and is then added."""
        return self._takes_item(bare.strip()) if self.usage else self._takes_field(bare)

    def _takes_field(self, bare: str) -> bool:
        """pydantic's: the field and what is wrong with it, or only the latter where the whole model is wrong."""
        goes_on = VALIDATION.match(self.message) and len(self.detail) == self.followed_by - 1 < DETAIL
        if not goes_on or not bare.startswith(" ") or "For further information" in bare:
            return False
        self.detail.append(bare.strip().partition(" [type=")[0])
        return True

    def _takes_item(self, item: str) -> bool:
        """clap's: a heading, and below it what it is about."""
        if not self.lists:
            return False
        if item.startswith(ITEM):
            self.items.append(item.removeprefix(ITEM))
            return True
        self.lists = item.endswith(":") and not self.items
        if self.lists:
            self.detail.append(item.removesuffix(":"))
        return self.lists

    def is_repeated_by(self, message: str) -> bool:
        """Whether an exception says only what this one did: it was raised anew, under another name."""
        said = self.message
        return bool(said) and message in {said, f"{self.kind}: {said}", f"{self.kind}({said!r})"}


def usage_in(line: LogLine, words: str) -> tuple[str, bool] | None:
    """What a parser of arguments did not like, and whether that comes in the next lines. A value that can hold secrets is left out."""
    if found := USAGE.match(words):
        return found["message"], False
    if not line.text.startswith(BAD_VALUE):
        return None
    end = line.text[-READ:]
    if not any(text in end for text in OF_RUST) or not (found := CLAP.match(end)):
        return None
    why = found["why"].strip()
    return f"invalid value … for '{found['option']}'{f': {why}' if why else ''}", not why
