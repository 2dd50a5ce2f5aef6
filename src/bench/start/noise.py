"""What disturbed a start while it ran: over all of it, and over the loading of its weights. Pure."""

from collections.abc import Mapping

from bench.config import RigLimits
from bench.host.noise_during import NoiseDuring, judged, noise_between
from bench.host.state import HostState
from bench.start.execution import Execution
from bench.vllm.probe_report import ProbeReport

WORDS = {"start": "noise during the start", "load": "noise while weights were loaded"}


def noise_of(execution: Execution, report: ProbeReport) -> dict[str, NoiseDuring]:
    """By stretch: `start`, from exec to the first token or answer, or as far as it came; `load`, from where the first rank begins to load weights to where
    the last one ends. Without the probe nobody knows when that was, and it is absent.
    """
    host = execution.memory.host
    if not host.counters:
        return {}
    last_s = host.counters[-1].at_s
    stretches = {"start": (0.0, execution.measured_s or last_s), "load": _load(report)}
    return {name: noise_between(*stretch, host.counters, host.gpus) for name, stretch in stretches.items() if stretch}


def _load(report: ProbeReport) -> tuple[float, float] | None:
    spans = [span for rank in report.ranks.values() for span in rank.loads]
    ends_s = [span.end_s for span in spans if span.end_s is not None]
    return (min(span.start_s for span in spans), max(ends_s)) if spans and len(ends_s) == len(spans) else None


def noise_warnings(noise: Mapping[str, NoiseDuring], state: HostState, limits: RigLimits) -> list[str]:
    """A sentence for all that was above its limit."""
    found = [f"{WORDS[when]}: {text}" for when, each in noise.items() for text in judged(each, limits)]
    lost, most = state.page_cache_lost, limits.page_cache_lost_at_most
    if lost is not None and lost > most:
        text = f"{lost:.0%} of the checkpoint was taken out of the page cache (rig.page_cache_lost_at_most={most:g})"
        found.append(f"{WORDS['start']}: {text}")
    return found
