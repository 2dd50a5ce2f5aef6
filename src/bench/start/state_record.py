"""The state in which a start ran, and what disturbed it meanwhile (over all of it, and over the loading of its weights), in its record."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.config import RigLimits
from bench.host.noise_during import NoiseDuring, judged, loosened, noise_between
from bench.host.state import HostState, unknown_compile_cache
from bench.start import measured_metrics
from bench.start import tags as t
from bench.start.execution import Execution
from bench.start.outputs import StartOutputs
from bench.start.prepare import measured_state
from bench.start.warning import ResultWarning, WarningKind, warnings_of
from bench.vllm.probe_report import ProbeReport
from bench.weights.fingerprint_store import delivered_in
from bench.weights.manifest import foreign_manifest

WORDS = {"start": "noise during the start", "load": "noise while weights were loaded"}


@dataclass(frozen=True)
class StateRecord:
    """What the host's state and noise add to a start's record. All empty: it was not reached."""

    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    warnings: list[ResultWarning] = field(default_factory=list)
    measured: HostState | None = None


def state_record(execution: Execution, outputs: StartOutputs) -> StateRecord:
    """The state that was requested and measured, and the noise."""
    before = execution.state_before
    if before is None:
        return StateRecord()
    read = measured_metrics.read_while_loading(outputs.probe)
    delivered = sum(size for _, size in delivered_in(outputs.probe).values())
    state = measured_state(before, outputs.log, read, execution.tree_read_bytes, delivered)
    state = replace(state, byte_code=outputs.probe.byte_code)
    tags, _ = t.state_tags(state)
    metrics = measured_metrics.state_metrics(state)
    if before.rig:
        tags |= t.rig_tags(before.rig, before.noise)
        metrics |= measured_metrics.rig_metrics(before.rig)
    during, limits = _noise_of(execution, outputs.probe), before.settings.rig
    metrics |= measured_metrics.noise_metrics(during)
    tags |= t.RIG_LOOSENED.of("; ".join(loosened(limits)) or None)
    foreign = foreign_manifest(Path(before.settings.checkpoint_path))
    noise = [f"noise before the start: {sentence}" for sentence in before.noise]
    noise += _noise_warnings(during, state, limits)
    warnings = [
        *warnings_of(WarningKind.NOISE, noise),
        *warnings_of(WarningKind.STATE, [*unknown_compile_cache(state), *foreign]),
    ]
    return StateRecord(tags, metrics, warnings, state)


def _noise_of(execution: Execution, report: ProbeReport) -> dict[str, NoiseDuring]:
    """By stretch: `start`, from exec to the first token or answer, or as far as it came; `load`, from where the first rank begins to load weights to where
    the last one ends. Without the probe nobody knows when that was, and it is absent.
    """
    host = execution.memory.host
    if not host.counters:
        return {}
    last_s = host.counters[-1].at_s
    stretches = {"start": (0.0, execution.measured_s or last_s), "load": loading(report)}
    return {name: noise_between(*stretch, host.counters, host.gpus) for name, stretch in stretches.items() if stretch}


def loading(report: ProbeReport) -> tuple[float, float] | None:
    """From where the first rank begins to load weights to where the last one ends, in s since exec. None: not known."""
    spans = [span for rank in report.ranks.values() for span in rank.loads]
    ends_s = [span.end_s for span in spans if span.end_s is not None]
    return (min(span.start_s for span in spans), max(ends_s)) if spans and len(ends_s) == len(spans) else None


def _noise_warnings(noise: Mapping[str, NoiseDuring], state: HostState, limits: RigLimits) -> list[str]:
    """A sentence for all that was above its limit."""
    found = [f"{WORDS[when]}: {text}" for when, each in noise.items() for text in judged(each, limits)]
    lost, most = state.page_cache_lost, limits.page_cache_lost_at_most
    if lost is not None and lost > most:
        text = f"{lost:.0%} of the checkpoint was taken out of the page cache (rig.page_cache_lost_at_most={most:g})"
        found.append(f"{WORDS['start']}: {text}")
    return found
