"""Values that are text to vLLM, kept as they were typed: Hydra makes numbers and booleans of what looks like them. Pure.

A short hash like 12e4567 is a number in Hydra's grammar, and a version 1.10 is 1.1. What is typed as text stays text: such a value gets quotes.
"""

import re
from functools import partial
from math import isfinite

VARIABLES = ("vllm.env.", "load_format.env.")  # text, all of them
ARGUMENTS = ("vllm.args.", "load_format.args.")  # words of vLLM's command line, which its own parser reads
# Quoted text, or what stands between two commas or brackets.
PIECE = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^,\[\]'"]+""")
NUMBER = re.compile(r"[+-]?(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:e[+-]?\d[\d_]*)?|[+-]?(?:inf|nan)", re.IGNORECASE)
NOT_PLAIN = re.compile(r"[{}()$]")  # objects, functions and interpolations of Hydra's


def as_typed(override: str) -> str:
    """`vllm.env.X=0.10` becomes `vllm.env.X='0.10'`, each of several values likewise; of vLLM's arguments the numbers that Hydra would write
    otherwise. What is the same either way is returned as it is.
    """
    key, equals, value = override.partition("=")
    name = key.lstrip("+")
    is_variable = name.startswith(VARIABLES)
    # Below an argument's name stands a key of JSON, which has numbers.
    is_argument = name.startswith(ARGUMENTS) and "." not in name.partition(".args.")[2]
    if not equals or NOT_PLAIN.search(value) or not (is_variable or is_argument):
        return override
    return key + equals + PIECE.sub(partial(_quoted, is_variable=is_variable), value)


def _quoted(found: re.Match[str], *, is_variable: bool) -> str:
    piece = found[0]
    text = piece.strip()
    is_switch = is_variable and text.lower() in {"true", "false"}
    return piece.replace(text, f"'{text}'") if is_switch or _is_changed(text) else piece


def _is_changed(text: str) -> bool:
    """Whether Hydra would read a number that is written in another way."""
    if not NUMBER.fullmatch(text):
        return False
    try:
        return str(int(text)) != text
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:  # 1_.5
        return False
    return str(number) != text or not isfinite(number)
