"""A command of the user's that does not end, or prints without an end, is bounded."""

import sys
import time

import pytest

from bench.host.short_command import ShortCommandError, run_short, script_answer


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("while True: print('a' * 60000)", "more than 64 KiB"),
        ("import time; time.sleep(60)", "within 1 s"),
        ("import os, time; os.close(1); os.close(2); time.sleep(60)", "within 1 s"),
        ("import os, time\nwhile True: os.write(1, b' '); time.sleep(0.05)", "within 1 s"),
    ],
    ids=["endless", "hangs", "hangs with closed pipes", "drips"],
)
def test_a_command_without_an_end_is_ended(code, words):
    """By a bound on the whole of it, in time and in bytes."""
    began_s = time.monotonic()
    with pytest.raises(ShortCommandError, match=words):
        run_short(python(code), timeout_s=1.0, bytes_at_most=1 << 16)

    assert time.monotonic() - began_s < 20


def test_a_pipe_that_is_held_open_is_not_waited_for():
    """What it printed before its end is its answer."""
    held = "import subprocess; subprocess.Popen(['/bin/sleep', '60'], start_new_session=True); print('here')"
    began_s = time.monotonic()

    assert run_short(python(held), timeout_s=50.0, bytes_at_most=1 << 16).output == "here\n"
    assert time.monotonic() - began_s < 25


def test_errors_without_an_end_do_not_hide_an_answer():
    """They are read, so that nobody waits, and not kept."""
    done = run_short(python("import os\nfor _ in range(100): os.write(2, b'x' * 60000)\nprint('here')"), timeout_s=50.0, bytes_at_most=1 << 10)  # fmt: skip

    assert (done.output, len(done.errors)) == ("here\n", 1025)


def test_a_script_that_fails_is_answered_with_its_last_words():
    """Whatever it has printed before."""
    failing = "import sys; print('{}'); print('no room', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ShortCommandError, match="exit code 3: no room"):
        script_answer(python(failing), timeout_s=50.0, bytes_at_most=1 << 16, doing="it asks")
