"""python -m bench.replay: logs recorded elsewhere become runs of one sweep, to be compared like any other.

python -m bench.replay base.log runai_sharded.log      each file a start, named after it; - is standard input
python -m bench.replay multirun/…/start-3              a start of bench's that MLflow has not got yet, brought in
python -m bench.replay LOG... tracking.uri=URI
"""

import sys
from pathlib import Path

from bench.composing import compose_settings
from bench.door import door
from bench.errors import LogError
from bench.job import RUN, bring_in
from bench.replayed import replay_sweep
from bench.startup.record import FILE


@door(__doc__)
def main(arguments: list[str]) -> None:
    """Replay every file, then bring in every folder."""
    overrides = [word for word in arguments if "=" in word and not Path(word).exists()]
    places = list(dict.fromkeys(word for word in arguments if word not in overrides))
    if not places:
        raise LogError("which log?  python -m bench.replay LOG...")
    tracking = compose_settings(overrides)[0].tracking
    folders = [Path(place) for place in places if Path(place).is_dir()]
    for folder in folders:
        _refuse_what_is_no_start(folder)
    logs = [place for place in places if not Path(place).is_dir()]
    if logs:
        sweep_id = replay_sweep(tracking, {name: _content(name) for name in logs})
        print(f"replayed {len(logs)} logs as sweep {sweep_id}\ncompare them:  python -m bench.compare sweep={sweep_id}")
    for folder in folders:
        print(f"{folder}: run {bring_in(tracking, folder)}")


def _content(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise LogError(f"{name}: {error.strerror}") from error


def _refuse_what_is_no_start(folder: Path) -> None:
    if not (folder / FILE).is_file():
        raise LogError(f"{folder}: there is no {FILE}, so no start of bench's was finished here.")
    if (folder / RUN).is_file():
        raise LogError(f"{folder}: MLflow has it already; see {folder / RUN}.")


if __name__ == "__main__":
    main()
