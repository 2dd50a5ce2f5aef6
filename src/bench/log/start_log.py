"""The lines of one start -> all facts of it, as one value. Pure.

A start of ours and one in a log from elsewhere are read by the same `StartReader`, line by line; only what was found is kept, so that a
log of any length is read in one pass and in little memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from bench.log.failure import Causes
from bench.log.filter import (
    ANY_LINE,
    COMPILES,
    ENDINGS,
    HIDES,
    INFO,
    LOAD_FAILS,
    LOADS_COMPILED,
    OPENING,
    RANK_NAME,
    READINGS,
    REQUEST,
    SERVER_NAME,
    Found,
    filter_for,
    found_in,
    uncoloured,
)
from bench.log.lines import LogLine, Ranks, parsed, stamp_of
from bench.log.outcome import Ending, Watch, is_of_a_server
from bench.log.pieces import LOOKED_AT, PieceReader, numbered
from bench.log.readings import Reading, added_up, readings_of
from bench.log.server_info import InfoReader, ServerInfo
from bench.log.texts import Rule, begins_with_any
from bench.log.texts.phases import MILESTONES
from bench.log.texts.server_info import begins_front
from bench.log.unwrap import DIGITS

# More than any start prints. What comes behind is left out: a log can hold anything.
MOST_READINGS, MOST_BYTES = 20_000, 4_000_000
MOST_PROCESSES = 10_000
ENDINGS_BEFORE_UP = ENDINGS & ~REQUEST
PROCESS_WITHIN = 300  # bytes of a line
STAMP_WITHIN = 1_000  # lines of a start: what prints none by then prints none


@dataclass(frozen=True)
class StartLog:
    """All that the log of one start holds. Of an empty log, every fact is absent."""

    readings: list[Reading] = field(default_factory=list)  # its numbers, in the order of the log, with ranks
    milestones: list[LogLine] = field(default_factory=list)  # the lines that part its imports from one another
    info: ServerInfo = field(default_factory=ServerInfo)
    info_lines: list[LogLine] = field(default_factory=list)  # that `info` comes from
    ending: Ending = field(default_factory=lambda: Ending("incomplete"))
    # vLLM's own words for what went wrong. Of a start of ours also behind ready: bench knows whether it went on.
    reason: str | None = None
    # What vLLM did with its compile cache: compiled, loaded, both (it compiled a part), load_failed (a compiled graph was found, could
    # not be loaded and was compiled again), or none (eager, or nothing was printed).
    compile_cache: str = "none"
    # Of its first line with a time of vLLM's, `ending.stamp` is when it was up. None: there is none, or the log begins in the middle.
    first_stamp: str | None = None
    is_full: bool = False  # there were more than MOST_READINGS: the last ones are left out
    # Where it is in its log. Numbers count from 1, `last_number` is of the last line that was read.
    number: int = 1
    source: str = ""  # the container, unit or file whose lines these are, where that is printed in front of them
    first_number: int = 1
    last_number: int = 0
    is_selected: bool = True  # False: nothing but where it begins and ends was read


def read_start(lines: Iterable[bytes]) -> StartLog:
    """The facts of one start of ours, from the lines of its log with their ends. Nothing but bench's stamp stands in front of them."""
    lines = iter(lines)
    first = list(islice(lines, LOOKED_AT))
    reader, pieces = StartReader(1, 1, is_ours=True), PieceReader(is_ours=True)
    pieces.learn(first)
    for number, raw in numbered(chain(first, lines)):
        reader.last_number = number
        if reader.may_matter(raw):
            for piece in pieces.pieces_of(number, raw):
                line = parsed(piece)
                reader.see(line, found_in(line.text))
    return reader.start_log()


class StartReader:
    """Takes the lines of one start one by one, and keeps what is found in them."""

    def __init__(self, number: int, first_number: int, *, is_selected: bool = True, is_ours: bool = False) -> None:
        self.number = number  # of the start in its log, from 1
        self.source = ""
        self.is_selected = is_selected  # False: nothing is taken from its lines
        self.first_number = first_number  # of its first line in the file, from 1
        self.last_number = 0
        # The groups of which a line can change anything, ANY_LINE where the next one does, whatever it is.
        self.needed = ANY_LINE if is_selected else OPENING
        self._first_stamp: str | None = None
        self._seen = 0  # lines
        self._has_front = self._has_numbers = False  # whether the log begins where the start does
        self._is_full = False
        self._found: list[tuple[Rule, Reading]] = []
        self._bytes = 0
        self._milestones: dict[str, LogLine] = {}
        self._ranks = Ranks()
        self._processes: set[bytes] = set()
        self._watch = Watch()
        self._info = InfoReader()
        self._causes = Causes() if is_ours else None
        self._compiled = 0  # the groups of what it did with its compile cache

    def may_matter(self, raw: bytes) -> bool:
        """Whether this line of a log of ours has to be read."""
        if self.needed == ANY_LINE:
            return True
        groups = filter_for(self.needed | RANK_NAME).groups(uncoloured(raw.translate(DIGITS)))
        return bool(groups & (self.needed | HIDES)) or bool(groups & RANK_NAME and self.is_new(raw))

    def see(self, line: LogLine, found: Found) -> None:
        """The next line that matters, and what stands in it."""
        if not self.is_selected:
            return
        if self._first_stamp is None:
            self._seen += 1
            self._first_stamp = stamp_of(line.text)
        if found.groups & OPENING and not (self._has_front or self._has_numbers):
            self._has_front = self._first_stamp is not None and begins_front(line.text)
        self._ranks.note(line)
        self._compiled |= found.groups & (COMPILES | LOADS_COMPILED | LOAD_FAILS)
        if found.groups & READINGS:
            self._read(line, found)
        if found.groups & INFO or self._info.is_waiting:
            self._info.see(line)
        if found.groups & ENDINGS or self._watch.is_waiting or is_of_a_server(line.process):
            self._watch.see(line, found)
        if self._causes:
            self._causes.see(line, found)
        self.needed = self._needed()

    def _needed(self) -> int:
        if self._first_stamp is None and self._seen < STAMP_WITHIN:
            return ANY_LINE
        if self._info.is_waiting or self._watch.is_waiting or (self._causes and self._causes.is_waiting):
            return ANY_LINE
        needed = READINGS | INFO | OPENING
        if self._causes or not self._watch.is_over:
            needed |= ENDINGS if self._watch.takes_requests else ENDINGS_BEFORE_UP
        return needed | (0 if self._watch.knows_the_server else SERVER_NAME)

    def is_new(self, raw: bytes) -> bool:
        """Whether this is the first line of a process with a rank in its name: its other lines may lack the rank."""
        if not self.is_selected:
            return False
        end = raw.rfind(b"pid=", 0, PROCESS_WITHIN)
        if end < 0:
            return b"process" in raw  # of JSON; a name without its id has its rank in each of its lines
        process = raw[raw.rfind(b"(", 0, end) : raw.find(b")", end)]
        if process in self._processes:
            return False
        if len(self._processes) >= MOST_PROCESSES:
            self._processes.clear()
        self._processes.add(process)
        return True

    def _read(self, line: LogLine, found: Found) -> None:
        for name, texts in MILESTONES:
            if name not in self._milestones and begins_with_any(line.text, texts):
                self._milestones[name] = line
        if found.rules and not self._has_numbers:
            self._has_numbers = any(rule.fields for rule in found.rules)
        for each in readings_of(line, found):
            self._is_full = self._is_full or len(self._found) >= MOST_READINGS or self._bytes >= MOST_BYTES
            if not self._is_full:
                self._found.append(each)
                self._bytes += len(line.raw)

    def start_log(self) -> StartLog:
        """What was found in the lines so far."""
        place = StartLog(
            number=self.number,
            source=self.source,
            first_number=self.first_number,
            last_number=self.last_number,
            is_selected=self.is_selected,
        )
        return self._with_facts(place) if self.is_selected else place

    def _with_facts(self, place: StartLog) -> StartLog:
        info, ending = self._info.info(), self._watch.ending()
        found = ((rule, self._ranked(reading)) for rule, reading in self._found)
        return replace(
            place,
            readings=added_up(found, one_rank=info.has_one_rank, is_of_many=self._ranks.is_of_many),
            milestones=sorted(self._milestones.values(), key=lambda line: line.number),
            info=info,
            info_lines=self._info.lines,
            ending=ending,
            reason=self._causes.reason() if self._causes else ending.reason,
            first_stamp=self._first_stamp if self._has_front else None,
            compile_cache=_compile_cache(self._compiled),
            is_full=self._is_full,
        )

    def _ranked(self, reading: Reading) -> Reading:
        rank = self._ranks.of(reading.line)
        if rank == reading.rank:
            return reading
        return replace(reading, rank=rank, line=replace(reading.line, rank=rank))


def _compile_cache(groups: int) -> str:
    if groups & LOAD_FAILS:
        return "load_failed"
    if groups & COMPILES and groups & LOADS_COMPILED:
        return "both"
    return "compiled" if groups & COMPILES else "loaded" if groups & LOADS_COMPILED else "none"
