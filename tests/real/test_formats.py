"""The real vLLM on one rank: every other load format that a CPU can load, and one that it cannot; from a cold and a warm page cache."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from contextlib import suppress
from pathlib import Path
from site import getsitepackages

import ml_dtypes
import numpy as np
import pytest
from mlflow.entities import RunData
from real_sweeps import Swept, bytes_of_tensors, delivered, probed, sweep
from safetensors.numpy import load_file, save_file

from bench.compose import compose_settings
from bench.weights.recipes.write import write_random

pytestmark = pytest.mark.real

# load_format=safetensors is not among them: vLLM's loader for it is the one of `auto`.
LOADING = ("auto", "runai_streamer", "sharded_state")
FORMATS = (*LOADING, "dummy")
NOT_INSTALLED = "fastsafetensors"
LARGER = (  # 0.4 GiB in int8: pages of libraries that a host has taken away in between are a few per cent of it
    "model.random.hidden_size=1024", "model.random.intermediate_size=4096", "model.random.layers=28",
    "model.random.vocab_size=2048",
)  # fmt: skip
NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}


@pytest.fixture(scope="module")
def swept():
    """One sweep from a cold page cache, then the plain format from a warm one; of a quantised checkpoint, as a user without
    rights where one can run this interpreter, with vLLM in an environment that knows nothing of bench.
    """
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))  # on a disk, and open to nobody, as pytest's own are not
    make_int8(folder)
    folder.chmod(0o777)
    who = NOBODY | {"env": os.environ | {"HOME": str(folder)}} if reachable_by_nobody(folder) else {}
    words = (
        f"vllm.python={without_bench(folder / 'environment')}",
        "model=hf",
        "model.path=int8",
        "compile_cache=as_is",
        "bytecode=as_is",  # nobody may write to this environment
    )
    swept = sweep(folder, f"load_format={','.join(FORMATS)},{NOT_INSTALLED}", "verify=false", *words, **dict(who))
    sweep(folder, "page_cache=warm", *words, **dict(who))
    if disturbed(swept):
        sweep(folder, "page_cache=warm", *words, **dict(who))
    yield swept
    shutil.rmtree(folder)


def make_int8(folder: Path) -> None:
    (settings,) = compose_settings(["model=tiny_llama", *LARGER])
    assert settings.model.random is not None
    (folder / "original").mkdir()
    write_random(settings.model.random, folder / "original")
    quantise(folder / "original", folder / "int8")


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


def disturbed(swept: Swept) -> bool:
    """Whether so much of the checkpoint, or of packages, had to be read again while a warm start loaded that it does not count: hosts
    that are short of memory, or that reclaim it before they are, take pages away. Such a host gets a second try.
    """
    return any(data.metrics["io/read_amplification"] > 0.1 for data in called(swept, "warm"))


def called(swept: Swept, page_cache: str) -> list[RunData]:
    """The plain format's starts that were asked to be so."""
    starts = [
        run.data
        for run in swept.place.runs()
        if run.data.tags["bench.kind"] == "start" and run.info.status == "FINISHED"
    ]
    return [data for data in starts if (data.params["page_cache"], data.params["load_format"]) == (page_cache, "auto")]


def test_every_format_finishes(swept):
    """Also where a tensor is processed once it is loaded: int8 weights are packed on a CPU."""
    assert set(swept.runs("start")) == {*FORMATS}, swept.done.err


def test_every_format_loads_the_same_weights(swept):
    """By the greedy tokens after each load; bit for bit is what the sweep on two ranks compares."""
    tokens = {name: run.data.tags["bench.tokens"] for name, run in swept.runs("start").items()}

    assert len({tokens[name] for name in LOADING}) == 1
    assert tokens["dummy"] != tokens["auto"]


def test_every_format_gives_its_whole_checkpoint(swept):
    """Seen by the probe, from an environment that does not have bench. What makes its weights up gives nothing."""
    reports = probed(swept)
    given = {name: delivered(reports[name].ranks["TP0"]) for name in FORMATS}
    folders = {"int8": swept.place.folder / "int8", "cut": next(swept.place.models.glob("int8-*-tp1"))}
    size = {name: sum(map(bytes_of_tensors, folder.glob("*.safetensors"))) for name, folder in folders.items()}

    assert given == {"auto": size["int8"], "runai_streamer": size["int8"], "sharded_state": size["cut"], "dummy": 0}
    assert [span for span in reports["dummy"].ranks["TP0"].spans if span.name == "load_weights"]


def test_a_format_that_cannot_load_is_a_failed_run_with_the_reason(swept):
    """The sweep goes on, and says at its end what failed, in vLLM's words, in one line."""
    (failed,) = swept.runs("start", "FAILED").values()
    listed = [line for line in swept.done.err.splitlines() if line.startswith("  FAILED  fastsafetensors: ")]

    assert swept.done.code == 1
    assert failed.data.tags["bench.reason"] == "ModuleNotFoundError: No module named 'fastsafetensors'"
    assert len(listed) == 1
    assert failed.data.tags["bench.reason"] in listed[0]
    assert "vllm.log" in swept.place.artifacts(failed)


def test_a_cold_and_a_warm_start_are_what_they_are_called(swept):
    """Resident before exec: at most 1 %, at least 99 %. Read from storage: at least 95 % of the checkpoint, at most 10 %, and above 2 % the
    start says so: where read-ahead is 8 MiB, two pages of a library that the host took away are 4 % of this checkpoint.
    """
    (cold,), warms = called(swept, "cold"), called(swept, "warm")
    warm = min(warms, key=lambda data: data.metrics["io/read_gib"])
    size_gib = cold.metrics["checkpoint/size_gib"]

    assert size_gib > 0.4
    assert cold.metrics["page_cache/resident_before"] <= 0.01
    assert warm.metrics["page_cache/resident_before"] >= 0.99
    assert cold.metrics["io/read_gib"] >= 0.95 * size_gib
    assert warm.metrics["io/read_gib"] <= 0.1 * size_gib
    said = "came from storage in a warm start" in warm.tags.get("bench.warnings", "")
    assert said == (warm.metrics["io/read_amplification"] > 0.02)
    assert (cold.tags["bench.page_cache"], cold.tags["bench.valid"]) == ("cold", "true")
    assert (warm.tags["bench.page_cache"], warm.tags["bench.valid"]) == ("warm", "true")


def test_a_user_without_rights_sees_what_root_sees(swept):
    """The two starts above were nobody's. Skipped, and not passed, where nobody cannot run this interpreter."""
    owners = {path.stat().st_uid for path in swept.place.folder.rglob("multirun/**/startup.json")}
    if owners != {NOBODY["user"]} and not reachable_by_nobody(swept.place.folder):
        pytest.skip("nobody cannot run this interpreter, so these starts were this user's")

    assert owners == {NOBODY["user"]}


def test_the_probe_reports_from_an_environment_that_does_not_have_bench(swept):
    """It is put on the path of that start alone."""
    python = swept.place.folder / "environment" / "bin" / "python"
    script = "from importlib.util import find_spec\nassert find_spec('vllm')\nimport bench.config"
    found = subprocess.run([python, "-E", "-c", script], capture_output=True, text=True, check=False)

    assert found.stderr.rstrip().endswith(("No module named 'bench'", "No module named 'bench.config'"))
    for data in called(swept, "cold"):
        assert data.params["vllm.python"] == str(python)
        assert "rank/TP0/probe/load_weights_s" in data.metrics
        assert "the probe" not in data.tags.get("bench.warnings", "")
