"""Whole commands of which vLLM is in a container: a fake docker whose processes are not bench's, with the fake vLLM in it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Workplace

FAKE_CONTAINER = Path(__file__).parent / "fake_container"
TEMPLATE = "docker run --rm -p=127.0.0.1:{port}:{port} -v={model}:{model}:ro -v={folder}:{folder} -v={probe}:{probe}:ro --env-file={env_file} image"
ON_THE_HOST = "docker run --network=host --env={name} image"


@pytest.fixture
def docker(workplace: Workplace) -> Iterator[dict[str, str]]:
    """The environment in which there is one."""
    place = str(workplace.folder / "daemon")
    words = [sys.executable, str(FAKE_CONTAINER / "daemon.py"), place]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as daemon:
        assert daemon.stdout
        assert daemon.stdout.readline()
        yield {"FAKE_DAEMON": place, "PATH": f"{FAKE_CONTAINER}:{os.environ['PATH']}"}
        os.killpg(daemon.pid, signal.SIGKILL)


def behind(template: str) -> str:
    return f'vllm.command="{template}"'


@pytest.mark.parametrize("template", [TEMPLATE, ON_THE_HOST, "docker run --env={name}={value} image"])
def test_a_start_in_a_container_has_its_times_and_what_its_processes_report(workplace, docker, template):
    """However its port and variables are handed over. What the driver cannot know of its processes is absent, and said; nothing is left."""
    done = workplace.bench(behind(template), "page_cache=cold", "model=tiny_llama", environment=docker)
    (run,) = workplace.runs()
    metrics, tags = run.data.metrics, run.data.tags
    files = workplace.artifacts(run)

    assert (done.code, tags["bench.valid"]) == (0, "true"), (done, tags)
    assert 0 < metrics["probe/load_weights_s"] < metrics["ready_s"] < metrics["first_token_s"]
    assert not {name for name in metrics if name.startswith(("memory/host", "cpu/", "noise/start"))}
    assert "vLLM runs behind vllm.command" in tags["bench.warnings"]
    assert tags["bench.entrypoint"] == "serve"
    assert json.loads(files["startup.json"])["host_state"]["tree_read"] is None
    assert not list(workplace.folder.rglob("environment-*"))
    assert not list(workplace.folder.glob(".bench-*"))


@pytest.mark.parametrize(
    ("lacks", "more", "named"),
    [
        ("variables", [], "vLLM's variables do not arrive in the container. Pass them: --env-file={env_file}, or --env={name}"),
        ("port", [], "is not reached at 127.0.0.1. Publish its port: -p 127.0.0.1:{port}:{port}"),
        ("files", [], "Mount it at the same path: -v {probe}:{probe}"),
        ("mount", [], "is another folder than here in the container. Mount it at the same path: -v {probe}:{probe}"),
        ("kernel", [], "on another kernel than bench, whose page cache and clock are its own. Set probe=false"),
        ("kernel", ["page_cache=cold", "probe=false"], "Set page_cache=as_is"),
    ],
)  # fmt: skip
def test_what_does_not_arrive_in_the_container_is_refused_before_the_start(workplace, docker, lacks, more, named):
    """With the words that bring it, and nothing left behind."""
    words = more or ["page_cache=as_is"]
    done = workplace.bench(behind(TEMPLATE), *words, environment=docker | {"FAKE_LACKS": lacks})

    assert done.code == 2
    assert named in done.err
    assert done.err.count("\n") <= 3
    assert workplace.logs() == []
    assert not list(workplace.folder.glob(".bench-*"))


def test_a_container_that_outlives_its_command_is_a_warning(workplace, docker):
    """Its port is still answered when the command is gone."""
    workplace.bench(behind(TEMPLATE), "page_cache=as_is", environment=docker | {"FAKE_LACKS": "stop"})
    (run,) = workplace.runs()

    assert "vLLM still listens on port" in run.data.tags["bench.warnings"]


def test_the_plan_shows_the_template_filled_in(workplace, docker):
    """With the port chosen later, as in any plan."""
    done = workplace.bench("dry_run=true", behind(TEMPLATE), "page_cache=as_is", environment=docker)

    assert f"-v={workplace.folder}/models/tiny_llama:{workplace.folder}/models/tiny_llama:ro" in done.out
    assert f"serve {workplace.folder}/models/tiny_llama --host 0.0.0.0" in done.out
