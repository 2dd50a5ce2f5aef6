"""What cannot be printed ends nothing: no traceback, and the exit code that there would have been."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from bench.system.output import Output, print_markdown, print_message

SAYS = """
import sys
from bench.system.output import exit_where_lost, guard_output, print_message, print_result
guard_output()
for number in range(20_000):
    print_result(f"line {{number}} of the result")
print_message("done \\u00e9 \\udcff")
open({path!r}, "w").write("went on")
exit_where_lost()
"""


def run(folder: Path, redirection: str, **environment: str) -> tuple[subprocess.CompletedProcess[bytes], bool]:
    """A program that prints much, in a shell; and whether it came to its end."""
    program = folder / "program.py"
    end = folder / "end"
    program.write_text(SAYS.format(path=str(end)))
    shell = f"{sys.executable} {program} {redirection}"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", shell], capture_output=True, check=False, env=environment)
    return done, end.exists()


@pytest.mark.parametrize(
    ("redirection", "code"),
    [
        ("", 0),
        ("1>&-", 0),  # nobody wanted it
        ("2>&-", 0),
        ("0<&- 1>&- 2>&-", 0),
        ("| head -1", 0),  # whoever reads has all that he wants
        ("2>/dev/full", 0),  # what was meant for a person only
        (">/dev/full", 1),  # the result itself is lost, as a POSIX tool has it
    ],
)
def test_what_cannot_be_written_ends_nothing(tmp_path, redirection, code):
    """A terminal may be closed, a disk full, a reader gone."""
    done, went_on = run(tmp_path, redirection)

    assert went_on
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_a_lost_result_is_named(tmp_path):
    """On the stream that is left."""
    done, _ = run(tmp_path, ">/dev/full")

    assert b"standard output: No space left on device" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_text_can_be_printed_in_any_locale(tmp_path, encoding):
    """What an encoding does not have is escaped; so is half of a character, as a file's name may hold it."""
    done, went_on = run(tmp_path, ">/dev/null", PYTHONIOENCODING=encoding, PYTHONUTF8="0", LC_ALL="C")

    assert went_on
    assert done.stderr == "done é \udcff\n".encode(encoding, "backslashreplace")


def test_a_slow_reader_is_no_failure():
    """A full pipe that does not block loses a line, and the next one may come through."""

    class Slow:
        encoding = None
        lines: list[str] = []  # noqa: RUF012

        def write(self, text: str) -> int:
            if not self.lines:
                self.lines.append("")
                raise BlockingIOError
            self.lines.append(text)
            return len(text)

    slow = Slow()
    output = Output(slow)  # type: ignore[arg-type]  # a stand-in for a stream
    output.write("lost")
    output.write("kept")

    assert output.failure is None
    assert slow.lines[1:] == ["kept"]


@pytest.mark.parametrize("module", ["bench", "bench.compare"])
@pytest.mark.parametrize(("redirection", "code"), [(">/dev/full", 1), ("1>&-", 0), ("| head -1", 0)])
def test_a_help_that_could_not_be_printed_is_an_error(module, redirection, code):
    """Nothing else was asked for; a reader who goes has what he wants."""
    shell = f"{sys.executable} -m {module} --help {redirection}"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, check=False)

    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_what_would_do_something_to_a_terminal_is_written_out(monkeypatch):
    """In a line of ours, which may quote vLLM's words; what moves the line of a start on a terminal passes."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", Output(written))
    print_message("\x1b[2J \x00 \x9b31m \u202e \u00e9\tx")
    sys.stderr.write("\x1b[2K")

    assert written.getvalue() == "\\x1b[2J \\x00 \\x9b31m \\u202e \u00e9\tx\n\x1b[2K"


@pytest.mark.parametrize(
    ("is_terminal", "term", "is_drawn"),
    [(True, "xterm", True), (True, "dumb", False), (False, "xterm", False)],
)
def test_tables_are_drawn_on_a_terminal_alone(monkeypatch, is_terminal, term, is_drawn):
    """A log, a pipe and a terminal that cannot have the text as it is in report.md."""
    stream = io.StringIO()
    stream.isatty = lambda: is_terminal  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", term)
    text = "One word.\n\n| Metric | auto |\n| --- | ---: |\n| Ready (s) | 4.20 |"
    print_markdown(text)

    assert (stream.getvalue() == f"{text}\n") is not is_drawn
    assert "4.20" in stream.getvalue()
    assert ("| ---: |" in stream.getvalue()) is not is_drawn
