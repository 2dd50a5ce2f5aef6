"""Checksums of what a rank has loaded: whatever changes in a tensor changes its digest, and vLLM does not notice them."""

import json
import sys

import pytest

from bench.vllm.command import CHECKSUMS
from fake_package import PROBE

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def sums():
    """The probe's module, as vLLM's processes import it."""
    sys.path.insert(0, str(PROBE))
    try:
        from bench_probe import checksums
    finally:
        sys.path.remove(str(PROBE))
    return checksums


@pytest.fixture
def events(sums, monkeypatch):
    """What is written, instead of writing it."""
    written = []
    monkeypatch.setattr(sums.events, "write", lambda event, **facts: written.append({"event": event, **facts}))
    return written


def large() -> "torch.Tensor":
    """Two whole blocks and a part of a third that is no multiple of a word."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-(2**15), 2**15, (3, 500_001), dtype=torch.int16, generator=generator).view(torch.bfloat16)


@pytest.mark.parametrize("place", [0, 1, 524_287, 700_000, 1_499_999, 1_500_002])
@pytest.mark.parametrize("bit", [0, 7, 15])
def test_a_flipped_bit_changes_the_digest(sums, place, bit):
    """Any bit of any element: in the first block, in the last, and in what is left behind the last whole word."""
    tensor = large()
    before = sums.digest_of(torch, tensor)
    tensor.view(torch.int16).view(-1)[place] ^= -(2**15) if bit == 15 else 1 << bit

    assert sums.digest_of(torch, tensor) != before


def test_rows_that_change_places_change_the_digest(sums):
    """Also where they differ by their signs alone, which are the highest bits of words."""
    tensor = torch.ones(8, 512, dtype=torch.float64)
    tensor[3] = -1
    swapped = tensor[[0, 1, 2, 4, 3, 5, 6, 7]]

    assert sums.digest_of(torch, swapped) != sums.digest_of(torch, tensor)


def test_blocks_that_change_places_change_the_digest(sums):
    """A block's place counts as an element's within it does."""
    tensor = large().view(-1)[: 2 * 524_288].view(2, 524_288)

    assert sums.digest_of(torch, tensor[[1, 0]]) != sums.digest_of(torch, tensor)


@pytest.mark.parametrize("seed", range(20))
def test_two_elements_that_change_places_change_the_digest(sums, seed):
    """Wherever they are, and in a tensor of nothing but ones and minus ones."""
    generator = torch.Generator().manual_seed(seed)
    tensor = torch.where(torch.rand(1000, generator=generator) < 0.5, 1.0, -1.0).to(torch.float8_e4m3fn)
    one, other = int((tensor.float() > 0).nonzero()[seed]), int((tensor.float() < 0).nonzero()[-seed - 1])
    swapped = tensor.clone().view(torch.uint8)
    swapped[[one, other]] = swapped[[other, one]]

    assert sums.digest_of(torch, swapped.view(torch.float8_e4m3fn)) != sums.digest_of(torch, tensor)


def test_the_digest_is_of_the_values_and_not_of_how_they_lie(sums):
    """A view, a transposed tensor and one at an odd address have the digests of their contiguous copies."""
    tensor = large()
    odd = torch.cat([tensor.view(torch.uint8).view(-1)[:1], tensor.view(torch.uint8).view(-1)])[1:]

    assert sums.digest_of(torch, tensor.t()) == sums.digest_of(torch, tensor.t().contiguous())
    assert sums.digest_of(torch, tensor[1:]) == sums.digest_of(torch, tensor[1:].clone())
    assert sums.digest_of(torch, odd) == sums.digest_of(torch, tensor)


@pytest.mark.parametrize("at_once", [1, 2, 64])
def test_a_digest_is_the_same_on_every_device(sums, at_once, monkeypatch):
    """A GPU sums many blocks at once, a CPU one."""
    expected = sums.digest_of(torch, large())
    monkeypatch.setitem(sums.BLOCKS_AT_ONCE, "cpu", at_once)

    assert sums.digest_of(torch, large()) == expected


class Block(torch.nn.Module):
    """Every kind of tensor that a module can have."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2, 3, dtype=torch.float8_e4m3fn), requires_grad=False)
        self.scale = torch.nn.Parameter(torch.tensor(0.5))
        self.register_buffer("kept", torch.arange(3))
        self.register_buffer("passing", torch.arange(3), persistent=False)
        self.register_buffer("absent", None)
        self.empty = torch.nn.Parameter(torch.empty(0, 4))
        self.nowhere = torch.nn.Parameter(torch.empty(2, device="meta"))


def test_every_parameter_and_persistent_buffer_has_a_checksum(sums, events):
    """Tied ones under each name, a scalar, an empty one; what has no memory is written with the reason."""
    model = torch.nn.Sequential(Block(), Block())
    model[1].weight = model[0].weight
    with torch.inference_mode(), torch.device("meta"):  # as vLLM may call it
        sums.checksum_model(model)
    *tensors, total = events
    named = {fact["name"]: fact for fact in tensors}

    assert named.keys() == {f"{n}.{name}" for n in (0, 1) for name in ("weight", "scale", "kept", "empty", "nowhere")}
    assert named["0.weight"]["digest"] == named["1.weight"]["digest"]
    assert named["0.nowhere"]["failed"] == "it has no memory"
    assert {"digest" in fact for name, fact in named.items() if "nowhere" not in name} == {True}
    assert (named["0.kept"]["kind"], named["0.kept"]["bytes"], named["0.scale"]["shape"]) == ("buffer", 24, [])
    assert (total["event"], total["tensors"]) == ("checksums", 10)
    assert json.dumps(events)


def test_the_model_is_as_it_was(sums, events):
    """Its values, its gradients' flags, and what torch was set to."""
    model = Block()
    sums.checksum_model(model)

    assert torch.equal(model.kept, torch.arange(3))
    assert model.scale.requires_grad
    assert torch.is_grad_enabled()


def test_the_probe_is_asked_for_checksums_by_its_variable(sums):
    """Two modules spell it: one lives in vLLM's environment."""
    assert sums.ASKED == CHECKSUMS
