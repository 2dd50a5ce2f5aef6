"""A log inside strings of JSON, as a notebook's outputs and a tool's answer hold it -> its lines. Pure.

It is read block by block: a string may be as long as the log.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import islice

from bench.log.records import read_json
from bench.log.unwrap import LEVEL_AND_TIME

VLLMS = re.compile(LEVEL_AND_TIME)
STRING = re.compile(r'"(?:[^"\\\n]|\\.)*+"?')
CONTENT = re.compile(r'(?:[^"\\]|\\(?:u[\da-fA-F]{4}|[^u]))*+', re.DOTALL)
WORD = re.compile(r'[^"\\\s]*+"')
ESCAPE = re.compile(r"\\(?:u([\da-fA-F]{4})|(.))", re.DOTALL)
CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "b": "", "f": ""}
LONGEST_ESCAPE = 6
LOOKED_AT = 50  # lines of which none may be a collector's record, which has more than its text
ENOUGH_HEADS = 2


def is_in_strings(first: str) -> bool:
    """Whether the records of a log that begins so stand in strings of JSON, with their lines' ends, and nowhere else."""
    first = first.lstrip("\ufeff \t\r\n")
    if not first.startswith(("{", "[", '"')):
        return False
    lines = first.splitlines()
    if len(lines) > 1 and any(read_json(line) for line in islice(lines, LOOKED_AT)):
        return False
    heads = {True: 0, False: 0}  # by whether their string has ends of lines
    for found in STRING.finditer(first):
        heads[r"\n" in found[0]] += len(VLLMS.findall(found[0]))
    return heads[True] >= ENOUGH_HEADS and sum(heads.values()) == len(VLLMS.findall(first))


def lines_in_strings(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """What the strings hold, each from a line of its own on; not the names of fields and other single words."""
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    reader = _Reader()
    for block in blocks:
        yield "".join(reader.read(decode(block))).encode(errors="replace")


class _Reader:
    def __init__(self) -> None:
        self._rest = ""  # an escape that is not whole yet
        self._inside = False  # a string

    def read(self, more: str) -> Iterator[str]:
        """What this part of the document has of strings."""
        text, at = self._rest + more, 0
        self._rest = ""
        while at < len(text):
            if not self._inside:
                at = text.find('"', at) + 1 or len(text)
                self._inside = text.endswith('"', 0, at)
                whole = WORD.match(text, at) if self._inside else None
                at, self._inside = (whole.end(), False) if whole else (at, self._inside)
                continue
            content = CONTENT.match(text, at)[0]  # type: ignore[index]  # it matches everywhere
            yield ESCAPE.sub(_unescaped, content)
            at += len(content)
            if text.startswith('"', at):
                yield "" if content.endswith(r"\n") else "\n"
                at, self._inside = at + 1, False
            elif len(text) - at < LONGEST_ESCAPE:
                self._rest = text[at:]
                return
            else:
                at += 1  # a backslash of no escape


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else CONTROLS.get(found[2], found[2])
