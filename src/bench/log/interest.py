"""Who wants to see a line of a log: the rules, those who watch how the start ends, those who listen to what it says of itself. Pure.

Each of them looks for texts; a line without any of them can be left out, and most lines of a long log are. What is found out
about one line holds for all of its shape (shapes.py).
"""

from typing import NamedTuple

from bench.log.lines import LogLine
from bench.log.outcome import is_of_a_server
from bench.log.prefixes import Speaker
from bench.log.screen import OTHER_TEXTS, TELLING, WORDS
from bench.log.shapes import shape_of
from bench.log.sought import Sought
from bench.log.texts import STAGES, Rule, matches_in
from bench.log.texts.endings import MARKERS
from bench.log.texts.failures import SUSPECT
from bench.log.texts.server_info import TEXTS

# Bits, since a line can be wanted by several.
TELLS = 1  # a rule may find something in it, or a milestone of the start, or a rank
ENDS = 2  # how the start ended may be told
SAYS = 4  # version, arguments, sizes
OPENS = 8  # a start begins with it, or what is printed before one
SERVES = 16  # an API server says it, whatever it is
RANKED = 32  # a process says it whose name has its rank
PRINTED = 64  # any line that is not blank
EVERYTHING = 127


ENDING = Sought([*SUSPECT, *MARKERS, *(marker for marker, _ in STAGES)])
OPENING = (
    "version ",
    "args: ",
    "LLM engine (v",
    "Triton ",
    "Automatically ",
    "usage: vllm",
    "usage: api_server",
    "usage: python",
)  # one is in each line that opens a start
TEXTS_OF_A_START = (*WORDS, *OTHER_TEXTS, *TEXTS, *OPENING)
ALL_TEXTS = (*TEXTS_OF_A_START, *SUSPECT, *MARKERS, *(marker for marker, _ in STAGES))
ANY = Sought(ALL_TEXTS)


class Interest(NamedTuple):
    """The bits of all who want to see a line, and the rules that find something in it. Other digits in it change neither."""

    bits: int
    rules: tuple[Rule, ...] = ()


def interest_in(line: LogLine) -> Interest:
    """Who wants to see this line, wherever in a start it stands."""
    bits = PRINTED | of_speaker(line)
    shape = shape_of(line.text)
    if not ANY.is_in(shape):
        return Interest(bits)
    rules = tuple(rule for rule, _ in matches_in(line.text)) if TELLING.is_in(shape) else ()
    if rules or any(text in line.text for text in OTHER_TEXTS):
        bits |= TELLS
    bits |= SAYS if any(text in line.text for text in TEXTS) else 0
    bits |= ENDS if ENDING.is_in(shape) else 0
    return Interest(bits, rules)


def of_speaker(speaker: LogLine | Speaker) -> int:
    """The bits of those who want to see a line because of who says it."""
    name = speaker.process if isinstance(speaker, LogLine) else speaker.name
    return (SERVES if is_of_a_server(name) else 0) | (RANKED if speaker.rank is not None else 0)
