"""The checkpoints of a sweep, resolved once: what becomes another one ends it, in words; without vLLM."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.start.tags import CONTENT
from bench.sweep.opening import Sweep
from bench.sweep.plan import Point, Start
from bench.sweep.run import run_blocks
from bench.sweep.verify import changed, read_by_others, resolved
from made_sweeps import made_start


@pytest.fixture
def point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Point:
    """Of a model of the user's, behind a link."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(os.urandom(1000))
    (tmp_path / "mine").symlink_to("one")
    return Point("auto", (), compose_settings(["model=hf", "model.path=mine", "repeats=3"])[0])


def turn() -> None:
    Path("mine").unlink()
    Path("mine").symlink_to("other")


CHANGES = [
    (turn, "mine led to {folder}/one when the sweep began and leads to {folder}/other now"),
    (
        lambda: Path("one/model.safetensors").write_bytes(bytes(1000)),
        "model.safetensors in mine changed since the sweep began",
    ),
    (lambda: Path("one/config.json").write_text("{}"), "config.json in mine changed since the sweep began"),
    (lambda: shutil.rmtree("one"), "mine led to {folder}/one when the sweep began and cannot be read now"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_a_checkpoint_that_becomes_another_ends_the_sweep(point, tmp_path, change, words):
    """Before the next block: starts of two checkpoints are not one experiment."""
    blocks = [[Start(point, repeat, repeat + 1)] for repeat in range(3)]
    sweep = Sweep("s", None, [point], blocks, files=resolved([point]))
    launched = []

    def launch(jobs: list[list[str]]) -> list:
        launched.append(jobs)
        if len(launched) == 2:
            change()
        return []

    words = words.format(folder=tmp_path)
    assert run_blocks(sweep, launch) == f"after 2 blocks: {words}"
    assert (sweep.change, len(launched)) == (words, 2)


def test_a_checkpoint_that_nobody_touches_ends_nothing(point):
    """Reading it is no change, and what reads no files has none that could change."""
    (dummy,) = compose_settings(["model=hf", "model.path=mine", "load_format=dummy"])
    points = [point, Point("dummy", (), dummy)]
    files = resolved(points)
    Path("mine/model.safetensors").read_bytes()

    assert files.keys() == {"auto"}
    assert changed(points, files) is None


def test_a_sweep_is_not_resumed_with_another_checkpoint(point):
    """The starts that were made before say what they read."""
    files = resolved([point])
    same, other, unknown = (
        made_start("auto", tags=CONTENT.of(text)) for text in (files["auto"].digest, "0" * 32, None)
    )

    assert read_by_others([same, unknown], files) is None
    assert read_by_others([same, other], files).startswith("auto #1, made before, read a checkpoint of other contents")


def test_a_start_is_not_made_of_another_checkpoint_than_its_sweep_s(point, change_before_exec: Callable[[], str]):
    """Refused before exec: no second of a GPU goes into a start that could not count."""
    assert change_before_exec().endswith("changed since the sweep began: vLLM was not started")


@pytest.fixture
def change_before_exec(point: Point) -> Callable[[], str]:
    """Why a start of a sweep that began with the files as they were is refused."""
    from bench.errors import CheckpointError
    from bench.host.host import Device, Host, Needs
    from bench.start.execution import PreparedStart
    from bench.start.run import unchanged_files
    from bench.vllm.command import Command
    from bench.weights.fingerprint_store import Expected, expect, files_of

    place = point.settings.sweep.model_copy(update={"id": "s", "point": "auto"})
    settings = point.settings.model_copy(update={"sweep": place})
    prepared = PreparedStart(
        settings, Host(Device("cpu"), "python", {"vllm": "0"}, Needs({}, {})), Command((), {}, 0), Path()
    )

    def refused() -> str:
        expect(settings.caches_dir, "s", {"auto": Expected(files_of(settings), None, "unverified", "", "auto")})
        assert unchanged_files(prepared) == files_of(settings)
        Path("one/model.safetensors").write_bytes(b"other")
        with pytest.raises(CheckpointError) as error:
            unchanged_files(prepared)
        return str(error.value)

    return refused
