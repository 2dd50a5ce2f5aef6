"""vLLM's `--config FILE.yaml`: its words count as if they stood in `vllm.args`, so params, labels and cache keys have them.

As in vLLM the command line wins over the file. Source: load_config_file and _pull_args_from_config in vllm/utils/argparse_utils.py (0.32.0).
"""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bench.config import TAKEN, Settings, Vllm, positive, underscored
from bench.errors import SettingError
from bench.masking import collect_settings

CONFIG = "config"
_BROUGHT: dict[tuple[str, str], str] = {}  # an argument and its value -> the file that this process has read them from


def with_config_file(settings: Settings) -> Settings:
    """The settings with the file's words in `vllm.args` instead of its name. Unchanged where none is named.

    Raises:
        SettingError: it cannot be read, or is no YAML of names and values.
    """
    path = settings.arguments.get(CONFIG)
    if path is None:
        return settings
    words = words_of(str(path))
    collect_settings({"vllm": {"args": words}})
    given = {positive(*each)[0] for each in settings.vllm.args.items()}
    given |= {positive(name, value)[0] for name, value in settings.load_format.args.items() if value is not None}
    args = {name: value for name, value in words.items() if positive(name, value)[0] not in given}
    _BROUGHT.update({(name, repr(value)): str(path) for name, value in args.items()})
    args |= {name: value for name, value in settings.vllm.args.items() if name != CONFIG}
    brought = {name: value for name, value in settings.load_format.args.items() if name != CONFIG}
    load_format = settings.load_format.model_copy(update={"args": brought})
    vllm = Vllm.model_validate(settings.vllm.model_dump() | {"args": args})
    return settings.model_copy(update={"load_format": load_format, "vllm": vllm})


def named(name: str, value: Any) -> str:
    """An argument in `vllm.args` as a message names it: with its file where it was not typed."""
    file = _BROUGHT.get((name, repr(value)))
    return f"vllm.args.{CONFIG}={file}: {name}" if file else f"vllm.args.{name}"


def words_of(path: str) -> dict[str, Any]:
    """The file's arguments, with underscores in their names; what vLLM would leave out of its command line is left out.

    Raises:
        SettingError: as above.
    """
    setting = f"vllm.args.config={path}"
    if Path(path).suffix not in {".yaml", ".yml"}:
        raise SettingError(f"{setting}: vLLM takes a file whose name ends in .yaml or .yml.")
    try:
        tree = OmegaConf.to_container(OmegaConf.create(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingError(f"{setting}: this file cannot be read: {error.strerror}.") from error
    except Exception as error:  # YAML's and OmegaConf's, and of an encoding
        raise SettingError(f"{setting}: this file is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(tree, dict) or not all(isinstance(name, str) for name in tree):
        raise SettingError(f"{setting}: expected the names of vLLM's arguments, each with its value.")
    words: dict[str, Any] = {}
    for name, value in ((str(name), value) for name, value in tree.items()):
        above, dot, below = underscored(name.removeprefix("--")).partition(".")
        if above == CONFIG:
            raise SettingError(f"{setting}: {name}: a file cannot name another one.")
        if above in TAKEN:
            instead = f"set {TAKEN[above]} instead, and leave it out there" if TAKEN[above] else "bench sets it itself"
            raise SettingError(f"{setting}: {name}: {instead}.")
        if dot:  # a key of its JSON
            words.setdefault(above, {}).update(_nested(below.split("."), value))
        elif value is not None and value != []:
            words[above] = value
    return words


def _nested(names: list[str], value: Any) -> dict[str, Any]:
    return {names[0]: _nested(names[1:], value) if names[1:] else value}
