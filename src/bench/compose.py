"""A command line -> Settings: Hydra composes conf/, the schema checks it, and each error becomes one sentence."""

import json
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import ValidationError

from bench.config import (
    Settings,
    flattened,
)
from bench.errors import SettingError
from bench.masking import collect_environment, collect_settings
from bench.overrides.contradictions import refuse_contradictions
from bench.overrides.grammar import parsed
from bench.overrides.hydra_checks import WITHOUT_PACKAGE, message_of
from bench.overrides.points import compose_points, refuse_together
from bench.overrides.schema_errors import schema_sentences
from bench.overrides.setting_names import cut, shown
from bench.overrides.words import Words
from bench.system.user_cache import default_cache_dir
from bench.vllm.config_file import with_config_file
from bench.vllm.loader_settings import LOADERS
from bench.weights.content import content_or_path, digest_of
from bench.weights.hub import is_remote

ALMOST = 0.8  # difflib's ratio of a name that is probably misspelt
DIGITS = 8  # of a digest, in a folder's name


def by_load_format(*pairs: str, _root_: DictConfig) -> Any:
    """The resolver `${by_load_format:auto:0.9,runai_streamer:0.8}`: a value that differs by load format; null for all that it does not name."""
    if not all(":" in str(pair) for pair in pairs):
        raise ValueError("it is written as ${by_load_format:auto:0.9,runai_streamer:0.8}")
    values = dict(str(pair).split(":", 1) for pair in pairs)
    for name in values.keys() - LOADERS.keys():  # a plugin's may have any name
        if near := get_close_matches(name, LOADERS, 1, cutoff=ALMOST):
            raise ValueError(f"there is no load format {name}; nearest: {near[0]}")
    text = values.get(_root_.load_format.name)
    return None if text is None else OmegaConf.create(f"value: {text}").value


def in_cache(name: str, _root_: DictConfig) -> str:
    """The resolver `${in_cache:models}`: a folder in `cache_dir`, which is the user's cache where it is null."""
    given = _root_.cache_dir  # anything, until the schema has seen it
    return str(Path(given if given and isinstance(given, str) else default_cache_dir()) / name)


OmegaConf.register_new_resolver("in_cache", in_cache, replace=True)
OmegaConf.register_new_resolver("by_load_format", by_load_format, replace=True)
# A model's name from its path or hub id: a part of files' names.
OmegaConf.register_new_resolver(
    "basename", lambda path: re.sub(r"[^\w.-]+", "-", str(path).rstrip("/").rpartition("/")[2]), replace=True
)


def settings_from(config: DictConfig) -> Settings:
    """Check a composed config.

    Raises:
        SettingError: names each setting that is not allowed, what is allowed and what was given.
    """
    try:
        tree = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        name = str(error.full_key)
        of = f" load_format={config.load_format.name} needs it." if name.startswith("load_format.") else ""
        raise SettingError(f"{name}: this setting has no value yet.{of} Type {name}=VALUE.") from error
    except OmegaConfBaseException as error:
        raise SettingError(f"{error.full_key}: {message_of(error)}") from error
    assert isinstance(tree, dict)
    _refuse_lost_experiment(tree.pop("experiment", None))
    collect_environment()
    collect_settings(tree)
    if re.fullmatch(r"\d+(\.\d+)?%", percent := str(tree.get("precision"))):
        tree["precision"] = float(percent.removesuffix("%")) / 100
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingError("\n".join(schema_sentences(error, tree))) from error
    settings = with_config_file(settings)
    refuse_contradictions(settings)
    return _with_sharded_path(settings)


def _refuse_lost_experiment(tree: Any) -> None:
    """Refuses what an experiment's file sets below its own group, where none of it would count."""
    if tree:
        first = next(iter(flattened({"experiment": tree})))
        raise SettingError(f"{cut(first)}: this is from an experiment's file; {WITHOUT_PACKAGE}")


def _with_sharded_path(settings: Settings) -> Settings:
    """Fills in the path of the cut checkpoint unless it is set; two models of one name get two paths.

    The folder's name holds a digest of the source (the recipe of a random model, which is known before it is made, or the
    content of a folder) and of the arguments that decide how it is cut.
    """
    model = settings.model
    if settings.load_format.checkpoint != "sharded" or model.sharded_path is not None:
        return settings
    if is_remote(model.path):  # nothing can be cut from it: it is taken for one that is cut
        return settings.model_copy(update={"model": model.model_copy(update={"sharded_path": model.path})})
    recipe = model.random
    source = json.dumps(recipe.model_dump(), sort_keys=True) if recipe else content_or_path(model.path)
    digest = digest_of([source, json.dumps(settings.cut_arguments, sort_keys=True)])[:DIGITS]
    path = f"{settings.models_dir.rstrip('/')}/{model.name}-{digest}-tp{settings.tensor_parallel_size}"
    return settings.model_copy(update={"model": model.model_copy(update={"sharded_path": path})})


def compose_settings(overrides: Sequence[str], config_dir: Path | None = None) -> list[Settings]:
    """A command line -> its settings: one, or one for each point where it lists several values. `config_dir` has configs of the user's own.

    For the commands that start no sweep. The sweeper composes with the loader of the Hydra that runs it.
    """
    points = [settings_from(config) for config in compose_points(overrides, config_dir)]
    refuse_together(points)
    return points


def compose_one(words: Words, takes: Sequence[str], own: Sequence[str]) -> Settings:
    """The settings of a command that starts nothing, and of which only those named in `takes` have an effect.

    Raises:
        SettingError: another setting, or several values. `own` are the command's own settings, for the message.
    """
    for word in words.overrides:
        name = parsed(word).key_or_group
        if not any(name == each or name.startswith(f"{each}.") for each in takes):
            raise SettingError(
                f"{shown(word)}: this setting has no effect here. This command takes {', '.join([*own, *takes])}."
            )
    configs = compose_points(words.overrides, words.config_dir, brought=False)
    if len(configs) > 1:
        raise SettingError(f"{' '.join(map(shown, words.overrides))}: this command takes one value of each setting.")
    return settings_from(configs[0])
