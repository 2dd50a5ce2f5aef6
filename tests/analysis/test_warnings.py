"""Whether two arms were equally disturbed: planted differences are said, with both means, and equal noise is not."""

from dataclasses import replace

import pytest

from bench.analysis.comparison import compare
from bench.analysis.warnings import warnings_about
from bench.host.noise_during import KINDS
from bench.host.storage_profile import StorageProfile
from bench.start.metrics import NOISE
from bench.start.tags import STORAGE_LIMIT
from bench.start.warning import WarningKind
from made_sweeps import made_start, made_sweep


def said(usual: dict[str, float], other: dict[str, float]) -> list[str]:
    """Of two starts of each arm that had these metrics."""
    starts = [
        made_start(point, {"ready_s": 60.0, **metrics}, repeat=block)
        for block in range(2)
        for point, metrics in (("auto", usual), ("runai_streamer", other))
    ]
    found = warnings_about(compare(made_sweep(*starts)))

    assert {each.kind for each in found} <= {WarningKind.NOISE}
    return [str(each) for each in found]


@pytest.mark.parametrize("when", ["start", "load"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.differs_from], ids=lambda kind: kind.field)
def test_arms_that_differ_in_a_kind_of_noise_are_named(kind, when):
    """Whichever of them was the disturbed one; with both means, and the metric."""
    name = NOISE[kind.field].name(when)
    loud, quiet = {name: 1.5 * kind.differs_from}, {name: 0.0}
    (one,), (other,) = said(loud, quiet), said(quiet, loud)

    assert f"{1.5 * kind.differs_from:.2f} in `auto`, 0.00 in `runai_streamer`" in one
    assert f"0.00 in `auto`, {1.5 * kind.differs_from:.2f} in `runai_streamer`" in other
    assert name in one


@pytest.mark.parametrize(("usual", "other"), [(0.3, 0.3), (0.3, 0.25), (None, 0.9), (None, None)])
def test_arms_that_were_disturbed_alike_are_not(usual, other):
    """And what is unknown of one of them is no difference."""
    name = NOISE["others_cpu"].name("start")
    arms = [{} if value is None else {name: value} for value in (usual, other)]

    assert said(*arms) == []


def test_a_checkpoint_of_which_one_arm_lost_pages_is_named():
    """Its next start, or its other ranks, had to read them again."""
    assert said({"page_cache/lost": 0.2}, {"page_cache/lost": 0.0}) == [
        "noise during the start differs: 0.20 in `auto`, 0.00 in `runai_streamer` (taken out of the page cache, page_cache/lost)"
    ]


@pytest.mark.parametrize(
    ("usual", "other", "named"),
    [(0.87, 0.0, "auto"), (0.004, 2.5, "runai_streamer"), (0.87, 0.86, None), (0.05, 0.0, None), (0.0, None, None)],
)
def test_packages_that_one_arm_alone_had_to_read_are_named(usual, other, named):
    """They were in the page cache for the other, whose time to ready is shorter by that."""
    arms = [{} if gib is None else {"io/other_read_gib": gib} for gib in (usual, other)]
    found = said(*arms)

    assert [text.partition(" read ")[0] for text in found] == ([f"`{named}`"] if named else [])


FIRM = StorageProfile("vda ext4", 0.0, 1.2, 1.2, 16, 1024, 2.5, 9.0)


@pytest.mark.parametrize(
    ("profiles", "words"),
    [
        ((FIRM, replace(FIRM, read_gib_per_s=1.25)), []),
        ((FIRM, replace(FIRM, read_gib_per_s=1.6)), ["its limit moved over the sweep (1.20 and 1.60 GiB/s)"]),
        ((FIRM, replace(FIRM, place="gp3", read_gib_per_s=0.1)), []),
        ((replace(FIRM, is_direct=False),), ["was measured through a cache"]),
    ],
)
def test_a_limit_that_is_not_firm_is_said(profiles, words):
    """One that moved over the sweep, of the same storage; and one that a cache may have answered."""
    sweep = made_sweep(made_start("auto", {"ready_s": 60.0}))
    found = warnings_about(compare(replace(sweep, tags=STORAGE_LIMIT.of(profiles))))

    assert len(found) == len(words)
    assert all(each in str(warning) for each, warning in zip(words, found, strict=True))
