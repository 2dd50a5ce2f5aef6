"""Arguments as vLLM prints them -> values. Pure.

Three forms: `non-default args: {…}`, a dict; `args: Namespace(…)`, every argument; and the engine's config, a list of
`key=value` without quotes around most. They hold objects that are no literals, and may be cut anywhere. A part that is not
whole, or not a plain literal, is left out: absent is better than wrong.

Source: vLLM's log_non_default_args, and VllmConfig.__str__.
"""

import re
import warnings
from ast import literal_eval
from collections.abc import Iterator
from functools import lru_cache

from bench.log.texts import is_at_head
from bench.log.texts.server_info import ASKED, CONFIG, NAMESPACE

Value = str | int | float | bool | None
Values = dict[str, Value]

LONGEST = 200_000  # characters of a line that are read
# What is needed of all that is printed. The rest can be secret, as api_key is.
NEEDED = frozenset(
    {"model", "model_tag", "load_format", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "dtype",
     "max_model_len", "max_seq_len", "gpu_memory_utilization", "enforce_eager", "device_config"}
)  # fmt: skip

IN_DICT = re.compile(r"\s*'(?P<name>\w+)'\s*:\s*(?P<value>.+)", re.DOTALL)
IN_CALL = re.compile(r"\s*(?P<name>\w+)=(?P<value>.+)", re.DOTALL)
ENUM = re.compile(r"<\w+\.\w+: (?P<value>'[\w.-]+')>|[A-Z]\w+\.(?P<member>[A-Z][A-Z_\d]*)")
QUOTED = re.compile(r"'([^'\\\n]*)'")  # most of them
NAMED: Values = {"True": True, "False": False, "None": None}
UNQUOTED = re.compile(r"[A-Za-z][\w.:/-]*")

OPENING, CLOSING = set("([{<"), set(")]}>")
# A whole text in quotes, or one mark.
MARKS = re.compile(r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+"|[()\[\]{}<>,'"]""", re.DOTALL)


def begins_arguments(text: str) -> bool:
    """Whether a line of arguments begins here, and no other goes on."""
    return any(_head_of(each, text[:LONGEST]) for each in (ASKED, NAMESPACE, CONFIG))


def _head_of(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Where it stands at the record's head: a model can be called anything."""
    found = pattern.search(text)
    return found if found and is_at_head(text, found.start()) else None


def asked_in(text: str) -> Values | None:
    """What a server or LLM() was asked for; None: this line is about something else."""
    text = text[:LONGEST]
    if found := _head_of(ASKED, text):
        return _values(text[found.end() :], "}", IN_DICT)
    if found := _head_of(NAMESPACE, text):
        return _values(text[found.end() :], ")", IN_CALL)
    return None


def config_in(text: str) -> Values | None:
    """What the engine made of it; None: this line is about something else."""
    text = text[:LONGEST]
    found = _head_of(CONFIG, text)
    return _values(text[found.end() :], "", IN_CALL) if found else None


@lru_cache(64)  # every replica prints the same, and so does every restart
def _values(text: str, end: str, form: re.Pattern[str]) -> Values:
    values: Values = {}
    for part in _parts(text, end):
        found = form.fullmatch(part)
        if found and found["name"] in NEEDED and found["name"] not in values:
            read, value = _value(found["value"].strip())
            if read:
                values[found["name"]] = value
    return values


def _parts(text: str, end: str) -> Iterator[str]:
    """What stands between commas that are in no quotes and no brackets, up to `end`. What the line's end cuts is left out."""
    depth = began = 0
    for found in MARKS.finditer(text):
        mark, at = found[0], found.start()
        if mark in OPENING:
            depth += 1
        elif mark == end and not depth:
            yield text[began:at]
            return
        elif mark in CLOSING:
            depth = max(0, depth - 1)
        elif mark == "," and not depth:
            yield text[began:at]
            began = at + 1
        elif mark in {"'", '"'}:
            return  # it is not closed: the line is cut in it


def _value(text: str) -> tuple[bool, Value]:
    """Whether it could be read, and the value: a plain literal, a member of an enumeration, or a word without quotes."""
    if text in NAMED:
        return True, NAMED[text]
    if found := QUOTED.fullmatch(text):
        return True, found[1]
    if found := ENUM.fullmatch(text):
        return True, found["value"].strip("'") if found["value"] else found["member"].lower()
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes that Python does not know
            value = literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return bool(UNQUOTED.fullmatch(text)), text
    return value is None or isinstance(value, (str, int, float, bool)), value
