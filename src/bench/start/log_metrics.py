"""Readings of a log -> the metrics of the catalogue that come from it. Pure.

The rules of combination. Ranks work in parallel and the start waits for the last of them: over ranks counts the slowest
time, the least rate, the largest share of memory taken and the smallest KV cache. Within one process:

- Two models (speculative decoding) load, compile and capture one after the other: times and memory add up. Where a log has
  one model's part only, it is absent.
- An engine core prints the KV cache of each of its ranks, in some releases: the smallest counts here too.
- Sizes are GiB (1024³), from whatever unit was printed; vLLM's own GB was GiB (rules). Negative graph memory is kept.
- A number that was cut off, a line's end with it, may have been the one that counts: absent, whatever the others are.
- One model loads and captures once. What a process then prints twice is not known to be its own: absent.
- The graphs that Model Runner V2 captures to see what they take are not those that it serves with: they do not count.
"""

import re
from collections.abc import Iterator, Sequence

from bench.log.readings import CUT, Process, Reading, drafted, is_nameless
from bench.log.texts.phases import COMPILED_DRAFTER
from bench.start.metric_types import FromLog, Metric, named
from bench.start.metrics import CATALOGUE, CHECKPOINT_SIZE, LOAD_WEIGHTS, LOAD_WEIGHTS_RATE, name_of_rank

# Of the log, with what they are read from.
METRICS = tuple((metric, metric.source) for metric in CATALOGUE if isinstance(metric.source, FromLog))

# What a process of one model does once.
ONCE = {"load_weights", "load_model", "graph_capture"}
# The phases of compiling a model, and what comes when all models are compiled.
COMPILED = {"dynamo", "torch_compile", "compile_and_profiling_run", "profiling_run"}
BEHIND_COMPILING = {"kv_cache", "init_engine"}


def summarise(readings: Sequence[Reading]) -> dict[str, float]:
    """Every metric that the log gives, and `rank/<rank>/…` for what a rank printed itself. What was not found is absent."""
    metrics: dict[str, float] = {}
    two_models = drafted(readings)
    of_one = set(_of_one_model(readings))
    counted = [
        reading
        for index, reading in enumerate(readings)
        if reading.phase not in of_one and not _only_profiled(reading, index, readings)
    ]
    cut = {(phase, field) for reading in readings if reading.phase == CUT for field, phase in reading.texts.items()}
    for metric, source in METRICS:
        if (source.phase, source.field) in cut:
            continue  # whose number it was, and whether it counted, is not known
        by_process: dict[Process, list[float]] = {}
        for reading in counted:
            if reading.phase == source.phase and source.field in reading.values:
                by_process.setdefault(reading.process, []).append(reading.values[source.field])
        if two_models and sum(map(is_nameless, by_process)) > 1:
            continue  # two ranks, or two models: only the first would not add up
        if source.phase in ONCE and not two_models and any(len(values) > 1 for values in by_process.values()):
            continue  # another container's process of the same number, or loaded anew: neither adds up
        if by_process:
            metrics |= _over_ranks(metric, {process: source.within(each) for process, each in by_process.items()})
    return metrics


def _of_one_model(readings: Sequence[Reading]) -> Iterator[str]:
    """The phases of which a process prints one model's part where there are two: the log begins behind the other's or ends before it,
    or its loader prints nothing.
    """
    if not drafted(readings):
        return
    by_process: dict[Process, list[Reading]] = {}
    for reading in readings:
        by_process.setdefault(reading.process, []).append(reading)
    for printed in by_process.values():
        compiled = [reading.phase for reading in printed if reading.phase in COMPILED or _is_compiled_drafter(reading)]
        if compiled[:1] == ["drafter"]:
            yield from COMPILED
        if sum(reading.phase == "load_weights" for reading in printed) == 1:
            yield "load_weights"
    if not any(reading.phase in BEHIND_COMPILING for reading in readings):
        yield from COMPILED


def _is_compiled_drafter(reading: Reading) -> bool:
    return reading.phase == "drafter" and COMPILED_DRAFTER.text in reading.line.text


PROFILES_GRAPHS = (0, 29)  # the first release whose Model Runner V2 captures them twice
V2_RUNNER = re.compile(r"\[(?:\w+/)*model_runner\.py:\d+\]")  # the V0 engine's file too; without a bracket before 0.8
RELEASE = re.compile(r"(\d{1,4}+)\.(\d{1,4}+)(?!\.dev)")  # 0.1.dev1+g1234 is a build of any
ENGINE = re.compile(r"DP\d+")


def _only_profiled(reading: Reading, index: int, readings: Sequence[Reading]) -> bool:
    """Graphs that Model Runner V2 captured before it knew its KV cache, and threw away.

    They are followed by the line of the KV cache. A log that was cut before it is recognised by the file that its line names.
    """
    if reading.phase != "graph_capture" or _before_profiling(readings):
        return False
    cached = [at for at, other in enumerate(readings) if other.phase == "kv_cache" and _same_engine(other, reading)]
    if any(at < index for at in cached):
        return False
    return bool(cached) or bool(V2_RUNNER.search(reading.line.text))


def _same_engine(kv_cache: Reading, reading: Reading) -> bool:
    """The line of its own process, or the engine core's, which waits for all ranks; other ranks may be ahead."""
    if "memory_gib" in kv_cache.values:
        return kv_cache.line.who == reading.line.who
    named = [ENGINE.search(each.line.process or "") for each in (kv_cache, reading)]
    return len({found[0] for found in named if found}) <= 1


def _before_profiling(readings: Sequence[Reading]) -> bool:
    versions = (reading.texts["version"] for reading in readings if reading.phase == "version")
    releases = [found for version in versions if (found := RELEASE.match(version))]
    return bool(releases) and (int(releases[0][1]), int(releases[0][2])) < PROFILES_GRAPHS


def _over_ranks(metric: Metric, of_processes: dict[Process, float]) -> dict[str, float]:
    """The number of the whole start, and that of each rank whose name the log has."""
    over = metric.over_ranks
    assert over is not None
    ranks = sorted({rank for rank, *_ in of_processes if rank})
    return {metric.name: over([*of_processes.values()])} | {
        name_of_rank(rank, metric): over([value for (whose, *_), value in of_processes.items() if whose == rank])
        for rank in ranks
    }


def with_checkpoint(metrics: dict[str, float], size_gib: float | None) -> dict[str, float]:
    """Adds the checkpoint's size, and how fast its bytes, each counted once, became weights."""
    if size_gib is None:
        return metrics
    load_weights_s = metrics.get(LOAD_WEIGHTS.name)
    rate = size_gib / load_weights_s if load_weights_s else None
    return metrics | named({CHECKPOINT_SIZE: size_gib, LOAD_WEIGHTS_RATE: rate})
