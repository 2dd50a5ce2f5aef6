"""What `python -m bench --help` prints: conf/ as it is written, with its comments, without what users do not set."""

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

from omegaconf import DictConfig, OmegaConf

from bench.config import conf_dir
from bench.overrides.grammar import parsed
from bench.overrides.override_checks import values_of
from bench.overrides.setting_names import GROUPS, choices
from bench.overrides.words import Words

HEADER = """\
bench measures how long vLLM takes from exec to the first token, by load format, and remembers it in MLflow.

  python -m bench                                              one start, one MLflow run
  python -m bench -m load_format=auto,runai_streamer_sharded   a sweep: every start a run, nested in the sweep's run; its report at its end
  python -m bench.compare                                      MLflow -> benchmark_results/<sweep>/report.md
  python -m bench.prepare load_format=sharded_state            makes the checkpoints that load formats need
  python -m bench.replay LOG...                                logs recorded elsewhere become runs
"""
FLAGS = """\
  -m                    several values of a setting are a sweep
  --config-dir=FOLDER   more choices of groups, your own: load_format/NAME.yaml, model/NAME.yaml, experiment/NAME.yaml
  --cfg job             prints all settings as they are set
  --version
"""
NOT_SET_BY_USERS = {"defaults", "sweep", "hydra"}


def settings_help(words: Words) -> str:
    """The groups that are typed are shown with the settings of their choice, of several the first; all others with the default one's."""
    config_dir = words.config_dir
    typed = {override.key_or_group: override for override in map(parsed, words.overrides)}
    choice = {
        group: str(values_of(typed[group], config_dir)[0]) if group in typed else default
        for group, default in _defaults()
    }
    folders = [*([config_dir] if config_dir else []), Path(conf_dir())]
    groups = "\n".join(_group(group, folders, config_dir) for group in GROUPS)
    chosen_files = [_chosen(group, name, folders) for group, name in choice.items()]
    return "\n".join(
        [
            HEADER, "Groups (GROUP=NAME)", groups, "Settings (NAME=VALUE; several values, with -m, are a sweep)",
            indent("\n".join([*_settings(), *chosen_files]), "  "), "Flags", FLAGS,
        ]
    )  # fmt: skip


def _defaults() -> Iterator[tuple[str, str]]:
    """The groups of which something is always chosen, and what is, where nothing is typed."""
    for entry in OmegaConf.load(Path(conf_dir()) / "config.yaml").defaults:
        if isinstance(entry, DictConfig):
            yield from ((str(group), str(name)) for group, name in entry.items() if group in GROUPS and name)


def _group(group: str, folders: list[Path], config_dir: Path | None) -> str:
    """Its choices, each with the first line of its file, which is a comment."""
    names = choices(group, config_dir)
    width = max(map(len, names)) + 2
    return "\n".join([f"  {group}=", *(f"    {name:{width}}{_about(group, name, folders)}" for name in names), ""])


def _about(group: str, name: str, folders: list[Path]) -> str:
    comments = [line for line in _text(group, name, folders).splitlines() if re.match(r"# [^@]", line)]
    return comments[0].removeprefix("# ").partition(":  python -m")[0].rstrip(":") if comments else ""


def _chosen(group: str, name: str, folders: list[Path]) -> str:
    """The settings of a choice, below the group's name."""
    lines = [line for line in _text(group, name, folders).splitlines() if not line.startswith("#")]
    return "\n".join([f"{group}:  # of {group}={name}", *(f"  {line}" for line in lines), ""])


def _text(group: str, name: str, folders: list[Path]) -> str:
    """Empty: there is no such file."""
    files = (folder / group / f"{name.removesuffix('.yaml')}.yaml" for folder in folders)
    return next((path.read_text(encoding="utf-8") for path in files if path.is_file()), "")


def _settings() -> Iterator[str]:
    """The lines of conf/config.yaml below the names that users set."""
    is_shown = False
    for line in (Path(conf_dir()) / "config.yaml").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"(\w+):", line):
            is_shown = found[1] not in NOT_SET_BY_USERS
        if is_shown:
            yield line
