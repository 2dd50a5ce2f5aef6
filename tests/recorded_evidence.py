"""Starts that a real vLLM made, as bench recorded them, as the evidence that checks compare."""

import atexit
import json
import re
import shutil
import tarfile
import tempfile
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import zstandard
from pydantic import TypeAdapter

from bench.host.state import HostState
from bench.log.start_log import read_start
from bench.start.evidence import Asked, Evidence
from bench.start.state_record import loading
from bench.start.storage_use import StorageUse
from bench.start.tags import STORAGE_LIMIT
from bench.vllm.probe_events import read_events
from bench.weights.fingerprint_store import delivered_in
from bench.weights.loaded import StartWeights

TESTS = Path(__file__).parent
RESULTS = TESTS.parent / "benchmark_results"
PORT = re.compile(r"--port (\d+)")


@cache
def folders() -> dict[str, Path]:
    """Of each recorded start that has a log and the probe's events, by a name."""
    unpacked = Path(tempfile.mkdtemp(prefix="bench-recorded-"))
    atexit.register(shutil.rmtree, unpacked, ignore_errors=True)
    found = {path.name: path for path in (TESTS / "starts").iterdir() if path.is_dir()}
    for archive in sorted(RESULTS.glob("*/starts.tar.zst")):
        result = archive.parent.name
        with (
            archive.open("rb") as packed,
            zstandard.ZstdDecompressor().stream_reader(packed) as stream,
            tarfile.open(fileobj=stream, mode="r|") as files,
        ):
            files.extractall(unpacked / result, filter="data")
        found |= {f"{result}/{path.name}": path for path in sorted((unpacked / result / "starts").iterdir())}
    return {name: path for name, path in found.items() if (path / "probe").is_dir()}


@cache
def evidence(name: str) -> Evidence:
    """All that its files hold."""
    folder = folders()[name]
    facts = json.loads((folder / ("startup.json" if (folder / "startup.json").is_file() else "start.json")).read_text())
    probe = read_events(folder / "probe", facts["exec_at_s"])
    with (folder / "vllm.log").open("rb") as file:
        log = read_start(file)
    state = _state(facts["host_state"]) if "host_state" in facts else None
    started_at, load = facts.get("started_at"), loading(probe)
    return Evidence(
        asked=_asked(facts) if "params" in facts else Asked(version="0.26.0", device="cuda", load_format=None),
        log=log,
        probe=probe,
        started_at=started_at,
        ready_s=facts["ready_s"],
        first_token_s=facts["first_token_s"],
        completion_ended_s=facts.get("completion_ended_s"),
        cpu_s=facts.get("metrics", {}).get("cpu/vllm_s"),
        ended_s=facts["ended_at"] - started_at if started_at else None,
        state=state,
        storage_use=StorageUse(
            STORAGE_LIMIT.in_(facts.get("tags", {})) or (),
            state.read_gib if state else None,
            load[1] - load[0] if load else None,
            is_cold=facts.get("params", {}).get("page_cache") == "cold",
        ),
        weights=StartWeights(
            held=delivered_in(probe) if facts.get("tags", {}).get("bench.weights_read") == "whole" else None
        ),
    )


def _state(tree: dict[str, Any]) -> HostState:
    """Earlier releases of bench wrote `asked` for `requested`."""
    named = {name.replace("_asked", "_requested"): value for name, value in tree.items()}
    known = {name: value for name, value in named.items() if name in {each.name for each in fields(HostState)}}
    return TypeAdapter(HostState).validate_python(known)


def _asked(facts: dict[str, Any]) -> Asked:
    params, tags = facts["params"], facts["tags"]
    length, share = params["max_model_len"], params["gpu_memory_utilization"]
    port = PORT.search(params["vllm_command"])
    return Asked(
        version=tags["version.vllm"],
        model=params["model.path"] if params["load_format.checkpoint"] == "original" else params["model.sharded_path"],
        load_format=params["load_format"],
        tensor_parallel_size=int(params["tensor_parallel_size"]),
        device=tags["host.device"],
        cores=int(tags["host.cpu_cores"]),
        port=int(port[1]) if port else None,
        max_model_len=None if length == "None" else int(length),
        gpu_memory_utilization=None if share == "None" else float(share),
        enforce_eager=params.get("vllm.args.enforce_eager") == "True" or None,
    )
