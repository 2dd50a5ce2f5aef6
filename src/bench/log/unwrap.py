"""What a terminal, a container, a collector or grep put around each line of a log: taken off, and read for whose line it is. Pure.

It is taken off where that is beyond doubt: where a line of vLLM's begins behind it. From then on the same kind of thing is taken
off every line of this log, so that bars, tracebacks and other programs' lines are freed of it too. An unknown kind is taken off where
it stands before a traceback's first line, or before several lines of vLLM's and none came without.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

from bench.log.records import SPLIT_BYTES, Record, read_json, read_logfmt, texts_of

DIGITS = bytes.maketrans(b"123456789", b"000000000")
DIGITS_MATTER = (b"[0m", b"[0;0m", b"\\u000b[")  # of colours, with every digit a 0
LINE_BYTES = 1 << 16  # kept of one line: as much from its beginning as from its end
MOST_WAITING = 32  # lines whose end is still to come

LEVELS = ("INFO", "WARNING", "ERROR", "DEBUG", "CRITICAL")
LEVEL_AND_TIME = rf"(?:{'|'.join(LEVELS)}) \d\d-\d\d \d\d:\d\d:\d\d "
BEGINNING = (
    rf"\((?:[A-Za-z_][^()]{{0,100}} )?pid=\d|{LEVEL_AND_TIME}|(?:INFO|WARNING|ERROR): {{3,}}"
    r'|\{"(?:asctime|message|levelname|log)":'
)
VLLM = re.compile(rf"(?: *\d{{1,9}}\.\d{{3}} )?(?:{BEGINNING})")
TRACEBACK = "Traceback (most recent call last):"
BEGINS = re.compile(f"{re.escape(TRACEBACK)}|{BEGINNING}".encode())  # in a file's bytes, wherever in a line
# One is in each line in which that begins.
SIGNS = (b"pid=", b"INFO", b"ERROR", b"WARNING", b"DEBUG", b"CRITICAL", b'{"', b"Traceback")

RFC3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)"
SYSLOG_TIME = r"(?:[^\W\d_]{2,5}\.?|\d{1,2}月) [ \d]?\d \d\d:\d\d:\d\d(?:\.\d{1,9})?"
UNIT = r"[^\s\[\]:]{1,100}(?:\[\d{1,10}\])?:"
PREFIX = re.compile(
    rf"(?P<buildkite>_bk;t=\d{{1,20}}\x07?)"
    rf"|(?P<cri>{RFC3339} (?P<stream>stdout|stderr) (?P<part>[FP]) )"
    rf"|(?P<iso_journal>{RFC3339} [^\s:]{{1,253}} {UNIT} ?)"
    rf"|(?P<time>{RFC3339} ?)"
    rf"|(?P<journal>{SYSLOG_TIME} [^\s:]{{1,253}} {UNIT} ?)"
    rf"|(?P<syslog_time>{SYSLOG_TIME} )"
    rf"|(?P<clock>\[?\d{{4}}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{{1,9}})?\]? )"
    rf"|(?P<time_of_day>\d\d:\d\d:\d\d(?:[.,]\d{{1,9}})?Z? )"
    rf"|(?P<pod>\[pod/[^\]\s]{{1,500}}\] ?)"
    rf"|(?P<grep_number>\d{{1,12}}[:-])"
    rf"|(?P<grep_both>[^\s:|()\[\]]{{1,500}}[:-]\d{{1,12}}[:-])"
    rf"|(?P<grep_file>[^\s:|()\[\]]{{1,500}}\.\w{{1,10}}:)"
    rf"|(?P<compose>[A-Za-z][\w.-]{{0,100}} {{1,40}}\| ?)"
    rf"|(?P<actions>[^\t]{{1,100}}\t[^\t]{{1,100}}\t(?={RFC3339}))"
    rf"|(?P<numbered> {{0,10}}\d{{1,12}}\t)"
)
NEVER_VLLM = {"buildkite", "cri", "time", "pod"}  # taken off from the first line on
NAMES_A_SOURCE = {"compose", "pod", "journal", "iso_journal", "grep_both", "grep_file"}
NO_NAME = re.compile(  # what of these is not the name
    rf"^(?:{RFC3339}|{SYSLOG_TIME}) |(?:\[\d{{1,10}}\])?: ?$|[:-]\d{{1,12}}[:-]$| {{1,40}}\| ?$"
)

# Not torch's [rank0], which is a rank.
BEFORE_TRACEBACK = re.compile(rf"(?!\[rank)\S.{{0,150}}[|:\]>-] (?={re.escape(TRACEBACK)}\s*$)")
# Of a logger or a document, as Airflow's `[time] {file:line} INFO - `, with a line of vLLM's behind.
BEFORE_VLLM = re.compile(rf"(?!\[rank)[^(%]{{1,150}}?(?<=[|:\]>\-\"' \t+])(?={BEGINNING})")
MOST_BEGINNINGS, ENOUGH_ALIKE = 8, 3

# Colours and other commands to a terminal; Buildkite's stamps are one of its own. Copied text shows them as ^[ or ESC, or without the escape.
ESCAPES = re.compile(
    r"(?:\x1b|\^\[|\\u001b|ESC)\[[0-9:;<=>?]*[ -/]*[@-~]|\x1b[\]_PX^][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()*+][A-Z0-9]|\x1b[78=>A-Z]"
)
BARE_COLOURS = re.compile(r"\[(?:[01];)?(?:0|1|22|39|3[0-7]|9[0-7])m")
# Of a terminal's boxes: their sides, beside which the lines are padded, and whole lines of them.
SIDES = frozenset("│┃║╎┆┊╭╮╰╯┌┐└┘├┤┏┓┗┛╔╗╚╝")
FRAMES = " │┃║╎┆┊"
FRAME = re.compile(r"^\s*[│┃║╎┆┊]+ ?| *[│┃║╎┆┊]+\s*$")
RULE = re.compile(r"\s*[╭╰┌└├┏┗╔╚╠┣].*[╮╯┐┘┤┓┛╗╝╣┫─═━]\s*")
LOGFMT_BEGINS = re.compile(r"[A-Za-z_@][\w.@-]{0,60}=")
BOLD = re.compile(r"\*\*(-?\d[^*]{0,60}?)\*\*")  # a number that somebody stressed, in Markdown


@dataclass
class Wrapping:
    """What stands in front of the lines of one log: the kinds that were seen in front of a line of vLLM's, and `beginnings` of another
    kind, as shapes. Long lines come in parts from a container's runtime: `waiting` are the unfinished ones.
    """

    kinds: set[str] = field(default_factory=lambda: set(NEVER_VLLM))
    beginnings: set[bytes] = field(default_factory=set)
    unsure: Counter[bytes] = field(default_factory=Counter)  # what may become one, and how often it was seen
    has_bare: bool = False  # whether any line of vLLM's had nothing unknown before it
    waiting: dict[tuple[str, str], str] = field(default_factory=dict)  # by source and stream
    source: str = ""  # the container, unit or file that the last line comes from
    names_sources: bool = False  # whether any line's was known
    stream: str = ""
    part: str | None = None  # of the last line: F or P
    was_record: bool = False  # the last line
    # Whether a record whose line ends has the line's end, as Docker's; other collectors take it off.
    ends_records: bool = False

    @property
    def learnt(self) -> int:
        """How much is known by now: a line that was seen before it grew may be read in another way."""
        return len(self.kinds) + len(self.beginnings)

    def taken_off(self, text: str) -> str:
        """The line without what stands around it."""
        self.part, self.source = None, ""
        if text.startswith("(") or VLLM.match(text):
            self.has_bare = True
            return text
        found = PREFIX.match(text)
        text = self._inside(text, found) if found else text
        if VLLM.match(text):
            self.has_bare = True
        elif not self.has_bare:
            self._learn_beginning(text)
        return self._without_beginning(text) if self.beginnings or TRACEBACK in text else text

    def _learn_beginning(self, text: str) -> None:
        if (found := BEFORE_VLLM.match(text)) and len(self.beginnings) < MOST_BEGINNINGS > len(self.unsure):
            if _record_in(text):
                return  # its text is taken as a whole
            shape = shape_of(found[0])
            self.unsure[shape] += 1
            if self.unsure[shape] >= ENOUGH_ALIKE:
                self.beginnings.add(shape)

    def _without_beginning(self, text: str) -> str:
        found = BEFORE_TRACEBACK.match(text) if TRACEBACK in text and not VLLM.match(text) else None
        if found and len(self.beginnings) < MOST_BEGINNINGS:
            self.beginnings.add(shape_of(found[0]))
        shape = shape_of(text)
        begin = next((each for each in self.beginnings if shape.startswith(each)), b"")
        return text[len(begin.decode()) :]

    def _inside(self, text: str, found: re.Match[str] | None) -> str:
        seen: list[str] = []
        sure_at = 0
        is_vllm = False
        while found and not is_vllm and (kind := _kind(found)) not in seen:
            seen.append(kind)
            at = found.end()
            if kind == "cri":
                self.stream, self.part = found["stream"], found["part"]
            is_vllm = VLLM.match(text, at) is not None
            if is_vllm and not self.kinds.issuperset(seen):
                self.kinds.update(seen)
            if self.kinds.issuperset(seen):
                sure_at = at
                self._note_source(kind, found[0])
            found = PREFIX.match(text, at)
        return text[sure_at:]

    def _note_source(self, kind: str, prefix: str) -> None:
        if kind in NAMES_A_SOURCE:
            self.source = f"{self.source} {_name_in(prefix)}".strip()
            self.names_sources = True

    def whole_lines(self, text: str) -> list[str]:
        """The lines that end here: several in a record of JSON, none where the rest of a line is still to come."""
        if record := self._record(text):
            if record.unfinished and (self.ends_records or len(record.text) > SPLIT_BYTES):
                return self._wait(record.stream, record.text)
            return texts_of(record, plain(self._begun(record.stream) + record.text))
        if self.part == "P":
            return self._wait(self.stream, text)
        return [self._begun(self.stream) + text if self.part else text]

    def learn(self, text: str) -> None:
        """What stands around this line, before any is read."""
        self._record(self.taken_off(text))

    def _record(self, text: str) -> Record | None:
        record = _record_in(text)
        self.was_record = record is not None
        if record and (pod := record.pod):
            self.source = f"{self.source} {pod}".strip()
            self.names_sources = True
        self.ends_records |= bool(record and record.stream and record.text.endswith("\n"))
        return record

    def _begun(self, stream: str) -> str:
        return self.waiting.pop((self.source, stream), "")

    def _wait(self, stream: str, text: str) -> list[str]:
        begun = self._begun(stream)
        if len(self.waiting) >= MOST_WAITING:
            del self.waiting[next(iter(self.waiting))]
        self.waiting[self.source, stream] = begun + text if len(begun) < LINE_BYTES else begun
        return []


def _record_in(text: str) -> Record | None:
    return read_json(text) if text.startswith("{") else read_logfmt(text) if LOGFMT_BEGINS.match(text) else None


def _kind(found: re.Match[str]) -> str:
    return next(name for name, text in found.groupdict().items() if text is not None)


@lru_cache(1000)
def _name_in(prefix: str) -> str:
    return NO_NAME.sub("", prefix).strip()


def plain(text: str) -> str:
    """Without colours and other commands to a terminal, and without stress on numbers."""
    text = without_escapes(text)
    if "**" in text:
        text = BOLD.sub(r"\1", text)
    if "\0" in text:
        text = text.replace("\0", "")  # of a file that was emptied while it was written
    text = text.removeprefix("\ufeff")
    return text if text.isascii() or SIDES.isdisjoint(text) else unframed(text)


def without_escapes(text: str) -> str:
    """Without colours and other commands to a terminal."""
    if "\x1b" in text or "^[[" in text or "ESC[" in text or "\\u001b[" in text:
        text = ESCAPES.sub("", text)
    if "[0m" in text or "[0;0m" in text:
        text = BARE_COLOURS.sub("", text)
    return text


def unframed(text: str) -> str:
    """The inside of a box of a terminal's. Empty: it is the box's upper or lower side, whatever its title is."""
    if RULE.fullmatch(text):
        return ""
    return FRAME.sub("", text) if text.lstrip()[:1] in SIDES else text.rstrip(FRAMES)


def shape_of(text: str) -> bytes:
    """The text with each digit a 0: two lines of one shape differ in digits only."""
    return text.encode(errors="replace").translate(DIGITS)
