"""What is recorded: ordinary starts, and failures that are provoked. The name of a case is the name of its log."""

import os
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from server import EXIT_LIMIT_S, PORT, Server, complete, embed

MODELS = Path("/models")
MODEL = MODELS / "tiny_llama"
SHARDED = MODELS / "tiny_llama-tp2"
WORKER = re.compile(r"Worker[^()]* pid=(\d+)\)")
LOADING = "Starting to load model"


def complete_and_stop(server: Server) -> None:
    """The ordinary case."""
    if server.wait_until_ready():
        complete()


def embed_and_stop(server: Server) -> None:
    """Of a model that completes no texts."""
    if server.wait_until_ready():
        embed()


def wait_for_its_end(server: Server) -> None:
    """It ends by itself."""
    server.wait_for_its_end()


def kill_a_worker_while_loading(server: Server) -> None:
    """As the kernel does it when memory is short."""
    server.wait_for_text(LOADING)
    kill_a_worker(server)


def kill_a_worker_when_ready(server: Server) -> None:
    """After the first answer."""
    if server.wait_until_ready():
        complete()
        kill_a_worker(server)


def kill_a_worker(server: Server) -> None:
    """The one whose pid the log shows last; wait for what the others make of it."""
    os.kill(int(WORKER.findall(server.text)[-1]), signal.SIGKILL)
    server.wait_for_its_end(EXIT_LIMIT_S)


def kill_everything(server: Server) -> None:
    """While it loads, so the log just stops."""
    server.wait_for_text(LOADING)
    os.killpg(server.process.pid, signal.SIGKILL)


@contextmanager
def damaged(name: str, damage: Callable[[Path], None]) -> Iterator[None]:
    """A copy of the checkpoint whose second file is damaged."""
    folder = MODELS / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(MODEL, folder)
    damage(sorted(folder.glob("*.safetensors"))[1])
    yield


def cut_in_half(path: Path) -> None:
    """As a download that broke off."""
    os.truncate(path, path.stat().st_size // 2)


@contextmanager
def port_taken() -> Iterator[None]:
    """By somebody else."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", PORT))
        holder.listen()
        yield


@dataclass(frozen=True)
class Case:
    """One start: what vLLM is asked, the world it starts in, and what is done to it meanwhile."""

    arguments: list[str] = field(default_factory=list)
    model: Path = MODEL
    environment: Mapping[str, str | None] = field(default_factory=dict)  # None: not set
    world: Callable[[], AbstractContextManager[None]] = nullcontext
    meanwhile: Callable[[Server], None] = complete_and_stop
    offline: bool = False  # an LLM() instead of the server


EAGER = ["--enforce-eager"]
TWO = [*EAGER, "--tensor-parallel-size", "2"]
BOUND = {"VLLM_CPU_OMP_THREADS_BIND": "0|1"}  # else two ranks on one NUMA node are refused
LONGER_THAN_THE_MODEL = {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}
NO_CACHE_ASKED: dict[str, str | None] = {"VLLM_CPU_KVCACHE_SPACE": None}  # else the share is not looked at
GUESSES = ["--speculative-config", '{"method": "ngram", "num_speculative_tokens": 2, "prompt_lookup_max": 3}']
DRAFTS = ["--speculative-config", f'{{"method": "draft_model", "model": "{MODEL}", "num_speculative_tokens": 2}}']
DELETED, TRUNCATED = "tiny_llama-deleted", "tiny_llama-truncated"
CASES = {
    "auto-tp1-eager": Case(EAGER),
    "auto-tp2-eager": Case(TWO, environment=BOUND),
    "auto-tp1": Case(),
    "runai_streamer-tp1-eager": Case([*EAGER, "--load-format", "runai_streamer"]),
    "runai_streamer-tp2-eager": Case([*TWO, "--load-format", "runai_streamer"], environment=BOUND),
    "sharded_state-tp2-eager": Case([*TWO, "--load-format", "sharded_state"], SHARDED, BOUND),
    "dummy-tp1-eager": Case([*EAGER, "--load-format", "dummy"]),
    "offline-auto-tp1-eager": Case(EAGER, meanwhile=wait_for_its_end, offline=True),
    "ngram-tp1-eager": Case([*EAGER, *GUESSES]),
    "draft_model-tp1-eager": Case([*EAGER, *DRAFTS]),
    "draft_model-tp2-eager": Case([*TWO, *DRAFTS], environment=BOUND),
    "bert-tp1-eager": Case(EAGER, MODELS / "tiny_bert", meanwhile=embed_and_stop),
    "auto-tp1-FAILED-unknown_flag": Case(["--no-such-flag"]),
    "auto-tp1-eager-FAILED-model_len": Case([*EAGER, "--max-model-len", "100000"]),
    "auto-tp1-eager-FAILED-no_model": Case(EAGER, MODELS / "nowhere"),
    "auto-tp1-eager-FAILED-memory_share": Case([*EAGER, "--gpu-memory-utilization", "1.0"], environment=NO_CACHE_ASKED),
    "auto-tp1-eager-FAILED-kv_cache": Case([*EAGER, "--max-model-len", "9000000"], environment=LONGER_THAN_THE_MODEL),
    "auto-tp1-eager-FAILED-shard_deleted": Case(EAGER, MODELS / DELETED, world=lambda: damaged(DELETED, Path.unlink)),
    "auto-tp1-eager-FAILED-shard_truncated": Case(
        EAGER, MODELS / TRUNCATED, world=lambda: damaged(TRUNCATED, cut_in_half)
    ),
    "auto-tp1-eager-FAILED-port_taken": Case(EAGER, world=port_taken, meanwhile=wait_for_its_end),
    "auto-tp1-eager-FAILED-server_killed": Case(EAGER, meanwhile=kill_everything),
    "auto-tp2-eager-FAILED-worker_killed_loading": Case(TWO, environment=BOUND, meanwhile=kill_a_worker_while_loading),
    "auto-tp2-eager-FAILED-worker_killed_ready": Case(TWO, environment=BOUND, meanwhile=kill_a_worker_when_ready),
}
