"""What a disk has no room for is refused before anything is written, in numbers."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.compose import compose_settings
from bench.errors import CheckpointError
from bench.weights import space
from bench.weights.checkpoint import GIB
from bench.weights.space import Need, needs_of, refuse_without_space


def needs(*overrides: str, remake: bool = False) -> dict[str, float]:
    """GiB that are needed, by what for."""
    (settings,) = compose_settings(list(overrides))
    return {need.what: need.size / GIB for need in needs_of(settings, Path("outputs"), remake=remake)}


@pytest.fixture
def free(monkeypatch):
    """A disk with as much room as a test says."""

    def set_free(size_gib: float) -> None:
        monkeypatch.setattr(space.shutil, "disk_usage", lambda _: SimpleNamespace(free=size_gib * GIB))

    return set_free


def test_the_original_and_the_cut_are_both_counted(tmp_path, monkeypatch):
    """60.77 GiB of random weights, and 62.08 when they were cut for two: the estimate is not below, and hardly above."""
    monkeypatch.chdir(tmp_path)
    found = needs("model=random_gpt_oss_120b", "load_format=sharded_state", "tensor_parallel_size=2")

    assert found["random weights"] == pytest.approx(60.77, abs=0.01)
    assert 62.08 <= found["a checkpoint cut for 2"] <= 63
    assert found["compile caches"] == 1


@pytest.mark.parametrize(
    ("words", "setting"), [((), "models_dir"), (("model.sharded_path=cut",), "model.sharded_path")]
)
def test_the_place_of_a_cut_checkpoint_is_moved_by_the_setting_that_chose_it(tmp_path, monkeypatch, words, setting):
    """A refusal that names another setting helps nobody."""
    monkeypatch.chdir(tmp_path)
    (settings,) = compose_settings(["load_format=sharded_state", *words])
    found = {need.what: need.setting for need in needs_of(settings, Path("outputs"))}

    assert found["a checkpoint cut for 1"] == setting


def test_what_is_there_needs_no_room(tmp_path, monkeypatch):
    """Unless it is made again: the old one goes only when the new one is whole."""
    monkeypatch.chdir(tmp_path)
    Path("models/tiny_llama").mkdir(parents=True)
    (settings,) = compose_settings(["load_format=sharded_state"])

    assert "random weights" not in needs()
    assert "random weights" in needs(remake=True)
    assert "a checkpoint cut for 1" in needs("load_format=sharded_state")
    Path(settings.checkpoint_path).mkdir()
    assert "a checkpoint cut for 1" not in needs("load_format=sharded_state")
    assert "a checkpoint cut for 1" in needs("load_format=sharded_state", remake=True)


def test_the_refusal_has_the_numbers(tmp_path, free):
    """Needed, free, for what, where, and which settings choose another disk."""
    free(3)
    both = [
        Need("random weights", tmp_path / "a" / "b", 2 * GIB, "models_dir"),
        Need("caches", tmp_path, 2 * GIB, "caches_dir"),
    ]
    with pytest.raises(CheckpointError) as refused:
        refuse_without_space(both)

    for words in ("4.00 GiB are needed, 3.00 GiB are free", f"2.00 GiB for random weights in {tmp_path}/a/b"):
        assert words in str(refused.value)
    assert "set caches_dir or models_dir" in str(refused.value)


def test_what_two_points_share_counts_once(tmp_path, free):
    """A sweep's formats read one checkpoint."""
    free(3)
    need = Need("random weights", tmp_path, 2 * GIB, "models_dir")

    assert refuse_without_space([need, need]) is None
