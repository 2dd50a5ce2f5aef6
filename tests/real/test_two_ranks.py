"""The real vLLM on two ranks: what a start's log, its processes and its trace tell, and that a checkpoint cut for it is the same."""

import json
import re
import socket
import subprocess
import sys

import pytest
from real_sweeps import Swept, bytes_of_tensors, delivered, probed, sweep

from conftest import mlflow_client, quiet

pytestmark = pytest.mark.real

# What the log, the clock and the files of a CPU start can give; a GPU gives more.
OF_EVERY_START = {
    "ready_s",
    "first_token_s",
    "phase/load_weights_s",
    "phase/init_engine_s",
    "memory/kv_cache_gib",
    "memory/host_anon_peak_gib",
    "memory/host_file_peak_gib",
    "memory/host_shmem_peak_gib",
    "memory/host_pss_peak_gib",
    "kv_cache/tokens",
    "kv_cache/max_concurrency",
    "checkpoint/size_gib",
    "throughput/load_weights_gib_per_s",
    "probe/load_weights_s",
    "probe/process_weights_s",
    "probe/wait_for_bytes_s",
    "probe/delivered_gib",
}
# A cold start has nothing in the page cache before, O_DIRECT leaves nothing there, and one rank can read it all for both. Packages
# may all be in the page cache. A single worker need not share any memory, and a driver that always had its turn has no gap.
MAY_BE_NOTHING = (
    "page_cache/resident_before",
    "page_cache/resident_after",
    "io/other_read_gib",
    "probe/read_gib",
    "bytecode/compiled_modules",  # nothing where all byte code was there
    "memory/host_shmem_peak_gib",
    "clock/longest_gap_s",
)
OF_A_STREAM = {"phase/stream_s", "stream/size_gib", "throughput/stream_gib_per_s"}


FORMATS = ("auto", "runai_streamer_sharded")  # what reads whole files, and what reads files that were cut for its rank


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """The seed's two formats, verified. The state of their caches is another test's."""
    return sweep(
        tmp_path_factory.mktemp("tp2"),
        f"load_format={','.join(FORMATS)}",
        "tensor_parallel_size=2",
        "compile_cache=as_is",
    )


def test_every_format_finishes_below_one_sweep(swept):
    """One parent, and a FINISHED child for each format."""
    (parent,) = [run for run in swept.place.runs() if run.data.tags["bench.kind"] == "sweep"]
    starts = swept.runs("start")

    assert set(starts) == {*FORMATS}, swept.done.err
    assert {run.data.tags["mlflow.parentRunId"] for run in starts.values()} == {parent.info.run_id}


def test_a_start_has_every_number_that_a_cpu_can_give(swept):
    """All of them positive, but for what was counted as nothing, and the host before and during the start: what was not found would be absent, never 0."""
    starts = swept.runs("start")
    of_the_host = ("rig/", "page_cache/", "noise/")
    numbers = {
        point: {name: value for name, value in run.data.metrics.items() if not name.startswith(of_the_host)}
        for point, run in starts.items()
    }

    assert numbers["auto"].keys() >= OF_EVERY_START
    assert numbers["runai_streamer_sharded"].keys() >= OF_EVERY_START | OF_A_STREAM
    assert not [
        name
        for metrics in numbers.values()
        for name, value in metrics.items()
        if not value > 0 and not name.endswith(MAY_BE_NOTHING)
    ]
    assert all(metrics["ready_s"] < metrics["first_token_s"] for metrics in numbers.values())


def test_every_rank_tells_its_own_time_to_stream(swept):
    """Streamer 0.17 names neither process nor rank: bench's plugin lets it."""
    metrics = swept.runs("start")["runai_streamer_sharded"].data.metrics

    assert {"rank/TP0/phase/stream_s", "rank/TP1/phase/stream_s"} <= metrics.keys()
    assert metrics["phase/stream_s"] == max(metrics["rank/TP0/phase/stream_s"], metrics["rank/TP1/phase/stream_s"])


def test_every_process_reports_to_the_probe(swept):
    """The API server, the engine core and each rank; nobody has a doubt."""
    for report in probed(swept).values():
        assert {"api_server", "engine_core"} <= {process.kind for process in report.processes}
        assert report.ranks.keys() == {"TP0", "TP1"}
        assert [process.warnings for process in report.processes if process.warnings] == []
    assert not [run for run in swept.runs("start").values() if "probe" in run.data.tags.get("bench.warnings", "")]


def test_every_rank_reports_its_phases_in_order(swept):
    """With one clock for all load formats."""
    for report in probed(swept).values():
        for process in report.ranks.values():
            device, model, weights, processing, *others = process.spans

            assert [device.name, model.name] == ["init_device", "load_model"]
            assert [weights.name, processing.name] == ["load_weights", "process_weights"]
            assert [span.name for span in others] == ["profile", "kv_cache", "warm_up"]
            assert process.imported_s < device.start_s < device.end_s < model.start_s < weights.start_s
            assert weights.end_s < processing.start_s < processing.end_s < model.end_s


def test_the_waterfall_of_each_start_adds_up(swept):
    """To the first token, with every part of it; less than 5 % belongs to no phase."""
    for run in swept.runs("start").values():
        parts = {name: value for name, value in run.data.metrics.items() if name.startswith("waterfall/")}
        whole_s = run.data.metrics["first_token_s"]

        assert len(parts) >= 15
        assert sum(parts.values()) == pytest.approx(whole_s, abs=1e-6)
        assert 0 <= parts["waterfall/99_unattributed_s"] < 0.05 * whole_s


def test_every_start_has_a_trace_with_its_ranks(swept):
    """As long as the start to its first token; nothing in it had to be cut to fit."""
    for run in swept.runs("start").values():
        with quiet():
            (trace,) = mlflow_client(swept.place.folder).search_traces(
                locations=[run.info.experiment_id], run_id=run.info.run_id
            )
        root, *spans = trace.data.spans
        ranks = {span.attributes["rank"] for span in spans if span.span_type == "PROCESS" and "rank" in span.attributes}

        assert abs((root.end_time_ns - root.start_time_ns) / 1e9 - run.data.metrics["first_token_s"]) < 0.01
        assert ranks == {"TP0", "TP1"}
        assert [span.name for span in spans if "clipped_s" in span.attributes] == []


def test_every_rank_is_given_the_whole_checkpoint_or_the_files_cut_for_it(swept):
    """Of whole files each rank takes its part of every tensor; its own files hold no more than that."""
    reports = probed(swept)
    whole = sum(map(bytes_of_tensors, (swept.place.models / "tiny_llama").glob("*.safetensors")))

    assert {delivered(process) for process in reports["auto"].ranks.values()} == {whole}
    for rank, process in reports["runai_streamer_sharded"].ranks.items():
        files = list(swept.place.models.glob(f"tiny_llama-*-tp2/model-rank-{rank.removeprefix('TP')}-part-*"))

        assert files
        assert delivered(process) == sum(map(bytes_of_tensors, files))


def test_every_format_loads_the_same_weights_bit_for_bit(swept):
    """By the checksums of every parameter and persistent buffer of both ranks."""
    starts = swept.runs("start")
    verdicts = {name: run.data.tags["bench.weights"] for name, run in starts.items()}
    (kept,) = [
        json.loads(swept.place.artifacts(run)["fingerprint.json"])["fingerprint"]
        for name, run in starts.items()
        if name == "runai_streamer_sharded"
    ]

    assert verdicts == dict.fromkeys(FORMATS, "bitwise")
    assert kept["ranks"].keys() == {"TP0", "TP1"}
    assert all(len(rank["tensors"]) > 20 and not rank["unsummed"] for rank in kept["ranks"].values())
    assert {run.data.tags["bench.weights_read"] for run in starts.values()} == {"whole"}
    assert len({run.data.tags["bench.tokens"] for run in starts.values()}) == 1


def test_nothing_of_vllm_is_left(swept):
    """No process, and nobody on the ports that were used."""
    commands = [run.data.params["vllm_command"] for run in swept.place.runs() if "vllm_command" in run.data.params]
    ports = [int(found[1]) for command in commands if (found := re.search(r"--port (\d+)", command))]

    assert swept.left == set()
    assert ports
    assert not [port for port in ports if listens(port)]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_report_is_written_from_what_mlflow_remembers(swept):
    """The last step of `make bench`."""
    with quiet():
        ended = subprocess.run(
            [sys.executable, "-m", "bench.compare"],
            cwd=swept.place.folder,
            capture_output=True,
            text=True,
            check=False,
        )
    (folder,) = (swept.place.folder / "benchmark_results").iterdir()

    assert ended.returncode == 0, ended.stderr
    assert "| Wall time to model ready (s) |" in ended.stdout
    assert {"report.md", "vllm_load_benchmark.png", "benchmark_metrics.json"} <= {
        path.name for path in folder.iterdir()
    }
