"""A command line -> Settings: Hydra composes conf/, the schema checks it, and each error becomes one sentence."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import ValidationError

from bench.config import TAKEN, TAKEN_VARIABLES, UNANSWERED, RandomGptOss, RandomLlama, Settings, conf_dir
from bench.errors import BenchError, SettingError
from bench.host.container import refuse_template
from bench.json_override import without_json
from bench.loader_settings import misfit, model_of
from bench.masking import collect_environment, collect_settings, masked
from bench.vllm.config_file import with_config_file
from bench.weights.content import content_or_path, digest_of
from bench.weights.hub import is_remote

FULL_ERROR = "HYDRA_FULL_ERROR"  # with it Hydra raises; without, it prints some lines, or a traceback, and exits with 1
QUOTED_KEY = re.compile(r"""at input '.*\{\s*["']""")
PLAIN_KEYS = (
    "A value in braces has no quotes around its keys, as in {method:ngram,num_speculative_tokens:5}, or is whole JSON"
)
DIGITS = 8  # of a digest, in a folder's name


def by_load_format(*pairs: str, _root_: DictConfig) -> Any:
    """The resolver `${by_load_format:auto:0.9,runai_streamer:0.8}`: a value that differs by load format; null for all that it does not name."""
    if not all(":" in str(pair) for pair in pairs):
        raise ValueError("it is written as ${by_load_format:auto:0.9,runai_streamer:0.8}")
    values = dict(str(pair).split(":", 1) for pair in pairs)
    text = values.get(_root_.load_format.name)
    return None if text is None else OmegaConf.create(f"value: {text}").value


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
        raise SettingError(f"{error.full_key}: this setting has no value yet.") from error
    except OmegaConfBaseException as error:
        raise SettingError(f"{error.full_key}: {message_of(error)}") from error
    assert isinstance(tree, dict)
    tree.pop("experiment", None)
    collect_environment()
    collect_settings(tree)
    if re.fullmatch(r"\d+(\.\d+)?%", percent := str(tree.get("precision"))):
        tree["precision"] = float(percent.removesuffix("%")) / 100
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingError("\n".join(_sentences(error, tree))) from error
    settings = with_config_file(settings)
    _refuse_taken_arguments(settings)
    _refuse_loader_settings(settings)
    _refuse_command(settings)
    _refuse_secret_in_a_name(settings)
    _refuse_shape(settings)
    if settings.precision is not None and settings.min_blocks > settings.max_blocks:
        raise SettingError(f"min_blocks={settings.min_blocks}: must be at most max_blocks={settings.max_blocks}.")
    return _with_sharded_path(settings)


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


def _sentences(error: ValidationError, tree: Any) -> list[str]:
    """One sentence for each invalid setting. Where several types are allowed, pydantic reports one error for each type."""
    found: dict[str, tuple[Any, list[str]]] = {}
    for problem in error.errors():
        name = _name(problem, tree)
        if problem["type"] == "extra_forbidden":
            message = "there is no such setting; python -m bench --help lists them"
        elif problem["type"] == "missing":
            message = "this setting is missing"
        else:
            message = problem["msg"].replace("Input should", "must").replace("String should", "must")
            message = re.sub(r"must match pattern .*", "must not be empty", message) if "\\S" in message else message
            message = message.replace("a valid integer", "a whole number").replace("a valid ", "a ")
        found.setdefault(name, (problem["input"], []))[1].append(message)
    return [_sentence(name, given, messages) for name, (given, messages) in found.items()]


def _name(problem: Any, tree: Any) -> str:
    """The setting's dotted name. Pydantic puts the types that it tried among the parts; those are not in the config and are dropped."""
    parts: list[str] = []
    *above, last = problem["loc"]
    for part in above:
        if isinstance(tree, dict) and part in tree:
            parts.append(str(part))
            tree = tree[part]
    if isinstance(tree, dict) and (last in tree or problem["type"] == "missing"):
        parts.append(str(last))
    return ".".join(parts)


def _sentence(name: str, given: Any, messages: Sequence[str]) -> str:
    if not messages[0].startswith("must"):
        return f"{name}: {messages[0]}."
    return f"{name}={given!r}: {' or '.join([messages[0], *(each.removeprefix('must ') for each in messages[1:])])}."


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
        for name, value in args.items():
            key = name.replace("-", "_")
            if key in UNANSWERED and value not in (None, False):
                raise SettingError(
                    f"{section}.{name}={value}: such a vLLM answers no HTTP on this host, and a start is measured up to /health. Leave it out."
                )
            if key not in TAKEN:
                continue
            if TAKEN[key]:
                raise SettingError(f"{section}.{name}: set {TAKEN[key]} instead.")
            raise SettingError(f"bench sets {section}.{name} itself, for each start.")
    for section, env in (("vllm.env", settings.vllm.env), ("load_format.env", settings.load_format.env)):
        for name in TAKEN_VARIABLES & env.keys():
            raise SettingError(f"bench sets {section}.{name} itself, for each start.")


def _refuse_loader_settings(settings: Settings) -> None:
    """What the loader takes in `load_format.extra`, by type. Names are the measured vLLM's to decide."""
    load_format, extra = settings.load_format.name, settings.load_format.extra
    try:
        model_of(load_format).model_validate(extra)
    except ValidationError as error:
        raise SettingError("\n".join(f"load_format.extra.{each}" for each in _sentences(error, extra))) from error
    if why := misfit(load_format, extra, settings.arguments):
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


def _refuse_secret_in_a_name(settings: Settings) -> None:
    """The experiment's name identifies it in the store, so it cannot be masked there."""
    if masked(settings.tracking.experiment) != settings.tracking.experiment:
        raise SettingError(
            "tracking.experiment: a secret stands in it, or what looks like one, and MLflow shows this name to everybody. Choose another name."
        )


def normalised(overrides: Sequence[str]) -> list[str]:
    """The overrides with the `++` that Hydra requires before a key that is not in conf/, so that a user can leave it out; JSON in them in
    Hydra's grammar.
    """
    grown = [
        re.sub(
            r"^\+{0,2}((vllm|load_format)\.(args|env)\.|load_format\.extra[.=]|repeats_of\.)",
            r"++\1",
            without_json(item),
        )
        for item in overrides
    ]
    return [re.sub(r"^\+(experiment=)", r"\1", item) for item in grown]


def compose_settings(overrides: Sequence[str]) -> list[Settings]:
    """A command line -> its settings: one, or one for each point where it lists several values.

    For the commands that start no sweep. The sweeper composes with Hydra's own loader, which supports --config-dir too.
    """
    return [settings_from(config) for config in compose_points(overrides)]


def compose_points(overrides: Sequence[str]) -> list[DictConfig]:
    """The configs of a command line's points, composed and not yet checked."""
    given = normalised(overrides)
    GlobalHydra.instance().clear()
    with hydra_errors_translated(), initialize_config_dir(conf_dir(), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        first = compose("config", list(points_of(given, loader)[0]), return_hydra_config=True)
        brought = [f"{name}={values}" for name, values in first.hydra.sweeper.params.items()]  # from an experiment
        points = points_of([*normalised(brought), *given], loader)
        return [compose("config", list(point)) for point in points]


@contextmanager
def hydra_errors_translated() -> Iterator[None]:
    """Translates what Hydra raises while it composes: an unknown group or key, an invalid override, an unexpected value.

    Raises:
        SettingError: instead of anything that Hydra or OmegaConf raises, some of which is a plain ValueError or AttributeError.
    """
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        raise SettingError(message_of(error)) from error


@contextmanager
def hydra_composing() -> Iterator[None]:
    """The same for a command that Hydra itself runs: Hydra raises instead of exiting, until `composed()` is called.

    With HYDRA_FULL_ERROR set by the user, nothing is translated and Hydra's tracebacks are shown.
    """
    if FULL_ERROR in os.environ:
        yield
        return
    os.environ[FULL_ERROR] = "1"
    try:
        with hydra_errors_translated():
            yield
    finally:
        composed()


def composed() -> None:
    """Composing is over: later errors do not concern the command line, and Hydra handles them as usual."""
    os.environ.pop(FULL_ERROR, None)


def refuse_moving(config: DictConfig) -> None:
    """Refuse `hydra.job.chdir`: each start would have models, caches and a store of its own, below its own folder.

    Raises:
        SettingError: it is set. `config` has Hydra's own settings in it.
    """
    if config.hydra.job.chdir:
        raise SettingError("hydra.job.chdir=true: bench stays in the folder that it was started in. Leave it out.")


def message_of(error: Exception) -> str:
    """The message of Hydra or OmegaConf, in one line and without its search path."""
    text = str(error) or repr(error)
    if isinstance(error.__cause__, OmegaConfBaseException):
        text = f"{text} {error.__cause__}"
    kept = [
        line.strip() for line in re.split(r"Config search path:|\n\s*(?:full_key|object_type)", text)[0].splitlines()
    ]
    message = " ".join(filter(None, kept))
    return f"{message}. {PLAIN_KEYS}" if QUOTED_KEY.search(message) else message


def points_of(overrides: Sequence[str], loader: ConfigLoader | None = None) -> list[tuple[str, ...]]:
    """Every combination of the values that the overrides list: the points of a sweep, the last key fastest.

    Takes Hydra's whole override grammar for discrete values: a,b · choice() · range() · glob() of a group, which needs
    the loader, and the modifiers. A key that comes twice has its last value.

    Raises:
        SettingError: for an interval(), which has no values to list.
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
    return list(product(*choices.values()))
