"""What a comparison says of starts that are missing, that failed, or that a time limit cut off."""

from dataclasses import replace

import pytest

from bench.analysis.comparison import compare
from bench.analysis.losses import ALL_BLOCKS, missing_starts
from bench.analysis.records import RunRecord, SweepRecord
from bench.report.content import report_of
from bench.report.metrics_json import as_json, summary_metrics
from bench.report.write import summary_markdown
from made_sweeps import made_failure, made_start, made_sweep

CUT_OFF = "not ready within vllm.ready_timeout_s=30: /health answered 503"


def ready(point: str, repeat: int, ready_s: float = 10.0) -> RunRecord:
    return made_start(point, {"ready_s": ready_s}, repeat=repeat, params={"load_format": point})


def failed(point: str, repeat: int, reason: str, reason_class: str = "unknown") -> RunRecord:
    return replace(made_failure(point, reason, repeat=repeat), tags={"bench.reason_class": reason_class})


def planned(*starts: RunRecord, tags: dict[str, str], ended_by: str | None = None, **params: str) -> SweepRecord:
    return replace(made_sweep(*starts, order=("auto", "fast")), tags=tags, ended_by=ended_by, params=params)


TWO = (ready("auto", 0), ready("fast", 0), ready("auto", 1), ready("fast", 1))
THREE = {"bench.planned": "3\n3"}


@pytest.mark.parametrize(
    ("sweep", "missing"),
    [
        (planned(*TWO, tags={"bench.planned": "2\n2", "bench.blocks": "2"}), []),
        (planned(*TWO, tags=THREE | {"bench.blocks": "2"}), []),
        (planned(*TWO, tags=THREE), ["block 3"]),
        (planned(*TWO, tags={"bench.planned": "9\n9", "bench.blocks": "7"}), ["blocks 3 to 7"]),
        (planned(*TWO[:3], tags={"bench.planned": "2\n2"}), ["fast #2"]),
        (planned(*TWO[:3], tags={"bench.planned": "2\n1"}), []),
        (planned(*TWO[2:], tags={"bench.planned": "2\n2"}), ["block 1"]),
        (planned(*TWO[:2], failed("auto", 1, "no device"), tags={"bench.planned": "2\n2"}), ["fast #2"]),
        # Of earlier releases.
        (planned(*TWO, tags={}, ended_by=ALL_BLOCKS, repeats="2"), []),
        (planned(*TWO[:3], tags={}, ended_by=ALL_BLOCKS, repeats="3"), ["fast #2", "block 3"]),
        (planned(TWO[0], *TWO[2:], tags={}, ended_by="after 2 blocks: …", repeats="9"), ["fast #1"]),
        (replace(planned(*TWO[:3], tags={"bench.planned": "2\n2"}), replayed=True), []),
    ],
)  # fmt: skip
def test_what_is_missing_against_the_plan_is_named(sweep, missing):
    """A start by its name, and blocks of which nothing is there by their numbers; a failed start is there."""
    assert [doubt.start for doubt in missing_starts(sweep)] == missing
    text = summary_markdown(report_of(compare(sweep)))
    assert all(f"| {name} | missing: " in text for name in missing)
    assert ("Starts in doubt" in text) == bool(missing)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((failed("auto", 2, "no device"),), "0 of 2 starts of fast failed and 1 of 3 starts of auto failed"),
        ((failed("fast", 2, "no device"),), "1 of 3 starts of fast failed and 0 of 2 starts of auto failed"),
        ((failed("auto", 2, "no device"), failed("fast", 2, "no device")), None),
        ((failed("auto", 2, "interrupted", "bench_ended"),), None),
    ],
)
def test_a_speedup_of_survivors_is_called_so(more, words):
    """Wherever it stands: its table, the JSON, the sweep's metrics. Starts that a user ended are no losses."""
    comparison = compare(made_sweep(*TWO, *more))
    text = summary_markdown(report_of(comparison))

    assert ("| Metric | fast (survivors only) |" in text) == bool(words)
    assert (words or "") in text
    assert [each.get("survivors_only") for each in as_json(comparison)["speedups"]] == [True if words else None]
    assert ("speedup ready_s/fast" in summary_metrics(comparison)) == (words is None)


@pytest.mark.parametrize("both", [False, True])
def test_an_arm_whose_slow_starts_a_time_limit_cut_off_has_no_speedup(both):
    """Whatever is left of it is fast; if both are, nothing says that they are by as much."""
    cut = [failed(point, 2, CUT_OFF, "timeout") for point in (("auto", "fast") if both else ("auto",))]
    comparison = compare(made_sweep(*TWO, *cut))

    assert "vllm.ready_timeout_s cut off 1 of 3 starts" in comparison.withheld["fast"]
    assert not comparison.speedups
    assert compare(made_sweep(*TWO, *cut), ignore=["vllm.ready_timeout_s"]).speedups


def test_vllms_own_limit_on_slow_loading_cuts_off_too():
    cut = failed(
        "auto", 2, "TimeoutError: no engine within 600s (configured by VLLM_ENGINE_READY_TIMEOUT_S)", "timeout"
    )

    assert "VLLM_ENGINE_READY_TIMEOUT_S cut off 1 of 3" in compare(made_sweep(*TWO, cut)).withheld["fast"]


def test_another_timeout_cuts_nothing_off():
    """Of NCCL, say: the start failed, however fast it was."""
    cut = failed("auto", 2, "Watchdog caught collective operation timeout", "timeout")

    assert compare(made_sweep(*TWO, cut)).survivors.keys() == {"fast"}
