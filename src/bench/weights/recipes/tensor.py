"""One tensor of a checkpoint that is made here, and how its values are drawn: its bytes follow from the seed and its name, whatever the
threads and CPUs.

    ones          as norms are initialised
    normal        bfloat16, one stream for the whole tensor
    table_normal  bfloat16, each value one of 65,536 quantiles of the normal distribution, chosen by 16 random bits
    bytes         uint8, all values: packed MXFP4 numbers
    scales        uint8, 118 to 121: exponents of MXFP4 blocks (2**-9 to 2**-6) that keep activations finite

All but `normal` are drawn in pieces of 8 MiB with a stream each, so that a large tensor occupies many threads. Raw words
of PCG64 are the source: the one stream that numpy promises never to change.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import prod
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from numpy.typing import NDArray

STD = 0.02  # as Llama's and gpt-oss's own initializer_range
PIECE_BYTES = 8 * 1024**2
LOWEST_SCALE = 118  # an exponent with a bias of 127
ONE_BF16 = 0x3F80
WORD_BYTES = 8
FIRST_PIECE = 256  # above every byte of a name, so that no name runs into a piece's number

ITEM_BYTES = {"BF16": 2, "U8": 1}  # by safetensors' name of the type

Values = Literal["ones", "normal", "table_normal", "bytes", "scales"]  # described above
Draw = Callable[[], "Iterator[NDArray[Any]]"]


@dataclass(frozen=True)
class Tensor:
    """A name, a shape, safetensors' name of its type, and how its values are drawn."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "BF16"
    values: Values = "table_normal"

    @property
    def size(self) -> int:
        """Elements."""
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return self.size * ITEM_BYTES[self.dtype]


def pieces(seed: int, tensor: Tensor) -> list[tuple[int, Draw]]:
    """The parts that can be drawn alone: each one's first byte within the tensor, and what yields its values in order."""
    if tensor.values == "normal":
        return [(0, lambda: _normal(seed, tensor))]
    size = tensor.size_bytes
    return [
        (begin, _piece(seed, tensor, begin, min(PIECE_BYTES, size - begin))) for begin in range(0, size, PIECE_BYTES)
    ]


def draw(seed: int, tensor: Tensor) -> bytes:
    """The whole tensor."""
    return b"".join(part.tobytes() for _, draw_piece in pieces(seed, tensor) for part in draw_piece())


def _normal(seed: int, tensor: Tensor) -> "Iterator[NDArray[Any]]":
    """From one stream, a few MiB at a time: the same values as all at once."""
    import ml_dtypes
    import numpy as np

    stream = np.random.default_rng([seed, *tensor.name.encode()])
    step = PIECE_BYTES // 2
    for begin in range(0, tensor.size, step):
        values = stream.standard_normal(min(step, tensor.size - begin), np.float32)
        values *= STD
        yield values.astype(ml_dtypes.bfloat16)


def _piece(seed: int, tensor: Tensor, begin: int, size: int) -> Draw:
    def draw_piece() -> "Iterator[NDArray[Any]]":
        import numpy as np

        if tensor.values == "ones":
            yield np.full(size // 2, ONE_BF16, np.uint16)
            return
        stream = np.random.PCG64([seed, *tensor.name.encode(), FIRST_PIECE + begin // PIECE_BYTES])
        words = stream.random_raw(-(-size // WORD_BYTES)).astype("<u8", copy=False)
        drawn = words.view(np.uint8)[:size]
        if tensor.values == "scales":
            yield (drawn & 3) + np.uint8(LOWEST_SCALE)
        elif tensor.values == "table_normal":
            yield normal_table()[drawn.view("<u2")]
        else:
            yield drawn

    return draw_piece


@cache
def normal_table() -> "NDArray[Any]":
    """65,536 quantiles of the normal distribution with a deviation of STD, as bit patterns of bfloat16."""
    import ml_dtypes
    import numpy as np

    normal, count = NormalDist(0, STD), 2**16
    values = np.array([normal.inv_cdf((number + 0.5) / count) for number in range(count)], np.float32)
    return values.astype(ml_dtypes.bfloat16).view(np.uint16)
