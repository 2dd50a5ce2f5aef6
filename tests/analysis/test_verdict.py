"""What a comparison shows: nothing that its intervals do not carry, whatever lot has drawn."""

import random
from collections.abc import Iterable
from dataclasses import replace
from math import exp

import pytest

from bench.analysis.comparison import Comparison, compare
from bench.analysis.records import RunRecord
from bench.analysis.statistics import Interval
from bench.analysis.verdict import Shown, show, verdict_of
from made_sweeps import made_failure, made_start, made_sweep, made_waterfall


def ratio(mean: float, low: float | None = None, high: float | None = None) -> Interval:
    return Interval(mean, low, high, 1 if low is None else 5, paired=True, confidence=0.95)


def starts(point: str, times: Iterable[float]) -> list[RunRecord]:
    return [made_start(point, {"ready_s": time_s}, repeat=block) for block, time_s in enumerate(times)]


def equal_sweep(lots: random.Random, labels: Iterable[str], blocks: int, noise: float) -> Comparison:
    """No point differs from another but by chance."""
    times = {label: [60 * exp(lots.gauss(0, noise)) for _ in range(blocks)] for label in labels}
    return compare(made_sweep(*(start for label, each in times.items() for start in starts(label, each))))


@pytest.mark.parametrize(
    ("found", "beyond", "shown"),
    [
        (ratio(1.2, 1.01, 1.4), 1.0, Shown.FASTER),
        (ratio(1.2, 1.0, 1.4), 1.0, Shown.UNRESOLVED),
        (ratio(1.2, 0.9, 1.6), 1.0, Shown.UNRESOLVED),
        (ratio(0.8, 0.7, 0.99), 1.0, Shown.SLOWER),
        (ratio(9.0), 1.0, Shown.SINGLE),
        (ratio(1.2, 1.05, 1.4), 1.1, Shown.UNRESOLVED),
        (ratio(1.3, 1.15, 1.5), 1.1, Shown.FASTER),
        (ratio(0.85, 0.8, 0.95), 1.1, Shown.UNRESOLVED),
        (ratio(0.8, 0.75, 0.9), 1.1, Shown.SLOWER),
    ],
)
def test_a_ratio_shows_what_its_whole_interval_shows(found, beyond, shown):
    """And nothing without one; `beyond` is what equal starts have shown."""
    assert show(found, beyond) is shown


@pytest.mark.parametrize(("labels", "blocks"), [(("a", "b"), 3), (("a", "b"), 5), (("a", "b", "c", "d"), 3)])
def test_of_equal_points_at_most_one_sweep_in_twenty_has_a_faster_one(labels, blocks):
    """Of 300 sweeps without any true difference; 5 % is the promise, and 8 % three standard errors above it."""
    lots = random.Random(blocks * len(labels))  # noqa: S311
    verdicts = [verdict_of(equal_sweep(lots, labels, blocks, noise=0.05)) for _ in range(300)]
    wrong = [
        each for each in verdicts if each and any(f.shown is not Shown.UNRESOLVED for f in each.against[0].findings)
    ]

    assert len(wrong) <= 300 * 0.08


def test_where_the_baseline_differs_from_itself_a_candidate_must_differ_more():
    """1.10x between equal starts is what this rig shows of nothing: 1.08x is nothing too, and 1.5x is something."""
    base = [60.0, 60.5, 59.5]
    labels = {"a": 1.0, "a again": 1.10, "b": 1.08, "c": 1.5}
    made = [start for label, factor in labels.items() for start in starts(label, [time / factor for time in base])]
    found = verdict_of(compare(made_sweep(*made), baseline="a"))

    assert found is not None
    (against,) = found.against
    assert against.beyond == pytest.approx(1.10)
    assert {each.candidate: each.shown for each in against.findings} == {"b": Shown.UNRESOLVED, "c": Shown.FASTER}


def test_an_a_a_arm_around_1_changes_nothing():
    """It is how it should be; and it is no candidate."""
    made = [
        *starts("a", [60.0, 61.0, 62.0]),
        *starts("a again", [61.0, 60.0, 62.5]),
        *starts("b", [30.0, 30.6, 31.1]),
    ]
    found = verdict_of(compare(made_sweep(*made), baseline="a"))

    assert found is not None
    assert found.against[0].beyond == 1.0
    assert [(each.candidate, each.shown) for each in found.against[0].findings] == [("b", Shown.FASTER)]


def test_the_verdict_is_on_the_time_to_ready_where_there_is_one():
    """Else on the first metric that is compared: old logs may have their phases alone."""
    phases = {"phase/load_weights_s": 2.0}
    alone = verdict_of(compare(made_sweep(made_start("a", phases), made_start("b", phases))))
    both = verdict_of(compare(made_sweep(*(made_start(name, phases | {"ready_s": 9.0}) for name in "ab"))))

    assert alone is not None
    assert both is not None
    assert (alone.metric.name, both.metric.name) == ("phase/load_weights_s", "ready_s")


def test_each_baseline_has_its_own_findings():
    """Formats are compared at equal settings, so two sizes are two verdicts."""
    made = [
        made_start(f"{name} tp={tp}", {"ready_s": 1.0}, params={"load_format": name, "tensor_parallel_size": tp})
        for tp in ("1", "2")
        for name in ("auto", "sharded_state")
    ]
    found = verdict_of(compare(made_sweep(*made)))

    assert found is not None
    assert [(each.baseline.label, len(each.findings)) for each in found.against] == [("auto tp=1", 1), ("auto tp=2", 1)]


def test_a_phase_is_named_only_where_it_stands_out_of_all():
    """Its interval is widened for the number of phases, since the largest of many is looked for: 1 s of noise in ten phases resolves none,
    30 s of weights do.
    """
    lots = random.Random(2)  # noqa: S311
    names = ["01_api_server_imports", "04_engine_core_imports", "06_worker_imports", "08_build_model", "15_capture"]

    def sweep(weights_s: float) -> Comparison:
        made = []
        for block in range(5):
            for label, seconds in (("a", 40.0), ("b", weights_s)):
                phases = {name: 5 + lots.gauss(0, 1) for name in names} | {
                    "09_load_weights": seconds + lots.gauss(0, 1)
                }
                made.append(made_start(label, made_waterfall(phases), repeat=block))
        return compare(made_sweep(*made))

    named = []
    for _ in range(60):
        found = verdict_of(sweep(40.0))
        assert found is not None
        named += found.against[0].findings[0].phases
    large = verdict_of(sweep(10.0))

    assert len(named) <= 60 * 0.1
    assert large is not None
    assert large.against[0].findings[0].phases[0].step.name == "load_weights"


def test_survivors_and_wrong_weights_stand_beside_the_ratio():
    """A ratio without them would be another claim."""
    made = [*starts("a", [60.0, 61.0]), *starts("b", [30.0, 31.0]), made_failure("b", "no device", repeat=2)]
    found = verdict_of(compare(made_sweep(*made)))

    assert found is not None
    assert found.against[0].findings[0].marks == ("survivors only",)


def test_there_is_no_verdict_without_a_speedup():
    """One point, or nothing that finished."""
    assert verdict_of(compare(made_sweep(*starts("a", [60.0, 61.0])))) is None
    assert verdict_of(compare(made_sweep(made_failure("a", "x"), made_failure("b", "y")))) is None
    assert replace(compare(made_sweep(*starts("a", [60.0]))), title="t").again == {}
