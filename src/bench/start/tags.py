"""Every tag of a start and of a sweep: its name is spelled here alone, and its value is written and read here as the type that it has."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from bench.config import Settings
from bench.host.noise import Rig
from bench.host.state import HostState, Verdict, judge
from bench.host.storage_profile import StorageProfile, from_text, to_text
from bench.log.outcome import Ending
from bench.log.server_info import ServerInfo
from bench.start.tag_types import Group, Tag, flag_tag, lines_tag, number_tag, read_variables, text_tag, write_variables
from bench.start.warning import ResultWarning, from_line, to_line
from bench.weights.fingerprint import VerdictKind
from bench.weights.loaded import StartWeights


class Kind(StrEnum):
    """What a run is."""

    START = "start"  # measured
    PRIME = "prime"  # untimed: fills caches, verifies weights
    REPLAY = "replay"  # recorded elsewhere
    SWEEP = "sweep"
    PREPARE = "prepare"  # a checkpoint that was made


# A run's place.
KIND = Tag("bench.kind", str, {kind.value: kind for kind in Kind}.get)  # None: of a later bench
KEY = text_tag("bench.start_key")  # of one start, however often it is uploaded
SWEEP = text_tag("bench.sweep")
POINT = text_tag("bench.point")
REPEAT = number_tag("bench.repeat")  # its block, from 0: every point is started once a block
ORDER = number_tag("bench.order")  # in the sweep, from 1
UPLOADED = flag_tag("bench.uploaded")  # all of this start is in the store
DRIVER = text_tag("bench.driver")  # the process that will end this run

# A sweep's own.
POINTS = lines_tag("bench.points")
# Starts of each point, in the order of bench.points: at most, where `precision` decides.
PLANNED = lines_tag("bench.planned")
BLOCKS = number_tag("bench.blocks")  # that were made, failed starts and all; only of a sweep that came to its end
SIGNATURE = text_tag("bench.signature")
ENDED_BY = text_tag("bench.ended_by")
OWNER_USER = text_tag("mlflow.user")  # by whom, on which host and in which folder it was made, or brought in
OWNER_HOST = text_tag("bench.owner_host")
OWNER_FOLDER = text_tag("bench.owner_folder")
REPLAYED = flag_tag("bench.replayed")

# A log from elsewhere.
FILE = text_tag("bench.file")
SOURCE_IN_FILE = text_tag("bench.source")
START_IN_FILE = number_tag("bench.start")
MODEL = text_tag("bench.model")

# What came of a start.
OUTCOME = text_tag("bench.outcome")
REASON = text_tag("bench.reason")
REASON_CLASS = text_tag("bench.reason_class")
BENCH_ENDED = "bench_ended"  # its value where a signal ended bench itself during the start
STOPPED_IN = text_tag("bench.stopped_in")
WARNINGS: Tag[tuple[ResultWarning, ...]] = Tag(
    "bench.warnings",
    lambda warnings: "\n".join(map(to_line, warnings)),
    lambda text: tuple(map(from_line, text.splitlines())),
)
VALID = flag_tag("bench.valid")
INVALID_REASON = text_tag("bench.invalid_reason")
IDENTITY = text_tag("bench.identity")
TOKENS = text_tag("bench.tokens")
ENDPOINT = text_tag("bench.endpoint")  # of the first answer, where it was no completion
ENTRYPOINT = text_tag("bench.entrypoint")  # of vLLM's server, which was executed: serve or module

# The state in which it was made.
PAGE_CACHE = text_tag("bench.page_cache")
PAGE_CACHE_GAUGE = text_tag("bench.page_cache_gauge")
NO_FILE = "no file was measured"  # instead of a gauge: it reads none, or which is not known
BYPASSES_PAGE_CACHE = flag_tag("bench.bypasses_page_cache")
COMPILE_CACHE = text_tag("bench.compile_cache")
COMPILE_CACHE_FOUND = text_tag("bench.compile_cache_found")
BYTE_CODE = text_tag("bench.bytecode")  # that was found: compiled, missing, unverified
NOISE = text_tag("bench.noise")
THROTTLED = text_tag("rig.gpu_throttle_reasons")
RIG_LOOSENED = text_tag("rig.loosened")  # limits on noise that allow more than bench's own

# What ran in its processes, by their own report.
RAN = Group("ran")
RAN_ENVIRONMENT = Tag(RAN.name("environment"), write_variables, read_variables)
RAN_RECORD = text_tag("bench.ran")  # recorded; or unverified, and why
RECORDED, UNVERIFIED = "recorded", "unverified"

# Of a start those of its checkpoint's storage that were known when it ended, of a sweep all.
STORAGE_LIMIT: Tag[tuple[StorageProfile, ...]] = Tag("bench.storage_limit", to_text, from_text)

# Its weights.
VERDICTS = {kind.value: kind for kind in VerdictKind}
WEIGHTS = Tag("bench.weights", str, lambda text: VERDICTS.get(text, VerdictKind.UNVERIFIED))  # of a later bench
WEIGHTS_WHY = text_tag("bench.weights_why")
WEIGHTS_BASELINE = text_tag("bench.weights_baseline")
WEIGHTS_READ = text_tag("bench.weights_read")
CONTENT = text_tag("bench.checkpoint_content")

VERSION, HOST, STORAGE, SOURCE = Group("version"), Group("host"), Group("storage"), Group("source")
VLLM_VERSION, DEVICE, HOST_NAME = (
    text_tag(VERSION.name("vllm")),
    text_tag(HOST.name("device")),
    text_tag(HOST.name("host")),
)

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
