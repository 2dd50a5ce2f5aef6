"""What stands around the lines of a log, by the way that it was captured."""

import json

import pytest

from bench.log.lines import LogLine
from bench.log.starts import starts_of
from bench.log.unwrap import LINE_BYTES
from read_lines import parse_line, read_log, read_phases

RECORD = "(Worker_TP1 pid=77) INFO 11-24 02:47:31 [loader.py:1] Loading weights took 2.00 seconds"

AROUND = {
    "docker --timestamps": "2026-11-24T02:47:31.123456789Z ",
    "an offset from UTC": "2026-11-24T02:47:31.123+01:00 ",
    "docker compose": "vllm-1  | ",
    "docker compose --timestamps": "vllm-1  | 2026-11-24T02:47:31.123456789Z ",
    "kubectl --prefix": "[pod/vllm-5d8f-x2x/server] ",
    "kubectl --prefix --timestamps": "[pod/vllm-5d8f-x2x/server] 2026-11-24T02:47:31.123456789Z ",
    "a node's files of containerd": "2026-11-24T02:47:31.123456789Z stderr F ",
    "journald": "Nov 24 02:47:31 gpu-host vllm[4711]: ",
    "journald with a first of the month": "Nov  1 02:47:31 gpu-host start-vllm.sh[4711]: ",
    "journald, short-precise": "Nov 24 02:47:31.123456 gpu-host vllm[4711]: ",
    "journald in German": "Mär 04 02:47:31 gpu-host vllm[4711]: ",
    "journald in French": "déc. 24 02:47:31 gpu-host vllm[4711]: ",
    "journald in Chinese": "11月 24 02:47:31 gpu-host vllm[4711]: ",
    "journald, short-iso": "2026-11-24T02:47:31+0000 gpu-host vllm[4711]: ",
    "syslog": "Nov 24 02:47:31 gpu-host vllm: ",
    "ts": "Nov 24 02:47:31 ",
    "a time of day": "02:47:31.123456789Z ",
    "ts with a format": "[2026-11-24 02:47:31] ",
    "Buildkite": "\x1b_bk;t=1700000000000\x07",
    "Buildkite with colours": "\x1b_bk;t=1700000000000\x07\x1b[36m",
    "Buildkite without escapes": "_bk;t=1700000000000",
    "GitHub Actions": "build\tRun vLLM\t2026-11-24T02:47:31.1234567Z ",
    "grep -n": "12:",
    "grep -n, context": "12-",
    "grep -nH": "logs/vllm.out-1.log:12:",
    "grep -H": "logs/vllm.log:",
    "cat -n": "    12\t",
    "grep of a log of Docker's": "12:2026-11-24T02:47:31.123456789Z ",
    "a log of bench's": "   52.990 ",
    "grep of a log of bench's": "7:   52.990 ",
    "a mark of the byte order": "\ufeff",
}


def read(*lines: str) -> list[LogLine]:
    return read_log(line.encode() + b"\n" for line in lines)


@pytest.mark.parametrize("before", AROUND.values(), ids=AROUND)
def test_what_stands_before_a_line_is_taken_off(before):
    """Where a line of vLLM's begins behind it, with or without a process."""
    (line,) = read(before + RECORD)
    assert (line.rank, line.pid, line.text) == ("TP1", 77, RECORD.partition(") ")[2])

    (line,) = read(before + "INFO 11-24 02:47:31 core.py:1] hello")
    assert (line.pid, line.raw) == (None, "INFO 11-24 02:47:31 core.py:1] hello")


@pytest.mark.parametrize("before", AROUND.values(), ids=AROUND)
def test_and_before_any_line_of_such_a_log(before):
    """Tracebacks, bars and other programs' lines stand behind the same thing, from the first line on."""
    lines = read(before + "ValueError: no", before + RECORD, before + "  File a.py", before + "Loading: 10%|1/2 | a")

    assert [line.text for line in lines if line.pid is None] == [
        "ValueError: no",
        "  File a.py",
        "Loading: 10%|1/2 | a",
    ]


@pytest.mark.parametrize("behind", ["", '"', '\\n",', '"}'])
def test_what_ends_a_text_of_a_document_is_no_part_of_an_address(behind):
    """The lines of one that is read as text: YAML, a notebook's outputs."""
    (found,) = read_phases(
        read(f"(APIServer pid=7) INFO 11-24 02:56:48 [entry.py:140] Starting vLLM server on http://a:8117{behind}")
    )

    assert found.texts == {"address": "http://a:8117"}


@pytest.mark.parametrize(
    "before",
    [
        "[2026-11-24 02:52:58,123] {subprocess.py:93} INFO - ",  # Airflow's
        "[2026-11-24T02:52:58.123+0000] {docker.py:436} INFO - ",
        "2026-11-24 02:52:58,123 - serving.child - INFO - ",
        "INFO:child:",
        '- "',  # a list of YAML
        "\t",
        "+",  # a diff's
    ],
)
def test_an_unknown_beginning_of_all_lines_is_taken_off(before):
    """Before whatever line, once several of vLLM's begin behind it; a log in which one stands bare has none."""
    streamed = "2026-11-24 02:47:31,172 [INFO] [RunAI Streamer] Overall"
    lines = [RECORD, streamed, RECORD.replace("31", "32"), RECORD.replace("31", "33")]

    assert read(*(before + line for line in lines))[1].text == streamed
    assert before + streamed in [line.raw for line in read(RECORD, *(before + line for line in lines))]


@pytest.mark.parametrize(
    "before",
    [
        "2026-11-24T02:47:31,{0}23 [INFO ] W-9000-tiny_1.0-stdout MODEL_LOG - ",
        "2026-11-24 02:47:31.{0}23 | ERROR    | stderr | ",
        "[vllm] stderr: ",
    ],
)
def test_what_stands_before_a_traceback_is_taken_off_whatever_it_is(before):
    """And before every line that begins in the same way, digits apart, so that the exception is found at its end."""
    texts = ["Traceback (most recent call last):", '  File "a.py", line 1, in <module>', "ValueError: no"]
    lines = [before.format(number) + text for number, text in enumerate(texts)]

    assert [line.text for line in read("hello", *lines, "bye")] == ["hello", *texts, "bye"]
    (start,) = starts_of(line.encode() + b"\n" for line in lines)
    assert (start.ending.outcome, start.ending.reason) == ("failed", "ValueError: no")


def test_what_tells_who_said_a_traceback_stays():
    """vLLM's own record, and the rank that torch puts in front."""
    lines = read(
        "(EngineCore pid=5) ERROR 11-24 02:47:31 [core.py:700] Traceback (most recent call last):",
        "[rank1]: Traceback (most recent call last):",
    )

    assert lines[0].pid == 5
    assert lines[1].raw == "[rank1]: Traceback (most recent call last):"


@pytest.mark.parametrize(
    "text",
    [
        "12:00:00 hello",
        "12:00:00.123 hello",
        '127.0.0.1:12345 - "GET /health HTTP/1.1" 200',
        "site-packages/a.py:138: FutureWarning: old",
        "Name | Size",
        "Nov 24 was a Tuesday",
        "2026-11-24 02:48:06,251 hello",
        "[2026-02-15 05:16:38] INFO file_streamer.py:66: [RunAI Streamer] Overall time",
        "ValueError: no",
        "{'a': 1}",
        '{"a": 1}',
        "{" * 5000,
        "[" * 5000,
    ],
)
def test_text_like_that_stays(text):
    """Where no line of vLLM's was seen behind such a thing, it may be anything."""
    lines = read(text, RECORD)

    assert lines[0].raw == text


def test_only_what_was_seen_in_this_log_is_taken_off():
    """A log of Docker Compose has names before its lines; that a line has a number before it is its own."""
    lines = read("vllm-1  | " + RECORD, "vllm-1  | 12:30 is the time", "12:30 is the time")

    assert [line.text for line in lines[1:]] == ["12:30 is the time", "12:30 is the time"]


def test_a_record_behind_a_bar_is_a_line_with_its_own_process():
    """A level and a time behind the process leave no doubt. It was stamped with the bar."""
    lines = read(
        f"   40.225 Loading: 100%|##| 1/1 [00:00<00:00]{RECORD}", "Loading: 50%INFO 11-24 02:47:31 [a.py:1] hello"
    )

    assert [(line.elapsed_s, line.pid, line.number) for line in lines] == [
        (40.225, None, 1),
        (40.225, 77, 1),
        (None, None, 2),
        (None, None, 2),
    ]
    assert lines[1].raw == RECORD
    assert lines[3].text == "INFO 11-24 02:47:31 [a.py:1] hello"


def test_a_record_that_quotes_another_is_one_line():
    """A line of vLLM's own begins at its beginning."""
    (line,) = read(RECORD + " as in INFO 11-24 02:47:31 [a.py:1] hello")

    assert line.pid == 77


def test_records_that_lost_their_line_ends_are_lines():
    """Where each has its process: a page folded the log, or a terminal. What stood around them stays behind the one before."""
    record = "(Worker_TP{0} pid=7{0}) INFO 11-24 02:47:31 [a.py:1] took 2{0} s"
    lines = read("  40.225 " + " vllm | ".join(record.format(rank) for rank in range(3)), "hello")

    assert [(line.rank, line.pid, line.elapsed_s, line.number) for line in lines] == [
        ("TP0", 70, 40.225, 1),
        ("TP1", 71, 40.225, 1),
        ("TP2", 72, 40.225, 1),
        (None, None, None, 2),
    ]
    assert lines[1].raw == record.format(1) + " vllm | "


@pytest.mark.parametrize(
    "record",
    [
        '{{"labels": {{"pod": "vllm-0"}}, "line": {}, "timestamp": "2026-11-24T02:47:30Z"}}',
        '{{"time":"2026-11-24T02:47:30Z","level":"info","msg":{}}}',
        "time=2026-11-24T02:47:30Z level=info msg={} pod=vllm-0",
    ],
)
def test_the_text_of_a_collector_s_record_is_whole(record):
    """What stands before it is no beginning to be taken off: there is more behind it, and quotes in it are escaped."""
    lines = [f'(APIServer pid=7) INFO 11-24 02:47:3{second} [core.py:{second}] model "tiny" ▀▄' for second in range(5)]

    assert [
        line.raw for line in read(*(record.format(json.dumps(line, ensure_ascii=False)) for line in lines))
    ] == lines


def test_several_records_in_one_line_are_lines():
    """As a page shows a log that was pasted into it as text; below three one may quote the other."""
    records = [f"INFO 11-24 02:47:3{second} [**init**.py:{second}] took {second} s" for second in range(3)]

    assert [line.text for line in read("> $ kubectl logs vllm-0 " + " ".join(records))] == [
        "> $ kubectl logs vllm-0 ", *(record + " " for record in records[:2]), records[2]
    ]  # fmt: skip
    assert [line.text for line in read(" ".join(records))][1:] == [f"{records[1]} ", records[2]]
    assert len(read(" ".join(records[:2]))) == 1


def test_two_records_of_a_traceback_in_one_line_are_lines():
    """None quotes its like."""
    frame, error = (
        f"ERROR 11-24 02:47:35 [core.py:597] {text}"
        for text in ("raise RuntimeError(text)", "RuntimeError: NCCL error")
    )

    assert [line.text for line in read(f"{frame} {error}")] == [f"{frame} ", error]
    assert len(read(f"{frame} {error}".replace("core", "loader", 1))) == 1


def test_a_number_that_somebody_stressed_is_read():
    """As in a report that was written in Markdown. Other stars are text."""
    line, other = read("INFO finished in **17 secs**, took **-0.48** GiB", "    f(**kwargs, of=2**3)")

    assert line.text == "INFO finished in 17 secs, took -0.48 GiB"
    assert other.text == "    f(**kwargs, of=2**3)"


def test_dockers_files_are_read():
    """Each line is a record of JSON. A long line comes in several, between which the other stream may have its own."""
    parts = [
        {
            "log": "(Worker_TP0 pid=7) INFO 11-24 02:47:31 [a.py:1] took 12",
            "stream": "stdout",
            "time": "2026-11-24T02:47:31Z",
        },
        {"log": "\rLoading: 0%\rLoading: 100%\n", "stream": "stderr", "time": "2026-11-24T02:47:31Z"},
        {"log": "3.45 seconds\r\n", "stream": "stdout", "time": "2026-11-24T02:47:31Z"},
    ]
    lines = read(*map(json.dumps, parts))

    assert [line.text for line in lines] == [
        "Loading: 0%",
        "Loading: 100%",
        "INFO 11-24 02:47:31 [a.py:1] took 123.45 seconds",
    ]
    assert lines[2].rank == "TP0"


def test_the_parts_of_a_line_in_a_nodes_files_are_joined():
    """P is a part, F the last one of a line."""
    lines = read(
        f"2026-11-24T02:47:31.1Z stdout P {RECORD[:-14]}",
        "2026-11-24T02:47:31.2Z stderr F other",
        f"2026-11-24T02:47:31.3Z stdout F {RECORD[-14:]}",
    )

    assert [line.raw for line in lines] == ["other", RECORD]


def test_a_line_whose_rest_never_came_is_cut():
    """The log ends between two parts."""
    lines = read('{"log": "hello\\n", "stream": "stdout"}', '{"log": "took 12", "stream": "stdout"}')

    assert [(line.text, line.cut) for line in lines] == [("hello", False), ("took 12", True)]


def test_vllms_own_json_is_read_like_its_text():
    """With the process's id, from which its rank follows; the name is that of the process object. A traceback is lines too."""
    fields = {"asctime": "2026-11-24 02:47:31,123", "levelname": "ERROR", "name": "vllm.v1.engine.core"}
    who = {"processName": "VllmWorker-1", "process": 77}
    lines = read(
        json.dumps(fields | who | {"message": "rank 1 in world size 2 is assigned as DP rank 0, PP rank 0, TP rank 1"}),
        json.dumps(fields | who | {"message": "failed", "exc_info": "Traceback:\n  File a\nValueError: no"}),
    )

    assert {(line.process, line.pid, line.rank, line.number > 1) for line in lines[1:]} == {
        ("VllmWorker-1", 77, "TP1", True)
    }
    assert [line.text.removeprefix("ERROR 11-24 02:47:31 [vllm.v1.engine.core] ") for line in lines[1:]] == [
        "failed",
        "Traceback:",
        "  File a",
        "ValueError: no",
    ]


def test_json_of_vllm_in_a_record_of_dockers():
    """Both are taken off."""
    inner = {
        "asctime": "2026-11-24 02:47:31,123",
        "levelname": "INFO",
        "name": "vllm",
        "process": 7,
        "message": "hello",
    }
    (line,) = read(json.dumps({"log": json.dumps(inner) + "\n", "stream": "stdout"}))

    assert (line.pid, line.text) == (7, "INFO 11-24 02:47:31 [vllm] hello")


@pytest.mark.parametrize("record", ['{"message": "hello"}', '{"MESSAGE": "hello", "_PID": "3"}', '{"log": "hello"}'])
def test_json_of_others_gives_its_text(record):
    """A logging configuration of a user's own, or journald's."""
    (line,) = read(record)

    assert (line.text, line.pid) == ("hello", None)


def test_of_a_huge_line_its_ends_are_kept():
    """What is glued behind a bar of megabytes is at its end. Nothing is made of what was beside the gap."""
    huge = "x" * 3_000_000 + " took 1" + "y" * LINE_BYTES + "2 seconds " + RECORD
    lines = read("(Worker_TP0 pid=7) INFO begin " + huge, "next")

    assert [line.number for line in lines] == [1, 1, 2]
    assert lines[0].text.startswith("INFO begin xxx")
    assert lines[1].raw == RECORD
    assert sum(len(line.raw) for line in lines) < LINE_BYTES + 100


def test_a_line_like_one_before_is_read_like_it():
    """Digits apart: most lines of a log are. But not where a digit makes a colour, and not when what stands around lines is learnt."""
    lines = read(
        *["quiet"] * 200, "12: a", "a[8mb[9m", RECORD, "13:" + RECORD, "14: a", "a[31mb[0m", RECORD.replace("77", "78")
    )

    assert [line.raw for line in lines[200:]] == [
        *["12: a", "a[8mb[9m", RECORD, RECORD, " a", "ab"],
        RECORD.replace("77", "78"),
    ]


def test_commands_to_a_terminal_are_no_text():
    """Colours, cursor moves, titles and links."""
    line = parse_line(
        "\x1b]0;title\x07\x1b[2K\x1b[1A\x1b[38;5;208mIN\x1b[0mFO\x1b(B \x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\"
    )

    assert line.text == "INFO link"


def test_a_log_copied_from_a_pager_is_read():
    """Which shows what is no text in letters of its own."""
    lines = read(
        f"ESC[1;36mLoading: 50%|#^MLoading: 100%|##^M{RECORD}^M", "^[[1;36m(EngineCore pid=9)^[[0;0m INFO hello"
    )

    assert [line.text for line in lines] == [
        "Loading: 50%|#",
        "Loading: 100%|##",
        RECORD.partition(") ")[2],
        "INFO hello",
    ]
