"""Locks between processes: who waits for whom, who is told what, and what a killed holder leaves."""

import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import LockError
from bench.system.locks import holder, locked
from bench.system.process_identity import parse, this_process

HOLD = """
import sys
from pathlib import Path
from bench.system.locks import locked
with locked(Path(sys.argv[1]), print, shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held_elsewhere(tmp_path):
    """Starts processes that hold a lock until they are ended."""
    running = []

    def start(path: Path, kind: str = "exclusive") -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_a_lock_that_another_process_holds_is_refused_with_who_holds_it(tmp_path, held_elsewhere):
    """Not to wait is a time-out of 0."""
    path = tmp_path / "a" / "lock"
    other = held_elsewhere(path)

    with pytest.raises(LockError, match=f"held by pid {other.pid} on host "), locked(path, print, timeout_s=0):
        pass


def test_who_waits_is_told_once_and_gets_the_lock_when_its_holder_is_killed(tmp_path, held_elsewhere):
    """The kernel frees it: a crash leaves no lock behind."""
    path = tmp_path / "lock"
    other = held_elsewhere(path)
    sentences = []
    threading.Timer(0.5, other.send_signal, [signal.SIGKILL]).start()

    with locked(path, sentences.append):
        assert sentences == [f"waiting for {path}, held by {replace(this_process(), pid=other.pid)}"]
        assert holder(path) == this_process()
    assert holder(path) is None


def test_shared_holders_keep_only_exclusive_ones_away(tmp_path, held_elsewhere):
    """Several starts may read one folder of checkpoints; who makes one is alone."""
    path = tmp_path / "lock"
    held_elsewhere(path, "shared")
    with locked(path, print, shared=True, timeout_s=0):
        pass

    with pytest.raises(LockError), locked(path, print, timeout_s=0):
        pass


def test_a_thread_may_take_its_own_lock_again_and_another_thread_waits(tmp_path):
    """A start inside of what holds the lock already must not wait for itself."""
    path, refused = tmp_path / "lock", []

    def other() -> None:
        try:
            with locked(path, print, timeout_s=0):
                pass
        except LockError as error:
            refused.append(error)

    with locked(path, print):
        with locked(path, print, timeout_s=0):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    with locked(path, print, timeout_s=0):
        pass

    assert len(refused) == 1


def test_a_lock_file_that_was_removed_makes_nobody_wait_for_ever(tmp_path, held_elsewhere):
    """Its holder goes on without it, and whoever comes next makes a new file, which the one behind waits for."""
    path = tmp_path / "lock"
    held_elsewhere(path)
    path.unlink()
    other = held_elsewhere(path)

    with pytest.raises(LockError, match=f"pid {other.pid} "), locked(path, print, timeout_s=0):
        pass


@pytest.mark.parametrize("place", ["file/lock", "folder"])
def test_what_cannot_be_a_lock_file_is_said_in_a_sentence(tmp_path, place):
    """A folder of that name, or a file where its folder should be."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()

    with pytest.raises(LockError, match="cannot be made or opened"), locked(tmp_path / place, print):
        pass


def test_a_process_is_gone_only_where_that_is_certain():
    """Neither on another host nor in another container can it be seen; a number that was given again is another process."""
    here = this_process()
    others = {
        "host": replace(here, host="elsewhere", pid=1),
        "container": replace(here, pid_namespace="1", pid=2**22 + 1),
        "machine of the same name": replace(here, machine="f00", boot="another"),
    }

    assert not here.is_gone
    assert parse(here.as_text()) == here
    assert not any(each.is_gone for each in others.values())
    assert not any(each.is_here for each in others.values())
    assert replace(here, started_ticks="1").is_gone
    assert replace(here, pid=2**22 + 1).is_gone
    assert replace(here, boot="the one before").is_gone


@pytest.mark.parametrize("text", ["", "a b c", "h m b n pid 7", "h m b n 7 8 9"])
def test_what_names_no_process_is_none(text):
    """A tag that somebody edited must not end a run."""
    assert parse(text) is None
