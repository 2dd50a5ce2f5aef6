"""python -m bench without -m: one start on its own, checked before Hydra makes its folder.

Hydra makes the folder of a run before it calls bench. So a callback that Hydra
calls before that reports wrong settings and prints a plan: no folder has been made that would have to be removed.
"""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from bench.compose import settings_from
from bench.config import Settings
from bench.errors import BenchError, SettingError
from bench.overrides.hydra_checks import (
    MULTIRUN,
    RUN,
    as_typed,
    composed,
    hydra_errors_translated,
    refuse_empty_braces,
    refuse_hydra,
)
from bench.overrides.points import without_hydra
from bench.start.steps import ENVIRONMENT_ERRORS, describe_error
from bench.system.interrupts import unbroken
from bench.system.output import print_message
from bench.tracking.store import given_by_mlflow


class CheckSingle(Callback):
    """`hydra.callbacks.check`: ends the process, with 2 after an error and with 0 after a plan."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """`config` includes Hydra's own settings."""
        from bench.host.byte_code_files import refuse_unwritable
        from bench.host.host import look_at_host
        from bench.host.output_folders import refuse_places
        from bench.start.files import refuse_taken
        from bench.sweep.dry_run import print_plan
        from bench.sweep.plan import Point
        from bench.sweep.prepare import refuse_checkpoints
        from bench.sweep.refusals import refuse_storages
        from bench.tracking.uploads import open_store
        from bench.vllm.check_arguments import refuse_arguments
        from bench.vllm.load import refuse_load

        composed()
        with ending_the_process():
            refuse_hydra(config, RUN)
            refuse_empty_braces(config, as_typed(config.hydra.overrides.task))
            settings = single(config)
            host = look_at_host(settings)
            refuse_arguments([(settings, host)])
            refuse_storages([settings])
            refuse_load([(settings, host)])
            HydraConfig.instance().set_config(config)  # for what is interpolated from it
            with hydra_errors_translated():
                folder = Path(given := str(config.hydra.run.dir))
            if not given.strip():
                raise SettingError(f"hydra.run.dir={given!r}: must not be empty.")
            refuse_places([settings], folder, "hydra.run.dir")
            point = Point(settings.load_format.name, (), settings)
            refuse_taken(folder, "hydra.run.dir")
            refuse_checkpoints([settings], folder)
            refuse_unwritable([(settings, host)])  # the slowest
            if settings.dry_run:
                print_plan([point], [host])
                sys.exit(0)
            unbroken(partial(open_store, settings, may_be_away=True), "MLflow to answer")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Before Hydra makes a sweeper, which may be another than bench's."""
        with ending_the_process():
            refuse_hydra(config, MULTIRUN)


@contextmanager
def ending_the_process() -> Iterator[None]:
    """Ends it with 2 after an error of the user's, with 1 and a traceback after one of bench's own: what a callback raises Hydra only logs,
    and would then start vLLM.
    """
    try:
        yield
    except (BenchError, *ENVIRONMENT_ERRORS) as error:
        print_message(describe_error(error))
        sys.exit(2)
    except Exception:  # noqa: BLE001  # a bug, whatever it is
        print_message(traceback.format_exc())
        sys.exit(1)


def single(config: DictConfig) -> Settings:
    """The settings of a start on its own.

    Raises:
        SettingError: one is not allowed, or results in several starts.
    """
    given_by_mlflow()
    settings = settings_from(without_hydra(OmegaConf.create(config)))
    if settings.repeats > 1 or settings.precision is not None:
        given = f"repeats={settings.repeats}" if settings.precision is None else f"precision={settings.precision}"
        raise SettingError(f"{given}: several starts are a sweep. Add -m.")
    for name in ("aa", "resume", "repeats_of", "time_budget_s"):
        if value := getattr(settings, name):
            raise SettingError(f"{name}={value}: this has no effect on one start, it is of a sweep. Add -m.")
    return settings
