"""Every text that is looked for in a log, as a row: the text, an example of its line, the releases of vLLM that print it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

# Bounded, as all that is of any length in a pattern: a line can be megabytes of anything.
NUMBER = r"-?\d{1,15}(?:\.\d{1,20})?"
COUNT = r"\d[\d,]{0,20}"
UNIT = r"[Bb]ytes?|[KMGTP]i?B"
# What rules read, by the name of its field.
DURATION_S = rf"(?P<duration_s>{NUMBER})"
MEMORY_GIB = rf"(?P<memory_gib>{NUMBER})"
SIZE = rf"(?P<size>{NUMBER}) (?P<size_unit>{UNIT})"
RATE = rf"(?P<rate>{NUMBER}) (?P<rate_unit>{UNIT})/s"

TEXT_FIELDS = {"version", "address", "process", "exit_code"}  # the other fields are numbers
CUT_WITHIN = 40  # characters by which what is printed may be longer than in the example

# Releases of a text that stands in no recorded log: read in vLLM's source or in public logs, or not vLLM's own text.
ELSEWHERE = "not recorded"


class Stage(StrEnum):
    """A stage of a start, in the order of a start. The value is for people who wait, and for the tag `bench.stopped_in`."""

    CONFIG = "reading the model's config"
    ENGINE = "starting the engine"
    WEIGHTS = "loading weights"
    AFTER_WEIGHTS = "finishing the weights"
    PROFILING = "profiling"
    COMPILING = "compiling"
    MEMORY = "measuring memory"
    KV_CACHE = "setting up the KV cache"
    WARMUP = "warming up"
    GRAPHS = "capturing graphs"
    SERVER = "starting the server"


@dataclass(frozen=True)
class Text:
    """A text that is looked for as it stands.

    `releases`: the first and the last of vLLM whose recorded logs (tests/logs) have it, or ELSEWHERE. `example`: a line of these logs, or
    a part of it; of a text from elsewhere a line made of it, whose source file and numbers may be invented.
    """

    text: str
    example: str
    releases: str
    stage: Stage | None = None  # that a line with it opens


def has_any(text: str, rows: Iterable[Text]) -> bool:
    """Whether any of these texts is in a line's text."""
    for row in rows:  # noqa: SIM110 - twice as quick as any() with a generator
        if row.text in text:
            return True
    return False


def begins_with_any(text: str, rows: Iterable[Text]) -> bool:
    """Whether a record says any of these, and does not only quote it."""
    return any(row.text in text and is_at_head(text, text.find(row.text)) for row in rows)


# What stands in front of a record's message, as vLLM formats it, and what its own messages begin with in front of a text.
HEAD = re.compile(
    r"(?:\([^()]{1,100}\) ?){0,4}(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) (?:[\d-]{5,10} )?[\d:.,]{8,15} (?:\[[^\]]{1,200}\]|\S{1,200}\])(?: |$)"
)
UNQUOTED = re.compile(r"[^'\"={]{0,2000}")
LEAD = re.compile(r"(?:\[[^\]]{1,80}\] )*(?:[CG]PU )?(?:[CG]PU KV cache size: [\d,]{1,20} tokens, )?[ ▄▀█]*")


def is_at_head(text: str, start: int) -> bool:
    """Whether what begins here is what a record says, and no part of something that it quotes: a model's name, a path, an argument.
    Of what has no head that vLLM formats: whether nothing is quoted in front of it.
    """
    if head := HEAD.match(text):
        return LEAD.fullmatch(text, head.end(), max(start, head.end())) is not None
    return UNQUOTED.fullmatch(text, 0, start) is not None


@dataclass(frozen=True)
class Rule:
    """A line that vLLM prints, and the fields that are read in it.

    The name of a group is the field and its unit. `size` and `rate` come with the unit that was printed, in `size_unit`
    and `rate_unit`. A group may be left out by a line. `vllm`: the releases that print it, first to last; open: still printed in the
    newest known; any: not vLLM's text.
    """

    phase: str
    text: str  # stands in every match: only lines with it are matched
    pattern: re.Pattern[str]
    example: str  # a real line, or vLLM's format with numbers in it
    vllm: str
    stage: Stage | None = None  # that a line with its text opens
    running: bool = False  # the number counts on from one model to the next of a process
    quotes: bool = False  # it stands among arguments

    def search(self, text: str, start: int = 0) -> re.Match[str] | None:
        """The first place from `start` on where it stands at a record's head."""
        for found in self.pattern.finditer(text, start):
            if self.quotes or is_at_head(text, found.start()):
                return found
        return None

    @cached_property
    def fields(self) -> frozenset[str]:
        """The fields that hold numbers, as readings name them."""
        names = self.pattern.groupindex.keys() - TEXT_FIELDS
        sizes = {"size_gib", "rate_gib_per_s"} if "size" in names else set()
        return frozenset({name for name in names if not name.endswith("_unit")} - {"size", "rate"} | sizes)

    @cached_property
    def _rest(self) -> str:
        """Of the example: what stands behind the text."""
        found = self.pattern.search(self.example)
        assert found is not None
        return self.example[self.example.index(self.text, found.start()) + len(self.text) : found.end()]

    def is_cut_in(self, text: str) -> bool:
        """Whether a number of it was cut off here: with the rest of the example it would be there."""
        begin = text.rfind(self.text) + len(self.text)
        if not self.fields or len(text) - begin > len(self._rest) + CUT_WITHIN:
            return False
        wholes = (self.search(text + self._rest[at:]) for at in range(len(self._rest)))
        return any(whole and whole.end() > len(text) for whole in wholes)


def rule(  # noqa: PLR0913
    phase: str, text: str, behind: str, example: str, vllm: str, *, before: str = "", stage: Stage | None = None, running: bool = False, quotes: bool = False
) -> Rule:  # fmt: skip
    """A row. Its pattern is the text as it stands between two regular expressions: what comes before it, and behind it."""
    return Rule(phase, text, re.compile(before + re.escape(text) + behind), example, vllm, stage, running, quotes)
