"""Records that something divided at a width -> whole records. Pure.

A terminal, or whoever copied its lines, divides them at a column: of what is seen, or, where colours are text too, of all that was
printed; a box divides them at blanks. The numbers of a record are lost then, and a maximum over ranks is one over the others. A record
is put together where it ends at that width, and where a number of it stands on both sides of the division. What looks like the
beginning of a line of its own is one.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from bench.log.encodings import text_of
from bench.log.files import lines_in
from bench.log.filter import found_in
from bench.log.processes import ANY_PROCESS, PROCESS, PROCESSES
from bench.log.texts import HEAD
from bench.log.texts.phases import RULES
from bench.log.unwrap import BEGINNING, LEVELS, RFC3339, SIDES, SYSLOG_TIME, plain, shape_of

NARROWEST, WIDEST = 40, 500  # columns
MOST_PIECES = 200  # of a record: all arguments, in a narrow terminal
FULL, GO_ON = 3, 0.6  # lines that end at the width, at least; and the share of them that go on in the next one
COLOURS = 14  # columns that the colours of a name take, at most
# What no piece begins with.
BEGINS = re.compile(
    rf"  File |(?:\d{{1,9}}[:-])?(?:{BEGINNING}|{ANY_PROCESS})|\((?:APIServer|ApiServer|EngineCore|Worker|VllmWorker)|(?:{'|'.join(LEVELS)})\b"
    rf"|\[?{RFC3339}|\[?\d{{4}}-\d\d-\d\d[ T]|{SYSLOG_TIME} |\[pod/|\[RunAI|\[rank\d|[\w.-]{{1,60}} +\| "
    r"|Traceback |Loading |Capturing |During handling|The above exception|\$ |[\w.]{1,80}(?:Error|Exception|Warning)\b"
)
ENOUGH_WORDS = 8  # characters of what stands in front of a number, which nothing else begins with
WORDS = tuple(rule.text for rule in RULES if rule.fields)
INDENTED = re.compile(r"\s\s")
OF_VLLM = ("INFO", "WARNING", "ERROR", "pid=", "RunAI")  # one is in the first line of a record


@dataclass(frozen=True)
class Fold:
    """How lines were divided. Without any width: only where that makes a number whole."""

    columns: int | None = None  # of all that was printed
    named: tuple[
        int | None, ...
    ] = ()  # the same, of lines behind one name, two …, whose colours took columns and are gone
    seen: int | None = None  # of what is seen
    at_blanks: int | None = None  # the same, and no word was divided

    @property
    def words(self) -> str:
        """For people."""
        width = self.columns or self.seen or self.at_blanks
        return f"lines divided at {width} columns" if width else "divided lines"

    def between(self, line: str, piece: str) -> str | None:
        """What stood between this line and the next where that is a piece of it; None: it is not known to be one."""
        if not INDENTED.match(piece) and (
            len(line) == self.columns
            or (self.seen and len(plain(line)) == self.seen)
            or self._is_full_behind_names(line)
        ):
            return ""
        first_word = piece.strip().split(" ", 1)[0]
        is_full = self.at_blanks and len(plain(line)) + 1 + len(first_word) > self.at_blanks
        return " " if is_full else None

    def _is_full_behind_names(self, line: str) -> bool:
        count = _names_in(line) if self.named else 0
        return 0 < count <= len(self.named) and len(line) == self.named[count - 1]


def fold_of(lines: Sequence[str]) -> Fold | None:
    """By the first lines of a log, without their ends. None: nothing was divided."""
    inside = [_inside(line) for line in lines]
    columns, seen = _width(inside), _width([plain(line) for line in inside])
    if columns or seen:
        return Fold(columns, _named_widths(inside, columns) if columns else (), seen)
    divided = [between for group in _groups(inside) for _, between in _parts(group, Fold()) if between is not None]
    widest = max((len(plain(line)) for line in inside), default=0)
    return Fold(at_blanks=widest if " " in divided and widest <= WIDEST else None) if divided else None


def unfolded(blocks: Iterable[bytes], fold: Fold) -> Iterator[bytes]:
    """The lines of a log, each whole."""
    lines = (text_of(line) for line in lines_in(blocks))
    for group in _groups(_inside(line) for line in lines):
        whole = ""
        for text, between in _parts(group, fold):
            if between is None and whole:
                yield whole.encode(errors="replace") + b"\n"
            whole = text if between is None else _joined(whole, between, text)
        yield whole.encode(errors="replace") + b"\n"


def completed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a log, those that were cut off in the words before a number with the rest of these words: there was one."""
    for line, following in pairwise(chain(lines_in(blocks), [b""])):
        missing = missing_in(text_of(line).rstrip("\r\n"))
        is_cut = missing and not _goes_on_otherwise(missing, text_of(following).rstrip("\r\n"))
        yield line.rstrip(b"\r\n") + missing.encode() + b"\n" if is_cut else line


def _goes_on_otherwise(missing: str, following: str) -> bool:
    """Whether the next line is a piece of this one that begins like what is missing, and has other words: nothing was cut off."""
    return following[:1] == missing[:1] and not following.startswith(missing) and _is_piece(following)


def missing_in(line: str) -> str:
    """The rest of the words in front of a number where a record ends in them. Empty: it does not."""
    text = plain(line)
    head = HEAD.match(text)
    begun = text[head.end() :] if head else ""
    if len(begun) < ENOUGH_WORDS:
        return ""
    return next((words.removeprefix(begun) for words in WORDS if words.startswith(begun) and words != begun), "")


def _inside(line: str) -> str:
    """Without its end, and without a box around it."""
    line = line.rstrip("\r\n")
    return line if line.isascii() or SIDES.isdisjoint(line) else plain(line)


def _width(lines: Sequence[str]) -> int | None:
    """At which most of the longest lines go on in the next one, and none is longer."""
    widest = max(map(len, lines), default=0)
    full = [at for at, line in enumerate(lines[:-1]) if len(line) == widest]
    if not NARROWEST <= widest <= WIDEST or len(full) < FULL or len({shape_of(lines[at]) for at in full}) == 1:
        return None
    return widest if sum(_is_piece(lines[at + 1]) for at in full) >= GO_ON * len(full) else None


def _named_widths(lines: Sequence[str], columns: int) -> tuple[int | None, ...]:
    """At which lines behind one name, and behind two, are divided, where that is less."""
    counts = [_names_in(line) for line in lines]
    widths = []
    for count in (1, 2):
        # A piece of such a line can be as wide as any.
        width = _width(
            [line if of == count else line[: columns - COLOURS * count] for line, of in zip(lines, counts, strict=True)]
        )
        widths.append(width if width and columns - COLOURS * count <= width < columns else None)
    return tuple(widths)


def _names_in(line: str) -> int:
    found = PROCESSES.match(line) if line.startswith("(") else None
    return len(PROCESS.findall(found[0])) if found else 0


def _is_piece(line: str) -> bool:
    text = plain(line)
    return bool(text) and not text.isspace() and not BEGINS.match(text)


def _groups(lines: Iterable[str]) -> Iterator[list[str]]:
    """A line, with those behind it that may be pieces of it."""
    group: list[str] = []
    for line in lines:
        if group and not (len(group) < MOST_PIECES and _is_piece(line)):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def _parts(group: list[str], fold: Fold) -> Iterator[tuple[str, str | None]]:
    """Each line of a group, and what stood between it and the one before; None: another line begins here."""
    yield group[0], None
    whole = group[0]
    known: list[str] = []  # what stands in front of the next pieces, as a number showed
    for at in range(1, len(group)):
        before, piece = group[at - 1], group[at]
        between = known.pop() if known else fold.between(before, piece)
        if between is None:
            known = _by_number(whole, group[at:])
            between = known.pop() if known else None
        yield piece, between
        whole = piece if between is None else _joined(whole, between, piece)


def _joined(begun: str, between: str, piece: str) -> str:
    return begun + between + (piece.strip() if between else piece)


def _by_number(begun: str, pieces: list[str]) -> list[str]:
    """What stood in front of each of the next pieces, if that makes a number of a record whole."""
    if not any(sign in begun for sign in OF_VLLM):
        return []
    begun = plain(begun)
    for between in ("", " "):
        text = begun
        for count, piece in enumerate(pieces[:3], 1):
            text += between + (plain(piece).strip() if between else plain(piece))
            if _is_whole_only_in(text, begun):
                return [between] * count
    return []


def _is_whole_only_in(text: str, begun: str) -> bool:
    for rule in found_in(text).rules:
        found = rule.search(text)
        if not found or not rule.fields or not found.start() < len(begun) < found.end():
            continue
        alone = rule.search(begun)
        if alone is None or alone.end() < found.end():
            return True
    return False
