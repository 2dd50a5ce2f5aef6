"""A log as an export, a pager or a terminal left it -> a file whose lines can be read one by one from the first to the last.

Most logs are read as they lie there. Written anew, into a file of ours, are: a document of JSON and a table, as a line for each record;
what stands in strings of JSON; records that something divided at a width, as whole lines; and what is newest first, the other way
round. What a log is shows in its first lines; it is written piece by piece, so that memory does not grow with it. Lines are then numbered as they stand in that file.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from html import unescape
from itertools import islice, pairwise
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile

from bench.log import cut, documents, literals, tables
from bench.log.encodings import text_of
from bench.log.files import lines_in, log_blocks
from bench.log.folded import completed, fold_of, missing_in, unfolded
from bench.log.panes import of_pane, pane_of
from bench.log.records import read_json, read_logfmt
from bench.log.texts import HEAD
from bench.log.unwrap import LEVEL_AND_TIME, TRACEBACK, plain

SAMPLE_BYTES = 1 << 20
STAMPS_WITHIN = 400  # characters of a line
BACKWARDS, FOR_EACH_FORWARDS = 3, 3  # steps in time, at least
CHUNK_BYTES = 8 << 20  # of a log that is turned round, in memory
VLLMS_BYTES = re.compile(LEVEL_AND_TIME.encode())
ENOUGH_STAMPS = 50  # to see which way they go
ENTITY = re.compile(r"&(?:quot|#39|#x27|amp|lt|gt);")
VLLMS = re.compile(LEVEL_AND_TIME)
# What wikis, chats and word processors make of blanks and quotes; and marks without a width.
TYPESET = dict.fromkeys((0xA0, 0x2007, 0x2009, 0x202F), " ") | dict.fromkeys((0x200B, 0x200C, 0x2060, 0xAD), "")
TYPESET |= dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b"), "'") | dict.fromkeys(map(ord, "\u201c\u201d\u201e"), '"')
# As rsyslog writes colours and returns, and Amazon's logs have them.
OCTAL_COLOUR, OCTAL_RETURN = re.compile(rb"#033\[[0-9;]*m"), b"#015"
WRITTEN = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?")

Blocks = Iterable[bytes]


@dataclass(frozen=True)
class Step:
    """One change of a log, and why."""

    words: str
    change: Callable[[Blocks], Iterator[bytes]]


def readable(path: Path, name: str, place: Path) -> tuple[Path, tuple[str, ...]]:
    """The file to read in place of this one, written into `place`, and why it is another. The same, where a log is read as it is.

    Raises:
        LogError: it cannot be read.
    """
    steps = _steps(log_blocks(path, name))
    if not steps:
        return path, ()
    blocks: Blocks = log_blocks(path, name)
    for step in steps:
        blocks = step.change(blocks)
    with NamedTemporaryFile(dir=place, prefix="export-", delete=False) as file:
        file.writelines(blocks)
    return Path(file.name), tuple(step.words for step in steps)


def _steps(blocks: Iterator[bytes]) -> list[Step]:
    sample, size = [], 0
    for block in blocks:
        sample.append(block)
        if (size := size + len(block)) >= SAMPLE_BYTES:
            break
    steps = []
    for recognised in (
        _as_octal,
        _as_document,
        _as_table,
        _as_literal,
        _as_page,
        _as_typeset,
        _as_pane,
        _as_folded,
        _as_cut_at,
        _as_cut,
    ):
        if step := recognised(sample):
            steps.append(step)
            sample = [*step.change(sample)]
    if step := _as_newest_first(
        sample if steps else [*sample, *_stamps_in(blocks, len(VLLMS_BYTES.findall(b"".join(sample))))]
    ):
        steps.append(step)
    return steps


def _stamps_in(blocks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """Some of vLLM's times in the rest of a log, a line each: the answers of a server, which have none, may be all that comes first."""
    while count < ENOUGH_STAMPS and (block := next(blocks, b"")):
        found = VLLMS_BYTES.findall(block)[: ENOUGH_STAMPS - count]
        count += len(found)
        yield from (each + b"\n" for each in found)


def _as_octal(sample: Sequence[bytes]) -> Step | None:
    is_octal = any(OCTAL_COLOUR.search(line) for line in lines_in(sample))
    return Step("control characters as numbers", _without_octal) if is_octal else None


def _without_octal(blocks: Blocks) -> Iterator[bytes]:
    return (OCTAL_COLOUR.sub(b"", line).replace(OCTAL_RETURN, b" ") for line in lines_in(blocks))


def _as_document(sample: Sequence[bytes]) -> Step | None:
    first = text_of(b"".join(sample))
    if not documents.begins_document(first) or next(documents.records_in(sample), None) is None:
        return None
    return Step("a document of JSON", documents.records_in)


def _as_literal(sample: Sequence[bytes]) -> Step | None:
    is_literal = literals.is_in_strings(text_of(b"".join(sample)))
    return Step("strings of JSON", literals.lines_in_strings) if is_literal else None


def _as_table(sample: Sequence[bytes]) -> Step | None:
    first = [text_of(line) for line in islice(lines_in(sample), tables.LOOKED_AT)]
    if not tables.columns_in(first) or next(tables.rows_in(sample), None) is None:
        return None
    return Step("a table", tables.rows_in)


def _as_page(sample: Sequence[bytes]) -> Step | None:
    lines = (text_of(line) for line in lines_in(sample))
    is_page = any(ENTITY.search(line) for line in lines if HEAD.match(plain(line)))
    return Step("a web page's source", _unescaped) if is_page else None


def _unescaped(blocks: Blocks) -> Iterator[bytes]:
    return (unescape(text_of(line)).encode(errors="replace") for line in lines_in(blocks))


def _as_typeset(sample: Sequence[bytes]) -> Step | None:
    lines = (text_of(line) for line in lines_in(sample))
    is_typeset = any(
        not line.isascii() and (set_plain := line.translate(TYPESET)) != line and VLLMS.search(set_plain)
        for line in lines
    )
    return Step("typographic blanks and quotes", _as_typed) if is_typeset else None


def _as_typed(blocks: Blocks) -> Iterator[bytes]:
    return (text_of(line).translate(TYPESET).encode(errors="replace") for line in lines_in(blocks))


def _as_pane(sample: Sequence[bytes]) -> Step | None:
    pane = pane_of([text_of(line) for line in lines_in(sample)])
    return Step("a pane beside others", partial(of_pane, pane=pane)) if pane else None


def _as_folded(sample: Sequence[bytes]) -> Step | None:
    fold = fold_of([text_of(line).rstrip("\r\n") for line in lines_in(sample)])
    return Step(fold.words, partial(unfolded, fold=fold)) if fold else None


def _as_cut(sample: Sequence[bytes]) -> Step | None:
    is_cut = any(missing_in(text_of(line).rstrip("\r\n")) for line in lines_in(sample))
    return Step("lines that are cut off", completed) if is_cut else None


def _as_cut_at(sample: Sequence[bytes]) -> Step | None:
    widths = cut.widths_of([text_of(line).rstrip() for line in lines_in(sample)])
    return Step(f"lines cut off at {max(widths)} columns", partial(cut.marked, widths=widths)) if widths else None


def _as_newest_first(sample: Sequence[bytes]) -> Step | None:
    texts = [text_of(line) for line in lines_in(sample)]
    times = [_times_in(text) for text in texts]
    steps = [_steps_in([each[kind] for each in times if kind in each]) for kind in ("written", "vLLM's")]
    backwards, forwards = (sum(each) for each in zip(*steps, strict=True))
    if backwards < BACKWARDS or backwards < FOR_EACH_FORWARDS * forwards:
        return None
    in_order = any(TRACEBACK in one and '  File "' in other for one, other in pairwise(texts))
    return Step("newest first", partial(turned, keeps_entries=in_order))


def _times_in(text: str) -> dict[str, str]:
    """When a line was printed, by whoever recorded it and by vLLM, as texts that sort like the times."""
    found = {}
    record = read_json(text) if text.startswith("{") else read_logfmt(text)
    if record:
        text = record.text
    written = record.time if record else ""
    if written or ((stamp := WRITTEN.search(text, 0, STAMPS_WITHIN)) and (written := stamp[0])):
        found["written"] = written.replace("T", " ").replace(",", ".").rstrip("Z")
    if stamp := VLLMS.search(text, 0, STAMPS_WITHIN):
        found["vLLM's"] = stamp[0].split(" ", 1)[1]
    return found


def _steps_in(times: Sequence[str]) -> tuple[int, int]:
    """How often the next time is an earlier one, and a later one."""
    return sum(a > b for a, b in pairwise(times)), sum(a < b for a, b in pairwise(times))


def turned(blocks: Blocks, *, keeps_entries: bool = False) -> Iterator[bytes]:
    """The lines from the last to the first. `keeps_entries`: those of one time, and those without one behind it, are in their order."""
    with TemporaryFile() as file:
        chunks: list[tuple[int, int]] = []
        for chunk in _chunks(_entries(lines_in(blocks), keeps_entries=keeps_entries)):
            begin = file.tell()
            file.writelines(reversed(chunk))
            chunks.append((begin, file.tell()))
        for begin, end in reversed(chunks):
            file.seek(begin)
            yield file.read(end - begin)


def _entries(lines: Iterator[bytes], *, keeps_entries: bool) -> Iterator[bytes]:
    """Each with an end. The states of a bar are of one line."""
    entry, time = b"", None
    for line in lines:
        ends = entry.endswith(b"\n")
        if ends and keeps_entries:
            now = _times_in(text_of(line))
            ends = bool(now) and now != time
            time = now or time
        if ends:
            yield entry
            entry = b""
        entry += line
    if entry:
        yield entry.rstrip(b"\r\n") + b"\n"


def _chunks(entries: Iterator[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for entry in entries:
        chunk.append(entry)
        if (size := size + len(entry)) >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    yield chunk
