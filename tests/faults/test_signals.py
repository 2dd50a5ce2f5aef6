"""Signals and crashes at every moment of a command: nothing is left, and every start that finished counts once."""

from collections.abc import Callable

import pytest
from frame import FAULTS, Moment, check_nothing_left, next_command, provoked, starts_on_disk, startup_in

from commands import Command, Preloaded
from conftest import Workplace
from whole_sweeps import MINE, SHARED_MEMORY, with_a_model

SWEEP = ("-m", "load_format=auto", *MINE)
TWO = ("-m", "load_format=auto,safetensors", *MINE)
ALONE = ("load_format=auto", *MINE)
QUIET = "bench.host.noise:quiet_rig"


def is_asked(running: Command) -> bool:
    """The fake vLLM prints each request that it was sent, and this one never ends."""
    return any("/v1/completions" in log.read_text() for log in running.place.logs())


# The moments of one start that begin before it is complete, in their order; then those at which it is complete.
BEFORE = [
    Moment("opening the sweep", SWEEP, "bench.sweep.opening:open_or_resume", begun=0),
    Moment("the sweep is open", SWEEP, "bench.tracking.uploads:begin_sweep>", begun=0),
    Moment("preparing", ("-m", "load_format=auto"), "bench.sweep.prepare:ensure_checkpoint", begun=0),
    Moment("priming", (*SWEEP, "compile_cache=primed"), "bench.sweep.run:prime", begun=0),
    Moment("begun", ALONE, "bench.start.folder:begin>"),
    Moment("claiming the host", SWEEP, "bench.host.claims:caches_claimed"),
    Moment("looking at the host", SWEEP, "bench.start.prepare:caches_for"),
    Moment("waiting for a quiet host", ALONE, QUIET),
    Moment("evicting", ALONE, "bench.host.page_cache:make_cold"),
    Moment("before exec", ALONE, "bench.vllm.process:kept"),
    Moment("after exec", ALONE, "bench.vllm.server:Server.wait_until_ready"),
    Moment("loading", (*ALONE, "vllm.env.FAKE_MODE=hang")),
    Moment("ready", ALONE, "bench.vllm.server:Server.wait_until_ready>"),
    Moment("the completion is asked for", ALONE, "bench.vllm.server:Server.complete"),
    Moment("streaming", (*SWEEP, "vllm.env.FAKE_MODE=stall_stream"), has_come=is_asked),
]
COMPLETE = [
    Moment(
        "stopping",
        (*ALONE, "vllm.env.FAKE_MODE=stubborn", "vllm.stop_timeout_s=1"),
        "bench.vllm.process:Launched.await_end",
        complete=1,
    ),
    Moment("describing", ALONE, "bench.start.describe:describe", complete=1),
    Moment("described", ALONE, "bench.start.describe:describe>", complete=1),
    Moment("saving", ALONE, "bench.start.record:Startup.save#2", complete=1),
    Moment("saved", ALONE, "bench.start.record:Startup.save#2>", complete=1),
    Moment("drawing", ALONE, "bench.sweep.job:draw", complete=1),
    Moment("uploading", SWEEP, "bench.tracking.runs:log_start", complete=1),
    Moment("the run is made", SWEEP, "mlflow.tracking.client:MlflowClient.create_run#2>", complete=1),
    Moment("params and metrics", SWEEP, "mlflow.tracking.client:MlflowClient.log_batch#3>", complete=1),
    Moment("files", SWEEP, "mlflow.tracking.client:MlflowClient.log_artifact", complete=1),
    Moment("a trace", SWEEP, "bench.tracking.traces:log_trace", complete=1),
    Moment("the run's end", SWEEP, "mlflow.tracking.client:MlflowClient.set_terminated", complete=1),
    Moment("uploaded", SWEEP, "bench.tracking.runs:log_start>", complete=1),
    Moment("between starts", TWO, "bench.sweep.job:run_job#2", complete=1),
    Moment("between blocks", (*SWEEP, "repeats=2"), "bench.sweep.run:why_stop", complete=1),
    Moment("closing the sweep", SWEEP, "bench.tracking.uploads:end_sweep", complete=1),
    Moment("the sweep is closed", SWEEP, "bench.tracking.uploads:end_sweep>", complete=1),
    Moment("writing the report", (*SWEEP, "report=true"), "bench.report.write:write_report", complete=1),
]


def place_for(new_workplace: Callable[[], Workplace]) -> Workplace:
    return with_a_model(new_workplace())


def cases(moments: list[Moment], *faults: str) -> list[object]:
    return [pytest.param(moment, fault, id=f"{fault}: {moment.name}") for moment in moments for fault in faults]


@pytest.mark.parametrize(
    ("moment", "fault"),
    cases(BEFORE, "int", "kill") + cases(BEFORE[-4:-3], "quit") + cases(COMPLETE, "int twice", "kill"),
)
def test_a_signal_leaves_nothing_and_loses_nothing(new_workplace, preloaded: Preloaded, moment: Moment, fault: str):
    """The exit code is a shell's, there is no traceback, and a start that was complete is, and counts once."""
    place = place_for(new_workplace)
    done = provoked(preloaded, place, moment, FAULTS[fault])

    assert done.code == FAULTS[fault].code, done.err
    assert "Traceback" not in done.err
    if fault != "kill":
        finished = [folder for folder in starts_on_disk(place) if startup_in(folder)["reason"] is None]
        interrupted = [folder for folder in starts_on_disk(place) if startup_in(folder)["reason"] == "interrupted"]

        assert len(finished) == moment.complete, done.err
        assert len(finished) + len(interrupted) == len(starts_on_disk(place))
    check_nothing_left(preloaded, place)
    if fault == "kill":
        assert len(starts_on_disk(place)) == moment.begun


ORPHANED = Moment("an orphan is there", (*ALONE, "vllm.env.FAKE_MODE=orphan"), "bench.vllm.server:Server.complete")


def test_what_nobody_keeps_any_more_is_ended_by_the_next_command(new_workplace, preloaded: Preloaded):
    """Driver, guard and keeper are killed at once, and a process of vLLM ignores the kernel's SIGTERM."""
    place = place_for(new_workplace)
    provoked(preloaded, place, ORPHANED, FAULTS["kill with its keepers"])
    next_command(preloaded, place)

    assert place.living() == []
    for path in SHARED_MEMORY.glob(
        f"*{place.mark}*"
    ):  # of the process that the kernel ended: nobody knows whose it was
        path.unlink()
    check_nothing_left(preloaded, place)
    assert "was killed during this start" in startup_in(*starts_on_disk(place))["reason"]
