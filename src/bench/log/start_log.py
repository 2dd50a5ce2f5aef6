"""The lines of one start -> all facts of it, as one value. Pure.

A start of ours and one in a log from elsewhere are read by the same `StartReader`, line by line; only what was found is kept, so that a
log of any length is read in one pass and in little memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from bench.log.capture import own_pieces
from bench.log.compile_cache import CompileCache
from bench.log.failure import Causes
from bench.log.interest import ENDS, OPENS, SAYS, SERVES, TELLS, Interest, interest_in
from bench.log.lines import LogLine, parsed
from bench.log.outcome import Ending, Watch
from bench.log.prefixes import Ranks
from bench.log.readings import MILESTONES, Reading, added_up, readings_of
from bench.log.server_info import InfoReader, ServerInfo
from bench.log.texts import Rule

# More than any start prints. What comes behind is left out: a log can hold anything.
MOST_READINGS, MOST_BYTES = 20_000, 4_000_000
MOST_SPEAKERS = 10_000
SPEAKER_WITHIN = 300  # bytes of a line


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
    compile_cache: str = "none"  # compiled, loaded, both, load_failed, none; of a start of ours only
    is_full: bool = False  # there were more than MOST_READINGS: the last ones are left out
    # Where it is in its log. Numbers count from 1, `last_number` is of the last line that was read.
    number: int = 1
    source: str = ""  # the container, unit or file whose lines these are, where that is printed in front of them
    first_number: int = 1
    last_number: int = 0
    is_wanted: bool = True  # False: nothing but where it begins and ends was read


def read_start(lines: Iterable[bytes]) -> StartLog:
    """The facts of one start of ours, from the lines of its log with their ends. Nothing but bench's stamp stands in front of them."""
    reader = StartReader(1, 1, is_ours=True)
    for piece in own_pieces(lines):
        line = parsed(piece)
        reader.see(line, interest_in(line))
        reader.last_number = piece.number
    return reader.start_log()


class StartReader:
    """Takes the lines of one start one by one, and keeps what is found in them."""

    def __init__(self, number: int, first_number: int, *, is_wanted: bool = True, is_ours: bool = False) -> None:
        self.number = number  # of the start in its log, from 1
        self.source = ""
        self.is_wanted = is_wanted  # False: nothing is taken from its lines
        self.first_number = first_number  # of its first line in the file, from 1
        self.last_number = 0
        self.wanted = (
            TELLS | SAYS | OPENS | ENDS | SERVES if is_wanted else OPENS
        )  # interests of those who still listen
        self.listens = False  # whether the next line matters, whatever it is
        self._is_full = False
        self._found: list[tuple[Rule, Reading]] = []
        self._bytes = 0
        self._milestones: dict[str, LogLine] = {}
        self._ranks = Ranks()
        self._speakers: set[bytes] = set()
        self._watch = Watch()
        self._info = InfoReader()
        self._causes = Causes() if is_ours else None
        self._compile_cache = CompileCache()

    def see(self, line: LogLine, interest: Interest) -> None:
        """The next line that matters."""
        if not self.is_wanted:
            return
        self._ranks.note(line)
        if self._causes:
            self._causes.see(line)
            self._compile_cache.see(line.text)
        if interest.bits & TELLS:
            self._read(line, interest.rules)
        if self.listens or interest.bits & (SAYS | ENDS | SERVES):
            self._hear(line, interest.bits)

    def _hear(self, line: LogLine, bits: int) -> None:
        if bits & SAYS or self._info.is_waiting:
            self._info.see(line)
        if bits & (ENDS | SERVES) or self._watch.is_waiting:
            self._watch.see(line)
        self.listens = self._info.is_waiting or self._watch.is_waiting
        self.wanted = TELLS | SAYS | OPENS | (0 if self._watch.is_over else ENDS)
        self.wanted |= 0 if self._watch.knows_the_server else SERVES

    def is_new(self, raw: bytes) -> bool:
        """Whether a process with a rank in its name speaks for the first time: its lines tell the rank of others."""
        if not self.is_wanted:
            return False
        end = raw.rfind(b"pid=", 0, SPEAKER_WITHIN)
        if end < 0:
            return False  # a name without its id has its rank in each of its lines
        speaker = raw[raw.rfind(b"(", 0, end) : raw.find(b")", end)]
        if speaker in self._speakers:
            return False
        if len(self._speakers) >= MOST_SPEAKERS:
            self._speakers.clear()
        self._speakers.add(speaker)
        return True

    def _read(self, line: LogLine, rules: Iterable[Rule]) -> None:
        for name, texts in MILESTONES:
            if name not in self._milestones:
                self._note(name, texts, line)
        for found in readings_of(line, rules):
            self._is_full = self._is_full or len(self._found) >= MOST_READINGS or self._bytes >= MOST_BYTES
            if not self._is_full:
                self._found.append(found)
                self._bytes += len(line.raw)

    def _note(self, name: str, texts: Iterable[str], line: LogLine) -> None:
        if any(text in line.text for text in texts):
            self._milestones[name] = line

    def start_log(self) -> StartLog:
        """What was found in the lines so far."""
        info, ending = self._info.info(), self._watch.ending()
        found = ((rule, self._ranked(reading)) for rule, reading in self._found)
        return StartLog(
            readings=added_up(found, one_rank=info.has_one_rank),
            milestones=sorted(self._milestones.values(), key=lambda line: line.number),
            info=info,
            info_lines=self._info.lines,
            ending=ending,
            reason=self._causes.reason() if self._causes else ending.reason,
            compile_cache=self._compile_cache.happened,
            is_full=self._is_full,
            number=self.number,
            source=self.source,
            first_number=self.first_number,
            last_number=self.last_number,
            is_wanted=self.is_wanted,
        )

    def _ranked(self, reading: Reading) -> Reading:
        rank = self._ranks.of(reading.line)
        if rank == reading.rank:
            return reading
        return replace(reading, rank=rank, line=replace(reading.line, rank=rank))
