"""Sources of one start held against each other: each row of the table catches its planted cases, and honest starts raise none."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.start.checks import CHECKS, doubts_in, problems_in
from bench.vllm.probe_report import GIB
from checks_document import BEGIN, END, render
from planted import HALF, ONE, PLANTED, READY_S, emulated, looks, read_against, spans, state, values
from recorded_evidence import evidence, folders

DOCUMENT = Path(__file__).parents[2] / "docs" / "trust.md"
HONEST = sorted(folders())
CASES = [(check, number) for check in CHECKS for number in range(len(PLANTED.get(check.name, ())))]


def test_the_recorded_starts_are_of_one_rank_and_of_two():
    """On a CPU, an H100 and H200s."""
    assert len(HONEST) >= 28
    assert {len(evidence(name).probe.ranks) for name in HONEST} == {1, 2}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_start_raises_none(name):
    """Neither a contradiction nor a doubt."""
    assert (problems_in(evidence(name)), doubts_in(evidence(name))) == ([], [])


@pytest.mark.parametrize(("check", "number"), CASES, ids=[f"{check.name}-{number}" for check, number in CASES])
def test_a_planted_case_is_caught(check, number):
    """In a sentence of its own, which a start's problems have, or its warnings."""
    case = PLANTED[check.name][number]()
    said = list(check.find(case))

    assert said
    assert set(said) <= ({str(doubt) for doubt in doubts_in(case)} if check.warns else set(problems_in(case)))


@given(
    late_s=st.floats(0.06, 1e5),
    name=st.sampled_from(["load_weights", "engine_client", "warm_up", "profile", "kv_cache"]),
)
def test_whatever_ends_after_ready_is_caught(late_s, name):
    """By how much, and in which process, is no matter."""
    case = spans(name, lambda span: replace(span, end_s=READY_S + late_s))

    assert any(f"but {name} of" in problem for problem in problems_in(case))


@given(more_s=st.floats(0.7, 1e6), phase=st.sampled_from(["load_weights", "load_model", "init_engine"]))
def test_no_duration_is_longer_than_the_time_to_its_line(more_s, phase):
    """Since exec, whatever its process."""
    line = next(reading.line for reading in evidence(ONE).log.readings if reading.phase == phase)

    assert any(
        "is longer than the time since" in each
        for each in problems_in(values(phase, duration_s=line.elapsed_s + more_s))
    )


@given(share=st.floats(0.0, 1.0))
def test_what_a_cold_start_must_read_has_two_limits(share):
    """Below 90 % it does not count, below 95 % it has a warning."""
    assume(all(abs(share - limit) > 1e-6 for limit in (0.9, 0.95)))
    case = state(read={"TP0": int(2 * HALF * share)})
    is_invalid = any("a cache has answered" in problem for problem in problems_in(case))

    assert is_invalid is (share < 0.9)
    assert bool(doubts_in(case)) is (0.9 <= share < 0.95)


@pytest.mark.parametrize(
    "case",
    [
        read_against,
        lambda: read_against(1.5, 1.55, 1.52),
        lambda: read_against(0.9, 0.92, 1.55),  # the best of them is the limit
        lambda: replace(read_against(0.4, 0.41, 0.42), storage_use=replace(read_against(0.4, 0.41, 0.42).storage_use, is_cold=False)),
        lambda: replace(read_against(0.4, 0.41, 0.42), storage_use=replace(read_against(0.4, 0.41, 0.42).storage_use, read_gib=None)),
        lambda: replace(read_against(0.4, 0.41, 0.42), storage_use=replace(read_against(0.4, 0.41, 0.42).storage_use, seconds=None)),
        lambda: replace(read_against(0.4, 0.41, 0.42), storage_use=replace(read_against(0.4, 0.41, 0.42).storage_use, read_gib=0.15, seconds=0.1)),
    ],
    ids=["not measured", "within 110 %", "it moved up", "warm", "bytes unknown", "seconds unknown", "too little"],
)  # fmt: skip
def test_the_storages_limit_doubts_no_start_that_it_does_not_prove_wrong(case):
    """What is not known is no verdict; what a queue may hold is too little."""
    assert (problems_in(case()), doubts_in(case())) == ([], [])


def test_of_several_api_servers_one_answers_and_the_others_may_be_late():
    """`vllm serve` starts as many as there are data-parallel ranks, below a parent that is one too."""
    plain = evidence(ONE)
    (server,) = [each for each in plain.probe.processes if each.kind == "api_server"]
    late = [replace(span, end_s=None) for span in server.spans if span.name == "engine_client"]
    others = [replace(server, pid=server.pid + 7000 + n, parent=server.pid, spans=tuple(late)) for n in range(3)]
    servers = {
        n: replace(plain, probe=replace(plain.probe, processes=(*plain.probe.processes, *others[:n]))) for n in (2, 3)
    }
    of_two = {n: replace(each, asked=replace(each.asked, api_servers=2)) for n, each in servers.items()}

    assert problems_in(of_two[2]) == []
    assert any("never ended" in each for each in problems_in(servers[2]))
    assert any("3 API servers were started by the settings, 4 reported" in each for each in problems_in(of_two[3]))


def test_every_check_has_a_planted_case_and_a_name_of_its_own():
    """So that the document has an example of each."""
    assert [check.name for check in CHECKS] == list(PLANTED)


def test_the_document_is_that_of_the_checks():
    """To write it anew: BENCH_WRITE_DOCS=1 python -m pytest tests/start/test_checks.py."""
    text = DOCUMENT.read_text()
    made = re.sub(f"{BEGIN}.*?{END}", lambda _: render(), text, flags=re.DOTALL)
    if os.environ.get("BENCH_WRITE_DOCS"):
        DOCUMENT.write_text(made)

    assert BEGIN in text
    assert made == DOCUMENT.read_text(), "the table in docs/trust.md is out of date: BENCH_WRITE_DOCS=1 writes it anew"


def test_a_limit_that_held_raises_none():
    """What the kernel lets through at once behind a pause is no more than half a second's requests; and time between looks is not exact."""
    for found in (
        looks(0, 2500, 5000, seconds=5.0, size=4 * GIB),
        looks(0, 0, 0, 700, 1200, seconds=1.0, size=2 * GIB),
    ):
        assert (problems_in(emulated(found)), doubts_in(emulated(found))) == ([], [])
    untimed = emulated([])
    assert untimed.storage is not None
    assert doubts_in(replace(untimed, storage=replace(untimed.storage, facts={}))) == []  # it reads the host's own
