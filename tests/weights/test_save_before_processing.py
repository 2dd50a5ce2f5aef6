"""What each worker writes: files that safetensors reads, with every tensor as it was, or a refusal."""

from typing import Any

import pytest

from bench.weights import save_before_processing
from bench.weights.checkpoint import tensors_in
from bench.weights.save_before_processing import described, in_parts, refuse_changed, write_file


def test_every_type_and_layout_is_written_as_it_is(tmp_path, monkeypatch):
    """Quantised, scalar, transposed; in chunks that end inside of a tensor."""
    torch, load_file = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch").load_file
    monkeypatch.setattr(save_before_processing, "CHUNK_BYTES", 100)

    def bytes_of(tensor: Any) -> bytes:
        return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()

    state = {
        "bias": torch.arange(3, dtype=torch.int8),
        "scale": torch.tensor(0.5),
        "weight": torch.randn(16, 24).to(torch.bfloat16),
        "transposed": torch.arange(35, dtype=torch.int32).reshape(5, 7).t(),
        "packed": torch.arange(7, dtype=torch.uint8).view(torch.float8_e4m3fn),
    }
    size = write_file(tmp_path / "file", state)
    read = {name: bytes_of(values) for name, values in load_file(tmp_path / "file").items()}

    assert size == sum(map(len, read.values()))
    assert tensors_in([tmp_path / "file"]) == {
        name: (kind, tuple(shape)) for name, (kind, shape) in described(state).items()
    }
    assert read == {name: bytes_of(tensor) for name, tensor in state.items()}


def test_a_file_ends_before_it_grows_beyond_its_limit(monkeypatch):
    """A tensor is never cut."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(save_before_processing, "PART_BYTES", 10)
    state = {name: torch.zeros(size, dtype=torch.uint8) for name, size in {"a": 4, "b": 6, "c": 1, "d": 20}.items()}

    assert [list(part) for part in in_parts(state)] == [["a", "b"], ["c"], ["d"]]


@pytest.mark.parametrize(
    "loaded",
    [{"weight": ["F8_E4M3", [4, 4]]}, {}, {"weight": ["BF16", [4, 4]], "weight_scale": ["F32", [1]]}],
    ids=["another type", "gone", "one more"],
)
def test_parameters_that_loading_changes_cannot_be_cut(loaded):
    """A sharded loader fills a fresh model, which does not have them so."""
    with pytest.raises(RuntimeError, match=r"loading changes 1 of its parameters, among them weight"):
        refuse_changed({"weight": ["BF16", [4, 4]]}, loaded)


def test_a_type_that_files_do_not_hold_is_refused():
    """By its name, before a byte is written."""
    torch = pytest.importorskip("torch")

    with pytest.raises(RuntimeError, match="weight is complex64, which safetensors files do not hold"):
        described({"weight": torch.zeros(2, dtype=torch.complex64)})
