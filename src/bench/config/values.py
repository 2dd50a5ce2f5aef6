"""What a setting's value may be: types that several groups of settings share, and what every group is."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Blocks = Annotated[int, Field(ge=1, le=10_000)]  # a plan lists every start
Size = Annotated[int, Field(ge=1, le=1 << 24)]  # of a random model in one direction, or of a completion
Layers = Annotated[int, Field(ge=1, le=10_000)]
Seconds = Annotated[float, Field(gt=0, le=10_000_000)]  # waiting has an end, and clocks have a greatest number
Text = Annotated[str, Field(pattern=r"^[^\x00]*\S[^\x00]*$")]  # not empty, and what a path or a name may be
Scalar = str | int | float | bool | None
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A group of settings, or a part of one: frozen, with no other name than those below it, and no text taken for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


MULTIPLES = {
    letter: base ** (power + 1)
    for letters, base in (("kmgt", 1000), ("KMGT", 1024))
    for power, letter in enumerate(letters)
}


def _tokens(given: Any) -> Any:
    """A length as vLLM reads it: 128k is 128,000, 128K 131,072, -1 and auto what fits into the memory. Anything else as it is.

    Source: human_readable_int_or_auto in vllm/utils/argparse_utils.py
    """
    text = str(given).strip()
    return "auto" if text == "-1" or text.lower() == "auto" else whole(given)


def whole(given: Any) -> Any:
    """A text like 8k as a whole number. Anything else as it is. Source: human_readable_int, beside the other."""
    text = str(given).strip()
    found = re.fullmatch(r"(\d{1,15})(\.\d{1,15})?([kKmMgGtT]?)", text) if isinstance(given, str) else None
    if found is None or (found[2] and not found[3].islower()):  # vLLM takes no decimals of 1,024
        return given
    return int(Decimal(found[1] + (found[2] or "")) * MULTIPLES.get(found[3], 1))


Tokens = Annotated[Count | Literal["auto"] | None, BeforeValidator(_tokens)]
