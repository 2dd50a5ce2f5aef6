"""What is measured of every model loader: the calls that load, and the iterators that they consume.

A loader is what vLLM calls one: a class below BaseModelLoader, wherever and whenever it is defined. Its load_model and
load_weights become spans, and whatever iterator its methods return is counted. So is what it hands to the model, so that
a loader may also take its iterator from a function of its own.

Source: vllm/model_executor/model_loader/base_loader.py, utils.py, weight_utils.py
"""

from __future__ import annotations

import inspect
import os
from types import FunctionType
from typing import TYPE_CHECKING

from . import checksums, events, hooks, iterators, spans

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

BASE = "BaseModelLoader"
SPANS = ("load_model", "load_weights")
PROCESSING = "process_weights_after_loading"
ADAPTED: list[type] = []  # the base, once: it can be found in several modules


def measure_loaders(module: ModuleType) -> None:
    """Every loader there is and will be."""
    base = vars(module).get(BASE)
    if not isinstance(base, type):
        events.warn(f"no {BASE} in {module.__name__}: no loader is measured from there")
    elif base not in ADAPTED:
        ADAPTED.append(base)
        hooks.adapt_family(base, measure_loader)


def measure_exported(package: ModuleType) -> None:
    """The package exports the base class, wherever a release may have moved it."""
    if BASE in vars(package):
        measure_loaders(package)


def measure_processing(module: ModuleType) -> None:
    """The post-processing of the weights, also where it was imported by name. Before it, in a verification start, what was
    loaded is summed.
    """
    function = vars(module).get(PROCESSING)
    if not isinstance(function, FunctionType):
        events.warn(f"no {PROCESSING} in {module.__name__}: post-processing is not measured")
    elif not hooks.is_ours(function):
        before = checksums.checksum_model if os.environ.get(checksums.ASKED) == "1" else None
        hooks.replace_everywhere(PROCESSING, function, spans.timed("process_weights", function, before))


def measure_iterators(module: ModuleType) -> None:
    """vLLM's own iterators, for loaders that consume them without a method in between."""
    for name, function in list(vars(module).items()):
        if name.endswith("weights_iterator") and isinstance(function, FunctionType) and not hooks.is_ours(function):
            hooks.replace_everywhere(name, function, iterators.counting(function))


def measure_loader(cls: type) -> None:
    """Wrap what a class has by itself or from a parent that is no loader, a mixin. Each method once."""
    seen: set[str] = set()
    for owner in cls.__mro__:
        if owner is object or owner.__module__ in {"abc", "typing"}:
            continue
        for name, attribute in list(vars(owner).items()):
            if name in seen or name.startswith("__"):
                continue
            seen.add(name)
            wrapped = _wrapped(name, attribute)
            if wrapped is not None:
                setattr(cls, name, wrapped)


def _wrapped(name: str, attribute: Any) -> Any | None:
    """None: it is ours already, or nothing to wrap."""
    kind = type(attribute)
    function = attribute.__func__ if kind in {staticmethod, classmethod} else attribute
    if not isinstance(function, FunctionType) or hooks.is_ours(function) or _is_exempt(function):
        return None
    wrapper = _measured(name, function)
    return kind(wrapper) if kind in {staticmethod, classmethod} else wrapper


def _is_exempt(function: FunctionType) -> bool:
    abstract = getattr(function, "__isabstractmethod__", False)
    return bool(abstract) or inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _measured(name: str, function: FunctionType) -> Callable[..., Any]:
    if name not in SPANS:
        return iterators.counting(function)
    return spans.timed(name, _watching(function) if name == "load_weights" else function)


def _watching(function: FunctionType) -> Callable[..., Any]:
    """load_weights(model, model_config), which counts what `model` is given while it runs."""

    @hooks.wraps(function)
    def watching(*arguments: Any, **options: Any) -> Any:
        model = options.get("model", arguments[1] if len(arguments) > 1 else None)
        shadow = None
        with events.guarded("what the model is given is not counted"):
            shadow = _shadow(model)
        try:
            return function(*arguments, **options)
        finally:
            with events.guarded("the model still counts what it is given"):
                if shadow is not None and vars(model).get("load_weights") is shadow:
                    del vars(model)["load_weights"]

    return watching


def _shadow(model: Any) -> Callable[..., Any] | None:
    """Stands in front of the model's own load_weights. None: it has none, or one of its own that is no method."""
    original = getattr(model, "load_weights", None)
    if not inspect.ismethod(original) or "load_weights" in vars(model):
        return None

    def load_weights(*arguments: Any, **options: Any) -> Any:
        given = [iterators.counted(value, "weights") for value in arguments]
        named = {name: iterators.counted(value, "weights") for name, value in options.items()}
        return original(*given, **named)

    vars(model)["load_weights"] = load_weights
    return load_weights
