"""What is measured of the API server and the engine core, which every worker's work is a part of.

Source: vllm/engine/arg_utils.py, vllm/v1/engine/async_llm.py, vllm/v1/engine/core.py
"""

from __future__ import annotations

import time
from types import FunctionType
from typing import TYPE_CHECKING

from . import byte_code, effective, events, hooks, spans

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def measure_config(module: ModuleType) -> None:
    """Arguments to configuration: the model's own is read, and its class inspected."""
    _measure(module, "EngineArgs", "create_engine_config", "config")


def measure_client(module: ModuleType) -> None:
    """The API server's end of the engine: tokenizer, then the engine core, for which it waits."""
    _measure(module, "AsyncLLM", "__init__", "engine_client", write_all)


def write_all(_: Any = None) -> None:
    """What this process has when it is ready, and which byte code it found."""
    effective.write()
    byte_code.write()


def _measure(module: ModuleType, name: str, method: str, span: str, after: Callable[[Any], None] | None = None) -> None:
    cls = vars(module).get(name)
    if isinstance(cls, type) and method in vars(cls):
        spans.measure_method(cls, method, span, after=after)
    else:
        events.warn(f"no {name}.{method} in {module.__name__}: {span} is not measured")


def measure_engine_core(module: ModuleType) -> None:
    """An engine core that was forked off runs no plugin again: its first event begins its file."""
    base = vars(module).get("EngineCore")
    init = vars(base).get("__init__") if isinstance(base, type) else None
    if not isinstance(init, FunctionType):
        events.warn(f"no EngineCore in {module.__name__}: its start is not measured")
        return
    if not hooks.is_ours(init):
        base.__init__ = recording_begin(init)  # type: ignore[misc]  # mypy accepts no __init__ that is replaced
        hooks.adapt_family(base, measure_loop)


def recording_begin(init: FunctionType) -> Any:
    """EngineCore.__init__, whose begin is recorded."""

    @hooks.wraps(init)
    def beginning(*arguments: Any, **options: Any) -> None:
        events.write("engine_core")
        with events.guarded("what it has is not recorded"):
            effective.write()
        init(*arguments, **options)

    return beginning


def measure_loop(cls: type) -> None:
    """Its loop over requests begins when it is made. It is no span from __init__ on: in a process that was spawned the
    plugin's turn comes within that.
    """
    loop = vars(cls).get("run_busy_loop")
    if isinstance(loop, FunctionType) and not hooks.is_ours(loop):
        cls.run_busy_loop = recording_arrival(loop)  # type: ignore[attr-defined]  # `type` has none; this class does


def recording_arrival(loop: FunctionType) -> Any:
    """The loop, before which all since the plugin's turn becomes a span."""

    @hooks.wraps(loop)
    def looping(*arguments: Any, **options: Any) -> Any:
        if "engine_core_init" not in spans.BEGUN:
            with events.guarded("the engine core's start is not measured"):
                spans.record("engine_core_init", arguments[0], events.JOURNAL.reached_s(), time.monotonic())
                write_all()
        return loop(*arguments, **options)

    return looping
