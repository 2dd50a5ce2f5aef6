"""A command line's points: every combination of the values that it lists, each composed from conf/, none lost on the way."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, open_dict

from bench.config import OF_THE_SWEEP, Settings, conf_dir, flattened
from bench.errors import SettingError
from bench.masking import masked_value
from bench.overrides.grammar import parsed
from bench.overrides.hydra_checks import (
    hydra_errors_translated,
    refuse_empty_braces,
    refuse_own_sweep,
    refuse_several_choices,
)
from bench.overrides.override_checks import check_overrides, normalised
from bench.overrides.setting_names import shown


def compose_points(
    overrides: Sequence[str], config_dir: Path | None = None, *, brought: bool = True
) -> list[DictConfig]:
    """The configs of a command line's points, composed and not yet checked; with the sweep that an experiment brings, or without."""
    given = normalised(overrides, config_dir)
    check_overrides(given, config_dir)
    with hydra_errors_translated(), _hydra(config_dir) as loader:
        alone = [word for word in given if not parsed(word).is_sweep_override()]
        master = compose("config", alone, return_hydra_config=True)
        refuse_several_choices(master)
        refuse_empty_braces(master, alone)
        points = points_of([*(brought_words(master, config_dir) if brought else ()), *given], loader)
        if points == [tuple(alone)]:
            return [without_hydra(master)]
        return [_composed_point(master, point) for point in points]


@contextmanager
def _hydra(config_dir: Path | None) -> Iterator[ConfigLoader]:
    """Hydra, ready to compose conf/ and the user's own configs, as `--config-dir` makes it for `python -m bench`."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        if config_dir:
            GlobalHydra.instance().clear()
            search_path = create_config_search_path(conf_dir())
            search_path.prepend("command-line", f"file://{config_dir}", SearchPathQuery(provider="schema"))
            Hydra.create_main_hydra2("bench", search_path)
        yield GlobalHydra.instance().config_loader()


def _composed_point(master: DictConfig, point: Sequence[str]) -> DictConfig:
    config = compose("config", list(point), return_hydra_config=True)
    refuse_several_choices(config)
    refuse_empty_braces(config, point)
    refuse_own_sweep(master, config, point)
    return without_hydra(config)


def without_hydra(config: DictConfig) -> DictConfig:
    """A config that was composed with Hydra's own settings in it, without them."""
    with open_dict(config):
        config.pop("hydra", None)
    return config


def brought_words(config: DictConfig, config_dir: Path | None = None) -> list[str]:
    """The sweep that an experiment brings, as overrides: `hydra.sweeper.params`.

    Raises:
        SettingError: they are not settings with their values, or there is no such setting.
    """
    params = config.hydra.sweeper.get("params")
    if not isinstance(params, (Mapping, type(None))):
        raise SettingError(f"hydra.sweeper.params={params}: must be settings, each with its values.")
    words = []
    for name, values in (params or {}).items():
        if isinstance(values, Mapping):
            raise SettingError(
                f"hydra.sweeper.params.{name}: must have dotted names, as {name}.{next(iter(values), 'x')}: A,B."
            )
        words.append(f"{name}={values}")
    brought = normalised(words, config_dir)
    check_overrides(brought, config_dir)
    return brought


def refuse_together(points: Sequence[Settings]) -> None:
    """Refuses points that cannot be one sweep's.

    Raises:
        SettingError: they differ in a setting of the whole sweep, or two random models have one path.
    """
    _refuse_spread(points)
    recipes: dict[str, Settings] = {}
    for point in points:
        other = recipes.setdefault(point.model.path, point)
        differing = _differing([each.model_dump(include={"model": {"random"}}) for each in (other, point)])
        for name, values in differing.items():
            raise SettingError(
                f"{name}={','.join(values)}: both models would be made in {point.model.path}. Give each a path of its own:"
                f"  model.path='{point.model.path}-${{{name}}}'"
            )


def _refuse_spread(points: Sequence[Settings]) -> None:
    """Refuses points that differ in a setting of the whole sweep, of which the first point's would count.

    Raises:
        SettingError: names each of these settings with its values.
    """
    for name, values in _differing([point.model_dump(include=OF_THE_SWEEP) for point in points]).items():
        raise SettingError(
            f"{name}={','.join(values)}: a sweep has one {name}, for all of its points. Type one value, or make a sweep of each."
        )


def _differing(trees: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """The names whose values differ between these, with the values as they may be printed."""
    flat = [flattened(tree) for tree in trees]
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for each in flat for name in each):
        values = [str(masked_value(name, each.get(name))) for each in flat]
        if len(set(values)) > 1:
            found[name] = list(dict.fromkeys(values))
    return found


def points_of(overrides: Sequence[str], loader: ConfigLoader | None = None) -> list[tuple[str, ...]]:
    """Every combination of the values that the overrides list: the points of a sweep, the last key fastest.

    Takes Hydra's whole override grammar for discrete values: a,b · choice() · range() · glob() of a group, which needs
    the loader, and the modifiers. A key that comes twice has its last value: that of the command line, where an experiment has one too.

    Raises:
        SettingError: for an interval(), which has no values to list, and for a range() without any.
    """
    choices: dict[str, list[str]] = {}
    for override in OverridesParser.create(config_loader=loader).parse_overrides(list(overrides)):
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise SettingError(
                f"{override.input_line}: a sweep needs values that can be listed, like a,b or range(1,5)."
            )
        key = override.get_key_element()
        values = (
            override.sweep_string_iterator() if override.is_sweep_override() else [override.get_value_element_as_str()]
        )
        choices[key] = [f"{key}={value}" for value in values]
        if not choices[key]:
            raise SettingError(f"{shown(override.input_line or key)}: this lists no value at all.")
        if twice := next((each for each in choices[key] if choices[key].count(each) > 1), None):
            raise SettingError(
                f"{shown(override.input_line or key)}: {shown(twice)} is listed twice. aa=true starts the baseline a second time,"
                " repeats=N each point N times."
            )
    return list(product(*choices.values()))
