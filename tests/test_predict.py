"""The table that `python -m bench.predict` prints: a prediction with the error that was measured, or why there is none."""

from dataclasses import replace

import pytest

from bench.analysis.predict_load import Target
from bench.analysis.prediction_errors import VALIDATED
from bench.analysis.records import Point
from bench.errors import SettingError
from bench.host.storage_profile import StorageProfile
from bench.predict import lines, profile_of
from bench.start.tags import STORAGE_LIMIT
from made_sweeps import made_start, made_sweep

PARAMS = {"storage.image": "memory", "storage.read_iops": "None", "storage.read_mib_per_s": "None"}
METRICS = {"probe/load_weights_s": 2.0, "io/read_gib": 1.0, "io/load_reads_per_s": 2048.0}


def test_a_prediction_stands_beside_the_interval_of_its_measured_errors():
    """And what is not predicted beside its reason, under one header."""
    known = Point("auto", (made_start("auto", METRICS, params=PARAMS, tags={"bench.page_cache": "cold"}),))
    warm = Point("warm", (made_start("warm", METRICS, params=PARAMS, tags={"bench.page_cache": "warm"}),))
    error = VALIDATED["requests"]
    _, predicted, unknown, *_ = lines([known, warm], Target(reads_per_s=100.0))

    assert predicted.split()[:3] == ["auto", "2.00", "40.96"]
    assert f"{40.96 * error.low:.2f} to {40.96 * error.high:.2f} ({error.pairs} pairs" in predicted
    assert predicted.endswith("requests")
    assert "not predicted: its starts were warm" in unknown


def test_a_prediction_that_was_never_held_against_a_start_is_marked():
    """No kernel of ours delays a request."""
    metrics = METRICS | {"io/disk_busy": 0.5, "io/disk_reads_in_flight": 1.0}
    start = made_start("auto", metrics, params=PARAMS, tags={"bench.page_cache": "cold"})
    row = lines([Point("auto", (start,))], Target(latency_s=0.1))[1]

    assert row.split()[:3] == ["auto", "2.00", "204.80"]
    assert "never validated" in row


def test_of_a_sweep_that_measured_two_storages_neither_is_taken():
    """Of one that was measured twice the better measurement is."""
    slow = StorageProfile("vda ext4", 0.0, 1.0, 1.0, 16, 1024, 2.5, 9.0)
    fast, other = replace(slow, read_gib_per_s=1.2), replace(slow, place="vdb xfs")
    sweep = made_sweep(made_start("auto"))

    assert profile_of(replace(sweep, tags=STORAGE_LIMIT.of((slow, fast))), "a") == fast
    with pytest.raises(SettingError, match="measured vda ext4 and vdb xfs; one is taken"):
        profile_of(replace(sweep, tags=STORAGE_LIMIT.of((slow, other))), "a")
