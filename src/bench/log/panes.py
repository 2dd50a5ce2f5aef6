"""Panes side by side, and boxes of plain characters -> the lines of the pane that vLLM printed in. Pure.

A terminal's boxes of their own characters need nothing: these are taken off each line (unwrap.py). Bars that stand in one column of
nearly all lines divide the others.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from bench.log.encodings import text_of
from bench.log.files import lines_in
from bench.log.unwrap import LEVELS, without_escapes

BARS = "|│┃║"
CORNERS = frozenset("+┌└├╭╰┏┗┣╔╚╠")
RULE = re.compile(r"[\s+\-=_─━═│┃║|┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛┣┫┳┻╋╔╗╚╝╠╣╦╩╬]*")
FEWEST, SHARE = 5, 0.9  # lines with a bar in that column
WIDEST = 1000
OF_VLLM = (*(f"{level} " for level in LEVELS), "pid=")

Pane = tuple[int, int | None]  # from column to column; None: to the end


def pane_of(lines: Sequence[str]) -> Pane | None:
    """By the first lines of a log. None: nothing stands beside its lines."""
    texts = [text for line in lines if not RULE.fullmatch(text := without_escapes(line.rstrip("\r\n")))]
    bars = Counter((at, mark) for text in texts for at, mark in enumerate(text[:WIDEST]) if mark in BARS)
    often = [bar for bar, count in bars.items() if count >= max(FEWEST, SHARE * len(texts))]
    is_box = (0, "|") in often  # behind a name, it is what Docker Compose puts there
    columns = sorted(at for at, mark in often if mark != "|" or is_box)
    if not columns:
        return None
    panes: list[Pane] = [(0, columns[0]), *((one + 1, other) for one, other in pairwise(columns)), (columns[-1] + 1, None)]  # fmt: skip
    return max(panes, key=lambda pane: sum(sign in text[slice(*pane)] for text in texts for sign in OF_VLLM))


def of_pane(blocks: Iterable[bytes], pane: Pane) -> Iterator[bytes]:
    """What stands in a pane, of each line that has one; the sides of boxes are left out, and other lines are as they are."""
    begin, end = pane
    for line in lines_in(blocks):
        text = without_escapes(text_of(line).rstrip("\r\n"))
        if all(
            text[at : at + 1] in BARS and text[at : at + 1] for at in (begin - 1, end) if at is not None and at >= 0
        ):
            text = text[begin:end].rstrip().removeprefix(" " if begin else "")
        elif text.lstrip()[:1] in CORNERS:
            continue
        if not RULE.fullmatch(text):
            yield text.encode(errors="replace") + b"\n"
