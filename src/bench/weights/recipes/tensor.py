"""One tensor of a checkpoint that is made here."""

from dataclasses import dataclass
from math import prod
from typing import Literal

ITEM_BYTES = {"BF16": 2, "U8": 1}  # by safetensors' name of the type

Values = Literal["ones", "normal", "table_normal", "bytes", "scales"]  # described in values.py


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
