"""Readings -> named numbers, as MLflow keeps them. Pure.

Ranks work in parallel and the start waits for the last of them. So over ranks counts the slowest time, the least rate,
the largest share of memory taken and the smallest KV cache. Within one process two models (speculative decoding) load and compile one after the other: those times add up.
"""

from collections.abc import Callable, Iterable, Sequence

from bench.startup.phases import Reading

Values = list[float]
Process = tuple[str | None, int | None]  # rank, pid
Combine = Callable[[Values], float]


def _last(values: Values) -> float:
    return values[-1]


# metric, phase, field, within one rank, over ranks
METRICS: tuple[tuple[str, str, str, Combine, Combine], ...] = (
    ("phase/load_weights_s", "load_weights", "duration_s", sum, max),
    ("phase/load_model_s", "load_model", "duration_s", sum, max),
    ("phase/init_engine_s", "init_engine", "duration_s", _last, max),
    ("phase/torch_compile_s", "torch_compile", "duration_s", sum, max),
    ("phase/graph_capture_s", "graph_capture", "duration_s", _last, max),
    ("phase/stream_s", "stream", "duration_s", sum, max),
    ("memory/load_model_gib", "load_model", "memory_gib", sum, max),
    ("memory/graph_capture_gib", "graph_capture", "memory_gib", _last, max),
    ("memory/kv_cache_gib", "kv_cache", "memory_gib", _last, min),
    ("kv_cache/tokens", "kv_cache", "tokens", _last, min),
    ("kv_cache/max_concurrency", "kv_cache", "max_concurrency", _last, min),
    ("stream/size_gib", "stream", "size_gib", sum, max),
    ("throughput/stream_gib_per_s", "stream", "rate_gib_per_s", min, min),
)


def summarise(readings: Sequence[Reading]) -> dict[str, float]:
    """Every metric that the log gives, and `rank/<rank>/…` for what a rank said itself. What was not found is absent."""
    metrics: dict[str, float] = {}
    for name, phase, field, within, over in METRICS:
        by_process: dict[Process, Values] = {}
        for reading in readings:
            if reading.phase == phase and field in reading.values:
                by_process.setdefault(_process(reading), []).append(reading.values[field])
        if by_process:
            of_processes = {process: within(values) for process, values in by_process.items()}
            metrics[name] = over(list(of_processes.values()))
            metrics |= _of_ranks(name, of_processes, over)
    return metrics


def _process(reading: Reading) -> Process:
    """Who said it. A line of the streamer without a process may come from any rank, so each stands for itself."""
    line = reading.line
    return reading.rank, line.pid or (-line.number if reading.phase == "stream" else None)


def _of_ranks(name: str, of_processes: dict[Process, float], over: Combine) -> dict[str, float]:
    ranks = sorted({rank for rank, _ in of_processes if rank})
    return {
        f"rank/{rank}/{name}": over([value for (whose, _), value in of_processes.items() if whose == rank])
        for rank in ranks
    }


def with_checkpoint(metrics: dict[str, float], size_gib: float | None) -> dict[str, float]:
    """Adds the checkpoint's size, and how fast its bytes, each counted once, became weights."""
    if size_gib is None:
        return metrics
    added = {"checkpoint/size_gib": size_gib}
    if load_weights_s := metrics.get("phase/load_weights_s"):
        added["throughput/load_weights_gib_per_s"] = size_gib / load_weights_s
    return metrics | added


# Load formats whose loader prints no `Loading weights took`, in any release.
SILENT_FORMATS = {"runai_streamer", "tensorizer", "dummy", "bitsandbytes", "gguf"}


def expected_phases(*, device: str, load_format: str, enforce_eager: bool) -> set[str]:
    """The phases that a whole start of this kind prints, so that a missing one can be told from one that never comes."""
    expected = {"init_engine", "kv_cache"}
    if load_format not in SILENT_FORMATS:
        expected.add("load_weights")
    if load_format.startswith("runai_streamer"):
        expected.add("stream")
    if device != "cpu":
        expected.add("load_model")
        expected |= set() if enforce_eager else {"torch_compile", "graph_capture"}
    return expected


def missing_phases(readings: Iterable[Reading], expected: set[str], version: str | None) -> list[str]:
    """A warning for each expected phase that no line told of: the text may have been reworded."""
    found = {reading.phase for reading in readings}
    return [
        f"no line of vLLM {version or '(version unknown)'} told of {phase}: its metrics are absent"
        for phase in sorted(expected - found)
    ]
