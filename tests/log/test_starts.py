"""Several starts in one file, each its own record."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.log import start_log
from bench.log.files import log_lines
from bench.log.outcome import Ending
from bench.log.readings import Reading
from bench.log.server_info import ServerInfo
from bench.log.start_log import StartLog, StartReader
from bench.log.starts import starts_of
from read_lines import ending_of, info_in, read_log, read_phases

LOGS = sorted((Path(__file__).parents[1] / "logs").rglob("*.log"))
RECORDED = Path(__file__).parents[1] / "logs" / "cpu-vllm0.32.0"

RECORD = "INFO 11-24 02:47:31 [a.py:1] "
BANNER = RECORD + "vLLM API server version 0.10.1"
ARGUMENTS = RECORD + "non-default args: {'model': 'tiny'}"
ENGINE = RECORD + "Initializing a V1 LLM engine (v0.10.1) with config: model='tiny'"
PLATFORM = RECORD + "Automatically detected platform cpu."


def starts(*lines: str) -> list[StartLog]:
    return list(starts_of(line.encode() + b"\n" for line in lines))


def begins(*lines: str) -> list[int]:
    """The numbers of the lines that starts begin with."""
    return [start.first_number for start in starts(*lines)]


Everything = tuple[list[Reading], Ending, ServerInfo]


def everything(told: StartLog) -> Everything:
    return told.readings, told.ending, told.info


def read_at_once(content: bytes) -> Everything:
    """The same of a log of one start, with every line of it in memory."""
    lines = read_log(content.splitlines(keepends=True))
    return read_phases(lines), ending_of(lines), info_in(lines)


BEGINS = (b"non-default args: ", b"args: Namespace(", b"usage: ")


def test_recorded_starts_in_one_file_are_as_many():
    """As if each had a file of its own, but for the numbers of its lines. One that dies before it says what it was asked for prints
    nothing that begins a start.
    """
    contents = [path.read_bytes() for path in LOGS if "seed" not in path.parts]
    contents = [content for content in contents if any(begins in content for begins in BEGINS)]

    found = list(starts_of(b"\n".join(contents).splitlines(keepends=True)))
    assert [start.ending for start in found] == [read_at_once(content)[1] for content in contents]
    assert [start.info for start in found] == [read_at_once(content)[2] for content in contents]
    assert [told(start.readings) for start in found] == [told(read_at_once(content)[0]) for content in contents]


def told(readings: list[Reading]) -> list[tuple[object, ...]]:
    return [(reading.phase, reading.rank, reading.values, reading.texts) for reading in readings]


def test_a_restarted_container_has_the_same_process_ids():
    """What a start prints once tells them apart; what is printed before it belongs to it."""
    lines = [
        PLATFORM,
        f"(APIServer pid=1) {BANNER}",
        f"(APIServer pid=1) {ARGUMENTS}",
        f"(EngineCore_DP0 pid=9) {ENGINE}",
    ]

    found = starts(*lines, PLATFORM, "(APIServer pid=1) ValueError: no", *lines, "(EngineCore_DP0 pid=9) done")
    assert [start.first_number for start in found] == [1, 7]
    assert [start.ending.reason for start in found] == ["ValueError: no", None]


def test_ranks_are_those_of_the_same_start():
    """A process id may be another rank's after a restart."""
    took = "(Worker pid=7) Loading weights took 2.00 seconds"
    found = starts(BANNER, took, "(Worker_TP0 pid=7) b", BANNER, took, "(Worker_TP1 pid=7) b")

    assert [[reading.rank for reading in start.readings] for start in found] == [[None, "TP0"], [None, "TP1"]]


def test_a_rank_is_heard_in_a_line_that_tells_nothing_else():
    """Lines that differ in digits only are alike, but the digits of a rank are what it is."""
    took = [f"(Worker pid={pid}) Loading weights took 2.00 seconds" for pid in (7, 8)]
    found = starts(BANNER, *took, "(Worker_TP0 pid=7) hello", "(Worker_TP1 pid=8) hello", "(Worker_TP0 pid=7) hello")

    assert [reading.rank for reading in found[0].readings] == [None, "TP0", "TP1"]


def test_a_front_that_another_process_prints_again_is_of_one_start():
    """A wrapper starts the server anew, and a script without a guard is executed again in its engine's process. Nothing went wrong."""
    again = [f"(APIServer pid={pid}) {line}" for pid in (641, 1123) for line in (BANNER, ARGUMENTS)]

    assert begins(PLATFORM, *again, f"(EngineCore pid=5) {ENGINE}", "work") == [1]
    assert begins(ARGUMENTS, PLATFORM, ARGUMENTS, ENGINE, "work") == [1]
    assert begins(ARGUMENTS, ARGUMENTS.replace("tiny", "other"), ENGINE) == [1, 2]


def test_a_front_that_comes_again_behind_a_failure_is_of_another_start():
    """Each attempt has a process of its own, as systemd's have. Also where the first is not wanted."""
    first, second = ([f"(APIServer pid={pid}) {line}" for line in (BANNER, ARGUMENTS)] for pid in (641, 1123))
    failed = ["(APIServer pid=641) Traceback (most recent call last):", "(APIServer pid=641) ValueError: no"]
    lines = [*first, *failed, *second, f"(EngineCore pid=5) {ENGINE}"]

    assert begins(*lines) == [1, 5]
    found = starts_of((line.encode() + b"\n" for line in lines), is_selected=lambda number: number == 2)
    assert [start.first_number for start in found] == [1, 5]


def test_starts_without_a_server_have_no_banner():
    """A script that starts several engines one after the other, in any release."""
    assert begins("script", ARGUMENTS, ENGINE, "work", ARGUMENTS, ENGINE, "work") == [1, 5]
    assert begins(ENGINE, "work", ENGINE.replace("a V1 ", "an "), "work") == [1, 3]


def test_a_server_behind_a_script_is_another_start():
    """Each names its processes in its own way, and only one has a banner."""
    script = [f"(MainProcess pid=1) {ARGUMENTS}", f"(EngineCore pid=2) {ENGINE}"]

    assert begins(*script, BANNER, ARGUMENTS, ENGINE) == [1, 3]


def test_replicas_are_one_start():
    """Each has an engine of its own, and there may be several API servers."""
    lines = [f"(EngineCore_DP{replica} pid={replica}) {ENGINE}" for replica in range(4)]
    servers = [f"(ApiServer_{number} pid=9{number}) {BANNER}" for number in range(3)]

    assert begins(BANNER, *servers, ARGUMENTS, *lines) == [1]


def test_actors_of_ray_side_by_side_are_one_start():
    """Their lines are mixed, and which of them ended before another began nobody can tell."""
    first, second = f"(LLMActor pid=1) {ENGINE}", f"(LLMActor pid=2, ip=10.0.0.2) {ENGINE}"

    assert begins(first, second, "(LLMActor pid=1) work") == [1]
    assert begins(first, first.replace(":31 ", ":59 ")) == [1, 2]


def test_a_start_that_is_not_wanted_is_passed_by():
    """Where it begins and ends is known all the same."""
    contents = [path.read_bytes() for path in LOGS if "seed" not in path.parts]
    lines = b"\n".join(contents).splitlines(keepends=True)

    every = list(starts_of(lines))
    some = list(starts_of(lines, is_selected=lambda number: number == 5))
    assert [(start.first_number, start.last_number) for start in some] == [
        (start.first_number, start.last_number) for start in every
    ]
    assert [start.is_selected for start in some] == [number == 5 for number in range(1, len(every) + 1)]
    assert everything(some[4]) == everything(every[4])
    assert some[3].readings == []


@pytest.mark.parametrize("gap", ["  ", " "])
def test_the_banner_that_is_a_picture(gap):
    """From 0.17 on the version stands in it."""
    picture = RECORD + f" ▄▄ ▄█ █     █     █ ▀▄▀ █{gap}version 0.26.0"

    assert begins(picture, ARGUMENTS, ENGINE, picture, ARGUMENTS, ENGINE) == [1, 4]


def test_a_log_without_any_start_is_one_record():
    """What is in it, its reader says."""
    assert begins("hello", PLATFORM) == [1]
    assert begins() == []


DEATH = (
    "WorkerProc failed to start.",
    "Traceback (most recent call last):",
    "torch.OutOfMemoryError: CUDA out of memory. 2 GiB",
)
CHATTER = (
    "(APIServer pid=1) INFO 11-24 03:00:0{0} [logger.py:51] Received request cmpl-{1:032x}: params: max_tokens={0}\n",
    "(Worker_TP1 pid=8) WARNING 11-24 03:00:0{0} [a.py:1] Block {0} of {1:x} was seen\n",
    'INFO:     10.0.0.{0}:6{0} - "GET /load/{1:x} HTTP/1.1" 404 Not Found\n',
    "Loading safetensors checkpoint shards: {0}% Completed | {1:x}/7\r",
    "2026-11-24 03:00:0{0} another program says {1:x}\n",
)


def chatter(size: int, seed: int) -> Iterator[bytes]:
    """Lines that tell nothing, so many bytes of them, each with an id of its own."""
    chance = random.Random(seed)  # noqa: S311 - the same each time
    while size > 0:
        line = chance.choice(CHATTER).format(chance.randrange(10), chance.getrandbits(128)).encode()
        size -= len(line)
        yield line


DYING = [
    f"(APIServer pid=1) {BANNER}\n(APIServer pid=1) {ARGUMENTS}\n(EngineCore_DP0 pid=5) {ENGINE}\n",
    f"(Worker pid=8) {RECORD}Loading weights took 2.25 seconds\n",
    "".join(f"(Worker pid=8) ERROR 11-24 03:00:01 [multiproc_executor.py:870] {words}\n" for words in DEATH),
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.\n",
]


def tells_of_death(start: StartLog) -> None:
    """What can be read in `DYING`, and in one line of the chatter, which tells a rank."""
    ending = start.ending
    assert (ending.outcome, ending.reason_class, ending.stage) == (
        "failed",
        "out_of_gpu_memory",
        "finishing the weights",
    )
    assert ending.reason == "OutOfMemoryError: CUDA out of memory. 2 GiB"
    assert start.info == ServerInfo(version="0.10.1", engine="V1", model="tiny")
    assert [(reading.phase, reading.rank, reading.values) for reading in start.readings if reading.values] == [
        ("load_weights", "TP1", {"duration_s": 2.25})
    ]


def test_a_long_log_tells_what_it_would_without_its_chatter(tmp_path):
    """5 MB of it around each part of a start that fails: nothing of what it tells is lost, and nothing comes to it."""
    log = tmp_path / "long.log"
    with log.open("wb") as file:
        for number, part in enumerate([*DYING, ""]):
            file.writelines(chatter(1_000_000, number))
            file.write(b"\n" + part.encode())

    (start,) = starts_of(log_lines(log))
    tells_of_death(start)


@pytest.mark.parametrize(
    "captured",
    [
        lambda line: f"2026-11-24T03:00:00.123456789Z stdout F {line}\n",
        lambda line: json.dumps({"log": line + "\n", "stream": "stdout", "time": "2026-11-24T03:00:00Z"}) + "\n",
        lambda line: f"Nov 24 03:00:00 host vllm[12]: {line}\n",
        lambda line: f"vllm-1  | {line}\r\n",
        lambda line: f"   40.225 {line}\n",
    ],
    ids=["kubernetes", "docker", "journal", "compose", "bench"],
)
def test_chatter_is_passed_by_however_it_was_captured(captured):
    """What stands around a line is no reason to lose it."""
    texts = [text for part in [*DYING, ""] for text in [*chatter(30_000, len(part)), part.encode()]]
    lines = [line for text in texts for line in text.decode().splitlines()]

    (start,) = starts_of(captured(line).encode() for line in lines)
    tells_of_death(start)


def test_what_a_start_tells_is_bounded(monkeypatch):
    """A log can hold anything, also millions of lines with numbers: the first ones are kept, and that is said."""
    monkeypatch.setattr(start_log, "MOST_READINGS", 3)
    took = [f"{RECORD}Loading weights took {number}.00 seconds" for number in range(5)]
    (few,), (many,) = starts(ENGINE, *took[:1]), starts(ENGINE, *took)

    assert (few.is_full, many.is_full) == (False, True)
    assert [reading.values for reading in many.readings if reading.phase == "load_weights"] == [
        {"duration_s": 0.0}, {"duration_s": 1.0}
    ]  # fmt: skip


def test_what_follows_an_exception_is_read_though_it_was_chatter_before():
    """Its details are lines of any kind, of its process."""
    detail = ["  Input should be less than 5 [type=less_than]", "    For further information visit a page"]
    raised = "pydantic_core.ValidationError: 1 validation error for VllmConfig"

    (start,) = starts(ENGINE, *detail, raised, *detail, "")
    assert start.ending.reason == "ValidationError: 1 validation error for VllmConfig: Input should be less than 5"


def test_what_was_chatter_when_a_start_was_ready_can_end_the_next_one():
    """A server survives a request that fails; a start does not survive the same words."""
    failing = "(APIServer pid=1) ValueError: no number {} here"
    lines = [f"(APIServer pid=1) {BANNER}", f"(APIServer pid=1) {ARGUMENTS}", f"(EngineCore_DP0 pid=9) {ENGINE}"]

    found = starts(*lines, "INFO:     Application startup complete.", failing.format(1), *lines, failing.format(2))
    assert [start.ending.outcome for start in found] == ["ready", "failed"]
    assert found[1].ending.reason == "ValueError: no number 2 here"


def test_lines_that_differ_in_digits_only_can_mean_different_things():
    """What was found in one line holds for all of its shape, but not where a text has digits of its own."""
    request = '(APIServer pid=1) INFO:     127.0.0.1:{} - "GET /health HTTP/1.1" {} x'

    found = [*starts(ENGINE, *[request.format(port, 503) for port in range(3)], request.format(3, 200))]
    assert [start.ending.outcome for start in found] == ["ready"]
    found = [*starts(ENGINE, *[request.format(port, 503) for port in range(3)])]
    assert [start.ending.outcome for start in found] == ["incomplete"]


def test_what_stands_around_lines_can_be_learnt_late():
    """A log that two captures were put into: lines that were seen before it was known are seen in a new light."""
    late = "Nov 24 03:00:00 host vllm[12]: "
    failing = late + "RuntimeError: no number {} here"

    (start,) = starts(ENGINE, *["chatter"] * 200, failing.format(1), f"{late}{RECORD}hello", failing.format(2))
    assert start.ending.reason == "RuntimeError: no number 2 here"


def test_any_line_behind_a_version_shows_that_it_is_whole():
    """Also one that tells nothing, and is like one before. A version that ends the log may have lost a digit."""
    assert [start.info.version for start in starts("hello", "hello", BANNER, "hello")] == ["0.10.1"]
    assert [start.info.version for start in starts("hello", "hello", BANNER)] == [None]


SIDE_BY_SIDE = {
    "docker compose": ("vllm-1  | ", "vllm-2  | "),
    "kubectl --prefix": ("[pod/vllm-5d8f-x2x/server] ", "[pod/vllm-5d8f-b7k/server] "),
    "journald": ("Nov 24 02:47:31 host vllm-a[41]: ", "Nov 24 02:47:31 host vllm-b[42]: "),
    "journald, short-iso": ("2026-11-24T02:47:31+0000 host a[41]: ", "2026-11-24T02:47:31+0000 host b[42]: "),
    "grep -H": ("logs/a.log:", "logs/b.log:"),
    "grep -nH": ("logs/a.log:7:", "logs/b.log:9:"),
}


@pytest.mark.parametrize("before", SIDE_BY_SIDE.values(), ids=SIDE_BY_SIDE)
@pytest.mark.parametrize("seed", range(3))
def test_of_containers_side_by_side_each_has_its_own_starts(before, seed):
    """They may have the same process ids. Each is read as if its lines were alone, in whatever way they are mixed."""
    logs = [
        (RECORDED / name).read_bytes().splitlines(keepends=True) for name in ("auto-tp2.log", "dummy-tp1-eager.log")
    ]
    logs[1] += logs[1]  # a container that was restarted
    mixed = shuffled_together(
        [[prefix.encode() + line for line in lines] for prefix, lines in zip(before, logs, strict=True)], seed
    )

    found = sorted(starts_of(mixed), key=lambda start: start.number)
    of_each = {load_format: [] for load_format in ("auto", "dummy")}
    for start in found:
        of_each[start.info.load_format].append(start)
    assert [len(each) for each in of_each.values()] == [1, 2]
    for load_format, name in (("auto", "auto-tp2.log"), ("dummy", "dummy-tp1-eager.log")):
        readings, ending, said = read_at_once((RECORDED / name).read_bytes())
        for start in of_each[load_format]:
            assert (told(start.readings), start.ending, start.info) == (told(readings), ending, said)
    for chosen in found:
        (again,) = (each for each in starts_of(mixed, is_selected=chosen.number.__eq__) if each.is_selected)
        assert everything(again) == everything(chosen)


def shuffled_together(logs: list[list[bytes]], seed: int) -> list[bytes]:
    """Each in its order."""
    turns = [index for index, lines in enumerate(logs) for _ in lines]
    random.Random(seed).shuffle(turns)  # noqa: S311 - the same each time
    left = [iter(lines) for lines in logs]
    return [next(left[turn]) for turn in turns]


def test_what_is_printed_beside_vllm_is_no_start():
    """A database and another server in the same Compose file; the kernel, whose word on who was killed counts."""
    (start,) = starts(f"db-1    | ready to accept connections {BANNER[:4]}", f"vllm-1  | {BANNER}", "db-1    | bye")
    assert start.info.version == "0.10.1"

    served = ["INFO:     Application startup complete.", 'INFO:     10.0.0.1:10001 - "GET / HTTP/1.1" 200 OK']
    (start,) = starts(f"vllm-1  | {BANNER}", *(f"webui-1 | {line}" for line in [*served, "ValueError: no such chat"]))
    assert start.ending.outcome == "incomplete"

    (start,) = starts(
        f"Nov 24 02:47:31 host vllm[41]: {BANNER}",
        "Nov 24 02:47:32 host kernel: Out of memory: Killed process 41 (vllm) total-vm:1kB",
    )
    assert start.ending.outcome == "failed"


@pytest.mark.parametrize("is_named_first", [True, False])
@pytest.mark.parametrize("front", [[], [BANNER, ARGUMENTS]], ids=["engine alone", "whole front"])
def test_a_report_of_several_logs_has_the_starts_of_each(front, is_named_first):
    """What the journal has of one server, and the logs of two containers, of which one has another release."""
    named = [
        f"Nov 24 02:47:31 host vllm[41]: {line}" for line in (RECORD + "Available KV cache memory: 31.00 GiB", "hello")
    ]
    another = [
        line.replace("0.10.1", "0.10.2").replace("INFO", "(EngineCore_DP0 pid=7) INFO") for line in [*front, ENGINE]
    ]
    unnamed = [
        *front,
        ENGINE,
        RECORD + "Loading weights took 2.00 seconds",
        *another,
        RECORD + "Loading weights took 3.00 seconds",
    ]
    lines = [*named, "=== docker logs ===", *unnamed] if is_named_first else ["=== docker logs ===", *unnamed, *named]

    found = [
        (start.source, start.info.version, [each.values for each in start.readings if each.values])
        for start in starts(*lines)
    ]
    assert sorted(found, key=str) == [
        ("", "0.10.1", [{"duration_s": 2.0}]),
        ("", "0.10.2", [{"duration_s": 3.0}]),
        ("host vllm", None, [{"memory_gib": 31.0}]),
    ]


def test_a_first_line_that_lost_its_name_is_of_the_same_start():
    """It was copied from behind the name."""
    (start,) = starts(ENGINE, f"vllm-1  | {RECORD}Loading weights took 2.00 seconds", "vllm-1  | hello")

    assert (start.source, start.info.version) == ("vllm-1", "0.10.1")


def test_a_start_with_a_wrong_argument_is_one_of_its_own():
    """It ends before it prints anything that a start begins with, but for how it should be called."""
    usage = ["usage: api_server.py [-h] [--port PORT]", "api_server.py: error: unrecognized arguments: --prot"]
    found = starts(PLATFORM, *usage, PLATFORM, BANNER, ARGUMENTS, PLATFORM, *usage, *usage, BANNER, ENGINE)

    assert [start.first_number for start in found] == [1, 4, 7, 10, 12]
    assert [start.ending.reason_class for start in found] == ["bad_argument", None] + ["bad_argument"] * 2 + [None]


def test_a_log_that_begins_in_the_middle_of_a_start_has_that_start():
    """What a start prints first cannot come behind numbers of the same one."""
    took = "(EngineCore pid=9) INFO Loading weights took 2.31 seconds"
    lines = [
        took,
        "(EngineCore pid=9) ValueError: no",
        PLATFORM,
        f"(APIServer pid=1) {BANNER}",
        took.replace("2.31", "1.49"),
    ]

    found = starts(*lines)
    assert [start.first_number for start in found] == [1, 3]
    assert [reading.values for start in found for reading in start.readings][::2] == [
        {"duration_s": 2.31},
        {"duration_s": 1.49},
    ]
    assert [start.ending.outcome for start in found] == ["failed", "incomplete"]
    (unwanted, second) = starts_of((line.encode() + b"\n" for line in lines), is_selected=lambda number: number == 2)
    assert (unwanted.is_selected, second.first_number, second.info.version) == (False, 3, "0.10.1")


def test_a_name_without_its_id_is_nobody_new():
    """Each of its lines has its rank, so none is read for that, and none is remembered: a line can be long."""
    start = StartReader(1, 1)

    assert start.is_new(b"(Worker_TP0 pid=7) hello")
    assert not start.is_new(b"(Worker_TP0 pid=7) hello again")
    assert not start.is_new(b"(Worker_TP0) hello")


@pytest.mark.parametrize("selected", [True, False])
def test_where_a_start_begins_does_not_depend_on_which_one_is_read(selected):
    """A front behind numbers is of another start; that of a wrapper, behind none, is not. So `start=2` is the second of them all."""
    took = RECORD + "Loading weights took 3.00 seconds"
    fronts = [f"(APIServer pid={pid}) {BANNER}" for pid in (4, 7, 9)]
    found = starts_of(
        (line.encode() + b"\n" for line in [fronts[0], fronts[1], took, fronts[2], took]),
        is_selected=lambda _: selected,
    )

    assert [start.first_number for start in found] == [1, 4]
