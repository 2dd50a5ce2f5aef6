"""The real vLLM on this host's CPU, as a user would start it: every load format that it can load, on two ranks, and one that it cannot."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import venv
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from site import getsitepackages

import ml_dtypes
import numpy as np
import pytest
from mlflow.entities import RunData
from safetensors.numpy import load_file, save_file

from bench.composing import compose_settings
from bench.startup.probe_events import ProbeReport, read_events
from bench.weights.recipes.write import write_random
from conftest import Done, Workplace, mlflow_client, quiet

pytestmark = pytest.mark.real

PATIENCE_S = 1800.0

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
    "memory/host_shmem_peak_gib",
    "clock/longest_gap_s",
)
OF_A_STREAM = {"phase/stream_s", "stream/size_gib", "throughput/stream_gib_per_s"}


@dataclass(frozen=True)
class Swept:
    """A sweep that is over, and the processes that it left."""

    place: Workplace
    done: Done
    left: set[int]

    def runs(self, kind: str, status: str = "FINISHED"):
        return {
            run.data.params.get("load_format", kind): run
            for run in self.place.runs()
            if run.data.tags["bench.kind"] == kind and run.info.status == status
        }


def processes_in(folder: Path) -> set[int]:
    """By their working directory: vLLM's processes wipe their environment with the title that they give themselves."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if path.readlink() == folder:
                found.add(int(path.parent.name))
    return found


def sweep(folder: Path, *overrides: str, **who: object) -> Swept:
    """`python -m bench -m …`, eager, since compiling takes most of a CPU start and says nothing about loading."""
    command = [sys.executable, "-m", "bench", "-m", "vllm.args.enforce_eager=true", "rig.wait_s=0", *overrides]
    mine = who.pop("env", os.environ)
    environment = {name: value for name, value in mine.items() if not name.startswith("MLFLOW_")}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **who
    )
    done = Done(ended.returncode, ended.stdout, ended.stderr)
    return Swept(Workplace(folder), done, processes_in(folder))


LOADING = ("auto", "safetensors", "runai_streamer", "sharded_state", "runai_streamer_sharded")
FORMATS = (*LOADING, "dummy")  # those that a CPU can load


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """On two ranks, each format that a CPU can load, and one that it cannot. Caches are filled in the cold and warm sweep below."""
    folder = tmp_path_factory.mktemp("tp2")
    formats = f"load_format={','.join(FORMATS)},fastsafetensors"
    return sweep(folder, formats, "tensor_parallel_size=2", "compile_cache=as_is")


def test_every_format_finishes_below_one_sweep(swept):
    """One parent, and a FINISHED child for each format that a CPU can load."""
    (parent,) = [run for run in swept.place.runs() if run.data.tags["bench.kind"] == "sweep"]
    starts = swept.runs("start")

    assert set(starts) == {*FORMATS}, swept.done.err
    assert {run.data.tags["mlflow.parentRunId"] for run in starts.values()} == {parent.info.run_id}


def test_a_start_has_every_number_that_a_cpu_can_give(swept):
    """All of them positive, but for what was counted as nothing, and the host before the start: what was not found would be absent, never 0."""
    starts = swept.runs("start")
    before = ("rig/", "page_cache/")
    numbers = {
        point: {name: value for name, value in run.data.metrics.items() if not name.startswith(before)}
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


def probed(swept: Swept) -> dict[str, ProbeReport]:
    """What the probe wrote in each start that finished, by load format."""
    folders = {
        json.loads((folder / "settings.json").read_text())["load_format"]: folder / "probe"
        for folder in (path.parent for path in swept.place.folder.rglob("startup.json"))
        if json.loads((folder / "startup.json").read_text())["tags"]["bench.kind"] == "start"
    }
    return {name: read_events(folders[name], 0.0) for name in swept.runs("start")}


def bytes_of_tensors(path: Path) -> int:
    """A safetensors file without its header."""
    with path.open("rb") as file:
        return path.stat().st_size - 8 - int.from_bytes(file.read(8), "little")


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
            assert process.imported_s < device.started_s < device.ended_s < model.started_s < weights.started_s
            assert weights.ended_s < processing.started_s < processing.ended_s < model.ended_s


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


@pytest.mark.parametrize("load_format", ["auto", "runai_streamer"])
def test_a_format_of_whole_files_gives_the_checkpoint_to_every_rank(swept, load_format):
    """Each takes its part of every tensor."""
    size = sum(map(bytes_of_tensors, (swept.place.models / "tiny_llama").glob("*.safetensors")))

    assert {_delivered(process) for process in probed(swept)[load_format].ranks.values()} == {size}


@pytest.mark.parametrize("load_format", ["sharded_state", "runai_streamer_sharded"])
def test_a_sharded_format_gives_each_rank_its_own_files(swept, load_format):
    """Which together are the checkpoint."""
    for rank, process in probed(swept)[load_format].ranks.items():
        files = list(swept.place.models.glob(f"tiny_llama-*-tp2/model-rank-{rank.removeprefix('TP')}-part-*"))

        assert files
        assert _delivered(process) == sum(map(bytes_of_tensors, files))


def test_a_format_that_makes_its_weights_up_delivers_nothing(swept):
    """It loads all the same, on the same clock."""
    for process in probed(swept)["dummy"].ranks.values():
        assert _delivered(process) == 0
        assert [span for span in process.spans if span.name == "load_weights"]


def _delivered(process) -> int:
    return sum(span.delivered_bytes or 0 for span in process.spans)


def test_every_format_loads_the_same_weights_bit_for_bit(swept):
    """By the checksums of every parameter and persistent buffer of both ranks; made up ones are no candidate."""
    starts = swept.runs("start")
    verdicts = {name: run.data.tags["bench.weights"] for name, run in starts.items()}
    (kept,) = [
        json.loads(swept.place.artifacts(run)["fingerprint.json"])["fingerprint"]
        for name, run in starts.items()
        if name == "runai_streamer_sharded"
    ]

    assert verdicts == dict.fromkeys(LOADING, "bitwise") | {"dummy": "dummy"}
    assert kept["ranks"].keys() == {"TP0", "TP1"}
    assert all(len(rank["tensors"]) > 20 and not rank["unsummed"] for rank in kept["ranks"].values())
    assert {run.data.tags["bench.weights_read"] for name, run in starts.items() if name in LOADING} == {"whole"}


def test_all_formats_load_the_same_weights(swept):
    """The greedy tokens after a load tell whether it was right; those of made up weights are others."""
    tokens = {name: run.data.tags["bench.tokens"] for name, run in swept.runs("start").items()}

    assert len({tokens[name] for name in LOADING}) == 1
    assert tokens["dummy"] != tokens["auto"]


def test_a_format_that_cannot_load_is_a_failed_run_with_the_reason(swept):
    """The sweep goes on, and says at its end what failed, in vLLM's words, in one line."""
    (failed,) = swept.runs("start", "FAILED").values()
    listed = [line for line in swept.done.err.splitlines() if line.startswith("  FAILED  fastsafetensors: ")]

    assert swept.done.code == 1
    assert failed.data.tags["bench.reason"] == "ModuleNotFoundError: No module named 'fastsafetensors'"
    assert len(listed) == 1
    assert failed.data.tags["bench.reason"] in listed[0]
    assert "vllm.log" in swept.place.artifacts(failed)


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


# A quantised checkpoint.


def quantise(source: Path, folder: Path) -> None:
    """The model's linear layers in int8 by channel, as compressed-tensors writes them; activations are quantised as they come."""
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, folder)
    weights = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False}
    activations = weights | {"strategy": "token", "dynamic": True}
    layers = {"targets": ["Linear"], "weights": weights, "input_activations": activations, "output_activations": None}
    quantisation = {
        "quant_method": "compressed-tensors", "format": "int-quantized", "quantization_status": "compressed",
        "ignore": ["lm_head"], "config_groups": {"group_0": layers},
    }  # fmt: skip
    config = json.loads((source / "config.json").read_text()) | {"quantization_config": quantisation}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {}
    for path in source.glob("*.safetensors"):
        for name, values in load_file(path).items():
            tensors[name] = values
            if name.endswith("_proj.weight"):
                wide = values.astype(np.float32)
                scale = abs(wide).max(1, keepdims=True) / 127
                tensors[name] = (wide / scale).round().clip(-127, 127).astype(np.int8)
                tensors[f"{name}_scale"] = scale.astype(ml_dtypes.bfloat16)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def test_a_quantised_checkpoint_is_cut_and_loads_the_same_weights(tmp_path):
    """Processing packs int8 weights on a CPU; what is cut before loads into a fresh model. On one rank."""
    (settings,) = compose_settings(["model=tiny_llama"])
    assert settings.model.random is not None
    (tmp_path / "original").mkdir()
    write_random(settings.model.random, tmp_path / "original")
    quantise(tmp_path / "original", tmp_path / "int8")
    words = ("load_format=auto,runai_streamer_sharded", "compile_cache=as_is", "model=hf", "model.path=int8")
    done = sweep(tmp_path, *words)
    tokens = {name: run.data.tags["bench.tokens"] for name, run in done.runs("start").items()}

    assert set(tokens) == {"auto", "runai_streamer_sharded"}, done.done.err
    assert len(set(tokens.values())) == 1


# The state of the page cache.

LARGER = (  # 0.48 GiB: pages of libraries that a host has taken away in between are below 2 % of it
    "model.random.hidden_size=1024", "model.random.intermediate_size=4096", "model.random.layers=16",
    "model.random.vocab_size=2048", "model.random.shard_gib=0.125",
)  # fmt: skip
NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}


def reachable_by_nobody(folder: Path) -> bool:
    """Whether a user without rights can run this interpreter with bench in it, and write to the folder."""
    if os.geteuid() != 0:
        return False
    script = f"import bench, vllm, pathlib; pathlib.Path({str(folder)!r}, 'mine').touch()"
    with suppress(OSError):
        return subprocess.run([sys.executable, "-c", script], cwd=folder, check=False, **NOBODY).returncode == 0
    return False


def without_bench(folder: Path) -> Path:
    """An interpreter that has all that this one has, but for bench: what is installed as editable is not found through it."""
    venv.create(folder, symlinks=True, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "all_but_bench.pth").write_text("\n".join(getsitepackages()))
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def cold_and_warm():
    """The plain loader, which maps its files, from a cold and from a warm page cache: as a user without rights, where
    there is one that can. vLLM lives in an environment that knows nothing of bench.
    """
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))  # on a disk, and open to nobody, as pytest's own are not
    folder.chmod(0o777)
    who = NOBODY | {"env": os.environ | {"HOME": str(folder)}} if reachable_by_nobody(folder) else {}
    other = f"vllm.python={without_bench(folder / 'environment')}"
    swept = sweep(folder, "page_cache=cold,warm", other, *LARGER, **who)
    if disturbed(swept):
        sweep(folder, "page_cache=warm", other, *LARGER, **who)
    yield swept
    shutil.rmtree(folder)


def disturbed(swept: Swept) -> bool:
    """Whether pages of the checkpoint, or of packages, had to be read again while a warm start loaded: hosts that are
    short of memory, or that reclaim it before they are, take them away. Such a host gets a second try.
    """
    return any(data.metrics["io/read_amplification"] > 0.02 for data in called(swept, "warm"))


def called(swept: Swept, page_cache: str) -> list[RunData]:
    """The starts that were asked to be so."""
    starts = [run.data for run in swept.place.runs() if run.data.tags["bench.kind"] == "start"]
    return [data for data in starts if data.params["page_cache"] == page_cache]


def test_a_cold_and_a_warm_start_are_what_they_are_called(cold_and_warm):
    """Resident before exec: at most 1 %, at least 99 %. Read from storage: at least 95 % of the checkpoint, at most 2 %."""
    (cold,), warms = called(cold_and_warm, "cold"), called(cold_and_warm, "warm")
    warm = min(warms, key=lambda data: data.metrics["io/read_gib"])
    size_gib = cold.metrics["checkpoint/size_gib"]

    assert cold_and_warm.done.code == 0, cold_and_warm.done.err
    assert size_gib > 0.4
    assert cold.metrics["page_cache/resident_before"] <= 0.01
    assert warm.metrics["page_cache/resident_before"] >= 0.99
    assert cold.metrics["io/read_gib"] >= 0.95 * size_gib
    assert warm.metrics["io/read_gib"] <= 0.02 * size_gib
    assert (cold.tags["bench.page_cache"], cold.tags["bench.valid"]) == ("cold", "true")
    assert (warm.tags["bench.page_cache"], warm.tags["bench.valid"]) == ("warm", "true")


def test_a_user_without_rights_sees_what_root_sees(cold_and_warm):
    """The two starts above were nobody's. Skipped, and not passed, where nobody cannot run this interpreter."""
    owners = {path.stat().st_uid for path in cold_and_warm.place.folder.rglob("multirun/**/startup.json")}
    if owners != {NOBODY["user"]} and not reachable_by_nobody(cold_and_warm.place.folder):
        pytest.skip("nobody cannot run this interpreter, so these starts were this user's")

    assert owners == {NOBODY["user"]}


def test_the_probe_reports_from_an_environment_that_does_not_have_bench(cold_and_warm):
    """It is put on the path of that start alone."""
    python = cold_and_warm.place.folder / "environment" / "bin" / "python"
    found = subprocess.run(
        [python, "-E", "-c", "import vllm, bench.config"], capture_output=True, text=True, check=False
    )

    assert found.stderr.rstrip().endswith(("No module named 'bench'", "No module named 'bench.config'"))
    for data in called(cold_and_warm, "cold"):
        assert data.params["vllm.python"] == str(python)
        assert "rank/TP0/probe/load_weights_s" in data.metrics
        assert "the probe" not in data.tags.get("bench.warnings", "")
