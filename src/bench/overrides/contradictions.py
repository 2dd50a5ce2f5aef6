"""Settings that are allowed one by one and do not go together, each refused in a sentence."""

from pathlib import Path

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
    positive,
)
from bench.errors import SettingError
from bench.host.container import refuse_template
from bench.masking import masked
from bench.overrides.schema_errors import schema_sentences
from bench.vllm.config_file import named
from bench.vllm.loader_settings import misfit, model_of
from bench.weights.hub import is_remote


def refuse_contradictions(settings: Settings) -> None:
    """Refuse settings of one start that do not go together.

    Raises:
        SettingError: names them, and what would do.
    """
    _refuse_taken_arguments(settings)
    _refuse_served_names(settings)
    _refuse_loader_settings(settings)
    _refuse_command(settings)
    _refuse_storage(settings)
    _refuse_secret_in_a_name(settings)
    _refuse_shape(settings)
    if settings.precision is not None and settings.min_blocks > settings.max_blocks:
        raise SettingError(f"min_blocks={settings.min_blocks}: must be at most max_blocks={settings.max_blocks}.")


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
