"""One start of vLLM, from settings to a Startup that is whole and on disk."""

import json
import time
from contextlib import closing
from pathlib import Path

from bench.attempt import INTERRUPTED, Attempt, Reached
from bench.condition import caches_for, establish
from bench.config import Settings
from bench.console import say
from bench.describe import describe
from bench.durations import remember_duration
from bench.errors import BenchError, StartError, StartTimeout
from bench.fingerprints import files_of, verifies
from bench.host.api_key import api_key
from bench.host.claims import checkpoints_claimed
from bench.host.measured import look_at_host
from bench.host.vllm_caches import mark_primed
from bench.interrupts import interruptible
from bench.masking import private, seal
from bench.processes.kept import OnLine
from bench.startup.command import command_for
from bench.startup.greedy import ask_twice
from bench.startup.memory import gpus_of, sampled
from bench.startup.otel import SPANS
from bench.startup.otel_receiver import receive_spans, wanted
from bench.startup.plugin import PROBE, with_plugin
from bench.startup.record import LOG, Startup
from bench.startup.server import free_port, serve
from bench.weights.prepare import LOG as PREPARE_LOG
from bench.weights.prepare import ensure_checkpoint

SETTINGS = "settings.json"


def measure(settings: Settings, folder: Path, on_line: OnLine) -> Startup:
    """Start vLLM once and write down everything about it: in `folder`, whole, before anybody else hears of it.

    Whatever goes wrong with vLLM is part of the Startup, as its `reason`; an interruption is too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    host = look_at_host(settings)
    caches = caches_for(settings, host)
    private(folder / SETTINGS).write_text(json.dumps(settings.flat(), indent=2))
    with receive_spans(on=wanted(settings, host)) as received:
        command = command_for(settings, host, free_port(), caches.environment | received.environment)
        attempt = Attempt(settings, host, command, folder)
        began_s = time.monotonic()
        reached = run(attempt, on_line)
        lasted_s = time.monotonic() - began_s
    reached.received = received
    startup = describe(attempt, reached)
    startup.save(folder)
    seal([folder / LOG, folder / SPANS, folder / PREPARE_LOG, *(folder / PROBE).glob("*")])
    if not startup.failed:
        remember_duration(settings, host, lasted_s)
        if settings.sweep.kind == "prime":
            mark_primed(caches, startup.name)
    return startup


def run(attempt: Attempt, on_line: OnLine) -> Reached:
    """vLLM from exec to its completion, and to the end of its last process. Interruptible only where it waits for the host
    and for vLLM; a start that is complete when a signal comes stays complete.
    """
    settings, reached = attempt.settings, Reached(time.time())
    try:
        with interruptible(), checkpoints_claimed(settings, say):
            ensure_checkpoint(settings, attempt.host, attempt.folder, on_line)
        with checkpoints_claimed(settings, say, shared=True):
            serve_once(attempt, reached, on_line)
    except StartTimeout as error:
        reached.reason = str(error)
    except StartError as error:
        reached.reason, reached.log_knows_better = str(error), True
    except BenchError as error:
        reached.reason = str(error)
    except KeyboardInterrupt:
        reached.reason = INTERRUPTED if reached.answer is None else None
    return reached


def serve_once(attempt: Attempt, reached: Reached, on_line: OnLine) -> None:
    """The host prepared, vLLM started, asked and ended; how far it came is in `reached`, whatever is raised."""
    settings, command = attempt.settings, attempt.command

    def waiting(noise: list[str]) -> None:
        say(f"  waiting for a quiet host, {settings.rig.wait_s:g} s at most: {'; '.join(noise)}")

    with interruptible():
        reached.files = files_of(settings)  # before the page cache is made what it is to be
        condition = reached.condition = establish(settings, waiting)
    if settings.probe:
        command = with_plugin(command, attempt.folder / PROBE, checksums=verifies(settings))
    with (
        closing(gpus_of(settings)) as gpus,
        serve(
            command,
            api_key=api_key(Path(settings.caches_dir)),
            log_path=attempt.folder / LOG,
            stop_timeout_s=settings.vllm.stop_timeout_s,
            on_line=on_line,
        ) as vllm,
        sampled(vllm.process, gpus, attempt.folder) as reached.memory,
    ):
        reached.started_at, reached.exec_at_s = vllm.process.started_at, vllm.process.exec_at_s
        with interruptible():
            reached.ready_s = vllm.wait_until_ready(settings.vllm.ready_timeout_s)
            reached.answer = vllm.complete(settings.checkpoint_path, settings.completion)
            if verifies(settings):
                reached.rounds = ask_twice(vllm, settings.checkpoint_path, settings.completion.timeout_s)
    condition.tree_read = vllm.process.read_bytes
    reached.cpu = vllm.process.cpu
