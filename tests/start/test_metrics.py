"""The catalogue of metrics: whatever a start logs is a row of it, and what is said elsewhere of metrics comes from it."""

import json
import os
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.config import Storage
from bench.host.emulation.cgroup import Counted
from bench.host.emulation.emulate import Look, StorageInUse
from bench.log.texts.phases import RULES
from bench.start.log_metrics import summarise, with_checkpoint
from bench.start.measured_metrics import probe_metrics, storage_metrics
from bench.start.metric_types import FromLog
from bench.start.metrics import CATALOGUE, FAMILIES, LOAD_WEIGHTS, find, name_of_rank, rank_of
from bench.start.waterfall import STEPS, Step, step_of, waterfall_metrics
from bench.vllm.probe_events import read_events
from bench.vllm.probe_report import GIB
from made_starts import told
from metrics_document import render
from read_lines import read_log, read_phases

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
DOCUMENT = ROOT / "docs" / "metrics.md"
ENDINGS = {
    "s": "_s",
    "GiB": "_gib",
    "KiB": "_kib",
    "GiB/s": "_gib_per_s",
    "tokens": "tokens",
    "tokens/s": "_tokens_per_s",
    "1/s": "_per_s",
    "MHz": "_mhz",
}


def strangers(names) -> list[str]:
    """Those that the catalogue does not have."""
    return sorted(name for name in names if find(name) is None)


def test_names_are_told_once():
    """Two rows of one name would be two meanings."""
    names = [metric.name for metric in (*CATALOGUE, *(family.like for family in FAMILIES))]

    assert len(names) == len(set(names))


def test_a_unit_ends_its_name():
    """Whoever reads a name in MLflow sees no other column."""
    for metric in (*CATALOGUE, *(family.like for family in FAMILIES)):
        endings = {unit for unit, ending in ENDINGS.items() if metric.name.endswith(ending)}

        assert metric.unit in (endings or {""}), metric.name


def test_a_row_of_the_log_is_read_by_a_rule():
    """A phase that no text of vLLM's gives would be a metric that no start has."""
    read = {(rule.phase, field) for rule in RULES for field in rule.pattern.groupindex}
    asked = {(metric.source.phase, metric.source.field) for metric in CATALOGUE if isinstance(metric.source, FromLog)}

    assert {phase for phase, _ in asked} <= {phase for phase, _ in read}


@pytest.mark.parametrize("folder", sorted((TESTS / "starts").glob("*/")), ids=lambda folder: folder.name)
def test_recorded_starts_log_nothing_else(folder):
    """Starts of a real vLLM on a GPU: their log, and the probe in their ranks."""
    exec_at_s = json.loads((folder / "start.json").read_text())["exec_at_s"]
    with (folder / "vllm.log").open("rb") as log:
        metrics = with_checkpoint(summarise(read_phases(read_log(log))), 15.0)
    metrics |= probe_metrics(read_events(folder / "probe", exec_at_s))

    assert {"phase/load_weights_s", "rank/TP0/probe/load_weights_s"} <= metrics.keys()
    assert strangers(metrics) == []


def test_published_starts_log_nothing_else():
    """Every number of every start that is published."""
    results = [json.loads(path.read_text()) for path in (ROOT / "benchmark_results").glob("*/benchmark_metrics.json")]

    assert results
    assert (
        strangers({name for result in results for point in result["points"].values() for name in point["metrics"]})
        == []
    )


def test_the_chain_s_phases_keep_their_place():
    """MLflow sorts by name."""
    names = list(waterfall_metrics(told(name, None, 0.0, 1.0) for name in STEPS if name != "unattributed"))

    assert names == sorted(names)
    assert [step_of(name) for name in names] == [
        *(Step(number, name) for number, name in enumerate([*STEPS][:-1], 1)),
        Step(99, "unattributed"),
    ]


def test_a_rank_has_the_metric_s_own_row():
    """With the rules for joining; what no rank has by itself is nobody's."""
    name = name_of_rank("DP1_TP0", LOAD_WEIGHTS)
    found = find(name)

    assert name == "rank/DP1_TP0/phase/load_weights_s"
    assert rank_of(name) == ("DP1_TP0", "phase/load_weights_s")
    assert found
    assert (found.title, found.over_ranks) == (LOAD_WEIGHTS.title, max)
    assert strangers(["rank/TP0/ready_s", "rank/TP0/unheard_of_s", "unheard_of_s", "memory/gpuX_peak_gib"]) == [
        "memory/gpuX_peak_gib",
        "rank/TP0/ready_s",
        "rank/TP0/unheard_of_s",
        "unheard_of_s",
    ]


def test_a_name_is_spelled_once():
    """In the catalogue alone: everything else has it from there. Prose in docstrings and comments may name it."""
    texts = {path: path.read_text() for path in (ROOT / "src").rglob("*.py")}
    for metric in CATALOGUE:
        spelled = [
            path.name for path, text in texts.items() if f'"{metric.name}"' in text or f"'{metric.name}'" in text
        ]

        assert spelled == ["metrics.py"], metric.name


def test_the_document_is_up_to_date():
    """To write it anew: BENCH_WRITE_DOCS=1 python -m pytest tests/start/test_metrics.py."""
    made = render()
    if os.environ.get("BENCH_WRITE_DOCS"):
        DOCUMENT.write_text(made)

    assert made == DOCUMENT.read_text(), "docs/metrics.md is out of date: BENCH_WRITE_DOCS=1 writes it anew"


def test_requests_while_loading_are_those_between_the_looks_around_it():
    """Over the load's own seconds; what was read before it, and behind it, is not its own."""
    storage = StorageInUse(
        asked_for(),
        looks=[
            Look(at, at, Counted(reads, reads * GIB))
            for at, reads in ((100.0, 0), (104.0, 7), (107.0, 19), (110.0, 30))
        ],
    )

    found = storage_metrics(storage, 100.0, (4.0, 7.0))

    assert found == {
        "io/cgroup_reads": 30,
        "io/cgroup_read_gib": 30,
        "io/load_reads_per_s": 4,
        "throughput/load_read_gib_per_s": 4,
    }
    assert storage_metrics(storage, 100.0, None).keys() == {"io/cgroup_reads", "io/cgroup_read_gib"}
    assert storage_metrics(StorageInUse(asked_for()), 100.0, (4.0, 7.0)) == {}


def asked_for() -> Storage:
    (settings,) = compose_settings(["storage=gp3"])
    return settings.storage
