"""What was changed of a host is put back: at the end of the block, by somebody else where the process was killed, and only where it is still ours."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.system import undo
from bench.system.undo import journal, undo_forsaken

KILLED = """
import os, signal
from pathlib import Path
from bench.system.undo import journal
with journal() as notes:
    notes.make(Path({group!r}))
    notes.write(Path({setting!r}), "128")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A setting of 8192, and a place for journals."""
    monkeypatch.setattr(undo, "folder", lambda: tmp_path / "journals")
    (tmp_path / "read_ahead_kb").write_text("8192\n")
    return tmp_path


def test_all_is_put_back_at_the_end_of_the_block(host):
    """Also after an error in it."""
    with pytest.raises(KeyError), journal() as notes:
        notes.make(host / "group")
        notes.write(host / "read_ahead_kb", "128")
        assert (host / "read_ahead_kb").read_text() == "128"
        raise KeyError

    assert (host / "read_ahead_kb").read_text() == "8192"
    assert sorted(path.name for path in host.rglob("*")) == ["journals", "read_ahead_kb"]


def test_what_somebody_else_has_set_since_stays(host):
    """It is no longer bench's to put back."""
    with journal() as notes:
        notes.write(host / "read_ahead_kb", "128")
        (host / "read_ahead_kb").write_text("4096")

    assert (host / "read_ahead_kb").read_text() == "4096"


def test_what_a_killed_process_has_changed_is_put_back_by_the_next(host, monkeypatch):
    """Not while it lives, and once."""
    monkeypatch.undo()
    monkeypatch.setattr(undo, "NAME", str(host / "journals"))
    code = KILLED.format(group=str(host / "group"), setting=str(host / "read_ahead_kb"))
    code = code.replace("with journal", f"from bench.system import undo\nundo.NAME = {undo.NAME!r}\nwith journal")
    subprocess.run([sys.executable, "-c", code], check=False)
    assert ((host / "read_ahead_kb").read_text(), (host / "group").is_dir()) == ("128", True)

    assert undo_forsaken() == []

    assert ((host / "read_ahead_kb").read_text(), (host / "group").exists()) == ("8192", False)
    assert list((host / "journals").iterdir()) == []


def test_what_cannot_be_put_back_is_named_and_stays_noted(host):
    """So the next command tries again."""
    with journal() as notes:
        notes.make(host / "group")
        (host / "group" / "somebody's").touch()

    assert len(list((host / "journals").iterdir())) == 1
    assert undo.undo(notes.path) == [str(host / "group")]
