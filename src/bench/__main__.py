"""python -m bench: one start of vLLM, or, with -m, a sweep of them; each start is an MLflow run."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from bench.composing import conf_dir, normalised, settings_from
from bench.config import Settings
from bench.console import say
from bench.errors import BenchError, SettingError
from bench.interrupts import handled


def main() -> None:
    """The console script."""
    # Hydra wants its flags before the overrides, or behind them all.
    sys.argv[1:] = sorted(normalised(sys.argv[1:]), key=lambda word: word not in {"-m", "--multirun"})
    with handled():
        start()


@hydra.main(config_path=conf_dir(), config_name="config", version_base="1.3")
def start(config: DictConfig) -> object:
    """One start. In a sweep Hydra calls it for each; the sweeper has checked the settings before."""
    from bench.host.measured import look_at_host
    from bench.job import run_job
    from bench.plan import Point
    from bench.priming import as_priming, unprimed
    from bench.sweep import print_plan

    folder = Path(HydraConfig.get().runtime.output_dir)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return run_job(settings_from(config), folder)
    try:
        settings = _alone(config)
        host = look_at_host(settings)
        if settings.dry_run:
            _forget(folder)
            print_plan([Point(settings.load_format.name, (), settings)], [host])
            return None
        for unfilled in unprimed([settings]):
            run_job(as_priming(unfilled), folder / "prime")
        outcome = run_job(settings, folder)
    except SettingError as error:
        _forget(folder)
        say(str(error))
        sys.exit(2)
    except BenchError as error:
        say(str(error))
        sys.exit(2)
    if outcome.reason or not outcome.run_id:
        sys.exit(1)
    return outcome


def _forget(folder: Path) -> None:
    """Hydra has made it before anybody could check the settings; nothing was started, so nothing is left."""
    shutil.rmtree(folder)
    with suppress(OSError):  # not empty: other starts are there
        folder.parent.rmdir()
        folder.parent.parent.rmdir()


def _alone(config: DictConfig) -> Settings:
    os.environ.pop("MLFLOW_RUN_ID", None)
    settings = settings_from(config)
    if settings.repeats > 1 or settings.precision is not None:
        raise SettingError(
            f"repeats={settings.repeats}, precision={settings.precision}: several starts are a sweep. Add -m."
        )
    return settings


if __name__ == "__main__":
    main()
