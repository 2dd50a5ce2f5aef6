"""python -m bench.replay: logs recorded elsewhere become runs of one sweep, to be compared like any other.

python -m bench.replay base.log runai_sharded.log      each start in them a run, named after its file; - is standard input
python -m bench.replay 'logs/**/*.log.gz'              patterns; packed logs (.gz, .zst) are unpacked
python -m bench.replay point.local='local-*.log' point.streamer='streamer-*.log'
                                                       several logs of one point: its repeats, in whose place an interval stands; also point.local=a.log,b.log
python -m bench.replay many.log start=2                only the second start in a file of several
python -m bench.replay --explain base.log              prints what is read from which line; nothing is written to MLflow
python -m bench.replay multirun/…/start-3              a start of bench's that MLflow has not got yet, brought in; or all of a sweep's folder
python -m bench.replay benchmark_results/NAME          a published result: its sweep and all starts of it
python -m bench.replay LOG... tracking.uri=URI          and tracking.experiment, cache_dir, caches_dir, experiment, --config-dir=FOLDER
"""

import os
import shlex
import tempfile
from collections import Counter
from collections.abc import Sequence, Sized
from functools import partial
from glob import glob
from pathlib import Path

from bench.cli import TAKES, command, split_arguments
from bench.compose import compose_one
from bench.config import Tracking
from bench.errors import LogError
from bench.log.recordings import Recording, expanded, log_file, recordings_in
from bench.overrides.words import read_settings
from bench.report.published_table import STARTS
from bench.start.explain import explanation
from bench.start.files import STARTUP
from bench.sweep.publish import bring_in_result
from bench.sweep.replay import replay_sweep
from bench.system.interrupts import unbroken
from bench.system.output import exit_where_lost, print_result
from bench.tracking.address import words_for
from bench.tracking.bring_in import bring_in, is_in_store, tidy
from bench.tracking.sweeps import SWEEP_FILE, SweepRun, log_sweep

EXPLAIN, POINT = "--explain", "point."
CONFIG_DIR = ("--config-dir", "-cd")  # its value may be the next word


@command(__doc__)
def main(arguments: list[str]) -> None:
    """Replay every file, then bring in every folder."""
    own, _, rest = split_arguments([each for each in arguments if each != EXPLAIN], {"start": ""})
    of_points = [each for each in rest if each.startswith((POINT, "point="))]
    named = _points(of_points)
    overrides, given = divided([each for each in rest if each not in of_points])
    places = [*named, *(each for each in expanded(given) if each not in named)]
    if not places:
        raise LogError("which log?  python -m bench.replay LOG...")
    start = _start(own["start"])
    words = read_settings(overrides, ["start", POINT, EXPLAIN])
    if EXPLAIN in arguments:
        _explain(places, start)
        return
    settings = compose_one(words, TAKES, ["LOG...", "start"])
    tracking = settings.tracking
    results = [Path(place) for place in places if (Path(place) / STARTS).is_file()]
    folders = [Path(place) for place in places if Path(place).is_dir() and Path(place) not in results]
    starts = starts_of(folders)
    unbroken(partial(tidy, settings), "MLflow to answer")
    if logs := [place for place in places if not Path(place).is_dir()]:
        _replay(tracking, {log: named.get(log) for log in logs}, start)
    for result in results:
        _bring_in_result(tracking, result)
    for folder in starts:
        there = " is there already:" if is_in_store(tracking, folder) else ""
        print_result(f"{folder}:{there} run {bring_in(tracking, folder)}")
    for sweep in filter(None, map(SweepRun.load, folders)):
        log_sweep(tracking, sweep)


def _points(words: list[str]) -> dict[str, str]:
    """The point of each log that was given to one (`point.NAME=LOG`), in their order.

    Raises:
        LogError: a word names no point or no log, or a log is given to two points.
    """
    points: dict[str, str] = {}
    for word in words:
        name, _, logs = word.removeprefix(POINT).partition("=")
        if not word.startswith(POINT) or not name.strip() or not logs:
            raise LogError(f"{word}: the logs of a point are given as point.NAME=LOG, or point.NAME='PATTERN'.")
        for log in _logs_in(logs):
            if points.setdefault(log, name) != name:
                raise LogError(f"{log}: it is given to two points, {points[log]} and {name}.")
    return points


def _logs_in(text: str) -> list[str]:
    """The logs of a point: a name or a pattern, with commas in it, or several with commas between."""
    is_one = "," not in text or os.path.lexists(text) or bool(glob(text, recursive=True))  # noqa: PTH207 - that of Path takes no absolute pattern
    return expanded([text] if is_one else text.split(","))


def _replay(tracking: Tracking, logs: dict[str, str | None], start: int | None) -> None:
    """All logs, each with the point that it was given to, are read before the first run is written to MLflow."""
    with tempfile.TemporaryDirectory() as place:
        files = [log_file(name, Path(place), point) for name, point in logs.items()]
        recordings = [each for file in files for each in recordings_in(file, start)]
        sweep_id, places = replay_sweep(tracking, recordings)
    repeats = Counter(each.point for each in places)
    if max(repeats.values()) > 1:
        print_result("\n".join(f"{point}: {_starts(count)}" for point, count in repeats.items()))
    print_result(
        f"replayed {_counted(recordings, logs)} as sweep {sweep_id}\n"
        f"compare them:  {_command(tracking, f'sweep={sweep_id}')}"
    )


def _bring_in_result(tracking: Tracking, folder: Path) -> None:
    sweep, starts = bring_in_result(tracking, folder)
    print_result(
        f"{folder}: {starts} starts of sweep {sweep.sweep_id}\n"
        f"compare them:  {_command(tracking, f'sweep={sweep.sweep_id}', *sweep.compare)}"
    )


def _command(tracking: Tracking, *words: str) -> str:
    return shlex.join(["python", "-m", "bench.compare", *words, *words_for(tracking)])


def _explain(logs: list[str], start: int | None) -> None:
    with tempfile.TemporaryDirectory() as place:
        for name in logs:
            for recording in recordings_in(log_file(name, Path(place)), start):
                for line in explanation(recording):
                    print_result(line)
                print_result("")
    exit_where_lost()


def _starts(count: int) -> str:
    return "1 start" if count == 1 else f"{count} starts, each a repeat"


def _counted(recordings: list[Recording], logs: Sized) -> str:
    of_logs = f"{len(logs)} log{'' if len(logs) == 1 else 's'}"
    return of_logs if len(recordings) == len(logs) else f"{len(recordings)} starts of {of_logs}"


def _start(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise LogError(f"start={text}: it is the number of a start in its file, from 1.")
    return int(text)


def divided(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Settings and flags, and the places of logs: `-`, what exists, and what is neither a flag nor NAME=VALUE."""
    settings, places = list[str](), list[str]()
    for before, word in zip(["", *arguments], arguments, strict=False):
        is_setting = before in CONFIG_DIR or (word.startswith("-") and word != "-") or "=" in word
        is_place = before not in CONFIG_DIR and os.path.lexists(word)
        (places if is_place or not is_setting else settings).append(word)
    return settings, places


def starts_of(folders: list[Path]) -> list[Path]:
    """The folders of all starts in these folders.

    A sweep's folder without starts is accepted if others have some: it was resumed when nothing was left to do, or ended
    before its first start.

    Raises:
        LogError: no start of bench's was finished in one of the folders.
    """
    found = {folder: _starts_in(folder) for folder in folders}
    starts = [start for those in found.values() for start in those]
    for folder, those in found.items():
        if not those and not (starts and (folder / SWEEP_FILE).is_file()):
            raise LogError(
                f"{folder}: there is no {STARTUP}, so no start of bench's was finished here." + _pattern(folder)
            )
    return starts


def _pattern(folder: Path) -> str:
    """What to type for the logs in this folder. Empty: there is no file."""
    endings = Counter(path.suffix for path in folder.iterdir() if path.is_file())
    if not endings:
        return ""
    pattern = "*.log" if ".log" in endings else f"*{endings.most_common(1)[0][0]}"
    return f" Logs in a folder are given by a pattern:  python -m bench.replay {shlex.quote(str(folder / pattern))}"


def _starts_in(folder: Path) -> list[Path]:
    """The folder of a start itself, or all starts of a sweep's folder."""
    return [path.parent for path in (folder / STARTUP, *sorted(folder.glob(f"*/{STARTUP}"))) if path.is_file()]


if __name__ == "__main__":
    main()
