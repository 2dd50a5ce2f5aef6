"""python -m bench: one start of vLLM, or, with -m, a sweep of them; each start is an MLflow run."""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from bench import __version__
from bench.compose import settings_from
from bench.config import conf_dir
from bench.errors import BenchError, SettingError
from bench.host.output_folders import refuse_current_folder
from bench.overrides.hydra_checks import MULTIRUN, RUN, hydra_composing, refuse_hydra
from bench.overrides.settings_help import settings_help
from bench.overrides.words import read_words
from bench.sweep.single import single
from bench.system.interrupts import handled
from bench.system.output import exit_where_lost, guard_output, print_message, print_result
from bench.system.program import version_line
from bench.vllm.forsaken import end_forsaken

# Hydra's flags with which nothing remains but what is printed.
PRINTING = frozenset({"-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "-i", "--info"})


def main() -> None:
    """The console script."""
    guard_output()
    with handled():
        try:
            refuse_current_folder()
            if "--version" in sys.argv:  # else that of Hydra
                print_result(version_line(__version__))
                return
            words = read_words(sys.argv[1:])
            if words.is_help:
                print_result(settings_help(words))
                return
            sys.argv[1:] = [*words.flags, *words.overrides]  # as Hydra takes them
            end_forsaken()
            with hydra_composing():
                start()
        except SettingError as error:
            print_message(str(error))
            sys.exit(2)
        finally:
            if PRINTING & set(sys.argv):
                sys.stdout.flush()
                exit_where_lost()


@hydra.main(config_path=conf_dir(), config_name="config", version_base="1.3")
def start(config: DictConfig) -> object:
    """One start. In a sweep Hydra calls it for each. The settings were checked before, by the sweeper or by `CheckSingle`."""
    from bench.start.files import PRIME
    from bench.sweep.job import run_job
    from bench.sweep.plan import Point
    from bench.sweep.prepare import unused
    from bench.sweep.prime import downloads, untimed

    hydra_config, is_sweep = HydraConfig.instance().cfg, HydraConfig.get().mode == RunMode.MULTIRUN
    folder = Path(HydraConfig.get().runtime.output_dir)
    assert isinstance(hydra_config, DictConfig)
    try:
        # Again: of another sweeper's starts, or without the check, nothing was refused before.
        refuse_hydra(hydra_config, MULTIRUN if is_sweep else RUN)
        if is_sweep:
            return run_job(settings_from(config), folder)
        settings = single(config)
        for starts in (downloads, untimed):
            for before in starts([Point(settings.load_format.name, (), settings)]):
                run_job(before.as_settings(), unused(folder / PRIME))
        outcome = run_job(settings, folder)
    except BenchError as error:
        print_message(str(error))
        sys.exit(2)
    if outcome.reason or not outcome.run_id:
        sys.exit(1)
    return outcome


if __name__ == "__main__":
    main()
