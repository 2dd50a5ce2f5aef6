"""Lines of a log: who said what, and when."""

import pytest

from bench.log.lines import LogLine
from read_lines import parse_line, read_log, read_phases


def read(*lines: bytes) -> list[LogLine]:
    return read_log(lines)


@pytest.mark.parametrize(
    ("prefix", "process", "pid", "rank"),
    [
        ("(VllmWorker rank=1 pid=77) ", "VllmWorker", 77, "TP1"),  # to 0.10.0
        ("(EngineCore_0 pid=5) ", "EngineCore_0", 5, None),  # 0.10.1
        ("(EngineCore_0 pid=5) (VllmWorker TP1 pid=77) ", "VllmWorker", 77, "TP1"),  # 0.10.1
        ("(VllmWorker TP1 pid=77) ", "VllmWorker", 77, "TP1"),
        ("(ApiServer_0 pid=4) ", "ApiServer_0", 4, None),
        ("(APIServer pid=4) ", "APIServer", 4, None),
        ("(EngineCore_DP0 pid=5) ", "EngineCore_DP0", 5, None),  # to 0.17
        ("(EngineCore_DP0 pid=5) (Worker_TP1 pid=77) ", "Worker_TP1", 77, "TP1"),
        ("(Worker_TP1 pid=77) ", "Worker_TP1", 77, "TP1"),
        ("(Worker_TP12 pid=77) ", "Worker_TP12", 77, "TP12"),
        ("(Worker_PP0_TP3_EP3 pid=77) ", "Worker_PP0_TP3_EP3", 77, "TP3"),
        ("(Worker_PCP0_TP1_DCP0 pid=77) ", "Worker_PCP0_TP1_DCP0", 77, "TP1"),
        ("(EngineCore pid=5) ", "EngineCore", 5, None),  # from 0.18
        ("(Worker pid=77) ", "Worker", 77, None),  # before the ranks are known
        ("(VllmWorker-1 pid=77) ", "VllmWorker-1", 77, None),  # a number of the process, not a rank
        ("(MainProcess pid=3) ", "MainProcess", 3, None),
        ("", None, None, None),
    ],
)
def test_the_prefixes_of_all_releases_are_read_and_taken_off(prefix, process, pid, rank):
    """The innermost process of those that a line came through is the one that said it."""
    line = parse_line(f"{prefix}INFO 11-24 02:47:31 [a.py:1] hello")

    assert (line.process, line.pid, line.rank) == (process, pid, rank)
    assert line.text == "INFO 11-24 02:47:31 [a.py:1] hello"


@pytest.mark.parametrize(
    ("text", "elapsed_s", "rest"),
    [
        ("   52.990 (EngineCore pid=5) hello", 52.990, "(EngineCore pid=5) hello"),
        ("    0.001 hello", 0.001, "hello"),
        ("12345.678 hello", 12345.678, "hello"),
        ("   40.225 Loading shards:   0%", 40.225, "Loading shards:   0%"),
        ("52.99 hello", None, "52.99 hello"),  # not a stamp: those have three decimals
        ("2026-11-24 02:48:06,251 hello", None, "2026-11-24 02:48:06,251 hello"),
    ],
)
def test_a_stamp_is_the_seconds_since_exec(text, elapsed_s, rest):
    """bench stamps each line as it arrives; a log recorded elsewhere has no stamps, and then the time is unknown."""
    line = parse_line(text)

    assert line.elapsed_s == elapsed_s
    assert line.raw == rest


def test_a_stamped_line_keeps_its_process():
    """The stamp stands in front of everything that vLLM prints."""
    line = parse_line("   52.990 (EngineCore_DP0 pid=5) (Worker_TP1 pid=77) INFO hello")

    assert (line.elapsed_s, line.pid, line.rank, line.text) == (52.990, 77, "TP1", "INFO hello")


def test_colours_are_taken_off():
    """vLLM colours its prefixes to 0.11, even in files."""
    line = parse_line(
        "\x1b[1;36m(EngineCore_0 pid=5)\x1b[0;0m \x1b[1;36m(VllmWorker TP0 pid=77)\x1b[0;0m \x1b[32mINFO\x1b[0m hello"
    )

    assert (line.process, line.pid, line.rank, line.text) == ("VllmWorker", 77, "TP0", "INFO hello")


def test_each_state_of_a_progress_bar_is_a_line():
    """A bar returns to the start of its line instead of ending it; what is glued behind its last state is kept with it."""
    lines = read(b"\rLoading: 0%\rLoading: 100%(Worker_TP0 pid=7) INFO Loading weights took 2.00 seconds\n", b"next\n")

    assert [line.text for line in lines] == [
        "Loading: 0%",
        "Loading: 100%(Worker_TP0 pid=7) INFO Loading weights took 2.00 seconds",
        "next",
    ]
    assert [line.number for line in lines] == [1, 1, 2]


def test_a_line_glued_behind_a_bar_has_no_process():
    """Its prefix stands in the middle, where a name in brackets may be anything."""
    (line,) = read(b"Loading: 100%(Worker_TP0 pid=7) INFO hello\n")

    assert (line.process, line.pid, line.rank) == (None, None, None)


def test_only_a_return_divides_a_line():
    """A prompt or a path may hold characters that Unicode calls line ends."""
    lines = read("one\u2028two\x0cthree\x85four\n".encode())

    assert [line.text for line in lines] == ["one\u2028two\x0cthree\x85four"]


def test_a_return_at_the_end_of_a_line_is_no_text():
    """vLLM ends the lines of a multi-line record with both a return and a newline."""
    lines = read(
        b"(Worker pid=7) ERROR 11-24 [a.py:1] Traceback (most recent call last):\r\n",
        b"(Worker pid=7) INFO hello\r\r\n",
    )

    assert [line.text for line in lines] == ["ERROR 11-24 [a.py:1] Traceback (most recent call last):", "INFO hello"]


def test_empty_lines_are_left_out_and_counted():
    """A line's number is where a person finds it in the file."""
    lines = read(b"one\n", b"\n", b"   \n", b"\r\n", b"five\n")

    assert [(line.number, line.text) for line in lines] == [(1, "one"), (5, "five")]


def test_bytes_that_are_no_text_do_not_stop_the_reading():
    """A log may be cut in the middle of a character, or hold what a native library printed."""
    (line,) = read(b"(Worker_TP0 pid=7) \xff\xfe Loading weights took 2.00 seconds \xe2\x96")

    assert line.rank == "TP0"
    assert "Loading weights took 2.00 seconds" in line.text


def test_a_rank_is_known_for_all_lines_of_its_process():
    """A worker says which rank it is only after it has said other things."""
    lines = read(
        b"(Worker pid=7) early\n",
        b"(Worker_TP1 pid=7) now ranked\n",
        b"(VllmWorker-1 pid=7) late\n",
        b"(Worker pid=8) other\n",
    )

    assert [line.rank for line in lines] == ["TP1", "TP1", "TP1", None]


def test_the_only_worker_gets_its_rank_from_the_line_that_assigns_it():
    """With one rank nobody is called Worker_TP0, but the worker says which rank it is assigned."""
    assigned = b"rank 0 in world size 1 is assigned as DP rank 0, PP rank 0, PCP rank 0, TP rank 0, EP rank N/A, EPLB rank N/A\n"
    lines = read(
        b"(Worker pid=7) INFO Starting to load model tiny...\n",
        b"(Worker pid=7) INFO " + assigned,
        b"(Worker pid=7) INFO Loading weights took 0.06 seconds\n",
        b"(EngineCore pid=5) INFO init engine\n",
    )

    assert [line.rank for line in lines] == ["TP0", "TP0", "TP0", None]


def test_the_tensor_parallel_rank_counts_not_the_global_one():
    """With pipelines the global rank runs on through the stages."""
    (line,) = read(
        b"(Worker pid=7) rank 5 in world size 8 is assigned as DP rank 0, PP rank 1, PCP rank 0, TP rank 1, EP rank 1\n"
    )

    assert line.rank == "TP1"


def test_a_name_with_the_rank_wins_over_the_line_that_assigns_it():
    """What a process is called on its own lines is printed with every one of them."""
    lines = read(
        b"(Worker pid=7) rank 0 in world size 2 is assigned as DP rank 0, TP rank 0\n", b"(Worker_TP1 pid=7) hello\n"
    )

    assert {line.rank for line in lines} == {"TP1"}


def test_a_line_without_a_prefix_has_no_rank():
    """The streamer's own line says neither pid nor rank, so it is nobody's, even where only one rank runs."""
    lines = read(
        b"(Worker pid=7) rank 0 in world size 1 is assigned as DP rank 0, TP rank 0\n",
        b"2026-11-24 02:16:22,938 [INFO] [RunAI Streamer] Overall time to stream 29.5 MiB of all files to cpu: 0.12s, 250.7 MiB/s\n",
    )

    assert [line.rank for line in lines] == ["TP0", None]


def test_a_prefix_of_dockers_is_no_part_of_the_text():
    """Where a line of vLLM's begins behind it. So two ranks in a log of Docker Compose are two processes."""
    line = parse_line("vllm-1  | (Worker_TP0 pid=7) INFO hello")

    assert (line.process, line.rank, line.text) == ("Worker_TP0", "TP0", "INFO hello")


def test_the_number_of_a_line_counts_ends_not_returns():
    """Also where a bar's states come one by one."""
    lines = read(b"\r 0%\r", b" 50%\r", b"100%\r\n", b"next\n", b"\r", b"\n", b"last\n")

    assert [(line.number, line.text) for line in lines] == [
        (1, " 0%"),
        (1, " 50%"),
        (1, "100%"),
        (2, "next"),
        (4, "last"),
    ]


def test_only_the_last_line_of_a_log_can_be_cut():
    """It has no end where all others have one. Lines that are handed over without ends are whole."""
    assert [line.cut for line in read(b"one\n", b"took 12.3")] == [False, True]
    assert [line.cut for line in read(b"one\n", b"took 12.3\n")] == [False, False]
    assert [line.cut for line in read(b"one\n", b" 0%\r", b"50%\r", b"took 12.3")] == [False, False, False, True]
    assert [line.cut for line in read(b"one", b"took 12.3")] == [False, False]


def test_a_number_at_the_end_of_a_cut_line_is_not_read():
    """Its last digits may be missing. A number with its unit behind it is whole."""
    last = b"INFO 11-24 02:51:08 [a.py:1] GPU KV cache size: 457,872 tokens\nBENCHMARK_READY_SECONDS=42"

    readings = read_phases(read(*last.splitlines(keepends=True)))
    assert [reading.phase for reading in readings if reading.values] == ["kv_cache"]
    readings = read_phases(read(*(last + b"1.88\n").splitlines(keepends=True)))
    assert [reading.values for reading in readings] == [{"tokens": 457872}, {"duration_s": 421.88}]
