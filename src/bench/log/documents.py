"""One document of JSON, or JSON over several lines -> its records, each as a line. Pure.

As `gcloud logging read --format=json` (a list), `aws logs filter-log-events` (a list in an object), `aws logs get-query-results` (lists
of fields), `journalctl -o json-pretty` (objects one behind another) and Loki's query API (pairs of time and line) write them. It is read
piece by piece: only the record that is being read is in memory.
"""

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.log.records import read_json, record_of

BEGINS = re.compile(r"\s*(?:\[\s*[\[{]|\{\s*\")")
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\]]', re.DOTALL)
# Loki's and Azure's: a time, and a text.
ROW = re.compile(r'\[\s*"(?:\d{16,20}|\d{4}-\d\d-\d\d[T ][^"]{8,30})"\s*,\s*"')
# Amazon's: a list of fields is a record.
FIELDS = re.compile(r'\[\s*\{\s*"(?:field|name|key)"\s*:\s*"[^"]{1,100}"\s*,\s*"value"')
LONGEST = 4 << 20  # characters of a record


def begins_document(first: str) -> bool:
    """Whether this is the beginning of such a document: its first line is no record by itself."""
    return bool(BEGINS.match(first)) and read_json(first.lstrip().partition("\n")[0]) is None


def records_in(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Each record as a line of JSON. A record is an object with a text that is in a list or by itself."""
    reader, decode = _Reader(), codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    for block in blocks:
        yield from (
            json.dumps(each, ensure_ascii=False).encode(errors="replace") + b"\n" for each in reader.read(decode(block))
        )


@dataclass
class _Open:
    """A bracket that is not closed yet."""

    mark: str
    start: int
    may_be_record: bool  # False, too, when a record was found inside


class _Reader:
    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._open: list[_Open] = []

    def read(self, more: str) -> Iterator[dict[str, object]]:
        """The records that end in this part of the document."""
        self._text += more
        for found in TOKEN.finditer(self._text, self._at):
            mark = found[0]
            if mark[0] == '"' and found.end() == len(self._text):
                break  # it may go on
            self._at = found.end()
            if mark in "{[":
                inside = self._open[-1].mark if self._open else "["
                self._open.append(_Open(mark, found.start(), may_be_record=inside == "["))
            elif mark in "}]" and self._open:
                yield from self._closed(self._open.pop())
        self._forget()

    def _closed(self, bracket: _Open) -> Iterator[dict[str, object]]:
        fields = self._fields(bracket) if bracket.may_be_record else None
        if fields is not None:
            for around in self._open:
                around.may_be_record = False
            yield fields

    def _fields(self, bracket: _Open) -> dict[str, object] | None:
        is_row = bracket.mark == "[" and ROW.match(self._text, bracket.start)
        if bracket.mark == "[" and not is_row and not FIELDS.match(self._text, bracket.start):
            return None
        try:
            value = json.loads(self._text[bracket.start : self._at])
        except (ValueError, RecursionError):
            return None
        if is_row:
            return {"time": value[0], "line": max((each for each in value[1:] if isinstance(each, str)), key=len)}
        record = record_of(value)
        return record.fields if record else None

    def _forget(self) -> None:
        """What no record can begin in any more."""
        if len(self._text) - self._at > LONGEST or (self._open and self._at - self._open[0].start > LONGEST):
            for bracket in self._open:
                bracket.may_be_record = False
        begin = min((each.start for each in self._open if each.may_be_record), default=self._at)
        if len(self._text) - begin > LONGEST:
            begin = self._at = len(self._text)
        self._text = self._text[begin:]
        self._at -= begin
        for bracket in self._open:
            bracket.start -= begin
