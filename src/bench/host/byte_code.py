"""Python's byte code as a state of a start: whether its modules were read compiled, or each process compiled them from source. Pure.

A start of vLLM imports some 6,000 modules in each of three processes. Without byte code that takes twice as long, and the first start of
a sweep writes it for all others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

COMPILED_AT_MOST = 0.01  # of one process's modules: of an environment that is complete a few are still made anew, as those of a model's repository
THERE, MISSING, UNVERIFIED = "compiled", "missing", "unverified"  # the state, in the report's terms


@dataclass(frozen=True)
class ByteCode:
    """Of one process's modules with a source: how many there are, and of them those that it had to compile.

    `written`: and whose byte code it kept for the next one; of the others there was none, or one of another source, and `unwritable` of
    them lie where nothing can be written.
    """

    modules: int
    written: int
    missing: int
    stale: int
    unwritable: int
    named: tuple[str, ...] = ()  # the first of them
    writes: bool = True  # False: PYTHONDONTWRITEBYTECODE, or python -B

    @property
    def compiled(self) -> int:
        return self.written + self.missing + self.stale

    @property
    def is_there(self) -> bool:
        return self.compiled <= COMPILED_AT_MOST * self.modules


Processes = Mapping[str, ByteCode]  # by rank or kind


def byte_code_word(found: Processes) -> str:
    """Whatever was requested."""
    if not found:
        return UNVERIFIED
    return THERE if all(each.is_there for each in found.values()) else MISSING


def byte_code_problems(requested: str, found: Processes) -> list[str]:
    """The requested byte code against what the processes found."""
    if requested != "compiled" or byte_code_word(found) != MISSING:
        return []
    return [f"bytecode=compiled was asked, but {'; '.join(_described(found))}"]


def byte_code_doubts(requested: str, found: Processes) -> Iterator[str]:
    """What every such start spends on compiling, or what the first of them has done for the others."""
    if requested != "compiled" and byte_code_word(found) == MISSING:
        yield f"{'; '.join(_described(found))}: bytecode=compiled does it before the first start, and an image may have it done"


def _described(found: Processes) -> Iterator[str]:
    for process, each in found.items():
        if not each.is_there:
            parts = {
                "written for the starts that follow": each.written,
                "without byte code": each.missing,
                "with that of another source": each.stale,
            }
            how = ", ".join(f"{number:,} {what}" for what, number in parts.items() if number)
            yield (
                f"{process} compiled {each.compiled:,} of its {each.modules:,} modules from source, as {', '.join(each.named)}"
                f" ({how}{_why_not_written(each)})"
            )


def _why_not_written(each: ByteCode) -> str:
    if each.unwritable:
        return f"; {each.unwritable:,} where this user cannot write"
    return "" if each.writes else "; PYTHONDONTWRITEBYTECODE is set, so every process does it again"
