"""The lines of one start -> what they tell: its phases, how it ended, what it says of itself. Pure.

They are taken one by one, and only what was found in them is kept, so that a log of any length is read in one pass.
"""

from collections.abc import Iterable
from dataclasses import replace

from bench.log.interest import ENDS, OPENS, SAYS, SERVES, TELLS, Interest
from bench.log.lines import LogLine
from bench.log.outcome import Ending, Watch
from bench.log.phases import MILESTONES, Reading, added_up, readings_of
from bench.log.prefixes import Ranks
from bench.log.rules import Rule
from bench.log.said import Listener, Said

# More than any start tells. What comes behind is left out: a log can hold anything.
MOST_READINGS, MOST_BYTES = 20_000, 4_000_000
MOST_SPEAKERS = 10_000
SPEAKER_WITHIN = 300  # bytes of a line


class Told:
    """What the lines so far have told of one start."""

    def __init__(self, number: int, first_number: int, *, is_wanted: bool = True) -> None:
        self.number = number  # of the start in its log, from 1
        self.source = ""  # the container, unit or file whose lines these are, where that is said in front of them
        self.is_wanted = is_wanted  # False: nothing is taken from its lines
        self.first_number = first_number  # of its first line in the file, from 1
        self.last_number: int | None = None  # None: it is still being read
        self.wanted = (
            TELLS | SAYS | OPENS | ENDS | SERVES if is_wanted else OPENS
        )  # interests of those who still listen
        self.listens = False  # whether the next line matters, whatever it is
        self.is_full = False
        self._found: list[tuple[Rule, Reading]] = []
        self._bytes = 0
        self._milestones: dict[str, LogLine] = {}
        self._ranks = Ranks()
        self._speakers: set[bytes] = set()
        self._watch = Watch()
        self._listener = Listener()

    def see(self, line: LogLine, interest: Interest) -> None:
        """The next line that matters."""
        if not self.is_wanted:
            return
        self._ranks.note(line)
        if interest.bits & TELLS:
            self._read(line, interest.rules)
        if self.listens or interest.bits & (SAYS | ENDS | SERVES):
            self._hear(line, interest.bits)

    def _hear(self, line: LogLine, bits: int) -> None:
        if bits & SAYS or self._listener.is_waiting:
            self._listener.see(line)
        if bits & (ENDS | SERVES) or self._watch.is_waiting:
            self._watch.see(line)
        self.listens = self._listener.is_waiting or self._watch.is_waiting
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
            self.is_full = self.is_full or len(self._found) >= MOST_READINGS or self._bytes >= MOST_BYTES
            if not self.is_full:
                self._found.append(found)
                self._bytes += len(line.raw)

    def _note(self, name: str, texts: Iterable[str], line: LogLine) -> None:
        if any(text in line.text for text in texts):
            self._milestones[name] = line

    def milestones(self) -> list[LogLine]:
        """The lines that part its imports from one another."""
        return sorted(self._milestones.values(), key=lambda line: line.number)

    def readings(self) -> list[Reading]:
        """Its numbers, in the order of the log, with the rank where any line of the same process tells it."""
        found = ((rule, self._ranked(reading)) for rule, reading in self._found)
        return added_up(found, one_rank=self.said().has_one_rank)

    def _ranked(self, reading: Reading) -> Reading:
        rank = self._ranks.of(reading.line)
        if rank == reading.rank:
            return reading
        return replace(reading, rank=rank, line=replace(reading.line, rank=rank))

    def sources(self) -> list[LogLine]:
        """The lines that what it says of itself comes from."""
        return self._listener.lines

    def ending(self) -> Ending:
        """How it ended."""
        return self._watch.ending()

    def said(self) -> Said:
        """What it says of itself."""
        return self._listener.said()
