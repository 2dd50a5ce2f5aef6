"""Signals of a command: what the first does, what the second does not, and what is put off."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from bench.system.interrupts import (
    deferred,
    handled,
    interruptible,
    is_interrupted,
    raise_if_interrupted,
    unbroken,
    waiting_for,
)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("name", "code"),
    [("SIGINT", 130), ("SIGQUIT", 131), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGUSR1", 138), ("SIGXCPU", 152)],
)
def test_a_command_ends_with_the_exit_code_that_a_shell_expects(name, code, capfd):
    """128 and the number of the signal, and a word instead of a traceback."""
    with pytest.raises(SystemExit) as ended, handled():
        send(signal.Signals[name])

    assert ended.value.code == code
    assert capfd.readouterr().err.endswith("interrupted\n")


def test_the_first_signal_names_the_exit_code():
    """A scheduler's SIGTERM behind a Ctrl-C does not change what happened."""
    with pytest.raises(SystemExit) as ended, handled(), deferred():
        send(signal.SIGINT)
        send(signal.SIGTERM)

    assert ended.value.code == 130


def test_a_second_signal_breaks_no_cleanup():
    """It raises nothing, wherever it comes: the cleanup that the first one began goes to its end."""
    cleaned = []
    with suppress(SystemExit), handled():
        try:
            send(signal.SIGINT)
        finally:
            send(signal.SIGINT)
            send(signal.SIGTERM)
            cleaned.append(True)

    assert cleaned


def test_a_deferred_signal_comes_at_the_end_of_the_block():
    """What is written down is whole, and what follows is not begun."""
    done = []
    with suppress(SystemExit), handled():
        with deferred():
            send(signal.SIGTERM)
            done.append("written")
        done.append("next")

    assert done == ["written"]


def test_a_deferred_signal_is_not_lost_in_an_error():
    """An error of the block would be one start's; the sweep is to end all the same."""
    with pytest.raises(SystemExit) as ended, handled(), suppress(ValueError), deferred():
        send(signal.SIGINT)
        raise ValueError

    assert ended.value.code == 130


def test_a_wait_in_a_deferred_block_is_interrupted():
    """By a signal that comes during it, and by one that came before; what follows in the block is still done."""
    done = []
    with suppress(SystemExit), handled(), deferred():
        for _ in range(2):
            try:
                with interruptible():
                    send(signal.SIGINT)
                    done.append("waited to the end")
            except KeyboardInterrupt:
                done.append("interrupted")

    assert done == ["interrupted", "interrupted"]


def test_a_point_where_ending_is_safe_raises_again():
    """An interruption that somebody swallowed is raised once more by the next one who looks."""
    with suppress(SystemExit), handled():
        with suppress(KeyboardInterrupt):
            send(signal.SIGINT)

        assert is_interrupted()
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()


def test_each_signal_shows_what_is_waited_for(capfd):
    """And for how long at most: 35 silent seconds look like a hung program."""
    with suppress(SystemExit), handled(), deferred(), waiting_for("vLLM to end", at_most_s=30):
        send(signal.SIGINT)
        send(signal.SIGINT)
    first, second, _ = capfd.readouterr().err.splitlines()

    assert first == "SIGINT: ending; waiting for vLLM to end, 0 s so far, at most 30 s"
    assert second == "SIGINT again: ending; waiting for vLLM to end, 0 s so far, at most 30 s"


def test_a_wait_that_begins_after_the_signal_is_shown_too(capfd):
    """As vLLM's end, which the interruption itself asks for."""
    with suppress(SystemExit), handled():
        try:
            send(signal.SIGINT)
        finally:
            with waiting_for("vLLM to end", at_most_s=30):
                pass

    assert "\nwaiting for vLLM to end, 0 s so far, at most 30 s\n" in capfd.readouterr().err


def test_what_was_ignored_stays_ignored():
    """SIGHUP under nohup: a closed terminal is to end nothing."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handled():
            send(signal.SIGHUP)

            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert not is_interrupted()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_while_a_command_is_imported_leaves_no_traceback():
    """From the package's first line on, and with the same exit code."""
    script = "import sys; sys.argv[0] = '-m'; import bench, os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (143, "interrupted\n")


@pytest.mark.parametrize("first", [None, signal.SIGTERM])
def test_a_signal_while_python_takes_itself_apart_changes_no_exit_code(first):
    """The kernel's own action is in place then, which would be death by the signal."""
    script = """
import os, signal, sys
class Last:
    def __del__(self): os.kill(os.getpid(), signal.SIGINT)
keep = Last()
keep.itself = keep  # found by the last collection, when Python has put its handlers away
sys.argv[0] = '-m'
import bench
from bench.system.interrupts import handled
with handled():
    {}
""".format(f"os.kill(os.getpid(), {int(first)})" if first else "pass")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == (128 + first if first else 0), done.stderr


def test_what_is_unbroken_goes_to_its_end():
    """A signal in the middle of a transaction ends neither it nor what follows in it."""
    done = []

    def transaction() -> None:
        send(signal.SIGINT)
        done.append("committed")

    with suppress(SystemExit), handled():
        unbroken(transaction, "the store")
        done.append("next")

    assert done == ["committed"]


def test_what_hangs_is_left_alone_after_its_grace(capfd):
    """A tracking server that does not answer keeps nobody who wants to leave."""
    never = threading.Event()
    with pytest.raises(SystemExit) as ended, handled(), deferred():
        send(signal.SIGTERM)
        unbroken(never.wait, "MLflow to answer", grace_s=0.2)

    assert ended.value.code == 143
    assert "waiting for MLflow to answer, 0 s so far, at most 0.2 s\n" in capfd.readouterr().err


def test_an_error_in_what_is_unbroken_is_raised_where_it_is_waited_for():
    """As if it had been called directly."""
    with pytest.raises(ZeroDivisionError):
        unbroken(lambda: 1 / 0, "nothing")
