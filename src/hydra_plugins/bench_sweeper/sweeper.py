"""The Hydra end of a sweep: overrides in, composed points out, and any launcher called block by block.

Hydra imports this module whenever it starts, so the rest of bench is imported only when a sweep is run.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher

    from bench.config import Settings
    from bench.sweep.job import Outcome
    from bench.sweep.plan import Point


class BlockSweeper(Sweeper):
    """Every point once a block, in shuffled order; `params` are overrides from an experiment's config."""

    def __init__(self, params: dict[str, str] | None) -> None:  # noqa: ARG002  # read from the config, as for other commands
        self.context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.launched = 0

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """The whole sweep. Ends the process: with 1 where a start failed, with 2 where a setting is not allowed."""
        from bench.errors import BenchError
        from bench.overrides.hydra_checks import MULTIRUN, composed, refuse_hydra
        from bench.start.steps import ENVIRONMENT_ERRORS, describe_error
        from bench.sweep.run import run_sweep
        from bench.system.output import print_message

        assert self.config is not None
        composed()
        try:
            refuse_hydra(self.config, MULTIRUN)
            points = self.points(arguments)
            folder = self.folder()
            self.launched = first_free(folder)
            outcomes = run_sweep(points, folder, self.launch)
        except (BenchError, *ENVIRONMENT_ERRORS) as error:
            print_message(describe_error(error))
            sys.exit(2)
        if any(outcome.reason or not outcome.run_id for outcome in outcomes):
            sys.exit(1)
        return outcomes

    def points(self, arguments: list[str]) -> list["Point"]:
        """Compose and check every point before anything is started. One error lists all problems."""
        from bench.overrides.hydra_checks import hydra_errors_translated, own_configs
        from bench.overrides.points import brought_words, points_of, refuse_together
        from bench.sweep.left_out import own_settings_only
        from bench.sweep.plan import label_points

        assert self.context is not None
        assert self.config is not None
        loader = self.context.config_loader
        with hydra_errors_translated():
            overrides = points_of([*brought_words(self.config, own_configs(self.config)), *arguments], loader)
        settings = self.composed(overrides)
        if (own := own_settings_only(overrides, settings)) != overrides:
            overrides, settings = own, self.composed(own)
        refuse_together(settings)
        return label_points(overrides, settings)

    def composed(self, points: Sequence[tuple[str, ...]]) -> list["Settings"]:
        """The settings of each point. One error lists all problems."""
        from bench.compose import settings_from
        from bench.errors import SettingError
        from bench.overrides.hydra_checks import (
            hydra_errors_translated,
            refuse_empty_braces,
            refuse_own_sweep,
            refuse_several_choices,
        )
        from bench.overrides.points import without_hydra

        assert self.context is not None
        assert self.config is not None
        loader = self.context.config_loader
        settings, problems = [], []
        for point in points:
            with hydra_errors_translated():
                composed = loader.load_sweep_config(self.config, list(point))
            refuse_several_choices(composed)
            refuse_empty_braces(composed, point)
            refuse_own_sweep(self.config, composed, point)
            try:
                settings.append(settings_from(without_hydra(composed)))
            except SettingError as error:
                problems += str(error).splitlines()
        if problems:
            raise SettingError("\n".join(dict.fromkeys(problems)))
        return settings

    def folder(self) -> Path:
        """The sweep's folder.

        Raises:
            SettingError: its path is empty, or all starts in it would have the same folder.
        """
        from bench.errors import SettingError
        from bench.overrides.hydra_checks import hydra_errors_translated

        assert self.config is not None
        with hydra_errors_translated():
            folder = str(self.config.hydra.sweep.dir)
            subdir = OmegaConf.to_container(self.config.hydra.sweep, resolve=False)["subdir"]  # type: ignore[index,call-overload]  # a dict, of all that it could be
        if not folder.strip():
            raise SettingError(f"hydra.sweep.dir={folder!r}: must not be empty.")
        if "${" not in str(subdir):
            raise SettingError(
                f"hydra.sweep.subdir={subdir}: every start has a folder of its own. Put ${{hydra.job.num}} into it."
            )
        return Path(folder)

    def launch(self, jobs: Sequence[list[str]]) -> list["Outcome"]:
        """One block. A job that raises is a bug of ours, and its traceback is shown."""
        assert self.launcher is not None
        returns = self.launcher.launch(jobs, initial_job_idx=self.launched)
        self.launched += len(jobs)
        return [each.return_value for each in returns]


def first_free(folder: Path) -> int:
    """The first number for a start's folder above all that exist, as those of an earlier sweep with the same folder."""
    numbers = [re.search(r"\d+$", path.name) for path in folder.glob("*") if path.is_dir()]
    return max((int(found[0]) + 1 for found in numbers if found), default=0)
