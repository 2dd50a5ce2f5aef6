"""The filter drops no line that matters, and the rows that it is made of carry their own tests."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.log.filter import (
    ENDINGS,
    GROUPS,
    HIDES,
    INFO,
    OPENING,
    READINGS,
    RULE,
    SERVER_NAME,
    filter_for,
    found_in,
    uncoloured,
)
from bench.log.lines import parsed
from bench.log.outcome import is_of_a_server
from bench.log.texts import ELSEWHERE, Text, endings, failures, phases, server_info
from bench.log.texts.phases import RULES
from bench.log.unwrap import DIGITS
from read_lines import pieces

LOGS = sorted((Path(__file__).parents[1] / "logs").rglob("*.log"))
RECORDED = [
    (release[1], log.read_text(errors="replace"))
    for log in LOGS
    if (release := re.search(r"vllm(\d[\d.]*\d)", log.parent.name))
]
LINES = sorted({line for log in LOGS for line in log.read_bytes().splitlines(keepends=True)})
NEEDED = (OPENING, OPENING | READINGS | INFO, OPENING | READINGS | INFO | SERVER_NAME | ENDINGS)


def texts_in(value: object) -> list[Text]:
    """All rows in a table, however it is nested."""
    if isinstance(value, Text):
        return [value]
    return [row for each in value for row in texts_in(each)] if isinstance(value, tuple) else []


EVERY_TABLE = [value for module in (endings, failures, phases, server_info) for value in vars(module).values()]
TEXTS = {row.text: row for value in EVERY_TABLE for row in texts_in(value)}


def recorded_in(text: str) -> list[str]:
    """The releases whose recorded logs have it, in order."""
    found = {release for release, content in RECORDED if text in content}
    return sorted(found, key=lambda release: [int(part) for part in release.split(".")])


def test_a_text_stands_in_its_example_and_in_the_logs_of_its_releases():
    """Whoever misses a text needs to know which vLLM printed it. The example is of a recorded log where there is one."""
    recorded = "\n".join(re.sub(r"\x1b\[[\d;]*m", "", log.read_text(errors="replace")) for log in LOGS)
    for row in TEXTS.values():
        releases = recorded_in(row.text)
        span = " - ".join(dict.fromkeys([releases[0], releases[-1]])) if releases else ""

        assert row.text in row.example
        assert row.releases == (f"recorded {span}" if releases else ELSEWHERE), row
        assert row.example in recorded or not releases, row
        groups = GROUPS.get(row.text, 0) & ~RULE  # whose rows have examples of their own
        assert found_in(row.example).groups & groups == groups, row


def test_a_text_is_a_row_of_one_table_only():
    """Whoever changes a text changes it in one place; other tables name the row."""
    rows = {id(row): row.text for value in EVERY_TABLE for row in texts_in(value)}

    assert sorted(rows.values()) == sorted(TEXTS)
    assert not [rule for rule in RULES if rule.text in TEXTS and TEXTS[rule.text].text is not rule.text]


def test_a_rules_text_stands_in_every_match():
    """So a line without it need not be matched: whatever letter of it is another one, the rule finds nothing with it."""
    for rule in RULES:
        at = rule.example.index(rule.text)

        assert len(rule.text) >= 4
        assert rule in found_in(rule.example).rules
        for place in range(at, at + len(rule.text)):
            other = rule.example[:place] + "~" + rule.example[place + 1 :]
            found = rule.pattern.search(other)
            assert found is None or rule.text in found[0], rule


def groups_of(raw: bytes) -> int:
    """Of all that a line holds, read in full."""
    groups = 0
    for piece in pieces([raw]):
        line = parsed(piece)
        groups |= found_in(line.text).groups | (SERVER_NAME if is_of_a_server(line.process) else 0)
    return groups


def is_dropped(raw: bytes, needed: int) -> bool:
    return not filter_for(needed).groups(uncoloured(raw.translate(DIGITS))) & (needed | HIDES)


@pytest.mark.parametrize("needed", NEEDED)
def test_no_recorded_line_that_matters_is_dropped_and_most_others_are(needed: int):
    """The rest of the filter is speed."""
    matters = {line: bool(groups_of(line) & needed) for line in LINES}
    dropped = [line for line in LINES if is_dropped(line, needed)]

    assert not [line for line in dropped if matters[line]]
    assert len(dropped) > 0.75 * sum(not each for each in matters.values())


WRITTEN = (
    lambda text: text,
    lambda text: f"2026-11-24T02:47:31.123456789Z stdout P {text}",
    lambda text: json.dumps({"log": text + "\n", "stream": "stdout", "time": "2026-11-24T03:00:00Z"}),
    lambda text: json.dumps({"log": text, "stream": "stdout", "time": "2026-11-24T03:00:00Z"}),
    lambda text: json.dumps({"message": text, "levelname": "INFO", "process": 7, "processName": "EngineCore"}),
    lambda text: json.dumps({"log": json.dumps({"message": text}) + "\n", "stream": "stdout", "time": ""}),
    lambda text: json.dumps({"message": text}).replace("/", "\\/"),
    lambda text: json.dumps({"message": text}).replace("o", "\\u006f"),
    lambda text: re.sub(r"(\d+)", r"**\1**", text),
    lambda text: text[: len(text) // 2] + "\x1b[0;36m" + text[len(text) // 2 :],
    lambda text: text[: len(text) // 2] + "[0m" + text[len(text) // 2 :],
    lambda text: text[: len(text) // 3] + "ESC[1m" + text[len(text) // 3 :],
)
BEFORE = ("", "(APIServer pid=1) ", "(EngineCore pid=5) (Worker_TP1 pid=7) ", "(", "INFO 11-24 02:47:31 [a.py:1] ")


@settings(max_examples=300, deadline=None, database=None)
@example("(APIServer pid=1", "", "INFO [a.py:1] Explicitly set (1.0/2.5) GiB for KV cache on node 0", "", WRITTEN[0])
@example("", "", 'INFO:     127.0.0.1:1 - "GET /health HTTP/1.1" 200 OK', "", WRITTEN[5])
@given(
    st.sampled_from(BEFORE),
    st.text("abcdef0123456789 (){}[]:=\\\x1bu", max_size=40),
    st.sampled_from([*(row.example for row in TEXTS.values()), *(rule.example for rule in RULES), "a", ""]),
    st.text("abcdef0123456789 ()", max_size=10),
    st.sampled_from(WRITTEN),
)
def test_no_line_that_matters_is_dropped_however_it_is_written(before, letters, text, after, written):
    """In parts of a line, in JSON, in JSON in JSON, in colours."""
    raw = written(f"{before}{letters}{text}{after}").encode() + b"\n"
    groups = groups_of(raw)

    for needed in NEEDED:
        assert not (is_dropped(raw, needed) and groups & needed)


def test_a_request_is_dropped_whatever_its_id():
    """Logs of days are made of these."""
    request = "(APIServer pid=1) INFO 11-24 03:00:00 [logger.py:51] Received request cmpl-3f0a9c: params: none.\n"

    assert is_dropped(request.encode(), NEEDED[1])
    assert is_dropped(b'{"log":"' + request.strip().encode() + b'\\n","stream":"stdout","time":"x"}\n', NEEDED[1])
    assert not is_dropped(request.replace("none", "non-default args: ").encode(), NEEDED[1])
