"""One start of vLLM, from settings to a Startup that is whole."""

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.config import Settings
from bench.errors import AnswerError, BenchError, CheckpointError, StartError, StartTimeout
from bench.host.byte_code_files import compile_missing
from bench.host.claims import checkpoints_claimed
from bench.host.compile_cache import caches_of, mark_primed
from bench.host.container import free_port
from bench.host.emulation.emulate import StorageInUse, storage_in_use
from bench.host.host import look_at_host
from bench.host.storage import disk_of
from bench.masking import private, seal
from bench.start.after_ready import after_ready
from bench.start.describe import describe, minimal_startup, with_failures
from bench.start.durations import remember_duration
from bench.start.execution import CgroupCounters, Execution, PreparedStart, Stop, StopKind
from bench.start.files import LOG, PREPARE_LOG, PROBE, SERVE_BENCH, SETTINGS
from bench.start.prepare import StateBefore, caches_for, prepare_state, resident_now
from bench.start.record import Startup
from bench.start.steps import Failure, Steps
from bench.start.storage_use import measure_before
from bench.system.interrupts import interruptible
from bench.system.output import print_message
from bench.vllm.api_key import api_key
from bench.vllm.command import command_for, served_name, with_probe
from bench.vllm.first_answer import first_answer, pools
from bench.vllm.greedy import complete_twice
from bench.vllm.log_copy import OnLine
from bench.vllm.memory import gpus_of, sampled
from bench.vllm.probe.bench_probe import cgroup
from bench.vllm.server import Server, serve
from bench.weights.checkpoint import place_of
from bench.weights.fingerprint_store import Files, change_in, expected, files_of, verifies
from bench.weights.hub import checkpoint_folder
from bench.weights.make import ensure_checkpoint

PROBE_AT_MOST = 64 << 20  # bytes of all its files together that are kept; it writes some kB a process


def measure(settings: Settings, folder: Path, on_line: OnLine, steps: Steps) -> Startup:
    """Start vLLM once and read all that it left in `folder`, which is there.

    Whatever goes wrong is part of the Startup, as its `reason`, and a failure of `steps`; an interruption is too. Nothing is raised.
    """
    execution, prepared, described = Execution(time.time()), None, None
    if not steps.failures:
        prepared = steps.run("preparing the start", partial(prepare, settings, folder), None)
    began_s = time.monotonic()
    if prepared:
        execution = execute(prepared, execution, on_line, steps)
    lasted_s = time.monotonic() - began_s
    if prepared:
        described = steps.run("describing the start", partial(describe, prepared, execution, steps), None)
    seal_files(folder, steps)
    startup = with_failures(described or minimal_startup(settings, execution), steps)
    if prepared and not startup.failed:
        steps.run("keeping what was learnt", partial(keep_what_was_learnt, prepared, startup, lasted_s), None)
    return with_failures(startup, steps)


def prepare(settings: Settings, folder: Path) -> PreparedStart:
    """The host inspected, and caches emptied where fresh ones were requested."""
    host = look_at_host(settings)
    caches = caches_for(settings, host)
    flat = json.dumps(settings.flat(), indent=2)
    private(folder / SETTINGS).write_text(flat, encoding="utf-8", errors="backslashreplace")
    command = command_for(settings, host, free_port(), caches.environment)
    placed = replace(command, places={**command.places, "folder": str(folder.resolve())})
    return PreparedStart(settings, host, placed, folder)


def seal_files(folder: Path, steps: Steps) -> None:
    """Masks secrets in what vLLM wrote."""
    steps.run("masking secrets", partial(seal, [folder / LOG, folder / PREPARE_LOG, folder / SERVE_BENCH]), None)
    events = sorted((folder / PROBE).glob("*"))
    steps.run("masking secrets", partial(seal, events, bytes_at_most=PROBE_AT_MOST), None)


def keep_what_was_learnt(prepared: PreparedStart, startup: Startup, lasted_s: float) -> None:
    """For later commands: how long such a start takes here, and that its caches are filled."""
    remember_duration(prepared.settings, prepared.host, lasted_s)
    if prepared.settings.sweep.kind == "prime":
        mark_primed(caches_of(prepared.settings, prepared.host), startup.name)


def execute(prepared: PreparedStart, execution: Execution, on_line: OnLine, steps: Steps) -> Execution:
    """vLLM from exec to its first answer, and to the end of its last process; how far it came, from `execution` on. Interruptible only
    where it waits for the host and for vLLM; a start that is complete when a signal comes stays complete.
    """
    settings, latest = prepared.settings, execution
    try:
        with interruptible():
            compile_missing(settings, prepared.host)
        with interruptible(), checkpoints_claimed(settings, print_message):
            ensure_checkpoint(settings, prepared.host, prepared.folder, on_line)
            measure_before(settings, prepared.folder)
        with checkpoints_claimed(settings, print_message, shared=True), ExitStack() as held:
            for further in stages(prepared, execution, on_line, held):
                latest = further
    except BenchError as error:
        return replace(latest, stop=Stop(_stop_kind(error), str(error)))
    except KeyboardInterrupt:
        return latest if latest.is_asked else replace(latest, stop=Stop(StopKind.INTERRUPTED, "interrupted"))
    except Exception as error:  # noqa: BLE001  # a full disk, too many open files: the world's, or a bug
        steps.failures.append(Failure("starting vLLM", error))
    return latest


def _stop_kind(error: BenchError) -> StopKind:
    match error:
        case StartTimeout():
            return StopKind.TIMEOUT
        case StartError() if not isinstance(error, AnswerError):
            return StopKind.VLLM_ENDED
    return StopKind.OTHER


def unchanged_files(prepared: PreparedStart) -> Files | None:
    """The checkpoint's files before exec. None: not known.

    Raises:
        CheckpointError: they are no longer those with which this start's sweep began.
    """
    files = files_of(prepared.settings)
    known = expected(prepared.settings, prepared.host, files)
    if known and known.files and (change := change_in(known.files, files, prepared.settings.checkpoint_path)):
        raise CheckpointError(f"{change}: vLLM was not started")
    return files


def stages(prepared: PreparedStart, execution: Execution, on_line: OnLine, held: ExitStack) -> Iterator[Execution]:
    """The host prepared, vLLM started, ready, asked and ended: each time how far the start has come. What raises was not reached. `held`: the storage,
    which is there until the caller closes it.

    No signal interrupts where a value is handed on, so vLLM's end is never left to whoever forgets this iterator.
    """
    settings, command, reached = prepared.settings, prepared.command, execution

    def waiting(noise: list[str]) -> None:
        print_message(f"  waiting for a quiet host, {settings.rig.wait_s:g} s at most: {'; '.join(noise)}")

    with interruptible():
        files = unchanged_files(prepared)  # before the page cache is made what it is to be
        reached = replace(reached, storage=held.enter_context(storage_for(settings)))
        state_before = replace(prepare_state(settings, waiting), storage=reached.storage)
    held.callback(look_after, state_before)
    member = cgroup.membership()
    counted = CgroupCounters(member, cgroup.counters(member))
    yield (reached := replace(reached, files=files, state_before=state_before, cgroup_before=counted))
    assert reached.storage is not None
    command = replace(command, environment=command.environment | reached.storage.variables)
    if settings.probe:
        command = with_probe(command, prepared.folder / PROBE, checksums=verifies(settings))
    with (
        closing(gpus_of(settings)) as gpus,
        serve(
            command,
            api_key=api_key(Path(settings.caches_dir)),
            log_path=prepared.folder / LOG,
            stop_timeout_s=settings.vllm.stop_timeout_s,
            on_line=on_line,
        ) as vllm,
        sampled(vllm.process, gpus, prepared.folder, reached.storage, is_behind=vllm.is_behind) as memory,
    ):
        process = vllm.process
        reached = replace(reached, started_at=process.started_at, exec_at_s=process.exec_at_s, memory=memory)
        yield (reached := replace(reached, clocks=process.clocks, lost_output=process.warnings))
        with interruptible():
            ready_s = vllm.wait_until_ready(settings.vllm.ready_timeout_s)
        yield (reached := replace(reached, ready_s=ready_s))
        for reached in asked(settings, vllm, reached):  # noqa: B020  # each is the one before, further on
            yield reached
        vllm.check(*served_as(settings))
        for reached in after_ready(prepared, vllm, reached):  # noqa: B020
            yield reached
    if vllm.is_behind:  # the keeper has counted the command's processes, not vLLM's
        yield reached
    else:
        yield replace(reached, tree_read_bytes=process.read_bytes, cpu=process.cpu)


def storage_for(settings: Settings) -> AbstractContextManager[StorageInUse]:
    """The storage that this start reads. An untimed start needs no emulated one: it fills caches, and sums weights."""
    place, folder = place_of(settings), checkpoint_folder(settings)
    if settings.sweep.kind != "start" or place is None:
        return nullcontext(StorageInUse(settings.storage, disk=disk_of(place) if place else None))
    return storage_in_use(settings.storage, place, folder, Path(settings.caches_dir))


def look_after(before: StateBefore) -> None:
    """Measures the page cache once the last process is gone, and while the storage is still there."""
    assert before.storage is not None
    before.storage.resident_after = resident_now(before)


def asked(settings: Settings, vllm: Server, execution: Execution) -> Iterator[Execution]:
    """The same start after each answer: the model's first one, and those of a verification start where it completes texts."""
    if settings.completion is None:
        yield replace(execution, is_asked=True)
        return
    name = served_name(settings)
    with interruptible():
        first = first_answer(vllm, name, settings.completion, generates=not pools(settings))
    more = first.completion is not None and verifies(settings)
    reached = replace(execution, answer=first.completion, other_answer=first.other, unanswered=first.warnings)
    yield replace(reached, is_asked=not more)
    if more:
        with interruptible():
            rounds = complete_twice(vllm, name, settings.completion.timeout_s)
        yield replace(reached, rounds=rounds, is_asked=True)


def served_as(settings: Settings) -> tuple[str, list[str]]:
    """The model's name in requests, and what may stand behind it by /v1/models; nothing where the name is the checkpoint's path."""
    name, folder = served_name(settings), checkpoint_folder(settings)
    roots = [settings.checkpoint_path, *([str(folder)] if folder else [])]
    return name, [] if name == settings.checkpoint_path else roots
