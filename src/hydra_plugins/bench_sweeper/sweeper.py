"""The Hydra end of a sweep: overrides in, composed points out, and any launcher called block by block.

Hydra imports this module whenever it starts, so the rest of bench is imported only when a sweep is run.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher

    from bench.config import Settings
    from bench.sweep.job import Outcome
    from bench.sweep.plan import Point

REFUSED_LAUNCHERS = {
    "submitit_local": "it starts all jobs at once and hides the GPUs: starts would disturb each other",
    "joblib": "it starts several jobs at once, and its pool dies with the first job that is killed",
}


class BlockSweeper(Sweeper):
    """Every point once a block, in shuffled order; `params` are overrides from an experiment's config."""

    def __init__(self, params: dict[str, str] | None) -> None:
        self.params = params or {}
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
        from bench.compose import composed, refuse_moving
        from bench.errors import BenchError
        from bench.start.steps import ENVIRONMENT_ERRORS, describe_error
        from bench.sweep.run import run_sweep
        from bench.system.output import print_message

        assert self.config is not None
        composed()
        try:
            points = self.points(arguments)
            self.refuse_launcher()
            refuse_moving(self.config)
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
        from bench.compose import hydra_errors_translated, normalised, points_of
        from bench.errors import SettingError
        from bench.sweep.left_out import own_settings_only
        from bench.sweep.plan import label_points

        assert self.context is not None
        assert self.config is not None
        loader = self.context.config_loader
        if not isinstance(self.params, Mapping):
            raise SettingError(f"hydra.sweeper.params={self.params}: must be settings, each with its values.")
        with hydra_errors_translated():
            given = normalised([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
            overrides = points_of(given, loader)
        settings = self.composed(overrides)
        if (own := own_settings_only(overrides, settings)) != overrides:
            overrides, settings = own, self.composed(own)
        return label_points(overrides, settings)

    def composed(self, points: Sequence[tuple[str, ...]]) -> list["Settings"]:
        """The settings of each point. One error lists all problems."""
        from bench.compose import hydra_errors_translated, settings_from
        from bench.errors import SettingError

        assert self.context is not None
        assert self.config is not None
        loader = self.context.config_loader
        settings, problems = [], []
        for point in points:
            try:
                with hydra_errors_translated():
                    composed = loader.load_sweep_config(self.config, list(point))
                with open_dict(composed):
                    composed.pop("hydra", None)
                settings.append(settings_from(composed))
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
        from bench.compose import hydra_errors_translated
        from bench.errors import SettingError

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

    def refuse_launcher(self) -> None:
        from bench.errors import SettingError

        assert self.config is not None
        name = str(self.config.hydra.runtime.choices["hydra/launcher"])
        if name in REFUSED_LAUNCHERS:
            raise SettingError(f"hydra/launcher={name}: {REFUSED_LAUNCHERS[name]}. Use basic, submitit_slurm or ray.")

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
