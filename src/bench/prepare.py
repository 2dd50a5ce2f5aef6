"""python -m bench.prepare: makes the checkpoints that load formats need, where they are missing.

    python -m bench.prepare                                                        the random weights of the default model
    python -m bench.prepare load_format=runai_streamer_sharded tensor_parallel_size=1,2
    python -m bench.prepare model=hf model.path=/data/llama load_format=sharded_state tensor_parallel_size=8
    python -m bench.prepare load_format=sharded_state remake=true                  replaces an existing checkpoint
    python -m bench.prepare load_format=sharded_state dry_run=true                 prints what would be made

Takes the settings of python -m bench, and --config-dir=FOLDER; several values make several checkpoints. A sweep does this by itself. A hub id
is not downloaded here but by vLLM: where it is cut, or in a start that does not count before a sweep's first.
"""

import time
from pathlib import Path

from bench.cli import command, split_arguments
from bench.compose import compose_settings
from bench.config import Settings
from bench.errors import SettingError
from bench.host.host import look_at_host
from bench.host.output_folders import refuse_places
from bench.overrides.words import read_settings
from bench.sweep.prepare import describe_elsewhere, prepare_and_log, refuse_checkpoints, unused
from bench.system.output import print_result
from bench.vllm.check_arguments import refuse_arguments

OWN = {"remake": "false"}


@command(__doc__)
def main(arguments: list[str]) -> None:
    """Make the missing checkpoints, and print the path of each."""
    own, _, overrides = split_arguments(arguments, OWN)
    folder = Path("outputs") / time.strftime("prepare-%Y%m%d-%H%M%S")
    remake = _switch("remake", own["remake"])
    words = read_settings(overrides, [*OWN])
    points = compose_settings(words.overrides, words.config_dir)
    refuse_arguments([(each, look_at_host(each)) for each in points if each.arguments])
    refuse_places(points, folder, "the log's folder")
    refuse_checkpoints(points, folder, remake=remake)
    for settings in points:
        place, elsewhere = Path(settings.checkpoint_path), describe_elsewhere(settings)
        if elsewhere:
            print_result(elsewhere)
        if settings.dry_run:
            print_plan(settings, place, remake=remake)
            continue
        prepare_and_log(settings, unused(folder / place.name), remake=remake)
        if place.exists():
            print_result(f"ready: {place}")


def print_plan(settings: Settings, place: Path, *, remake: bool) -> None:
    """What `dry_run=true` prints of a checkpoint. Nothing is made."""
    if place.exists() and not remake:
        print_result(f"is there: {place}")
    elif settings.model.random or settings.load_format.checkpoint == "sharded":
        print_result(f"would be made: {place}")


def _switch(name: str, given: str) -> bool:
    """
    Raises:
        SettingError: neither true nor false.
    """
    if given.lower() not in {"true", "false"}:
        raise SettingError(f"{name}={given!r}: must be true or false.")
    return given.lower() == "true"


if __name__ == "__main__":
    main()
