"""Whole sweeps with the fake vLLM: each start in its state, and planted lies named."""

import mmap
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.analysis.comparison import compare
from bench.host.page_cache import find_gauge
from bench.report.content import report_of
from bench.report.write import report_markdown
from bench.start.metrics import READY
from conftest import Workplace
from made_sweeps import made_start, made_sweep
from whole_sweeps import (
    MINE,
    PARENT,
    SHARED_MEMORY,
    Swept,
    columns,
    quiet_start,
    section,
    sweep_of,
    swept,
    with_a_model,
)

# Cold and warm.


@pytest.fixture(scope="module")
def cold_and_warm(new_workplace: Callable[[], Workplace]) -> Swept:
    """The axis page_cache, once each."""
    place = with_a_model(new_workplace())
    if find_gauge([*(place.folder / "mine").glob("*.safetensors")]) is None:
        pytest.skip(f"no gauge is true on the file system of {place.folder}")
    return swept(place, "page_cache=cold,warm", *MINE, environment=quiet_start(place))


def test_what_was_resident_before_a_start_is_a_metric(cold_and_warm):
    """At most 1 % of a cold checkpoint, at least 99 % of a warm one; and after it all of either."""
    cold, warm = (cold_and_warm.start(f"page_cache={state}").data.metrics for state in ("cold", "warm"))

    assert cold_and_warm.done.code == 0, cold_and_warm.done.err
    assert cold["page_cache/resident_before"] <= 0.01
    assert cold["page_cache/resident_after"] >= 0.99
    assert warm["page_cache/resident_before"] >= 0.99
    assert warm["page_cache/resident_after"] >= 0.99


def test_every_start_has_its_state_and_its_place_as_tags(cold_and_warm):
    """What it was, whether it counts, and when in the sweep it came."""
    tags = [cold_and_warm.start(f"page_cache={state}").data.tags for state in ("cold", "warm")]

    assert [each["bench.page_cache"] for each in tags] == ["cold", "warm"]
    assert {each["bench.valid"] for each in tags} == {"true"}
    assert {each["bench.repeat"] for each in tags} == {"0"}
    assert sorted(each["bench.order"] for each in tags) == ["1", "2"]
    assert not any("bench.invalid_reason" in each for each in tags)
    assert all(each["bench.page_cache_gauge"] in {"cachestat", "mincore", "sampled"} for each in tags)


def test_cold_and_warm_starts_are_in_separate_tables(cold_and_warm):
    """And no speedup is shown between them: that of a page cache is known."""
    assert columns(cold_and_warm.report) == ["page_cache=cold", "page_cache=warm"]
    assert "no speedup is shown: the page cache's state differs (cold and warm)" in cold_and_warm.report


def test_a_cold_start_reads_from_storage_and_a_warm_one_does_not(cold_and_warm):
    """By the kernel's count of the process that read, while it read."""
    read = [cold_and_warm.start(f"page_cache={state}").data.metrics for state in ("cold", "warm")]

    assert read[0]["io/read_amplification"] == pytest.approx(1.0, rel=0.05)
    assert read[1]["io/read_amplification"] <= 0.02


# Planted lies.


def test_a_cold_start_in_which_nobody_read_the_checkpoint_does_not_count(workplace):
    """Named in the run and in the report. Without the probe too: all of vLLM together read less than the half."""
    place = with_a_model(workplace)
    if find_gauge([*(place.folder / "mine").glob("*.safetensors")]) is None:
        pytest.skip(f"no gauge is true on the file system of {place.folder}")
    found = swept(place, "probe=true,false", *MINE, environment=quiet_start(place) | {"FAKE_MODE": "reads_nothing"})

    for point, who in (("probe=True", "vLLM"), ("probe=False", "all of vLLM together")):
        tags = found.start(point).data.tags
        assert (tags["bench.page_cache"], tags["bench.valid"]) == ("wrong", "false")
        assert tags["bench.invalid_reason"].startswith(f"page_cache=cold was asked, but {who} read only")
        assert f"but {who} read only" in section(found.report, "Invalid starts")


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """By this very process, as a serving vLLM would."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        yield


@pytest.fixture(scope="module")
def held(new_workplace: Callable[[], Workplace]) -> Swept:
    """A cold sweep over a checkpoint that a living process has mapped, with a point that reads none."""
    place = with_a_model(new_workplace())
    with mapped(place.folder / "mine" / "model-1.safetensors"):
        return swept(place, "load_format=auto,dummy", *MINE, environment=quiet_start(place))


def test_a_checkpoint_that_a_process_keeps_mapped_is_not_called_cold(held):
    """The start is refused, with who it is and what to do; vLLM was not even started."""
    run = held.start("auto")

    assert held.done.code == 1
    assert run.info.status == "FAILED"
    assert re.fullmatch(
        rf"page_cache=cold: .+ \(pid {os.getpid()}\) has the checkpoint mapped, so its pages cannot be evicted and the "
        r"start would not be cold\. End that process, or set page_cache=as_is",
        run.data.tags["bench.reason"],
    )
    assert "vllm.log" not in held.place.artifacts(run)
    assert "ready_s" not in run.data.metrics


def test_a_start_that_was_refused_is_in_the_report(held):
    """Among those that failed; the other point is a table by itself."""
    assert "| auto | page_cache=cold: " in section(held.report, "Failed starts")
    assert columns(held.report) == ["dummy"]
    assert held.start("dummy").data.tags["bench.page_cache"] == "not_used"


@pytest.fixture(scope="module")
def on_tmpfs(new_workplace: Callable[[], Workplace]) -> Iterator[Swept]:
    """A checkpoint in shared memory, of which cold is asked by default."""
    if not SHARED_MEMORY.is_dir() or not os.access(SHARED_MEMORY, os.W_OK):
        pytest.skip("there is no tmpfs that may be written to")
    place = new_workplace()
    models = Path(tempfile.mkdtemp(dir=SHARED_MEMORY, prefix="bench-test-"))
    try:
        yield swept(place, "load_format=auto", f"models_dir={models}", environment=quiet_start(place))
    finally:
        shutil.rmtree(models)


def test_a_checkpoint_on_a_tmpfs_is_unverified(on_tmpfs):
    """It can be neither evicted nor measured there. The start counts, under its own name."""
    (run,) = on_tmpfs.starts

    assert on_tmpfs.done.code == 0, on_tmpfs.done.err
    assert run.data.tags["bench.page_cache"] == "unverified"
    assert run.data.tags["bench.valid"] == "true"
    assert not any(name.startswith("page_cache/") for name in run.data.metrics)


def test_an_unverified_state_is_said_in_the_report(on_tmpfs):
    """Where the states are, in words."""
    words = "- Page cache before each start: unverified: no reliable measurement on this host\n"

    assert words in section(on_tmpfs.report, "Scope")


@pytest.fixture(scope="module")
def badly_primed(new_workplace: Callable[[], Workplace]) -> Swept:
    """Primed caches, and a vLLM that compiles all the same; its neighbour says nothing of compiling."""
    place = with_a_model(new_workplace())
    formats = "load_format=auto,safetensors"
    return swept(place, formats, "compile_cache=primed", "page_cache=as_is", *MINE)


def test_a_start_that_compiled_though_its_caches_were_primed_does_not_count(badly_primed):
    """It finished, and is as invalid as a failed one; it says why, in its tags and in its description."""
    run, words = badly_primed.start("auto"), "compile_cache=primed was asked, but vLLM compiled"

    assert badly_primed.done.code == 0, badly_primed.done.err
    assert run.info.status == "FINISHED"
    assert run.data.tags["bench.valid"] == "false"
    assert run.data.tags["bench.compile_cache"] == "wrong"
    assert run.data.tags["bench.invalid_reason"] == words
    assert f"**Does not count:** {words}" in run.data.tags["mlflow.note.content"]


def test_a_start_that_does_not_count_is_said_to_the_user(badly_primed):
    """When it ends, and once more when the sweep does."""
    assert "  INVALID: compile_cache=primed was asked, but vLLM compiled\n" in badly_primed.done.err
    assert "  INVALID auto: compile_cache=primed was asked, but vLLM compiled\n" in badly_primed.done.err


def test_a_start_that_does_not_count_is_named_in_the_report_and_in_no_table(badly_primed):
    """It is counted where the points are, and listed with its reason."""
    scope = section(badly_primed.report, "Scope")

    assert "| auto | compile_cache=primed was asked, but vLLM compiled |" in section(
        badly_primed.report, "Invalid starts"
    )
    assert "- `auto`: 0 starts finished, 1 invalid\n" in scope
    assert columns(badly_primed.report) == ["safetensors"]
    assert section(badly_primed.report, "Speedups") == ""


def test_a_start_that_does_not_count_is_in_no_mean_of_the_sweep(badly_primed):
    """Neither in MLflow's."""
    metrics = sweep_of(badly_primed.place).data.metrics

    assert "mean ready_s/safetensors" in metrics
    assert not any(name.endswith("/auto") for name in metrics)


def test_the_starts_that_prime_are_runs_of_their_own_kind(badly_primed):
    """They are no children of the sweep, are compared with nothing, and are right to compile."""
    primes = [run for run in badly_primed.place.runs("bench-prepare") if run.data.tags["bench.kind"] == "prime"]

    assert primes
    assert all(PARENT not in run.data.tags for run in primes)
    assert {run.data.tags["bench.valid"] for run in primes} == {"true"}
    assert {run.data.tags["bench.page_cache"] for run in primes} == {"as_is"}
    assert [run.data.tags["bench.kind"] for run in badly_primed.starts] == ["start", "start"]


# A candidate that was measured elsewhere.


def measured(point: str, ready_s: float, **tags: str) -> list:
    names = {"vllm": "version.vllm", "gpu": "host.gpu", "host": "host.host"}
    return [
        made_start(point, {"ready_s": ready_s}, repeat=block, tags={names[name]: value for name, value in tags.items()})
        for block in range(3)
    ]


def test_a_candidate_on_another_vllm_version_has_no_speedup():
    """It may be the release that made the difference. Both versions are named, and how to compare all the same."""
    sweep = made_sweep(*measured("auto", 60.0, vllm="0.26.0"), *measured("dummy", 40.0, vllm="0.32.0"))
    comparison = compare(sweep)
    words = "the vLLM version differs (0.26.0 and 0.32.0); to compare all the same: ignore=version.vllm"

    assert comparison.withheld == {"dummy": words}
    assert comparison.speedups == ()
    assert f"- `dummy`: no speedup is shown: {words}." in report_markdown(report_of(comparison), {}, [])


def test_a_difference_that_is_ignored_by_name_is_said_in_the_report():
    """Whoever reads it was not asked."""
    sweep = made_sweep(*measured("auto", 60.0, vllm="0.26.0"), *measured("dummy", 40.0, vllm="0.32.0"))
    comparison = compare(sweep, ignore=["version.vllm"])

    assert comparison.withheld == {}
    assert comparison.speedup("dummy", READY).ratio.mean == pytest.approx(1.5)
    assert "- Compared despite this difference, as requested: version.vllm.\n" in report_markdown(
        report_of(comparison), {}, []
    )


def test_only_the_difference_that_is_named_is_ignored():
    """On another GPU too: that is another reason."""
    sweep = made_sweep(
        *measured("auto", 60.0, vllm="0.26.0", gpu="H100"), *measured("dummy", 40.0, vllm="0.32.0", gpu="H200")
    )
    (reason,) = compare(sweep, ignore=["version.vllm"]).withheld.values()

    assert reason == "the GPU differs (H100 and H200); to compare all the same: ignore=host.gpu"
    assert compare(sweep, ignore=["version.vllm", "host.gpu"]).withheld == {}
