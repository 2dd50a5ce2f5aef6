"""The wall time of a log, by the times that vLLM prints in it."""

import pytest

from bench.log.lines import elapsed_s, stamp_of
from bench.log.starts import starts_of
from bench.start.replay import wall_s

BANNER = "(APIServer pid=4) INFO 11-24 02:56:27 [api_server.py:1] vLLM API server version 0.12.0"
ASKED = "INFO 11-24 02:56:28 [utils.py:328] non-default args: {'model': 'tiny'}"
ENGINE = "(EngineCore pid=5) INFO 11-24 02:56:36 [core.py:133] Initializing a V1 LLM engine (v0.12.0) with config: model='tiny', "
TOOK = "(EngineCore pid=5) INFO 11-24 02:56:40 [default_loader.py:308] Loading weights took 2.00 seconds"
DONE = "(EngineCore pid=5) INFO 11-24 02:56:47 [core.py:402] init engine (profile, create kv cache, warmup model) took 9.00 s"
LISTENS = "(APIServer pid=4) INFO 11-24 02:56:49 [api_server.py:2] Starting vLLM API server 0 on http://0.0.0.0:8000"
READY = "(APIServer pid=4) INFO:     Application startup complete."
LATER = "(APIServer pid=4) INFO 11-24 03:56:49 [loggers.py:1] Engine 000: Avg prompt throughput: 1.0 tokens/s"
PLATFORM = "INFO 11-24 02:56:20 [__init__.py:235] Automatically detected platform cuda."


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([BANNER, ENGINE, TOOK, DONE, LISTENS, READY, LATER], 22),
        ([PLATFORM, BANNER, ENGINE, TOOK, DONE, LISTENS, READY], 29),
        (["hello", BANNER, ENGINE, DONE, LISTENS], 22),
        ([ASKED, ENGINE, TOOK, DONE, "Processed prompts: 0%"], 19),
        ([BANNER, ENGINE, TOOK, DONE, READY, LATER], None),
        ([TOOK, DONE, LISTENS, READY], None),
        ([ENGINE, TOOK, DONE], None),
        ([BANNER, ENGINE, TOOK], None),
        ([BANNER, ENGINE, TOOK, DONE], None),
        (["vLLM API server version 0.12.0", DONE, LISTENS, READY], None),
    ],
    ids=[
        "a server", "what is printed before it", "behind another's line", "an LLM", "no line of when it began to serve",
        "the log begins in the middle", "and without arguments", "it was never up", "its server was not", "its front has no time",
    ],
)  # fmt: skip
def test_the_wall_time_is_from_the_first_stamp_to_the_server_s_first_line(lines, expected):
    """Or to the engine's last, where there is no server. A log that does not hold both has none."""
    (log,) = starts_of(line.encode() + b"\n" for line in lines)

    assert wall_s(log) == expected


def test_each_start_of_a_log_has_its_own():
    """The first one's lines are not the second's."""
    lines = [BANNER, ENGINE, DONE, LISTENS, READY]
    found = starts_of(line.replace("02:", hour).encode() + b"\n" for hour in ("02:", "05:") for line in lines)

    assert [wall_s(log) for log in found] == [22, 22]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("03-11 09:15:02", "03-11 09:16:43", 101),
        ("12-31 23:59:50", "01-01 00:00:10", 20),
        ("02-28 23:59:59", "02-29 00:00:00", 1),
        ("03-11 09:15:02", "03-11 09:15:02", 0),
        ("13-41 09:15:02", "03-11 09:15:02", None),
    ],
)
def test_stamps_have_no_year(first, last, expected):
    """One that is earlier in the year is of the next."""
    assert elapsed_s(first, last) == expected


@pytest.mark.parametrize("text", ["INFO hello", "INFO:     Started", "as in INFO 03-11 09:15:02 [a.py:1] x", ""])
def test_what_is_no_record_has_no_stamp(text):
    """A quoted one is another's."""
    assert stamp_of(text) is None
