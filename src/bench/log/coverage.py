"""Which phases a start's log should have a number of, and which it has. Pure.

A text that vLLM has reworded is a phase that is expected and missing. To distinguish it from one that never comes, what is
expected follows from version, device and load format; where these are not known, only what every start prints.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bench.log.readings import Reading
from bench.log.server_info import ServerInfo

Release = tuple[int, int]

OLDEST: Release = (0, 8)  # whose texts the rules were made from
NEWEST: Release = (0, 33)
RELEASE = re.compile(r"(\d+)\.(\d+)\b")

PHASES = ("load_weights", "load_model", "torch_compile", "graph_capture", "init_engine", "kv_cache", "stream")
# Load formats whose loader prints no `Loading weights took`, in any release.
SILENT_FORMATS = {"runai_streamer", "tensorizer", "dummy", "bitsandbytes", "gguf"}
PRINTS_WEIGHTS_SINCE: dict[str, Release] = {"sharded_state": (0, 12), "runai_streamer_sharded": (0, 12)}
GPUS = {"cuda", "rocm"}
# Whose platform prints its KV cache and its weights as vLLM's own do. Others have runners and loaders of their own. None: unknown.
PRINTS_AS_VLLM = {*GPUS, "cpu", "xpu", "npu", None}


@dataclass(frozen=True)
class Coverage:
    """The phases of one start, each in one of three: by name, in the order of a start."""

    found: tuple[str, ...]
    missing: tuple[str, ...]
    not_expected: tuple[str, ...]  # whether the log has it or not

    @property
    def share(self) -> float | None:
        """Found of those that were expected. None: nothing was."""
        expected = len(self.found) + len(self.missing)
        return len(self.found) / expected if expected else None


def coverage(readings: Iterable[Reading], expected: Collection[str]) -> Coverage:
    """Which of the expected phases the log has."""
    read = _phases_with_numbers(readings)
    return Coverage(
        found=tuple(phase for phase in PHASES if phase in expected and phase in read),
        missing=tuple(phase for phase in PHASES if phase in expected and phase not in read),
        not_expected=tuple(phase for phase in PHASES if phase not in expected),
    )


def missing_phases(readings: Iterable[Reading], expected: Collection[str], version: str | None) -> list[str]:
    """A warning for each expected phase that no line gives a number of: vLLM may have reworded the text."""
    return [
        f"no line of vLLM {version or '(version unknown)'} has a number of {phase}: its metrics are absent"
        for phase in sorted(coverage(readings, expected).missing)
    ]


def _phases_with_numbers(readings: Iterable[Reading]) -> set[str]:
    """`torch_compile` is in `compile_and_profiling_run` where vLLM prints one number for both."""
    phases = {reading.phase for reading in readings if reading.values}
    return phases | ({"torch_compile"} if "compile_and_profiling_run" in phases else set())


def expected_phases(info: ServerInfo, *, streamer_logs: bool = False) -> set[str]:
    """The phases that a whole start like this one prints, so that a missing one can be distinguished from one that never comes.

    `streamer_logs`: Run:ai Model Streamer's own line reaches this log, as bench's probe makes it. In a log from elsewhere that depends on
    the streamer's version, which no log holds: not expected.
    """
    if info.device not in PRINTS_AS_VLLM:
        return {"init_engine"}
    expected = {"init_engine"} if info.pools else {"init_engine", "kv_cache"}  # an encoder has none
    release = _release(info.version)
    if not release or not OLDEST <= release <= NEWEST:
        release = NEWEST
    if info.load_format and info.load_format not in SILENT_FORMATS:
        expected |= {"load_weights"} if release >= PRINTS_WEIGHTS_SINCE.get(info.load_format, OLDEST) else set()
    if info.device in GPUS:
        expected.add("load_model")
        if info.enforce_eager is False:
            expected |= set() if info.compiles is False else {"torch_compile"}
            expected |= set() if info.captures is False else {"graph_capture"}
    if streamer_logs and (info.load_format or "").startswith("runai_streamer"):
        expected.add("stream")
    return expected


def version_doubts(version: str | None) -> list[str]:
    """A warning where the rules were not made for this release."""
    release = _release(version)
    if release is None:
        return [f"the log's vLLM version is {version or 'unknown'}: read with the rules of the newest release known"]
    if OLDEST <= release <= NEWEST:
        return []
    known = " to ".join(f"{major}.{minor}" for major, minor in (OLDEST, NEWEST))
    return [f"vLLM {version} is none of the releases that the rules know ({known}): read with those of the newest"]


def _release(version: str | None) -> Release | None:
    found = RELEASE.match(version or "")
    return (int(found[1]), int(found[2])) if found else None
