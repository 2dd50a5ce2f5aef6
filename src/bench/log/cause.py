"""One cause of a failed start, as far as its lines have come. Pure."""

import re
from dataclasses import dataclass, field

from bench.log.lines import READ, LogLine
from bench.log.texts import has_any
from bench.log.texts.failures import BAD_VALUE, CLAP, OF_RUST, USAGE, VALIDATION

LENGTH = 300

# Until 0.7 the source stands without an opening bracket; somebody may have taken out the times, or begun to copy behind the level.
# torchrun and torch put the rank in front.
SOURCE = re.compile(
    r"^ ?(?:(?:ERROR|CRITICAL) (?:[\d-]+ [\d:.]+ \[?|\[?(?=[\w./-]+\.py:\d+\]))|\[(?=[\w./-]+\.py:\d+\]))(?P<place>[^\]\s]+)\] ?"
)
RANK = re.compile(r"^(?:\[rank\d+\]: ?|E {3,}(?=\S))")  # or pytest's mark
# The logger of the Unified Cache Manager, which takes over vLLM's on Ascend: in front of a record and behind it, which may have several lines.
UC_HEAD = re.compile(r"^(?:\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,9}\])?\[UC\]\[[A-Z]\] ")
UC_TAIL = re.compile(r" \[\d{1,10},\d{1,10}\]\[[^\[\]:,]{1,200}\.py:\d{1,9},[^\[\]]{1,200}\]$")

DETAIL = 2  # lines of its process with what pydantic did not accept
ITEM = "- "  # of a list of clap's
RAISED = " raised:"  # Dynamo's: what its compiler met stands in the next line


@dataclass
class Cause:
    """An exception, or the message of a parser of arguments. `stage` is what its process was doing."""

    order: int
    kind: str
    message: str
    echo: bool
    stage: str | None
    line: LogLine  # that it begins in
    usage: bool = False  # a parser printed it: there was no exception
    lists: bool = False  # what is wrong comes in the next lines
    detail: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    opened: int = 0  # as `order`, where it was raised anew
    followed_by: int = 0  # lines of the same process that are not blank

    @property
    def words(self) -> str:
        return ": ".join(filter(None, [self.kind, self.message, *self.detail, ", ".join(self.items)]))

    def takes(self, message_line: str) -> bool:
        """Adds this next line of its process if it explains what is wrong. Whether it did."""
        return self._takes_item(message_line.strip()) if self.usage else self._takes_field(message_line)

    def _takes_field(self, message_line: str) -> bool:
        if self.message.endswith(RAISED) and self.followed_by == 1:
            self.message = f"{self.message} {message_line.strip()}"
            return True
        return self._takes_wrong_field(message_line)

    def _takes_wrong_field(self, message_line: str) -> bool:
        """pydantic's: the field and what is wrong with it, or only the latter where the whole model is wrong."""
        goes_on = VALIDATION.match(self.message) and len(self.detail) == self.followed_by - 1 < DETAIL
        if not goes_on or not message_line.startswith(" ") or "For further information" in message_line:
            return False
        self.detail.append(message_line.strip().partition(" [type=")[0])
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
        """Whether an exception has only the message of this one: it was raised anew, under another name."""
        own = self.message
        return bool(own) and message in {own, f"{self.kind}: {own}", f"{self.kind}({own!r})"}


def usage_in(line: LogLine, words: str) -> tuple[str, bool] | None:
    """What a parser of arguments did not like, and whether that comes in the next lines. A value that can hold secrets is left out."""
    if found := USAGE.match(words):
        return found["message"], False
    if not line.text.startswith(BAD_VALUE.text):
        return None
    end = line.text[-READ:]
    if not has_any(end, OF_RUST) or not (found := CLAP.match(end)):
        return None
    why = found["why"].strip()
    return f"invalid value … for '{found['option']}'{f': {why}' if why else ''}", not why


def place_of(line: LogLine) -> str:
    """Where in vLLM's source a record was printed, which stands before each of its lines. Empty: it is no record of an error."""
    found = SOURCE.match(line.text[:READ])
    return found["place"] if found else ""


def message_text(line: LogLine) -> str:
    """Without vLLM's level, time and source; a traceback's indentation stays."""
    text = UC_TAIL.sub("", line.text[:READ]) if line.text.endswith("]") else line.text[:READ]
    return RANK.sub("", SOURCE.sub("", UC_HEAD.sub("", text)))


def one_line(text: str) -> str:
    """For a tag and the terminal."""
    line = " ".join(text.split())
    return line if len(line) <= LENGTH else line[: LENGTH - 1] + "…"
