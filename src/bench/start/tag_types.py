"""What a tag is: a name, and how a value of its type is written there and read back."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, TypeVar

T = TypeVar("T")

TAG_AT_MOST = 7000  # characters; MLflow keeps 8,000
LONGEST_VALUES = (TAG_AT_MOST, 200, 40)  # of a variable, as few are shortened as needed
DIGITS = 12
LABEL_AT_MOST = 160  # characters; MLflow keeps 250 of a metric's name, which may be `speedup of survivors only probe/load_weights_s/LABEL`
LABEL_DIGITS = 8


@dataclass(frozen=True)
class Tag(Generic[T]):
    """One tag. `write` and `read` are inverse: what the store gives back is the value that went in."""

    name: str
    write: Callable[[T], str]
    read: Callable[[str], T | None]

    def of(self, value: T | None) -> dict[str, str]:
        """As the store takes it. Nothing for None."""
        return {} if value is None else {self.name: self.write(value)}

    def in_(self, tags: Mapping[str, str]) -> T | None:
        """Its value there. None: the run does not have it."""
        text = tags.get(self.name)
        return None if text is None else self.read(text)

    def equals(self, value: T) -> str:
        """The condition of a search for runs that have this value. No value of ours has both kinds of quotes."""
        text = self.write(value)
        mark = '"' if "'" in text else "'"
        return f"tags.`{self.name}` = {mark}{text.replace(mark, '')}{mark}"


@dataclass(frozen=True)
class Group:
    """Tags whose names begin alike: facts by their own names, which depend on the host."""

    prefix: str

    def name(self, fact: str) -> str:
        return f"{self.prefix}.{fact}"

    def of(self, facts: Mapping[str, str]) -> dict[str, str]:
        return {self.name(fact): value for fact, value in facts.items()}


def text_tag(name: str) -> Tag[str]:
    """The text itself."""
    return Tag(name, str, str)


def number_tag(name: str) -> Tag[int]:
    """In decimal."""
    return Tag(name, str, int)


def flag_tag(name: str) -> Tag[bool]:
    """`true` or `false`."""
    return Tag(name, lambda value: str(value).lower(), lambda text: text == "true")


def lines_tag(name: str) -> Tag[tuple[str, ...]]:
    """Whole lines, the first ones where all together are longer than a tag."""
    return Tag(name, _write_lines, lambda text: tuple(text.split("\n")) if text else ())


def _write_lines(lines: Sequence[str]) -> str:
    ends = accumulate(len(line) + 1 for line in lines)
    return "\n".join(line for line, end in zip(lines, ends, strict=True) if end <= TAG_AT_MOST)


def brief(text: str, most: int = LABEL_AT_MOST) -> str:
    """A point's label, or a part of one, as a name that fits everywhere: one line of at most so many characters. What had to be changed
    carries a digest of the whole, so that two stay different.
    """
    line = " ".join(text.split())
    if line == text and len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:LABEL_DIGITS]
    return f"{line[: most - LABEL_DIGITS - 1]}…{digest}"


def write_variables(variables: Mapping[str, str]) -> str:
    """`NAME=value` in lines, values as in JSON; long ones by their digest where they would not fit into a tag."""
    for longest in LONGEST_VALUES:
        lines = [f"{name}={_digested(json.dumps(value)[1:-1], longest)}" for name, value in variables.items()]
        if sum(map(len, lines)) + len(lines) <= TAG_AT_MOST:
            return "\n".join(lines)
    return f"all={_digested(json.dumps(variables, sort_keys=True), 0)}"


def _digested(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}"


def read_variables(text: str) -> dict[str, str]:
    """What `write_variables` has written, with its digests."""
    return dict(line.split("=", 1) for line in text.split("\n") if "=" in line)
