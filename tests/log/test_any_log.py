"""Properties of reading, for anything that a file may hold: no exception, and no number that the whole log contradicts."""

import random
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.log import starts
from bench.log.lines import LogLine
from bench.log.outcome import Ending
from bench.log.readings import CUT, Reading
from bench.log.server_info import ServerInfo
from bench.log.starts import starts_of
from bench.start.log_metrics import summarise
from bench.start.timeline import log_spans
from read_lines import ending_of, info_in, parse_line, read_log, read_phases, reason_in

LOGS = sorted((Path(__file__).parents[1] / "logs").rglob("*.log"))
FEW = settings(max_examples=40, deadline=None, database=None)

# Parts of logs, of which anything may be made.
PARTS = st.sampled_from(
    [
        "(Worker_TP0 pid=7) ", "(Worker pid=7) ", "(VllmWorker rank=1 pid=7) ", "(RayWorkerWrapper pid=7, ip=10.0.0.2) ",
        "INFO 11-24 02:47:31 [a.py:1] ", "Loading weights took ", "2.00 seconds", "GPU KV cache size: ", "1,0,,0 tokens",
        "rank 1 in world size 2 is assigned as DP rank 0, TP rank 1", "[rank1]: ", " [repeated 3x across cluster]",
        "non-default args: ", "Initializing a V1 LLM engine (v", "0.32.0", "vLLM ", "version ", "\r", "\n", "\r\n", "\t",
        '{"log": "', '"message": ', '"stream": "stdout"', '"}', "{", "[", "\x1b", "\x1b[1;36m", "\x1b_bk;t=1\x07", "^[[0m", "[0m",
        "2026-11-24T02:47:31Z ", "stdout P ", "stderr F ", "Nov 24 02:47:31 host unit[1]: ", "vllm-1  | ", "12:", "a.log:12:",
        "[pod/a/b] ", "   40.225 ", "ValueError: no ", "During handling of the above exception, another exception occurred", '  File "a.py", line 1',
        "error: invalid value '{", "' for '--args-json <JSON>':", "- api_key", "(RustFrontend pid=8) ", "(Worker_TP1) ", "(EngineCore) ", "[UC][E] ", "Maximum concurrency for 1 tokens per request: ",
        "NPU function error: ", "[ERROR]", "Launching Rust frontend", "cpu_worker.py:1] ", "Enforce eager set, ", "9" * 400, "٣", "█", "\ufeff", "\x00", "\ud800", " " * 50, "(" * 50, "x" * 100,
    ]
)  # fmt: skip
ANY_BYTES = st.one_of(
    st.binary(max_size=300),
    st.lists(PARTS, max_size=30).map(lambda parts: "".join(parts).encode(errors="surrogatepass")),
)


def read_whole(lines: list[LogLine]) -> list[Reading]:
    readings = read_phases(lines)
    summarise(readings)
    reason_in(lines)
    log_spans(lines, readings, 1.0, 2.0)
    return readings


@cache
def recorded(path: Path) -> bytes:
    return path.read_bytes()


def told(readings: list[Reading]) -> list[tuple[object, ...]]:
    """Each phase, and each number and text on its own: a line that was cut may still tell the first of two. Without ranks: they
    may be said later.
    """
    found: list[tuple[object, ...]] = []
    for reading in readings:
        if reading.phase == CUT:
            continue
        of_line = (reading.phase, reading.line.number, reading.line.pid)
        found += [of_line, *((*of_line, *told) for told in [*reading.values.items(), *reading.texts.items()])]
    return found


@FEW
@given(ANY_BYTES)
@example(b'{"log": "took 1", "stream": "x"}')
@example(b"(Worker pid=99999999999999999999) ")
def test_any_bytes_are_a_log(content):
    """Each line is read once, in order, and has the number of a line of the file."""
    lines = read_log(content.splitlines(keepends=True))

    read_whole(lines)
    assert [line.number for line in lines] == sorted(line.number for line in lines)
    assert all(1 <= line.number <= len(content.split(b"\n")) for line in lines)


@FEW
@given(ANY_BYTES)
def test_any_bytes_are_starts(content):
    """As many as if every line were looked at; and where it is one, it tells what the log does that is read at once."""
    found = everything_in(content)

    assert found == everything_in(content, filtered=False)
    if len(found) == 1:
        lines = read_log(content.splitlines(keepends=True))
        assert found == [(1, read_phases(lines), ending_of(lines), info_in(lines))]


@FEW
@given(st.sampled_from(LOGS), st.sampled_from(LOGS), st.randoms(use_true_random=False))
def test_lines_in_any_order_tell_the_same_filtered_and_not(one, another, chance):
    """Which lines are passed by depends on those before; what is told does not."""
    lines = [*recorded(one).splitlines(keepends=True), *recorded(another).splitlines(keepends=True)] * 2
    chance.shuffle(lines)

    assert everything_in(b"".join(lines)) == everything_in(b"".join(lines), filtered=False)


def everything_in(content: bytes, *, filtered: bool = True) -> list[tuple[int, list[Reading], Ending, ServerInfo]]:
    """The facts of each start; `filtered=False`: with every line read, and no shape remembered."""
    with pytest.MonkeyPatch.context() as patch:
        if not filtered:
            patch.setattr(starts.LogReader, "may_matter", lambda *_: True)
            patch.setattr(starts, "SHAPE_BYTES", 0)
        return [
            (start.first_number, start.readings, start.ending, start.info)
            for start in starts_of(content.splitlines(keepends=True))
        ]


@FEW
@given(st.lists(PARTS, max_size=12).map("".join))
def test_any_text_is_a_line(text):
    """Its end is as it was printed."""
    line = parse_line(text)

    assert line.number == 1
    assert line.raw.endswith(line.text) or line.repeated > 1


@FEW
@given(st.sampled_from(LOGS), st.floats(0, 1))
def test_a_truncated_log_tells_the_beginning_of_what_the_whole_tells(path, share):
    """Number for number: what was cut off is absent, and a number of which digits are missing too. Of the line that was cut,
    what stands before the cut is told as it is in the whole line.
    """
    whole = recorded(path)
    part = whole[: int(len(whole) * share)]
    cut = part.count(b"\n") + 1

    all_told = told(read_phases(read_log(whole.splitlines(keepends=True))))
    some_told = told(read_whole(read_log(part.splitlines(keepends=True))))
    ended = [each for each in some_told if each[1] < cut]

    assert ended == [each for each in all_told if each[1] < cut]
    assert set(some_told[len(ended) :]) <= {each for each in all_told if each[1] == cut}


@pytest.mark.parametrize("path", LOGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_number_that_was_cut_anywhere_is_never_another(path):
    """At each of the last bytes of each line that tells something."""
    lines = recorded(path).split(b"\n")
    readings = read_phases(read_log(recorded(path).splitlines(keepends=True)))
    for number in {reading.line.number for reading in readings}:
        line = lines[number - 1][:2000]
        expected = told(read_phases(read_log([b"before\n", line + b"\n"])))
        for end in range(max(1, len(line) - 40), len(line)):
            found = told(read_phases(read_log([b"before\n", line[:end]])))
            assert all(each in expected for each in found), line[:end]


@FEW
@given(st.sampled_from(LOGS), st.floats(0, 1))
def test_a_metric_of_a_truncated_log_is_that_of_the_whole(path, share):
    """Where the whole has no more to say about it. Else it is of those who had said it: no slower, and no smaller KV cache."""
    whole = recorded(path)
    part = whole[: int(len(whole) * share)]

    of_whole = summarise(read_phases(read_log(whole.splitlines(keepends=True))))
    of_part = summarise(read_phases(read_log(part.splitlines(keepends=True))))
    for name, value in of_part.items():
        if name.startswith(("memory/kv_cache", "kv_cache/", "throughput/")):
            assert value >= of_whole[name]
        else:
            assert value <= of_whole[name]


@FEW
@given(st.sampled_from(LOGS), st.randoms(use_true_random=False))
def test_two_pipes_out_of_order_tell_the_same(path, chance):
    """A line stays before the next one of its process; which process's comes first is another each time."""
    lines = [line for line in recorded(path).splitlines(keepends=True) if line.endswith(b"\n")]
    mixed = out_of_order(lines, chance)

    assert summarise(read_phases(read_log(mixed))) == summarise(read_phases(read_log(lines)))


def out_of_order(lines: list[bytes], chance: random.Random) -> list[bytes]:
    pipes: dict[int | None, list[bytes]] = {}
    for line in lines:
        pipes.setdefault(parse_line(line.decode(errors="replace").rstrip("\r\n")).pid, []).append(line)
    order = [pid for pid, pipe in pipes.items() for _ in pipe]
    chance.shuffle(order)
    left = {pid: iter(pipe) for pid, pipe in pipes.items()}
    return [next(left[pid]) for pid in order]


@FEW
@given(st.sampled_from(LOGS), st.sampled_from(LOGS), st.integers(0), st.integers(1, 5000))
def test_any_mixture_of_logs_is_read(one, another, at, size):
    """Blocks of bytes of two logs in turn, as two writers without a lock leave them."""
    first, second = recorded(one), recorded(another)
    blocks = [part[start : start + size] for start in range(at % 3000, 20_000, size) for part in (first, second)]

    read_whole(read_log(b"".join(blocks).splitlines(keepends=True)))


@pytest.mark.parametrize(
    "text",
    ["(" * 20_000, "[" * 60_000, '{"a":' * 10_000, "vLLM " * 12_000, "rank 1 in world size 1 is assigned as " * 1_500,
     "\x1b]" * 30_000, "INFO " * 12_000, "(Worker pid=7) " * 4_000, "a-" * 30_000, "9" * 60_000, " [repeated 3x across cluster]" * 2_000,
     "INFO 11-24 02:47:31 " * 3_000],
    ids=range(12),
)  # fmt: skip
def test_no_line_takes_long(text):
    """What is tried at each place of a line ends soon: the same ten times is not a hundred times the work."""
    lines = read_log([text.encode() + b"\n"] * 3)

    assert len(lines) >= 3
