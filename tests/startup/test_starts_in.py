"""Several starts in one file, each its own record."""

from pathlib import Path

import pytest

from bench.startup.log import LogLine, read_log, starts_in
from bench.startup.phases import read_phases

LOGS = sorted((Path(__file__).parents[1] / "logs").rglob("*.log"))

RECORD = "INFO 11-24 02:47:31 [a.py:1] "
BANNER = RECORD + "vLLM API server version 0.10.1"
ARGUMENTS = RECORD + "non-default args: {'model': 'tiny'}"
ENGINE = RECORD + "Initializing a V1 LLM engine (v0.10.1) with config: model='tiny'"
PLATFORM = RECORD + "Automatically detected platform cpu."


def starts(*lines: str) -> list[list[LogLine]]:
    return list(starts_in(line.encode() + b"\n" for line in lines))


def sizes(*lines: str) -> list[int]:
    return [len(start) for start in starts(*lines)]


@pytest.mark.parametrize("path", LOGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recorded_start_is_one(path):
    """At TP 1 and 2, failed or not."""
    with path.open("rb") as log:
        (start,) = starts_in(log)

    assert start[-1].number > 1


def test_two_recorded_starts_in_one_file_are_two():
    """As if each had a file of its own."""
    contents = [path.read_bytes() for path in LOGS if "seed" not in path.parts]

    found = list(starts_in(b"\n".join(contents).splitlines(keepends=True)))
    assert [told(start) for start in found] == [
        told(read_log(content.splitlines(keepends=True))) for content in contents
    ]


def told(lines: list[LogLine]) -> list[tuple[object, ...]]:
    return [(reading.phase, reading.rank, reading.values, reading.texts) for reading in read_phases(lines)]


def test_a_restarted_container_has_the_same_process_ids():
    """What a start prints once tells them apart; what is printed before it belongs to it."""
    lines = [
        PLATFORM,
        f"(APIServer pid=1) {BANNER}",
        f"(APIServer pid=1) {ARGUMENTS}",
        f"(EngineCore_DP0 pid=9) {ENGINE}",
    ]

    found = starts(*lines, PLATFORM, "(APIServer pid=1) ValueError: no", *lines, "(EngineCore_DP0 pid=9) done")
    assert [[line.number for line in start] for start in found] == [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11]]


def test_ranks_are_those_of_the_same_start():
    """A process id may be another rank's after a restart."""
    found = starts(
        BANNER, "(Worker pid=7) a", "(Worker_TP0 pid=7) b", BANNER, "(Worker pid=7) a", "(Worker_TP1 pid=7) b"
    )

    assert [line.rank for start in found for line in start if line.pid] == ["TP0", "TP0", "TP1", "TP1"]


def test_starts_without_a_server_have_no_banner():
    """A script that starts several engines one after the other, in any release."""
    assert sizes("script", ARGUMENTS, ENGINE, "work", ARGUMENTS, ENGINE, "work") == [4, 3]
    assert sizes(ENGINE, "work", ENGINE.replace("a V1 ", "an "), "work") == [2, 2]


def test_a_server_behind_a_script_is_another_start():
    """Each names its processes in its own way, and only one has a banner."""
    assert sizes(f"(MainProcess pid=1) {ARGUMENTS}", f"(EngineCore pid=2) {ENGINE}", BANNER, ARGUMENTS, ENGINE) == [
        2,
        3,
    ]


def test_replicas_are_one_start():
    """Each has an engine of its own, and there may be several API servers."""
    lines = [f"(EngineCore_DP{replica} pid={replica}) {ENGINE}" for replica in range(4)]
    servers = [f"(ApiServer_{number} pid=9{number}) {BANNER}" for number in range(3)]

    assert sizes(BANNER, *servers, ARGUMENTS, *lines) == [9]


def test_actors_of_ray_side_by_side_are_one_start():
    """Their lines are mixed, and which of them ended before another began nobody can tell."""
    assert sizes(f"(LLMActor pid=1) {ENGINE}", f"(LLMActor pid=2, ip=10.0.0.2) {ENGINE}", "(LLMActor pid=1) work") == [
        3
    ]
    assert sizes(f"(LLMActor pid=1) {ENGINE}", f"(LLMActor pid=1) {ENGINE}") == [1, 1]


@pytest.mark.parametrize("gap", ["  ", " "])
def test_the_banner_that_is_a_picture(gap):
    """From 0.17 on the version stands in it. Web pages leave out blanks."""
    picture = RECORD + f" ▄▄ ▄█ █     █     █ ▀▄▀ █{gap}version 0.26.0"

    assert sizes(picture, ARGUMENTS, ENGINE, picture, ARGUMENTS, ENGINE) == [3, 3]


def test_a_log_without_any_start_is_one_record():
    """What is in it, its reader says."""
    assert sizes("hello", PLATFORM) == [2]
    assert sizes() == []
