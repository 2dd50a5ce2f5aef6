"""What the tab key offers behind `bench`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.completion.candidates import candidates
from bench.completion.scripts import BASH, answer
from bench.host.vllm_arguments import ANSWER, Argument, Taken
from bench.start import tags as t
from conftest import mlflow_client, quiet


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("bench ", ["run", "compare", "predict", "prepare", "replay", "completion", "--help", "--version"]),
        ("bench comp", ["compare", "completion"]),
        ("bench completion ", ["bash", "zsh", "fish"]),
        ("bench run page_c", ["page_cache="]),
        ("bench run page_cache=", ["page_cache=cold", "page_cache=warm", "page_cache=as_is"]),
        ("bench run -m load_format=auto,runai", ["load_format=auto,runai_streamer", "load_format=auto,runai_streamer_sharded"]),
        ("bench run load_format=auto,au", []),
        ("bench run rig.w", ["rig.wait_s="]),
        ("bench run tracking", ["tracking.", "tracking="]),
        ("bench run verify=", ["verify=true", "verify=false", "verify=null"]),
        ("bench run sweep", []),
        ("bench run vllm.a", ["vllm.args."]),
        ("bench run vllm.env.", []),
        ("bench run --c", ["--config-dir=", "--cfg"]),
        ("bench prepare remake=t", ["remake=true"]),
        ("bench compare gate_m", ["gate_metric="]),
        ("bench compare page", []),
        ("bench predict storage=g", ["storage=gp3"]),
        ("bench predict storage.read_i", ["storage.read_iops="]),
        ("bench predict page", []),
        ("bench compare where", ["where."]),
        ("bench replay po", ["point."]),
        ("bench replay base.l", []),
        ("bench nonsense ", []),
    ],
)  # fmt: skip
def test_each_command_has_its_own_settings_and_their_values(line, offered):
    """Sections are one word until they are entered; what takes any text is left to the shell, which offers files."""
    assert answer("fish", line) == offered


def test_bash_gets_what_stands_behind_its_break():
    """It takes = for the end of a word; a blank ends what is whole."""
    assert answer("bash", "bench run load_format=auto,dum") == ["auto,dummy "]
    assert answer("bash", "bench run rig.w") == ["rig.wait_s="]


def test_arguments_of_vllm_are_those_of_the_one_that_was_asked_last(monkeypatch, tmp_path):
    """Its names and what they take, from the user's cache: no interpreter is started for the tab key."""
    taken = Taken(
        (Argument(("--enforce-eager",), "enforce_eager", "switch"), Argument(("--dtype",), "dtype", "value", choices=("auto", "half"))),
        {},
    )  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = tmp_path / "bench" / "vllm_arguments" / "a.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(ANSWER.dump_python(taken, mode="json")))

    assert candidates(["run", "vllm.args.e"]) == ["vllm.args.enforce_eager="]
    assert candidates(["run", "vllm.args.enforce-eager="]) == ["vllm.args.enforce-eager=true", "vllm.args.enforce-eager=false"]  # fmt: skip
    assert candidates(["run", "vllm.args.dtype="]) == ["vllm.args.dtype=auto", "vllm.args.dtype=half"]


def test_sweeps_are_those_of_the_store(empty_store, tmp_path):
    """The latest first, by their ids; of one that is typed, else of the default's. A file that is no store offers none."""
    store = shutil.copy(empty_store, tmp_path / "mlflow.db")
    with quiet():
        client = mlflow_client(Path(store).parent)
        for moment, (sweep, kind) in enumerate([("S1", "sweep"), ("S2", "sweep"), ("S2", "start")], 1):
            client.create_run("0", start_time=moment, tags={t.SWEEP.name: sweep, t.KIND.name: kind})
    words = ["compare", f"tracking.uri=sqlite:///{store}"]

    assert candidates([*words, "sweep="]) == ["sweep=latest", "sweep=previous", "sweep=S2", "sweep=S1"]
    assert candidates([*words, "sweep=S1,S"]) == ["sweep=S1,S2"]
    assert candidates(["compare", f"tracking.uri=sqlite:///{tmp_path / 'none.db'}", "sweep=l"]) == ["sweep=latest"]


def test_a_real_bash_completes(tmp_path):
    """The function that is printed, and the program that it asks."""
    bench = tmp_path / "bench"
    bench.write_text(f'#!/bin/sh\nexec {sys.executable} -m bench.console "$@"\n')
    bench.chmod(0o755)
    asked = 'COMP_LINE="bench run load_format=fasts"; COMP_POINT=${#COMP_LINE}; _bench bench; printf "[%s]" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{BASH}\n{asked}"],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "[fastsafetensors ]"
