"""What Hydra itself raises, as sentences; and what of Hydra's own settings bench needs as they are, in whatever way they were changed."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.errors import BenchError, SettingError
from bench.overrides.setting_names import FREE, GROUPS, no_such_setting, shown

FULL_ERROR = "HYDRA_FULL_ERROR"  # with it Hydra raises; without, it prints some lines, or a traceback, and exits with 1
SWEEPER = "hydra_plugins.bench_sweeper.sweeper.BlockSweeper"
CALLBACK = "bench.sweep.single.CheckSingle"
# Launchers that give each start a host of its own, or start one after the other; by their classes, as a choice may have any name.
LAUNCHERS = {
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher": "basic",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher": "submitit_slurm",
    "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher": "ray",
}
OF_A_SWEEP = ("sweeper", "launcher", "sweep")  # Hydra's sections that a sweep has once
LENGTH = 600  # of a message, which may repeat a value of any length
WITHOUT_EFFECT_ON_ONE = ("hydra.sweep.", "hydra/sweeper", "hydra.sweeper", "hydra/launcher", "hydra.launcher")
# Before a setting; `bench.overrides.override_checks.normalised` put them there.
OUR_PLUSES = re.compile(r"""(?<![^\s"'`(])\+{1,2}(?=[A-Za-z_][\w./@-]*=)""")
# Of an experiment, whose settings are then below its group.
WITHOUT_PACKAGE = "its first line is not `# @package _global_`, so none of its settings would count. Write this line above all others."
MULTIRUN, RUN = "MULTIRUN", "RUN"


def _several(found: re.Match[str]) -> str:
    """For several values without -m."""
    key, _, value = found[1].lstrip("+").partition("=")
    one = shown(f'{key}="{value}"')
    quoted = f"; as one value, quoted:  '{one}'" if re.fullmatch(r"[\w.,/:-]+", value) else ""
    return f"{shown(found[1])}: several values are a sweep. Add -m{quoted}."


# What Hydra says, and what is said instead.
ANSWERS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (
        r"Could not delete from config\. '([^']*)'",
        lambda found: f"~{found[1]}: it is not set, so there is nothing to leave out.",
    ),
    (
        r"In '(experiment/[^']*)': Could not override '[^']*@experiment\.",
        lambda found: f"{found[1]}.yaml: {WITHOUT_PACKAGE}",
    ),
    (
        r"In '(experiment/[^']*)': Could not override 'experiment/(\w+)@",
        lambda found: (
            f"{found[1]}.yaml: in its defaults a group has a slash before its name: `override /{found[2]}: CHOICE`."
        ),
    ),
    (
        r"Multiple values for (\w+)\. To override a value use 'override \w+: ([^']*)'",
        lambda found: (
            f"{found[1]}: a defaults list chooses another one: it is written as `override /{found[1]}: {found[2]}`."
        ),
    ),
    (r"Could not override '([^']*)'", lambda found: f"{found[1]}: {no_such_setting(found[1])}"),
    (r"(?:Ambiguous value for argument|Sweep parameters) '(.*)'(?: requires --multirun)?(?:\n|$)", _several),
)


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


def message_of(error: Exception) -> str:
    """The message of Hydra or OmegaConf, in one line, without its search path and without advice that bench's words do not need."""
    text = str(error) or repr(error)
    for pattern, answer in ANSWERS:
        if found := re.match(pattern, text):
            return answer(found)
    if isinstance(error.__cause__, OmegaConfBaseException):
        text = f"{text} {error.__cause__}"
    kept = [
        line.strip() for line in re.split(r"Config search path:|\n\s*(?:full_key|object_type)", text)[0].splitlines()
    ]
    message = " ".join(line for line in kept if line and "for details" not in line and FULL_ERROR not in line)
    message = OUR_PLUSES.sub("", message)
    return message if len(message) <= LENGTH else f"{message[:LENGTH]}…"


def refuse_hydra(config: DictConfig, mode: str) -> None:
    """Refuses Hydra's own settings where bench would not do what was typed. `config` has them in it; `mode`: MULTIRUN or RUN.

    Raises:
        SettingError: another sweeper, an unknown launcher, no check, `hydra.job.chdir`, a sweep that would be one start, several choices
            of a group, a folder of the other mode.
    """
    hydra = config.hydra
    if hydra.job.chdir:  # each start would have models, caches and a store of its own, below its own folder
        raise SettingError("hydra.job.chdir=true: bench stays in the folder that it was started in. Leave it out.")
    if _target(hydra.callbacks.get("check")) != CALLBACK:
        raise SettingError("hydra.callbacks.check: this is bench's check of its settings. Leave it as it is.")
    refuse_several_choices(config)
    _refuse_other_machinery(hydra)
    if mode == RUN:
        _refuse_lost_sweep(hydra)
    for word in as_typed(hydra.overrides.hydra):
        if mode == MULTIRUN and word.lstrip("+").startswith("hydra.run."):
            raise SettingError(f"{word}: this has no effect on a sweep, whose folder is hydra.sweep.dir=FOLDER.")
        if mode == RUN and word.lstrip("+").startswith(WITHOUT_EFFECT_ON_ONE):
            raise SettingError(
                f"{word}: this has no effect on one start, whose folder is hydra.run.dir. Add -m, or leave it out."
            )


def as_typed(words: Any) -> list[str]:
    """Words may hold interpolations, which a list of OmegaConf's would resolve."""
    typed = OmegaConf.to_container(words, resolve=False)
    assert isinstance(typed, list)
    return typed


def _refuse_other_machinery(hydra: DictConfig) -> None:
    choices = hydra.runtime.choices
    if _target(hydra.sweeper) != SWEEPER:
        raise SettingError(
            f"hydra/sweeper={choices.get('hydra/sweeper')}: only bench's own sweeper keeps blocks, checks all points before the first"
            f" start and obeys dry_run. Leave it out."
        )
    if _target(hydra.launcher) not in LAUNCHERS:
        raise SettingError(
            f"hydra/launcher={choices.get('hydra/launcher')}: it is not known to start one after the other, or each on a host of its own,"
            f" so starts could disturb each other. Use {', '.join(LAUNCHERS.values())}."
        )


def own_configs(config: DictConfig) -> Path | None:
    """The folder of `--config-dir`, from a config that Hydra's own command has composed."""
    sources = config.hydra.runtime.config_sources
    return next((Path(source.path) for source in sources if source.provider == "command-line"), None)


def _target(section: Any) -> str | None:
    return section.get("_target_") if isinstance(section, (DictConfig, Mapping)) else None


def _refuse_lost_sweep(hydra: DictConfig) -> None:
    """An experiment's sweep, where its mode is not MULTIRUN."""
    params = hydra.sweeper.get("params") if isinstance(hydra.sweeper, DictConfig) else None
    if params:
        listed = " ".join(f"{name}={values}" for name, values in params.items())
        raise SettingError(f"hydra.sweeper.params: {listed}: this is a sweep, and would be one start. Add -m.")


def refuse_several_choices(config: DictConfig) -> None:
    """
    Raises:
        SettingError: a defaults list has several choices of a group: Hydra composes all, and the last would win.
    """
    # Hydra leaves these out there.
    if several := [group for group in GROUPS if group not in config.hydra.runtime.choices]:
        raise SettingError(
            f"{several[0]}: a defaults list has several choices of it, and only the last would count. Leave one."
        )


def refuse_empty_braces(config: DictConfig, words: Sequence[str]) -> None:
    """
    Raises:
        SettingError: `NAME={}` where an experiment or a group's choice has values below NAME: Hydra merges the two, so all of them would stay.
    """
    for name, value in (word.lstrip("+").partition("=")[::2] for word in words):
        if name not in FREE or value.strip() != "{}":
            continue
        kept = OmegaConf.to_container(OmegaConf.select(config, name), resolve=False)
        assert isinstance(kept, dict)
        if below := next((each for each, given in kept.items() if given is not None), None):
            raise SettingError(
                f"{name}={{}}: this takes nothing away, so {name}.{below!s} would stay as it is. Leave it out with ~{name}.{below!s}."
            )


def refuse_own_sweep(master: DictConfig, point: DictConfig, words: Sequence[str]) -> None:
    """Refuses a point whose choice brings what only a sweep has: a second sweep, another launcher, another folder.

    Raises:
        SettingError: names the point's words and the settings.
    """
    for section in OF_A_SWEEP:
        before, now = (OmegaConf.to_container(each.hydra, resolve=False)[section] for each in (master, point))  # type: ignore[index,call-overload]  # a dict
        if before == now:
            continue
        name = "hydra.sweeper.params" if section == "sweeper" else f"hydra.{section}"
        chosen = [word for word in words if word.startswith("experiment=")] or list(words)
        raise SettingError(
            f"{' '.join(chosen)}: it brings {name} of its own, which a whole sweep has once. Make a sweep of each:"
            f"  python -m bench {' '.join(chosen)}"
        )
