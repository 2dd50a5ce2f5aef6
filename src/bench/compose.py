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
    AS_IS,
    TAKEN,
    TAKEN_VARIABLES,
    UNANSWERED,
    RandomGptOss,
    RandomLlama,
    Settings,
    Storage,
    flattened,
    positive,
)
from bench.errors import SettingError
from bench.host.container import refuse_template
from bench.masking import collect_environment, collect_settings, masked
from bench.overrides.grammar import parsed
from bench.overrides.hydra_checks import WITHOUT_PACKAGE, message_of
from bench.overrides.points import compose_points, refuse_together
from bench.overrides.schema_errors import schema_sentences
from bench.overrides.setting_names import cut, shown
from bench.overrides.words import Words
from bench.system.user_cache import default_cache_dir
from bench.vllm.config_file import named, with_config_file
from bench.vllm.loader_settings import LOADERS, misfit, model_of
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
    _refuse_taken_arguments(settings)
    _refuse_served_names(settings)
    _refuse_loader_settings(settings)
    _refuse_command(settings)
    _refuse_storage(settings)
    _refuse_secret_in_a_name(settings)
    _refuse_shape(settings)
    if settings.precision is not None and settings.min_blocks > settings.max_blocks:
        raise SettingError(f"min_blocks={settings.min_blocks}: must be at most max_blocks={settings.max_blocks}.")
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


def _refuse_shape(settings: Settings) -> None:
    """Refuse random weights whose sizes do not fit together: vLLM would fail on them, minutes after its start."""
    recipe, ranks = settings.model.random, settings.tensor_parallel_size
    if recipe is None:
        return
    heads, kv_heads = recipe.heads, recipe.kv_heads
    head_dim = recipe.head_dim if isinstance(recipe, RandomGptOss) else recipe.hidden_size // heads
    misfits = {
        f"heads={heads} must divide hidden_size={recipe.hidden_size}": isinstance(recipe, RandomLlama)
        and recipe.hidden_size % heads,
        f"kv_heads={kv_heads} must divide heads={heads}": heads % kv_heads,
        f"a head has {head_dim} dimensions, of which rotary positions need an even number": head_dim % 2
        or head_dim == 0,
        f"tensor_parallel_size={ranks} must divide heads={heads}": heads % ranks,
        f"of tensor_parallel_size={ranks} and kv_heads={kv_heads} one must divide the other": kv_heads % ranks
        and ranks % kv_heads,
    }
    if isinstance(recipe, RandomLlama):
        size = recipe.intermediate_size
        misfits[f"tensor_parallel_size={ranks} must divide intermediate_size={size}"] = size % ranks
    else:
        many, chosen = recipe.experts, recipe.experts_per_token
        misfits[f"experts_per_token={chosen} must be at most experts={many}"] = chosen > many
    if found := [sentence for sentence, is_misfit in misfits.items() if is_misfit]:
        raise SettingError("\n".join(f"model.random: {sentence}." for sentence in found))


def _refuse_taken_arguments(settings: Settings) -> None:
    for section, args in (("vllm.args", settings.vllm.args), ("load_format.args", settings.load_format.args)):
        seen: dict[str, str] = {}
        for name, value in args.items():
            if (other := seen.setdefault(positive(name, value)[0], name)) != name:
                raise SettingError(
                    f"{section}.{other} and {section}.{name} are one argument of vLLM, and only one of them could count. Set one."
                )
            key, setting = name.replace("-", "_"), named(name, value) if section == "vllm.args" else f"{section}.{name}"
            if key in UNANSWERED and value not in (None, False):
                raise SettingError(
                    f"{setting}={value}: such a vLLM answers no HTTP on this host, and a start is measured up to /health. Leave it out."
                )
            if key not in TAKEN:
                continue
            if TAKEN[key]:
                raise SettingError(f"{setting}: set {TAKEN[key]} instead.")
            raise SettingError(f"bench sets {setting} itself, for each start.")
    for section, env in (("vllm.env", settings.vllm.env), ("load_format.env", settings.load_format.env)):
        for name in TAKEN_VARIABLES & env.keys():
            raise SettingError(f"bench sets {section}.{name} itself, for each start.")


def _refuse_served_names(settings: Settings) -> None:
    """Refuse what is no name by which the first request could call the model."""
    given = settings.arguments.get("served_model_name")
    names = given if isinstance(given, list) else [given]
    is_name = [
        isinstance(each, (str, int, float)) and not isinstance(each, bool) and str(each).strip() for each in names
    ]
    if given is not None and not all(is_name):
        raise SettingError(f"{named('served_model_name', given)}={given!r}: must be a name, or a list of names.")


def _refuse_loader_settings(settings: Settings) -> None:
    """What the loader takes in `load_format.extra`, by type. Names are the measured vLLM's to decide."""
    load_format, extra = settings.load_format.name, settings.load_format.extra
    try:
        model_of(load_format).model_validate(extra)
    except ValidationError as error:
        raise SettingError("\n".join(f"load_format.extra.{each}" for each in schema_sentences(error, extra))) from error
    if why := misfit(load_format, extra, settings.arguments, settings.tensor_parallel_size):
        raise SettingError(why)


def _refuse_command(settings: Settings) -> None:
    """Refuse a template of no use, and a state of files that bench would prepare here for a vLLM that reads others."""
    command = settings.vllm.command
    if command is None:
        return
    refuse_template(command)
    model = settings.model
    is_elsewhere = model.random is None and not Path(model.path).exists() and not is_remote(model.path)
    if is_elsewhere and settings.page_cache != "as_is":
        raise SettingError(
            f"vllm.command: model.path={model.path} is no folder here, and where the container keeps it is not known. "
            "Name a folder that it can read, or set page_cache=as_is."
        )


def _refuse_storage(settings: Settings) -> None:
    """Refuse a storage whose name and settings do not fit together, and one for a vLLM whose processes bench does not start."""
    storage = settings.storage
    given = [name for name in Storage.model_fields if name != "name" and getattr(storage, name) is not None]
    if storage.name == AS_IS and given:
        raise SettingError(
            f"storage.{given[0]}={getattr(storage, given[0])}: storage=as_is is the host's own. Add storage=limited."
        )
    if storage.name != AS_IS and not storage.is_emulated:
        raise SettingError(
            f"storage={storage.name}: nothing of it is set. Set storage.read_iops, storage.read_mib_per_s, storage.read_ahead_kb or storage.image."
        )
    if storage.allow_read_ahead_of is not None and (storage.read_ahead_kb is None or storage.image is not None):
        raise SettingError(
            f"storage.allow_read_ahead_of={storage.allow_read_ahead_of}: this has no effect without storage.read_ahead_kb, or with storage.image."
        )
    if storage.is_emulated and settings.vllm.command:
        raise SettingError(
            f"storage={storage.name}: vLLM runs behind vllm.command, in processes whose reads bench cannot limit. Set storage=as_is."
        )


def _refuse_secret_in_a_name(settings: Settings) -> None:
    """The experiment's name identifies it in the store, so it cannot be masked there."""
    if masked(settings.tracking.experiment) != settings.tracking.experiment:
        raise SettingError(
            "tracking.experiment: a secret stands in it, or what looks like one, and MLflow shows this name to everybody. Choose another name."
        )


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
