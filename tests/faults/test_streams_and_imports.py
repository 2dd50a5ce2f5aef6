"""A command that is interrupted before its first line, that nobody can read, or whose terminal is gone."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from frame import HUP, check_nothing_left, starts_on_disk, startup_in

from commands import Preloaded, command
from conftest import fake_for, own_environment, until
from whole_sweeps import MINE, with_a_model

ALONE = ("load_format=auto", *MINE)
AT_IMPORT = Path(__file__).with_name("at_import")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGQUIT", 131), ("SIGHUP", 129)])
@pytest.mark.parametrize(
    ("module", "imported"),
    [("bench", "hydra"), ("bench.compare", "bench.compose"), ("bench.replay", "bench.start.replay")],
)
def test_a_command_that_is_being_imported_ends_at_once(tmp_path, module, imported, name, code):
    """Nothing was begun, so nothing is cleaned up; and no traceback is shown."""
    own = own_environment()
    faults = {"PYTHONPATH": str(AT_IMPORT), "FAULT_IMPORT": imported, "FAULT_FOLDER": str(tmp_path)}
    running = subprocess.Popen(
        [sys.executable, "-m", module], cwd=tmp_path, env=own | faults, stderr=subprocess.PIPE, text=True
    )
    until(lambda: (tmp_path / "reached").exists() or running.poll() is not None)
    running.send_signal(signal.Signals[name])
    _, err = running.communicate(timeout=60)

    assert (running.returncode, err) == (code, "interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["reached"]


@pytest.mark.parametrize("path", ["/dev/full", None], ids=["full", "closed"])
def test_what_cannot_be_printed_ends_no_sweep(new_workplace, preloaded: Preloaded, path):
    """The exit code is that of the sweep, and its start is there."""
    place = with_a_model(new_workplace())
    running = command(preloaded, place, "bench", "-m", *ALONE, *fake_for(()), stdout=path, stderr=path)

    assert running.ended() == 0
    assert [startup_in(folder)["reason"] for folder in starts_on_disk(place)] == [None]
    check_nothing_left(preloaded, place)


def test_a_reader_who_goes_ends_no_sweep(new_workplace, preloaded: Preloaded, tmp_path):
    """As `| head -1` does behind the first line."""
    place, pipe = with_a_model(new_workplace()), tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    running = command(preloaded, place, "bench", "-m", *ALONE, *fake_for(()), stderr=str(pipe))
    until(lambda: has_line(reader))
    os.close(reader)

    assert running.ended() == 0
    check_nothing_left(preloaded, place)


def has_line(reader: int) -> bool:
    with suppress(BlockingIOError):
        return bool(os.read(reader, 1))
    return False


def test_a_closed_terminal_ends_nothing_under_nohup(new_workplace, preloaded: Preloaded):
    """SIGHUP is ignored there, and is so by bench and by vLLM."""
    place = with_a_model(new_workplace())
    running = command(
        preloaded, place, "bench", *ALONE, *fake_for(()), hook="bench.vllm.server:Server.complete", ignored=[HUP]
    )
    until(lambda: running.has_reached or running.poll() is not None)
    running.send(HUP)
    running.go_on()

    assert running.ended() == 0, running.err
    check_nothing_left(preloaded, place)
