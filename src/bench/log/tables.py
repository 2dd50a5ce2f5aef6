"""CSV, as log viewers export it -> its records, each as a line of JSON. Pure."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from bench.log.encodings import text_of
from bench.log.files import lines_in
from bench.log.records import PODS, TEXTS, TIMES

DELIMITERS = ",;\t"
LOOKED_AT = 3  # lines
# A row's first field, and no comma in front of its milliseconds.
STAMPED = re.compile(r"(?:\d{13}|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?Z?),(?!\d{1,9}\W)")
MOST_COLUMNS = 200
LONGEST = 1 << 20  # characters of a field
NAMES = re.compile(r"[\w@_][\w @./()\[\]:-]{0,60}")
NO_NAME = re.compile(r"[^a-z@_.]")


class Columns(NamedTuple):
    """Which of a row's fields are what. None: there is no such one."""

    delimiter: str
    number: int  # of them
    text: int
    time: int | None
    pod: int | None
    is_named: bool = True  # by the first line


STAMP_AND_TEXT = Columns(",", 2, text=1, time=0, pod=None, is_named=False)


def columns_in(first: Sequence[str]) -> Columns | None:
    """By the first lines of a table, or of a part of one: a time and a text."""
    if not first:
        return None
    return columns_of(first[0]) or (
        STAMP_AND_TEXT if len(first) == LOOKED_AT and all(map(STAMPED.match, first)) else None
    )


def columns_of(header: str) -> Columns | None:
    """By a table's first line. None: this is no table with a text and something beside it."""
    for delimiter in DELIMITERS:
        written = [name.strip().strip('"') for name in header.strip().split(delimiter)]
        if not all(map(NAMES.fullmatch, written)):
            continue
        names = [*map(_plain, written)]
        text = _first(names, TEXTS, ("logmessage", "eventmessage"))
        time = _first(names, TIMES, ("timegeneratedutc", "datetimeutc"))
        if text is not None and time is not None and len(names) <= MOST_COLUMNS:
            return Columns(delimiter, len(names), text, time, _first(names, PODS))
    return None


def rows_in(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Each row as a line of JSON. A comma in a text without quotes is the text's, where it stands in the last column."""
    lines: Iterator[str] = (text_of(line) for line in lines_in(blocks))
    first = [*islice(lines, LOOKED_AT)]
    columns = columns_in(first)
    if columns is None:
        return
    lines = chain(first[columns.is_named :], lines)
    csv.field_size_limit(LONGEST)
    rows = csv.reader(lines, delimiter=columns.delimiter)
    while True:
        try:
            row = next(rows, None)
        except csv.Error:  # a field without an end
            continue
        if row is None:
            return
        if len(row) > columns.number and columns.text == columns.number - 1:
            row[columns.text :] = [columns.delimiter.join(row[columns.text :])]
        if len(row) > columns.text:
            yield _record(row, columns)


def _record(row: list[str], columns: Columns) -> bytes:
    named = {"message": columns.text, "time": columns.time, "pod": columns.pod}
    fields = {name: row[at] for name, at in named.items() if at is not None and at < len(row)}
    return json.dumps(fields, ensure_ascii=False).encode(errors="replace") + b"\n"


def _plain(name: str) -> str:
    return NO_NAME.sub("", name.lower()).rpartition(".")[2]


def _first(names: list[str], *wanted: Iterable[str]) -> int | None:
    """The column of the first of these names that there is."""
    found = (name.lower() for some in wanted for name in some)
    return next((names.index(name) for name in found if name in names), None)
