"""What is known of a start -> its tags. Pure. What is not known has none."""

from collections.abc import Mapping, Sequence

from bench.config import Settings
from bench.host.noise import Rig
from bench.host.state import HostState, Verdict, judge
from bench.log.outcome import Ending
from bench.log.server_info import ServerInfo
from bench.start import tags as t
from bench.weights.loaded import StartWeights

Tags = dict[str, str]


def place_tags(settings: Settings) -> Tags:
    """A start's place in its sweep."""
    place = settings.sweep
    return (
        t.KIND.of(t.Kind(place.kind))
        | t.POINT.of(place.point or settings.load_format.name)
        | t.REPEAT.of(place.repeat)
        | t.BLOCK.of(place.repeat)  # every point is started once a block
        | t.ORDER.of(place.position)
        | t.SWEEP.of(place.id or None)
    )


def host_tags(versions: Mapping[str, str], host: Mapping[str, str], source: Mapping[str, str]) -> Tags:
    """What a start ran on, each fact by its own name."""
    return t.VERSION.of(versions) | t.HOST.of(host) | t.SOURCE.of(source)


def outcome_tags(ending: Ending) -> Tags:
    """The reason's words are a tag of their own, `bench.reason`, that every failed run has."""
    return (
        t.OUTCOME.of(ending.outcome)
        | t.REASON_CLASS.of(ending.reason_class or None)
        | t.STOPPED_IN.of(ending.stage or None)
    )


def info_tags(info: ServerInfo) -> Tags:
    """Of what is no param. The model is a tag: a checkpoint that was cut for its ranks lies at another path, and is the same model."""
    return t.VLLM_VERSION.of(info.version) | t.DEVICE.of(info.device) | t.MODEL.of(info.model)


def rig_tags(rig: Rig, noise: Sequence[str]) -> Tags:
    """Where there is something to say: what slows a GPU down, and the noise in which the start was made all the same."""
    reasons = dict.fromkeys(reason for gpu in rig.gpus for reason in gpu.throttle_reasons or ())
    return t.THROTTLED.of(", ".join(reasons) or None) | t.NOISE.of("; ".join(noise) or None)


def validity_tags(problems: Sequence[str]) -> Tags:
    """Whether the start counts, and why not."""
    return t.VALID.of(not problems) | t.INVALID_REASON.of("; ".join(problems) or None)


def state_tags(state: HostState) -> tuple[Tags, Verdict]:
    """What the state was, in words, and whether the start counts."""
    verdict = judge(state)
    found = (
        t.PAGE_CACHE.of(verdict.page_cache)
        | t.PAGE_CACHE_GAUGE.of(state.gauge or "none is true here")
        | t.BYPASSES_PAGE_CACHE.of(state.bypasses_page_cache)
        | t.COMPILE_CACHE.of(verdict.compile_cache)
        | t.COMPILE_CACHE_FOUND.of(state.compile_cache_found or "unknown")
    )
    return found | validity_tags(verdict.problems), verdict


def weights_tags(weights: StartWeights) -> Tags:
    """What was read, and the verdict on it."""
    return (
        t.WEIGHTS_READ.of(weights.read)
        | t.CONTENT.of(weights.content)
        | t.WEIGHTS.of(weights.kind)
        | t.WEIGHTS_WHY.of(weights.why)
        | t.WEIGHTS_BASELINE.of(weights.baseline)
    )
