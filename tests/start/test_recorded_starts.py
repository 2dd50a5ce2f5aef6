"""Whole starts of a real vLLM on a GPU, recorded by bench: what its log and the probe say of one another."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.start.measured_metrics import probe_metrics
from bench.start.outputs import missing_processes
from bench.start.timeline import log_spans, merged
from bench.start.waterfall import lanes, unattributed_warnings, waterfall, waterfall_metrics
from bench.vllm.probe_events import read_events
from bench.vllm.probe_report import ProbeReport
from bench.vllm.span import Span
from read_lines import read_log, read_phases

STARTS = Path(__file__).parents[1] / "starts"

# Read in each log by hand: seconds of "Loading weights took", "torch.compile took", "Graph capturing finished in", "init engine … took".
SAID = {
    "h100-vllm0.26.0-auto-cold": (12.73, 6.06, 7, 16.21),
    "h100-vllm0.26.0-instanttensor-warm": (10.98, 4.30, 5, 12.94),
}


@dataclass(frozen=True)
class Recorded:
    """One start, read back. `parts` is its waterfall, by phase."""

    probed: ProbeReport
    spans: list[Span]
    ready_s: float
    first_token_s: float
    metrics: dict[str, float]

    @property
    def parts(self) -> dict[str, float]:
        return {name.split("_", 1)[1].removesuffix("_s"): value for name, value in self.metrics.items()}

    def span(self, name: str) -> Span:
        (found,) = (span for span in self.probed.ranks["TP0"].spans if span.name == name)
        return found


@pytest.fixture(params=sorted(SAID))
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def start(name: str) -> Recorded:
    folder = STARTS / name
    facts = json.loads((folder / "start.json").read_text())
    probed = read_events(folder / "probe", facts["exec_at_s"])
    with (folder / "vllm.log").open("rb") as log:
        lines = read_log(log)
    told = log_spans(lines, read_phases(lines), facts["ready_s"], facts["first_token_s"])
    spans = merged(probed, told)
    chain = waterfall(spans, facts["ready_s"], facts["first_token_s"])
    return Recorded(probed, spans, facts["ready_s"], facts["first_token_s"], waterfall_metrics(chain))


def test_everybody_has_reported(start):
    """On one GPU the rank is in the engine core's process."""
    server, core = start.probed.processes

    assert (server.kind, core.kind, core.rank) == ("api_server", "engine_core", "TP0")
    assert missing_processes(start.probed, ["TP0"]) == []
    assert not any(process.warnings for process in start.probed.processes)


def test_the_waterfall_adds_up(start):
    """To the first token; what belongs to no phase is below one percent here."""
    assert sum(start.metrics.values()) == pytest.approx(start.first_token_s)
    assert start.parts["unattributed"] < 0.01 * start.first_token_s
    assert unattributed_warnings(start.metrics) == []


def test_the_probe_and_the_log_agree_where_they_measure_the_same(start, name):
    """Of a plain loader: the log's clock starts a little later and stops a little earlier."""
    load_weights_s, *_ = SAID[name]

    assert start.parts["load_weights"] == pytest.approx(load_weights_s, abs=0.05)
    assert start.parts["load_weights"] == pytest.approx(probe_metrics(start.probed)["probe/load_weights_s"])


def test_compiling_and_capturing_are_told_apart_from_what_they_are_a_part_of(start, name):
    """The log says seconds of each, and of the engine's init as a whole, which is all of these."""
    _, compile_s, capture_s, init_engine_s = SAID[name]
    parts = start.parts
    init = sum(parts[phase] for phase in ("profile", "compile", "kv_cache", "warm_up", "capture"))

    assert parts["compile"] == pytest.approx(compile_s, abs=0.05)
    assert parts["capture"] == pytest.approx(capture_s, abs=1)  # the log has whole seconds
    assert init == pytest.approx(init_engine_s, abs=0.1)


def test_all_bytes_were_delivered_and_their_memory_is_on_the_gpu(start):
    """14.96 GiB: the log says so too, of the model's memory."""
    load_model = start.span("load_model")
    assert load_model.facts.before
    assert load_model.facts.after

    assert probe_metrics(start.probed)["probe/delivered_gib"] == pytest.approx(14.958, abs=0.001)
    assert load_model.facts.after.gpu_allocated_gib == pytest.approx(14.96, abs=0.05)
    assert (load_model.facts.before.gpu_allocated_gib or 0) < 0.1


def test_the_lanes_of_a_start_on_one_gpu(start):
    """Its server, and the engine core with the rank inside."""
    assert [lane.name for lane in lanes(start.spans, start.ready_s)] == ["API server", "engine core TP0"]
