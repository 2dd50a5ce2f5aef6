"""Which process printed a line, by those in front of it. Pure.

Releases write their processes in different ways, and Ray in its own. Read in the source of vLLM 0.26.0 and 0.32.0: a
worker is `Worker` until the parallel groups exist, then its name has a part for each group of more than one:
`Worker_DP0_PP1_TP3_EP7`. A name with other parts but without TP is of a start with one tensor-parallel rank.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

PROCESS = re.compile(
    r"\((?:(?P<name>[A-Za-z_][\w:.<>-]{0,100})(?: (?P<beside>[A-Z]+\d+(?:_[A-Z]+\d+)*|rank=\d{1,6}))? )?"
    r"pid=(?P<pid>\d{1,10})(?:, ip=(?P<node>[\w.:-]{1,60}))?\) ?"
)
ANY_PROCESS = rf"(?:{re.sub(r'[?]P<[a-z]+>', '?:', PROCESS.pattern)})"
PROCESSES = re.compile(f"{ANY_PROCESS}+")
# Where somebody took the ids away: only names that one process of a start has.
NAMED = re.compile(
    r"\((?P<name>(?:APIServer|ApiServer|EngineCore)(?:_(?:DP)?\d+)?|Worker(?:_[A-Z]+\d+)+|VllmWorker(?= TP))(?: (?P<beside>TP\d+))?\) ?"
)
TP = re.compile(r"(?:^|_)TP(\d+)(?:_|$)")
OTHER_PARTS = re.compile(r"^Worker(?:_(?:DP|PP|PCP|DCP|EP)\d+)+$")
TORCH = re.compile(r"\[rank(?P<rank>\d{1,6})\]: ?")  # the rank in the world, which torch puts before a traceback
REPEATED = re.compile(r" \[repeated (?P<times>\d{1,9})x across cluster\](?: \(Ray deduplicates logs.*)?$")


@dataclass(frozen=True, slots=True)
class Origin:
    """The innermost process that a line came through. None is what no prefix has; a name without a pid is one process's."""

    name: str | None = None
    pid: int | None = None
    node: str | None = None  # the address that Ray prints
    rank: str | None = None
    hosts: tuple[
        tuple[str | None, int], ...
    ] = ()  # node and pid of the others that it came through, each of which runs others in it


UNKNOWN = Origin()


def origin_of(text: str) -> tuple[Origin, str]:
    """The process that printed this, and what is behind the prefixes."""
    if not text.startswith("("):
        return UNKNOWN, text
    if found := PROCESSES.match(text):
        return _origin(found[0]), text[found.end() :]
    if found := NAMED.match(text):
        return Origin(found["name"], rank=_rank(found["name"], found["beside"])), text[found.end() :]
    return UNKNOWN, text


@lru_cache(1000)
def _origin(prefixes: str) -> Origin:
    """The innermost. Nobody, where two workers side by side wrote their names before either wrote its line."""
    origin, passed = UNKNOWN, list[tuple[str | None, int]]()
    for found in PROCESS.finditer(prefixes):
        outer = origin
        name, beside, digits, node = found.groups()
        origin = Origin(name, int(digits), node, _rank(name, beside) or outer.rank)
        if name and outer.name and origin.pid != outer.pid and _kind(name) == _kind(outer.name):
            return UNKNOWN
        passed.append((node, int(digits)))
    return replace(origin, hosts=tuple(each for each in passed if each[1] != origin.pid))


def _kind(name: str) -> str:
    """Of process: its name without its number or its rank. None of them runs inside another of its kind."""
    return name.partition("_")[0]


def _rank(name: str | None, beside: str | None) -> str | None:
    if beside and beside.startswith("rank="):
        return beside.replace("rank=", "TP")
    if found := TP.search(name or "") or TP.search(beside or ""):
        return f"TP{found[1]}"
    return "TP0" if OTHER_PARTS.match(name or "") else None


def without_repeats(text: str) -> tuple[str, int]:
    """Ray shows one of several like lines, and how many it stands for. Their numbers can differ: these are of one of them only."""
    found = REPEATED.search(text) if "x across cluster]" in text else None
    return (text[: found.start()], int(found["times"])) if found else (text, 1)
