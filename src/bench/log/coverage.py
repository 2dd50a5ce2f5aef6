"""Which phases a start's log should tell of, and which it does tell of. Pure.

A text that vLLM has reworded is a phase that is expected and missing. To tell it from one that never comes, what is
expected follows from version, device and load format; where these are not known, only what every start prints.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bench.log.metrics import SILENT_FORMATS
from bench.log.phases import Reading
from bench.log.said import Said

Release = tuple[int, int]

OLDEST: Release = (0, 8)  # whose texts the rules were made from
NEWEST: Release = (0, 33)
RELEASE = re.compile(r"(\d+)\.(\d+)\b")

# The streamer prints its line or not as its own version likes, which no log tells: it is never expected.
PHASES = ("load_weights", "load_model", "torch_compile", "graph_capture", "init_engine", "kv_cache", "stream")
PRINTS_WEIGHTS_SINCE: dict[str, Release] = {"sharded_state": (0, 12), "runai_streamer_sharded": (0, 12)}
GPUS = {"cuda", "rocm"}


@dataclass(frozen=True)
class Coverage:
    """The phases of one start, each in one of three: by name, in the order of a start."""

    found: tuple[str, ...]
    missing: tuple[str, ...]
    not_expected: tuple[str, ...]  # whether the log tells of it or not

    @property
    def share(self) -> float | None:
        """Found of those that were expected. None: nothing was."""
        expected = len(self.found) + len(self.missing)
        return len(self.found) / expected if expected else None


def coverage(readings: Iterable[Reading], expected: Collection[str]) -> Coverage:
    """What the log told of what it should."""
    told = {reading.phase for reading in readings if reading.values}
    if "compile_and_profiling_run" in told:
        told.add("torch_compile")  # it is in there, and cannot be told apart
    return Coverage(
        found=tuple(phase for phase in PHASES if phase in expected and phase in told),
        missing=tuple(phase for phase in PHASES if phase in expected and phase not in told),
        not_expected=tuple(phase for phase in PHASES if phase not in expected),
    )


def expected_by(said: Said) -> set[str]:
    """The phases that a whole start prints which said this of itself."""
    expected = {"init_engine", "kv_cache"}
    release = _release(said.version)
    if not release or not OLDEST <= release <= NEWEST:
        release = NEWEST
    if said.load_format and said.load_format not in SILENT_FORMATS:
        expected |= {"load_weights"} if release >= PRINTS_WEIGHTS_SINCE.get(said.load_format, OLDEST) else set()
    if said.device in GPUS:
        expected.add("load_model")
        if said.enforce_eager is False:
            expected |= set() if said.compiles is False else {"torch_compile"}
            expected |= set() if said.captures is False else {"graph_capture"}
    return expected


def version_doubts(version: str | None) -> list[str]:
    """A warning where the rules were not made for this release."""
    release = _release(version)
    if release is None:
        return [f"the log's vLLM version is {version or 'unknown'}: read with the rules of the newest release known"]
    if OLDEST <= release <= NEWEST:
        return []
    known = f"{_shown(OLDEST)} to {_shown(NEWEST)}"
    return [f"vLLM {version} is none of the releases that the rules know ({known}): read with those of the newest"]


def _release(version: str | None) -> Release | None:
    found = RELEASE.match(version or "")
    return (int(found[1]), int(found[2])) if found else None


def _shown(release: Release) -> str:
    return ".".join(map(str, release))
