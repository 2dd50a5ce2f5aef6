"""What is measured of every worker, and which rank it is.

Source: vllm/v1/worker/worker_base.py, gpu_worker.py, gpu_model_runner.py, vllm/distributed/parallel_state.py,
vllm/compilation/monitor.py and decorators.py
"""

from __future__ import annotations

import contextlib
import re
import sys
from types import FunctionType
from typing import TYPE_CHECKING

from . import byte_code, effective, events, hooks, spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType
    from typing import Any

DATA_PARALLEL = re.compile(r"DP(\d+)")
GROUPS = ("PP", "PCP", "TP")  # outermost first, as vLLM counts and names ranks
SIZES = ("pipeline_parallel_size", "prefill_context_parallel_size", "tensor_parallel_size")
SPANS = {
    "init_device": "init_device",  # and the process groups
    "determine_available_memory": "profile",
    "initialize_from_config": "kv_cache",
    "compile_or_warm_up_model": "warm_up",
}
TOGETHER = "together took"  # in the message of a stretch that holds a forward pass besides
WRITTEN_RANKS: list[str] = []  # the rank, once it was written


def measure_workers(module: ModuleType) -> None:
    """Every worker there is and will be: device and process group, and whether its loader was measured."""
    base = vars(module).get("WorkerBase")
    if isinstance(base, type):
        hooks.adapt_family(base, measure_worker)
    else:
        events.warn(f"no WorkerBase in {module.__name__}: ranks and devices are not measured")


def measure_worker(cls: type) -> None:
    """What the class defines itself."""
    for method, name in SPANS.items():
        writes = write_rank if name == "init_device" else None
        spans.measure_method(cls, method, name, writes, write_all if name == "warm_up" else writes)
    load_model = vars(cls).get("load_model")
    if isinstance(load_model, FunctionType) and not hooks.is_ours(load_model):
        cls.load_model = watched(load_model)  # type: ignore[attr-defined]  # `type` has none; this class does


def write_all(worker: Any) -> None:
    """What it has when it is ready, and which byte code it found."""
    effective.write(worker)
    byte_code.write()


def measure_capture(module: ModuleType) -> None:
    """The model runner's capture of CUDA graphs. Not every release captures, and a CPU's runner is another."""
    runner = vars(module).get("GPUModelRunner")
    if isinstance(runner, type):
        hooks.adapt_family(runner, lambda cls: spans.measure_method(cls, "capture_model", "capture"))


def measure_compile(module: ModuleType) -> None:
    """torch.compile in every rank: the log of 0.18 to 0.31 has the first one's only. Not every release has the function."""
    monitor = vars(module).get("monitor_torch_compile")
    if isinstance(monitor, FunctionType) and not hooks.is_ours(monitor):
        module.monitor_torch_compile = compiling(monitor)  # type: ignore[attr-defined]  # a module's names are its own


def compiling(monitor: Callable[..., Any]) -> Callable[..., Any]:
    """vLLM's context manager around compiling, with its begin and its end recorded."""

    @hooks.wraps(monitor)
    @contextlib.contextmanager
    def measured(*arguments: Any, **options: Any) -> Iterator[Any]:
        alone = not any(TOGETHER in str(each) for each in (*arguments[1:], *options.values()))
        span = spans.begin("compile", arguments[0] if arguments else None) if alone else None
        failed = None
        try:
            with monitor(*arguments, **options) as given:
                yield given
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            if span:
                spans.end(span, failed)

    return measured


def watched(load_model: FunctionType) -> Any:
    """The worker's load_model, in which a loader must have been measured."""

    @hooks.wraps(load_model)
    def watching(*arguments: Any, **options: Any) -> Any:
        returned = load_model(*arguments, **options)
        if not spans.BEGUN & {"load_model", "load_weights"}:
            events.warn(
                "a model was loaded and no loader was seen: this vLLM keeps its loaders where the probe does not look"
            )
        with events.guarded("what it has is not recorded"):
            effective.write(arguments[0])
        return returned

    return watching


def write_rank(worker: Any) -> None:
    """Before the process groups are there by arithmetic, so that a crash in them has a rank; then by the groups themselves."""
    rank = _rank_by_groups() or _rank_by_arithmetic(worker)
    if WRITTEN_RANKS[-1:] == [rank]:
        return
    WRITTEN_RANKS.append(rank)
    kind = events.process_kind()
    events.write("rank", rank=rank, kind="worker" if kind == "api_server" else kind)  # Ray's own names hold no kind


def _rank_by_arithmetic(worker: Any) -> str:
    """Source: initialize_model_parallel in parallel_state.py, which numbers ranks with TP fastest."""
    rest, places = int(worker.rank), []
    for name, attribute in reversed(list(zip(GROUPS, SIZES))):  # noqa: B905  # Python 3.9 has no strict
        size = int(getattr(worker.parallel_config, attribute, 1))
        rest, place = divmod(rest, size)
        places.append((name, size, place))
    return _named(places[::-1])


def _rank_by_groups() -> str | None:
    """None: they are not there yet."""
    state = sys.modules.get("vllm.distributed.parallel_state")
    places = []
    for name in GROUPS:
        group = getattr(state, f"_{name}", None)
        if group is not None:
            places.append((name, int(group.world_size), int(group.rank_in_group)))
    return _named(places) if any(name == "TP" for name, _, _ in places) else None


def _named(places: list[tuple[str, int, int]]) -> str:
    """TP0, PP1_TP0, DP1_PP0_TP0: TP always, the others where there are several.

    The data-parallel replica is in the engine core's name: a dense model's replicas are not connected with each other.
    """
    parts = [f"{name}{place}" for name, size, place in places if size > 1 or name == "TP"]
    replica = next((found for name in events.process_names() if (found := DATA_PARALLEL.search(name))), None)
    return "_".join([f"DP{replica[1]}", *parts] if replica else parts)
