"""One start of vLLM, from settings to a Startup that is whole."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.config import Settings
from bench.errors import AnswerError, BenchError, StartError, StartTimeout
from bench.host.claims import checkpoints_claimed
from bench.host.compile_cache import caches_of, mark_primed
from bench.host.host import look_at_host
from bench.masking import private, seal
from bench.start.describe import concluded, describe, undescribed
from bench.start.durations import remember_duration
from bench.start.prepare import caches_for, establish
from bench.start.record import LOG, Startup
from bench.start.steps import Failure, Steps
from bench.start.values import INTERRUPTED, Attempt, Reached
from bench.system.interrupts import interruptible
from bench.system.output import print_message
from bench.vllm.api_key import api_key
from bench.vllm.command import PROBE, command_for, with_probe
from bench.vllm.greedy import complete_twice
from bench.vllm.log_copy import OnLine
from bench.vllm.memory import gpus_of, sampled
from bench.vllm.server import free_port, serve
from bench.weights.fingerprint_store import files_of, verifies
from bench.weights.make import ensure_checkpoint
from bench.weights.sharded import LOG as PREPARE_LOG

SETTINGS = "settings.json"
PROBE_AT_MOST = 64 << 20  # bytes of all its files together that are kept; it writes some kB a process


def measure(settings: Settings, folder: Path, on_line: OnLine, steps: Steps) -> Startup:
    """Start vLLM once and read all that it left in `folder`, which is there.

    Whatever goes wrong is part of the Startup, as its `reason`, and a failure of `steps`; an interruption is too. Nothing is raised.
    """
    reached = Reached(time.time())
    prepared = partial(prepare, settings, folder)
    attempt = None if steps.failures else steps.take("preparing the start", prepared, None)
    began_s = time.monotonic()
    if attempt:
        reached = run(attempt, reached, on_line, steps)
    lasted_s = time.monotonic() - began_s
    described = (
        steps.take("describing the start", partial(describe, attempt, reached, steps), None) if attempt else None
    )
    steps.take("masking secrets", partial(seal, [folder / LOG, folder / PREPARE_LOG]), None)
    of_the_probe = sorted((folder / PROBE).glob("*"))
    steps.take("masking secrets", partial(seal, of_the_probe, bytes_at_most=PROBE_AT_MOST), None)
    startup = concluded(described or undescribed(settings, reached), steps)
    if attempt and not startup.failed:
        steps.take("keeping what was learnt", partial(keep_what_was_learnt, attempt, startup, lasted_s), None)
    return concluded(startup, steps)


def prepare(settings: Settings, folder: Path) -> Attempt:
    """The host looked at, and caches emptied where fresh ones were asked for."""
    host = look_at_host(settings)
    caches = caches_for(settings, host)
    flat = json.dumps(settings.flat(), indent=2)
    private(folder / SETTINGS).write_text(flat, encoding="utf-8", errors="backslashreplace")
    return Attempt(settings, host, command_for(settings, host, free_port(), caches.environment), folder)


def keep_what_was_learnt(attempt: Attempt, startup: Startup, lasted_s: float) -> None:
    """For later commands: how long such a start takes here, and that its caches are filled."""
    remember_duration(attempt.settings, attempt.host, lasted_s)
    if attempt.settings.sweep.kind == "prime":
        mark_primed(caches_of(attempt.settings, attempt.host), startup.name)


def run(attempt: Attempt, tried: Reached, on_line: OnLine, steps: Steps) -> Reached:
    """vLLM from exec to its completion, and to the end of its last process; how far it came, from `tried` on. Interruptible only where
    it waits for the host and for vLLM; a start that is complete when a signal comes stays complete.
    """
    settings, reached = attempt.settings, tried
    try:
        with interruptible(), checkpoints_claimed(settings, print_message):
            ensure_checkpoint(settings, attempt.host, attempt.folder, on_line)
        with checkpoints_claimed(settings, print_message, shared=True):
            for further in stages(attempt, tried, on_line):
                reached = further
    except (StartTimeout, AnswerError) as error:
        return replace(reached, reason=str(error))
    except StartError as error:
        return replace(reached, reason=str(error), log_knows_better=True)
    except BenchError as error:
        return replace(reached, reason=str(error))
    except KeyboardInterrupt:
        complete = reached.answer and (all(reached.rounds) or not verifies(settings))
        return replace(reached, reason=None if complete else INTERRUPTED)
    except Exception as error:  # noqa: BLE001  # a full disk, too many open files: the world's, or a bug
        steps.failures.append(Failure("starting vLLM", error))
    return reached


def stages(attempt: Attempt, reached: Reached, on_line: OnLine) -> Iterator[Reached]:
    """The host prepared, vLLM started, ready, asked and ended: each time how far the start has come. What raises is none that was reached.

    No signal interrupts where a value is handed on, so vLLM's end is never left to whoever forgets this iterator.
    """
    settings, command = attempt.settings, attempt.command

    def waiting(noise: list[str]) -> None:
        print_message(f"  waiting for a quiet host, {settings.rig.wait_s:g} s at most: {'; '.join(noise)}")

    with interruptible():
        files = files_of(settings)  # before the page cache is made what it is to be
        condition = establish(settings, waiting)
    yield (reached := replace(reached, files=files, condition=condition))
    if settings.probe:
        command = with_probe(command, attempt.folder / PROBE, checksums=verifies(settings))
    with (
        closing(gpus_of(settings)) as gpus,
        serve(
            command,
            api_key=api_key(Path(settings.caches_dir)),
            log_path=attempt.folder / LOG,
            stop_timeout_s=settings.vllm.stop_timeout_s,
            on_line=on_line,
        ) as vllm,
        sampled(vllm.process, gpus, attempt.folder) as memory,
    ):
        process = vllm.process
        reached = replace(reached, started_at=process.started_at, exec_at_s=process.exec_at_s, memory=memory)
        yield (reached := replace(reached, clocks=process.clocks, lost_output=process.warnings))
        with interruptible():
            ready_s = vllm.wait_until_ready(settings.vllm.ready_timeout_s)
        yield (reached := replace(reached, ready_s=ready_s))
        with interruptible():
            answer = vllm.complete(settings.checkpoint_path, settings.completion)
        yield (reached := replace(reached, answer=answer))
        if verifies(settings):
            with interruptible():
                rounds = complete_twice(vllm, settings.checkpoint_path, settings.completion.timeout_s)
            yield (reached := replace(reached, rounds=rounds))
        vllm.check(settings.checkpoint_path, settings.completion)
    yield replace(reached, condition=replace(condition, tree_read=process.read_bytes), cpu=process.cpu)
