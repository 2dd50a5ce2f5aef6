"""How a module, a class or a function is changed as soon as it exists. Nothing is imported for it."""

from __future__ import annotations

import functools
import sys
import weakref
from typing import TYPE_CHECKING

from . import events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Action = Callable[[ModuleType], None]

WRAPPERS: weakref.WeakSet[Any] = weakref.WeakSet()  # ours; what functools.wraps copies is no mark, others copy it on


def wraps(function: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """functools.wraps, and recorded as ours, so that nothing is wrapped twice."""

    def remember(wrapper: Callable[..., Any]) -> Callable[..., Any]:
        functools.update_wrapper(wrapper, function)
        WRAPPERS.add(wrapper)
        return wrapper

    return remember


def is_ours(function: object) -> bool:
    """Whether it is a wrapper already."""
    return function in WRAPPERS


class Finder:
    """A finder that is notified of imports of certain modules. The regular finders and loaders do the importing."""

    def __init__(self) -> None:
        self.actions: dict[str, Action] = {}

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        if name not in self.actions:
            return None
        spec = self._found(name, path, target)
        with events.guarded(f"{name} is not measured"):
            if spec is not None:
                self._watch(spec, self.actions[name])
        return spec

    def _found(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find else None
            if spec is not None:
                return spec
        return None

    def _watch(self, spec: ModuleSpec, action: Action) -> None:
        loader: Any = spec.loader
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            with events.guarded(f"{spec.name} is not measured"):
                action(module)

        loader.exec_module = exec_module


FINDER = Finder()


def after_import(name: str, action: Action) -> None:
    """Have `action` done to the module once it is imported: now, where that is over."""
    FINDER.actions[name] = action
    if FINDER not in sys.meta_path:
        sys.meta_path.insert(0, FINDER)
    if name in sys.modules:
        with events.guarded(f"{name} is not measured"):
            action(sys.modules[name])


def adapt_family(base: Any, adapt: Callable[[type], None]) -> None:
    """Have `adapt` done to a class, to all below it, and to each that is still to be defined below it."""
    inherited = vars(base).get("__init_subclass__")

    def init_subclass(cls: Any, **options: Any) -> None:
        if inherited is None:
            super(base, cls).__init_subclass__(**options)
        else:
            inherited.__get__(None, cls)(**options)
        with events.guarded(f"{cls.__qualname__} is not measured"):
            adapt(cls)

    base.__init_subclass__ = classmethod(init_subclass)  # type: ignore[arg-type]  # its cls is Any, not a type
    waiting = [base]
    while waiting:
        each = waiting.pop()
        waiting += each.__subclasses__()
        with events.guarded(f"{each.__qualname__} is not measured"):
            adapt(each)


def replace_everywhere(name: str, function: object, replacement: object) -> None:
    """A function that other modules have imported by name already is replaced where they use it."""
    for module in list(sys.modules.values()):
        namespace = getattr(module, "__dict__", {})  # never getattr on the name itself: modules can be lazy
        if isinstance(namespace, dict) and namespace.get(name) is function:
            namespace[name] = replacement
