"""Under which conditions the starts were made, and in which states, in words. Pure."""

from pathlib import PurePath

from bench.analysis.comparison import Comparison
from bench.analysis.records import RunRecord
from bench.host.storage_facts import EMULATED, FACTS, FREE, NAME
from bench.start.tag_types import Tag
from bench.start.tags import (
    COMPILE_CACHE,
    HOST,
    HOST_NAME,
    NO_FILE,
    PAGE_CACHE,
    PAGE_CACHE_GAUGE,
    RAN,
    RAN_RECORD,
    RIG_LOOSENED,
    STORAGE,
    UNVERIFIED,
    VERSION,
    VLLM_VERSION,
)

# Of conditions that the table of published results shows too.
VLLM, GPU, CPU = "vLLM", "GPU", "CPU"
MODEL = "Model"
# The conditions that every start is listed with: title, param or tag.
CONDITIONS = (
    (MODEL, "model.path"),
    ("tensor_parallel_size", "tensor_parallel_size"),
    ("gpu_memory_utilization", "gpu_memory_utilization"),
    ("max_model_len", "max_model_len"),
    (VLLM, VLLM_VERSION.name),
    ("torch", VERSION.name("torch")),
    ("runai-model-streamer", VERSION.name("runai-model-streamer")),
    (GPU, HOST.name("gpu")),
    (CPU, HOST.name("cpu")),
    ("Host", HOST_NAME.name),
    *((fact.title, STORAGE.name(fact.name)) for fact in FACTS),
    ("CPUs that the cgroup allows", RAN.name("limit_cpus")),
    ("Memory that the cgroup allows (bytes)", RAN.name("limit_memory_bytes")),
    ("Limits on noise that were loosened (bench's own)", RIG_LOOSENED.name),
)
STATES = {"Page cache before each start": PAGE_CACHE, "Compile and JIT caches": COMPILE_CACHE}
STATE_WORDS = {
    "cold": "cold (evicted and measured)",
    "warm": "warm (read and measured)",
    "as_is": "as it was found, not controlled",
    "unverified": "unverified: no reliable measurement on this host",
    "not_used": "not used by these starts",
    "none": "not used by these starts",  # of an earlier bench, which did not tell it from what is unknown
    "unknown": "unknown: the log shows no use of them",
    "primed": "primed by a start that does not count, and found to be used",
    "unloadable": "primed by a start that does not count, but vLLM could not load the graph and compiled again",
    "fresh": "fresh, and found to be filled",
    "wrong": "not what was asked",
}


def conditions(comparison: Comparison) -> dict[str, tuple[str, ...]]:
    """The values that the starts have, by title: one, or several where it was varied. What no start has is absent."""
    starts = [start for point in comparison.points for start in point.starts]
    found = {
        title: tuple(filter(None, dict.fromkeys(start.fact(name) for start in starts))) for title, name in CONDITIONS
    }
    found[MODEL] = tuple(dict.fromkeys(filter(None, map(_model, starts))))
    if free := found[FREE.title]:  # another one in each start
        found[FREE.title] = (min(free, key=float),)
    return {title: values for title, values in found.items() if values}


def _model(start: RunRecord) -> str | None:
    """Its path, or its name below the folder where bench makes checkpoints, which is another one on each machine."""
    path, made = start.params.get("model.path"), start.params.get("models_dir")
    if not path or not made or not PurePath(path).is_relative_to(made):
        return path
    return str(PurePath(path).relative_to(made))


def emulated_storage(start: RunRecord) -> str:
    """`gp3 (3,000 reads/s, 125 MiB/s)`. Empty: the host's own."""
    emulated = start.tags.get(STORAGE.name(EMULATED.name))
    return f"{start.tags.get(STORAGE.name(NAME.name))} ({emulated})" if emulated else ""


def states(comparison: Comparison) -> dict[str, str]:
    """The states that the starts were made in, by what they are of."""
    return {title: _state(comparison, tag) for title, tag in STATES.items()}


def _state(comparison: Comparison, tag: Tag[str]) -> str:
    starts = (start for point in comparison.points for start in point.starts)
    return "; ".join(dict.fromkeys(state_words(start, tag) for start in starts)) or "unknown"


def state_words(start: RunRecord, tag: Tag[str]) -> str:
    """The state of a start that this tag has, in words; `unknown` where it has none."""
    state = tag.in_(start.tags)
    if state == "unverified" and PAGE_CACHE_GAUGE.in_(start.tags) == NO_FILE:
        return "unverified: which files were read is not known, so none was measured"
    return STATE_WORDS.get(state, state) if state else "unknown"


def not_recorded(comparison: Comparison) -> dict[str, tuple[str, ...]]:
    """Why it is not known what ran -> the points that this is true of. Of starts under an earlier bench nothing is noted."""
    found: dict[str, dict[str, None]] = {}
    for point in comparison.points:
        for record in (RAN_RECORD.in_(start.tags) or "" for start in point.starts):
            if record.startswith(UNVERIFIED):
                found.setdefault(record, {})[point.label] = None
    return {record: tuple(labels) for record, labels in found.items()}
