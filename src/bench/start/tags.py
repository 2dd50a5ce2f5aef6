"""Every tag of a start and of a sweep: its name is spelled here alone, and its value is written and read here as the type that it has."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import Generic, TypeVar

from bench.config import Settings
from bench.host.noise import Rig
from bench.host.state import HostState, Verdict, judge
from bench.host.storage_profile import StorageProfile, from_text, to_text
from bench.log.outcome import Ending
from bench.log.server_info import ServerInfo
from bench.start.warning import ResultWarning, from_line, to_line
from bench.weights.fingerprint import VerdictKind
from bench.weights.loaded import StartWeights

T = TypeVar("T")

TAG_AT_MOST = 7000  # characters; MLflow keeps 8,000
LONGEST_VALUES = (TAG_AT_MOST, 200, 40)  # of a variable, as few are shortened as needed
DIGITS = 12
LABEL_AT_MOST = 160  # characters; MLflow keeps 250 of a metric's name, which may be `speedup of survivors only probe/load_weights_s/LABEL`
LABEL_DIGITS = 8


class Kind(StrEnum):
    """What a run is."""

    START = "start"  # measured
    PRIME = "prime"  # untimed: fills caches, verifies weights
    REPLAY = "replay"  # recorded elsewhere
    SWEEP = "sweep"
    PREPARE = "prepare"  # a checkpoint that was made


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


def _text(name: str) -> Tag[str]:
    return Tag(name, str, str)


def _number(name: str) -> Tag[int]:
    return Tag(name, str, int)


def _flag(name: str) -> Tag[bool]:
    return Tag(name, lambda value: str(value).lower(), lambda text: text == "true")


def _lines(name: str) -> Tag[tuple[str, ...]]:
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


def _write_variables(variables: Mapping[str, str]) -> str:
    """`NAME=value` in lines, values as in JSON; long ones by their digest where they would not fit into a tag."""
    for longest in LONGEST_VALUES:
        lines = [f"{name}={_digested(json.dumps(value)[1:-1], longest)}" for name, value in variables.items()]
        if sum(map(len, lines)) + len(lines) <= TAG_AT_MOST:
            return "\n".join(lines)
    return f"all={_digested(json.dumps(variables, sort_keys=True), 0)}"


def _digested(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}"


def _read_variables(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.split("\n") if "=" in line)


# A run's place.
KIND = Tag("bench.kind", str, {kind.value: kind for kind in Kind}.get)  # None: of a later bench
KEY = _text("bench.start_key")  # of one start, however often it is uploaded
SWEEP = _text("bench.sweep")
POINT = _text("bench.point")
REPEAT = _number("bench.repeat")  # its block, from 0: every point is started once a block
ORDER = _number("bench.order")  # in the sweep, from 1
UPLOADED = _flag("bench.uploaded")  # all of this start is in the store
DRIVER = _text("bench.driver")  # the process that will end this run

# A sweep's own.
POINTS = _lines("bench.points")
# Starts of each point, in the order of bench.points: at most, where `precision` decides.
PLANNED = _lines("bench.planned")
BLOCKS = _number("bench.blocks")  # that were made, failed starts and all; only of a sweep that came to its end
SIGNATURE = _text("bench.signature")
ENDED_BY = _text("bench.ended_by")
OWNER_USER = _text("mlflow.user")  # by whom, on which host and in which folder it was made, or brought in
OWNER_HOST = _text("bench.owner_host")
OWNER_FOLDER = _text("bench.owner_folder")
REPLAYED = _flag("bench.replayed")

# A log from elsewhere.
FILE = _text("bench.file")
SOURCE_IN_FILE = _text("bench.source")
START_IN_FILE = _number("bench.start")
MODEL = _text("bench.model")

# What came of a start.
OUTCOME = _text("bench.outcome")
REASON = _text("bench.reason")
REASON_CLASS = _text("bench.reason_class")
BENCH_ENDED = "bench_ended"  # its value where a signal ended bench itself during the start
STOPPED_IN = _text("bench.stopped_in")
WARNINGS: Tag[tuple[ResultWarning, ...]] = Tag(
    "bench.warnings",
    lambda warnings: "\n".join(map(to_line, warnings)),
    lambda text: tuple(map(from_line, text.splitlines())),
)
VALID = _flag("bench.valid")
INVALID_REASON = _text("bench.invalid_reason")
IDENTITY = _text("bench.identity")
TOKENS = _text("bench.tokens")
ENDPOINT = _text("bench.endpoint")  # of the first answer, where it was no completion
ENTRYPOINT = _text("bench.entrypoint")  # of vLLM's server, which was executed: serve or module

# The state in which it was made.
PAGE_CACHE = _text("bench.page_cache")
PAGE_CACHE_GAUGE = _text("bench.page_cache_gauge")
NO_FILE = "no file was measured"  # instead of a gauge: it reads none, or which is not known
BYPASSES_PAGE_CACHE = _flag("bench.bypasses_page_cache")
COMPILE_CACHE = _text("bench.compile_cache")
COMPILE_CACHE_FOUND = _text("bench.compile_cache_found")
BYTE_CODE = _text("bench.bytecode")  # that was found: compiled, missing, unverified
NOISE = _text("bench.noise")
THROTTLED = _text("rig.gpu_throttle_reasons")
RIG_LOOSENED = _text("rig.loosened")  # limits on noise that allow more than bench's own

# What ran in its processes, by their own report.
RAN = Group("ran")
RAN_ENVIRONMENT = Tag(RAN.name("environment"), _write_variables, _read_variables)
RAN_RECORD = _text("bench.ran")  # recorded; or unverified, and why
RECORDED, UNVERIFIED = "recorded", "unverified"

# Of a start those of its checkpoint's storage that were known when it ended, of a sweep all.
STORAGE_LIMIT: Tag[tuple[StorageProfile, ...]] = Tag("bench.storage_limit", to_text, from_text)

# Its weights.
VERDICTS = {kind.value: kind for kind in VerdictKind}
WEIGHTS = Tag("bench.weights", str, lambda text: VERDICTS.get(text, VerdictKind.UNVERIFIED))  # of a later bench
WEIGHTS_WHY = _text("bench.weights_why")
WEIGHTS_BASELINE = _text("bench.weights_baseline")
WEIGHTS_READ = _text("bench.weights_read")
CONTENT = _text("bench.checkpoint_content")

VERSION, HOST, STORAGE, SOURCE = Group("version"), Group("host"), Group("storage"), Group("source")
VLLM_VERSION, DEVICE, HOST_NAME = _text(VERSION.name("vllm")), _text(HOST.name("device")), _text(HOST.name("host"))

Tags = dict[str, str]


def place_tags(settings: Settings) -> Tags:
    """A start's place in its sweep."""
    place = settings.sweep
    return (
        KIND.of(Kind(place.kind))
        | POINT.of(place.point or settings.load_format.name)
        | REPEAT.of(place.repeat)
        | ORDER.of(place.position)
        | SWEEP.of(place.id or None)
    )


def host_tags(versions: Mapping[str, str], host: Mapping[str, str], source: Mapping[str, str]) -> Tags:
    """What a start ran on, each fact by its own name."""
    return VERSION.of(versions) | HOST.of(host) | SOURCE.of(source)


def outcome_tags(ending: Ending) -> Tags:
    """The reason's text is a tag of its own, `bench.reason`, that every failed run has."""
    return (
        OUTCOME.of(ending.outcome) | REASON_CLASS.of(ending.reason_class or None) | STOPPED_IN.of(ending.stage or None)
    )


def info_tags(info: ServerInfo) -> Tags:
    """Of what is no param. The model is a tag: a checkpoint that was cut for its ranks lies at another path, and is the same model."""
    return VLLM_VERSION.of(info.version) | DEVICE.of(info.device) | MODEL.of(info.model)


def rig_tags(rig: Rig, noise: Sequence[str]) -> Tags:
    """Where there is any: what slows a GPU down, and the noise in which the start was made all the same."""
    reasons = dict.fromkeys(reason for gpu in rig.gpus for reason in gpu.throttle_reasons or ())
    return THROTTLED.of(", ".join(reasons) or None) | NOISE.of("; ".join(noise) or None)


def validity_tags(problems: Sequence[str]) -> Tags:
    """Whether the start counts, and why not."""
    return VALID.of(not problems) | INVALID_REASON.of("; ".join(problems) or None)


def state_tags(state: HostState) -> tuple[Tags, Verdict]:
    """What the state was, and whether the start counts."""
    verdict = judge(state)
    found = (
        PAGE_CACHE.of(verdict.page_cache)
        | PAGE_CACHE_GAUGE.of(state.gauge or ("none is true here" if state.must_read else NO_FILE))
        | BYPASSES_PAGE_CACHE.of(state.bypasses_page_cache)
        | COMPILE_CACHE.of(verdict.compile_cache)
        | COMPILE_CACHE_FOUND.of(state.compile_cache_found or "unknown")
        | BYTE_CODE.of(verdict.byte_code)
    )
    return found | validity_tags(verdict.problems), verdict


def weights_tags(weights: StartWeights) -> Tags:
    """What was read, and the verdict on it."""
    return (
        WEIGHTS_READ.of(weights.read)
        | CONTENT.of(weights.content)
        | WEIGHTS.of(weights.kind)
        | WEIGHTS_WHY.of(weights.why)
        | WEIGHTS_BASELINE.of(weights.baseline)
    )
