"""What a load format needs is made where it is missing, by the fake vLLM, and only believed where it is right."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.composing import compose_settings
from bench.errors import CheckpointError, StartError
from bench.host.measured import look_at_host
from bench.weights.checkpoint import MANIFEST
from bench.weights.prepare import LOG, Made, ensure_checkpoint
from conftest import FAKE

Ensure = Callable[..., list[Made]]


def ensured(*overrides: str, remake: bool = False) -> list[Made]:
    """What had to be made for these settings, below models/."""
    (settings,) = compose_settings([f"vllm.python={FAKE}", *overrides])
    return ensure_checkpoint(settings, look_at_host(settings), Path(), lambda *_: None, remake=remake)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/tiny_llama, made once."""
    folder = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert names(ensured()) == ["tiny_llama"]
    return folder / "models"


@pytest.fixture
def ensure(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ensure:
    """`ensured` in a place where the original is there already."""
    shutil.copytree(original, tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    return ensured


def names(made: list[Made]) -> list[str]:
    return [each.folder.name for each in made]


def test_what_is_missing_is_made_once(tmp_path, monkeypatch):
    """First the original, then what is cut from it; then nothing more."""
    monkeypatch.chdir(tmp_path)
    first, second = ensured("load_format=sharded_state"), ensured("load_format=sharded_state")

    assert names(first) == ["tiny_llama", "tiny_llama-tp1"]
    assert second == []


def test_load_formats_share_what_they_read(ensure):
    """The checkpoint is cut for a tensor-parallel size, and not for a load format."""
    ensure("load_format=sharded_state")

    assert ensure("load_format=runai_streamer_sharded") == []


def test_a_sharded_checkpoint_has_the_rest_of_the_original_too(ensure, tmp_path):
    """Config and tokenizer, so that it can be loaded from its folder alone; not the manifest and the index of the other."""
    ensure("load_format=sharded_state")
    original, sharded = (
        {path.name for path in (tmp_path / "models" / name).iterdir()} for name in ("tiny_llama", "tiny_llama-tp1")
    )
    rest = {name for name in original if not name.endswith((".safetensors", ".index.json"))}

    assert {"config.json", "tokenizer.json", MANIFEST} <= rest
    assert sharded == rest | {"model-rank-0-part-0.safetensors"}


def test_a_cut_that_fails_is_told_in_the_words_of_vllm(ensure, tmp_path, monkeypatch):
    """It leaves its log, and no checkpoint."""
    monkeypatch.setenv("FAKE_SHARD", "fail")

    with pytest.raises(
        StartError, match=r"^vLLM could not cut models/tiny_llama \(exit code 1\): RuntimeError: no room"
    ):
        ensure("load_format=sharded_state")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["tiny_llama"]
    assert "no room for the weights" in (tmp_path / LOG).read_text()


def test_a_cut_that_leaves_weights_out_is_no_checkpoint(ensure, tmp_path, monkeypatch):
    """vLLM's writer says nothing of it where its CPU kernels have packed the weights: 0.5 of 26 MB were there."""
    monkeypatch.setenv("FAKE_SHARD", "part")

    with pytest.raises(CheckpointError, match=r"^vLLM wrote 1,024 of models/tiny_llama's 13,1\d\d,\d{3} weights, so"):
        ensure("load_format=sharded_state", "tensor_parallel_size=2")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["tiny_llama"]


def test_a_checkpoint_that_another_vllm_has_cut_is_refused(ensure, tmp_path):
    """Versions name and cut the weights differently; the message has the command that makes it again."""
    ensure("load_format=sharded_state")
    manifest = tmp_path / "models" / "tiny_llama-tp1" / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"made_by": {"vllm": "0.26.0"}}))

    with pytest.raises(
        CheckpointError, match=r"(?s)made_by.*'0.26.0' where '0.32.0' is needed.*python -m bench.prepare"
    ):
        ensure("load_format=sharded_state")


def test_remaking_cuts_it_again(ensure, tmp_path):
    """What the message's command does: a changed file is as it should be."""
    ensure("load_format=sharded_state")
    weights = tmp_path / "models" / "tiny_llama-tp1" / "model-rank-0-part-0.safetensors"
    weights.write_bytes(b"")

    assert names(ensure("load_format=sharded_state", remake=True)) == ["tiny_llama-tp1"]
    assert weights.read_bytes() == b"weights of one rank"


def test_a_folder_that_bench_has_not_made_is_not_overwritten(ensure, tmp_path):
    """Somebody's weights may lie there."""
    folder = tmp_path / "models" / "tiny_llama-tp1"
    folder.mkdir(parents=True)
    (folder / "precious.safetensors").write_bytes(b"weights")

    with pytest.raises(CheckpointError, match="was not made by bench, so it is not overwritten"):
        ensure("load_format=sharded_state", remake=True)
    assert [path.name for path in folder.iterdir()] == ["precious.safetensors"]


def test_a_checkpoint_of_the_user_is_never_made(ensure):
    """A path that cannot be a hub's id is wrong; bench would not know what to put there."""
    with pytest.raises(CheckpointError, match=r"model\.path=/nowhere/llama: there is no such folder"):
        ensure("model=hf", "model.path=/nowhere/llama")
