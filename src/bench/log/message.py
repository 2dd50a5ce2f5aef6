"""A line as it was meant: without level, time and source, in front of it or behind. Pure."""

import re

from bench.log.lines import LogLine

LENGTH = 300
READ = 2000  # characters of a line that can matter here

# Until 0.7 the source stands without an opening bracket; somebody may have taken out the times. torchrun and torch put the rank in front.
SOURCE = re.compile(r"^ ?(?:ERROR|CRITICAL) (?:[\d-]+ [\d:.]+ \[?|\[?(?=[\w./-]+\.py:\d+\]))(?P<place>[^\]\s]+)\] ?")
RANK = re.compile(r"^\[rank\d+\]: ?")
# The logger of the Unified Cache Manager, which takes over vLLM's on Ascend: in front of a record and behind it, which may have several lines.
UC_HEAD = re.compile(r"^(?:\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,9}\])?\[UC\]\[[A-Z]\] ")
UC_TAIL = re.compile(r" \[\d{1,10},\d{1,10}\]\[[^\[\]:,]{1,200}\.py:\d{1,9},[^\[\]]{1,200}\]$")


def place_of(line: LogLine) -> str:
    """Where in vLLM's source a record was printed, which stands before each of its lines. Empty: it is no record of an error."""
    found = SOURCE.match(line.text[:READ])
    return found["place"] if found else ""


def bare_text(line: LogLine) -> str:
    """Without vLLM's level, time and source; a traceback's indentation stays."""
    text = UC_TAIL.sub("", line.text[:READ]) if line.text.endswith("]") else line.text[:READ]
    return RANK.sub("", SOURCE.sub("", UC_HEAD.sub("", text)))


def one_line(text: str) -> str:
    """For a tag and the terminal."""
    line = " ".join(text.split())
    return line if len(line) <= LENGTH else line[: LENGTH - 1] + "…"
