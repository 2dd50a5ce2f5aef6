"""A checksum of every parameter and persistent buffer of a rank: what was loaded, before any kernel rearranges it.

Taken between load_weights and process_weights_after_loading, in a verification start only, on the device where the
tensors lie. A tensor's bytes in logical order are 64-bit words w_i, in blocks of 1 MiB; a block's sum is

    sum of  mix(w_i * a_i) * b_i  modulo 2**64,   mix(x) = x ^ (x >> 32 & 0xffffffff),   a_i, b_i odd and of the place i

and the tensor's digest is BLAKE2b over the sums of its blocks. Each term is a bijection of its word, so one changed word,
such as a flipped bit, always changes the sum; words that change places meet other factors.
"""

from __future__ import annotations

import hashlib
import sys
import time
from typing import TYPE_CHECKING

from . import events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

ASKED = "BENCH_PROBE_CHECKSUMS"  # the variable that requests them
WORD_BYTES = 8
BLOCK_WORDS = 2**17  # 1 MiB
BLOCKS_AT_ONCE = {"cpu": 1, "other": 64}  # enough to fill a GPU, and 128 MiB of its memory besides
# At once on a CPU: it stays in the cache, and torch splits nothing of this size among threads, which would spend longer waiting for
# each other than working wherever cores are shared.
SERIAL_WORDS = 2**15
A, B = 0x2545F4914F6CDD1D, 0x369DEA0F31A53F85  # odd; a place's factors are multiples of them, made odd
LOW_HALF = 0xFFFFFFFF
DIGEST_BYTES = 8
MODELS: list[int] = []  # a drafter is loaded behind the model


def checksum_model(model: Any) -> None:
    """Write an event for each tensor, and one at the end with their number, bytes and the seconds that it took.

    A tensor that has no checksum (it lies on no device, its type has no bytes) is written with the reason.
    """
    torch = sys.modules["torch"]
    began_s, count, size = time.monotonic(), 0, 0
    MODELS.append(len(MODELS))
    known: dict[Any, str] = {}  # tied weights are read once
    with torch.no_grad():
        for name, kind, tensor in tensors_of(model):
            fact = described(torch, tensor, known)
            count, size = count + 1, size + fact["bytes"]
            events.write("tensor", model=MODELS[-1], name=name, kind=kind, **fact)
        FACTORS.clear()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # vLLM measures what is left for its KV cache
    events.write("checksums", model=MODELS[-1], tensors=count, bytes=size, duration_s=time.monotonic() - began_s)


def tensors_of(model: Any) -> Iterator[tuple[str, str, Any]]:
    """Name, kind and tensor: all parameters, tied ones under each of their names, and the buffers that a state_dict has."""
    for name, parameter in model.named_parameters(remove_duplicate=False):
        yield name, "parameter", parameter
    for prefix, module in model.named_modules(remove_duplicate=False):
        passing: set[str] = getattr(module, "_non_persistent_buffers_set", set())
        for name, buffer in vars(module).get("_buffers", {}).items():
            if buffer is not None and name not in passing:
                yield f"{prefix}.{name}" if prefix else name, "buffer", buffer


def described(torch: Any, tensor: Any, known: dict[Any, str]) -> dict[str, Any]:
    """Its type, shape, bytes, and `digest` or `failed`."""
    fact = {"dtype": str(tensor.dtype), "shape": list(tensor.shape), "bytes": tensor.numel() * tensor.element_size()}
    if tensor.device.type == "meta":
        return {**fact, "failed": "it has no memory"}
    place = (tensor.data_ptr(), str(tensor.device), tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()))
    try:
        if place not in known:
            known[place] = digest_of(torch, tensor)
    except Exception as error:  # noqa: BLE001  # the others are worth having
        return {**fact, "failed": f"{type(error).__name__}: {error}"}
    return {**fact, "digest": known[place]}


def digest_of(torch: Any, tensor: Any) -> str:
    """The digest of a tensor's bytes in logical order, hexadecimal; type and shape are no part of it."""
    plain = tensor.detach().as_subclass(torch.Tensor)  # vLLM's own parameters intercept what is done to them
    data = plain.contiguous().reshape(-1).view(torch.uint8)
    if data.storage_offset() % WORD_BYTES:
        data = data.clone()  # words must lie at their multiples
    digest = hashlib.blake2b(str(data.numel()).encode(), digest_size=DIGEST_BYTES)
    for sums in block_sums(torch, data):
        digest.update(b"".join((each & (2**64 - 1)).to_bytes(WORD_BYTES, "little") for each in sums.tolist()))
    return digest.hexdigest()


def block_sums(torch: Any, data: Any) -> Iterator[Any]:
    """The sum of each block, some at a time. The last one is padded with zeros."""
    whole = data.numel() // (BLOCK_WORDS * WORD_BYTES) * BLOCK_WORDS * WORD_BYTES
    words = data[:whole].view(torch.int64).view(-1, BLOCK_WORDS)
    at_once = BLOCKS_AT_ONCE.get(data.device.type, BLOCKS_AT_ONCE["other"])
    for first in range(0, words.shape[0], at_once):
        yield summed(torch, words[first : first + at_once])
    if whole < data.numel():
        tail = data[whole:]
        padded = torch.zeros(-(-tail.numel() // WORD_BYTES) * WORD_BYTES, dtype=torch.uint8, device=data.device)
        padded[: tail.numel()] = tail
        yield summed(torch, padded.view(torch.int64).view(1, -1))


def summed(torch: Any, words: Any) -> Any:
    """[blocks, words of a block], int64 -> [blocks], int64."""
    width = SERIAL_WORDS if words.device.type == "cpu" else BLOCK_WORDS
    first, second = factors(torch, words.device)
    total = torch.zeros(words.shape[0], dtype=torch.int64, device=words.device)
    for begin in range(0, words.shape[1], width):
        some = words[:, begin : begin + width]
        end = begin + some.shape[1]
        mixed = some * first[begin:end]
        high = mixed >> 32
        high &= LOW_HALF
        mixed ^= high
        mixed *= second[begin:end]
        total += mixed.sum(1, dtype=torch.int64)
    return total


FACTORS: dict[str, tuple[Any, Any]] = {}


def factors(torch: Any, device: Any) -> tuple[Any, Any]:
    """a_i and b_i for the places of a block, on this device: odd, and different for each place."""
    if str(device) not in FACTORS:
        places = torch.arange(1, BLOCK_WORDS + 1, dtype=torch.int64, device=device)
        FACTORS[str(device)] = (scrambled(places * A) | 1, scrambled(places * B) | 1)
    return FACTORS[str(device)]


def scrambled(numbers: Any) -> Any:
    """Neighbours far apart, in all bits.

    Source: the finaliser of MurmurHash3, with shifts that keep the sign
    """
    numbers = (numbers ^ (numbers >> 33)) * 0x4F51AFD7ED558CCD
    return numbers ^ (numbers >> 29)
