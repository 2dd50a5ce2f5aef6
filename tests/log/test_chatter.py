"""Lines that nobody can want, told without reading them."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.log.capture import pieces
from bench.log.chatter import chatter_bits
from bench.log.interest import ENDS, EVERYTHING, OPENS, SAYS, SERVES, TELLS, interest_in
from bench.log.lines import parsed
from bench.log.shapes import DIGITS

LINES = sorted(
    {
        line
        for log in (Path(__file__).parents[1] / "logs").rglob("*.log")
        for line in log.read_bytes().splitlines(keepends=True)
    }
)
WANTED = (OPENS | TELLS | SAYS, OPENS | TELLS | SAYS | SERVES, OPENS | TELLS | SAYS | ENDS | SERVES)
OF_A_START = WANTED[0]


def interest(line: bytes) -> int:
    """Of whoever wants anything that the line holds, read in full."""
    bits = 0
    for piece in pieces([line]):
        bits |= interest_in(parsed(piece)).bits
    return bits


@pytest.mark.parametrize("wanted", WANTED)
def test_no_recorded_line_that_is_wanted_is_chatter(wanted):
    """And of those that are not, many are."""
    found = {line: chatter_bits(line.translate(DIGITS), wanted) for line in LINES}

    assert not [line for line, bits in found.items() if bits is not None and interest(line) & wanted]
    unwanted = [bits for line, bits in found.items() if not interest(line) & wanted]
    assert len([bits for bits in unwanted if bits is not None]) > len(unwanted) / 3


SOUGHT = (
    "Loading weights took 2.0 seconds",
    "non-default args: {}",
    "(1.0/2.5) GiB for KV cache",
    "ValueError: no",
    "a",
    "",
)


@settings(max_examples=300, deadline=None, database=None)
@example("(", "", "non-default args: {}", ")", OF_A_START)  # no process, though it has brackets
@example("(APIServer pid=1", "", "(1.0/2.5) GiB for KV cache", "", OF_A_START)
@example("(APIServer pid=1) ", "[0", "", "", OF_A_START)
@given(
    st.sampled_from(
        ("", "(APIServer pid=1) ", "(EngineCore pid=5) (Worker_TP1 pid=7) ", "(", "INFO 11-24 02:47:31 [a.py:1] ")
    ),
    st.text("abcdef0123456789 (){}[]:=\\\x1bu", max_size=40),
    st.sampled_from(SOUGHT),
    st.text("abcdef0123456789 ()", max_size=10),
    st.sampled_from(WANTED),
)
def test_no_line_that_is_wanted_is_chatter(before, letters, text, after, wanted):
    """Whatever ids it holds."""
    line = f"{before}{letters}{text}{after}\n".encode()
    bits = chatter_bits(line.translate(DIGITS), wanted)

    assert bits is None or not interest(line) & wanted


def test_lines_that_differ_in_an_id_are_all_chatter():
    """But for one of them that a rule may want, which has the same digits and letters of an id where the others have theirs."""
    request = b"(APIServer pid=1) INFO 11-24 03:00:00 [logger.py:51] Received request cmpl-%s: params: none.\n"
    for ident in (b"3f0a9c", b"ffffff", b"000000", b"faced0"):
        assert chatter_bits((request % ident).translate(DIGITS), OF_A_START) == 0

    assert chatter_bits((request % b"args: ").translate(DIGITS), OF_A_START) is None
    assert chatter_bits((request % b"3f0a9c").translate(DIGITS), EVERYTHING) is None
