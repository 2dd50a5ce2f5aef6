"""Byte code: what is missing or stale is found, made by the interpreter that will use it, and refused where it cannot be."""

import json
import os
import py_compile
import sys
from dataclasses import replace
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.config import Settings
from bench.errors import SettingError, StartError
from bench.host import byte_code_files, compile_byte_code
from bench.host.byte_code import ByteCode, byte_code_word
from bench.host.device import Device
from bench.host.host import Host, Needs
from bench.host.state import HostState, judge
from bench.vllm.probe.bench_probe.byte_code import how_compiled

LATER = 10.0
HASHED = py_compile.PycInvalidationMode.CHECKED_HASH
UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH
HOST = Host(Device("cpu"), "/env/bin/python", {"vllm": "0.32.0"}, Needs({}, {}))


@cache
def composed(*overrides: str) -> Settings:
    (settings,) = compose_settings(overrides)
    return settings


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "module.py"
    path.write_text("x = 1\n")
    return path


def compiled(source: Path, mode: py_compile.PycInvalidationMode | None = None) -> Path:
    return Path(py_compile.compile(str(source), doraise=True, invalidation_mode=mode or py_compile.PycInvalidationMode.TIMESTAMP))  # fmt: skip


def changed(source: Path) -> None:
    """Of the same size, a second later."""
    source.write_text("x = 2\n")
    os.utime(source, (source.stat().st_atime, source.stat().st_mtime + 1))


def of_another_python(source: Path) -> None:
    kept = compiled(source)
    kept.write_bytes(b"\x00\x00\r\n" + kept.read_bytes()[4:])


# fmt: off
STATES = {  # what was done -> is it fresh, and what does a process find that may not write
    "nothing": (lambda _: None, False, "missing"),
    "compiled": (compiled, True, None),
    "its source was changed": (lambda source: (compiled(source), changed(source)), False, "stale"),
    "of another Python": (of_another_python, False, "stale"),
    "cut": (lambda source: compiled(source).write_bytes(b"\x00"), False, "stale"),
    "with a digest": (lambda source: compiled(source, HASHED), True, None),
    "with a digest that nobody checks": (lambda source: (compiled(source, UNCHECKED), changed(source)), True, None),
}
# fmt: on


@pytest.mark.parametrize("state", STATES)
def test_byte_code_is_there_where_python_would_take_it(source, state):
    """Before a start by the whole environment's files, after it by a process's modules."""
    done, is_fresh, found = STATES[state]
    done(source)
    kept = cache_from_source(str(source))

    assert compile_byte_code.is_fresh(str(source)) == is_fresh
    assert how_compiled(str(source), kept, source.stat().st_mtime + LATER, may_write=False) == found


def test_byte_code_with_the_digest_of_another_source_is_stale(source):
    """Python reads the source to find out, and so does the check before a start."""
    compiled(source, HASHED)
    changed(source)

    assert not compile_byte_code.is_fresh(str(source))


def test_a_process_that_may_write_has_compiled_what_is_younger_than_itself(source):
    """Older byte code would have been replaced, had it not fitted."""
    kept = compiled(source)
    made_at = kept.stat().st_mtime

    assert how_compiled(str(source), str(kept), made_at - LATER, may_write=True) == "written"
    assert how_compiled(str(source), str(kept), made_at + LATER, may_write=True) is None


def test_what_is_missing_or_stale_is_compiled_once(tmp_path, source, monkeypatch, capsys):
    """What is no Python of this version, as a template, is no start's loss; tests and other environments are left alone."""
    for name in ("there.py", "tests/test_it.py", "site-packages/other.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("y = 1\n")
    compiled(tmp_path / "there.py")
    (tmp_path / "template.py").write_text("import {{ name }}\n")
    monkeypatch.setattr(compile_byte_code, "folders", lambda: [str(tmp_path)])

    def answer(task: str) -> dict[str, object]:
        monkeypatch.setattr(sys, "argv", ["compile_byte_code.py", task])
        monkeypatch.setattr(sys, "path", [str(Path(compile_byte_code.__file__).parent), *sys.path])
        compile_byte_code.main()
        return json.loads(capsys.readouterr().out)

    assert answer("look")["lacking"] == 1
    monkeypatch.setattr(compile_byte_code, "FEW", 0)
    assert (answer("compile")["lacking"], answer("look")["lacking"]) == (1, 1)
    assert compile_byte_code.is_fresh(str(source))
    assert {path.name.partition(".")[0] for path in tmp_path.rglob("*.pyc")} == {"module", "there"}


def test_folders_are_those_of_this_interpreter():
    """The standard library's too: images leave its byte code out."""
    found = compile_byte_code.folders()

    assert Path(json.__file__).parents[1].resolve() in map(Path.resolve, map(Path, found))


def test_a_folder_has_the_name_by_which_it_is_imported(tmp_path, monkeypatch):
    """Not the one behind a link: a prefix for byte code holds the first."""
    (tmp_path / "real" / "site-packages").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setattr(
        sys, "path", [str(tmp_path / "link" / "site-packages"), str(tmp_path / "real" / "site-packages")]
    )

    assert [each for each in compile_byte_code.folders() if each.startswith(str(tmp_path))] == [sys.path[0]]


def interpreter(tmp_path: Path, **answer: object) -> str:
    """One whose byte code is as the answer, for each question."""
    whole = {"folders": ["/env/lib"], "lacking": 0, "broken": 0, "unwritable": [], "unwritables": 0} | answer
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\necho '{json.dumps(whole)}'\n")
    path.chmod(0o755)
    return str(path)


def test_missing_byte_code_that_cannot_be_written_is_refused(tmp_path):
    """Before the first start, with the file and with what to do; unless it is wanted as it is, or lives in a container."""
    python = interpreter(tmp_path, lacking=2, unwritables=2, unwritable=["/env/lib/vllm/config.py"])
    host = replace(HOST, python=python)

    with pytest.raises(SettingError, match=r"2 files below /env/lib .*/env/lib/vllm/config\.py.*PYTHONPYCACHEPREFIX.*bytecode=as_is"):  # fmt: skip
        byte_code_files.refuse_unwritable([(composed(), host)])
    byte_code_files.refuse_unwritable([(composed("bytecode=as_is"), host), (composed("vllm.command=docker run image"), host)])  # fmt: skip


def test_byte_code_that_could_not_be_made_fails_the_start(tmp_path):
    """A full disk, for instance. What is no Python at all is not missed."""
    with pytest.raises(StartError, match="3 files below /env/lib still have no byte code"):
        byte_code_files.compile_missing(composed(), replace(HOST, python=interpreter(tmp_path, lacking=5, broken=2)))
    (tmp_path / "other").mkdir()
    complete = interpreter(tmp_path / "other", lacking=2, broken=2)

    byte_code_files.compile_missing(composed(), replace(HOST, python=complete))


def found(compiled: int, **known: object) -> dict[str, ByteCode]:
    return {"api_server": ByteCode(6000, 0, compiled, 0, 0, ("torch",), **known), "TP0": ByteCode(6000, 0, 0, 0, 0)}


@pytest.mark.parametrize(
    ("requested", "processes", "word", "valid"),
    [
        ("compiled", found(0), "compiled", True),
        ("compiled", found(60), "compiled", True),
        ("compiled", found(61), "missing", False),
        ("as_is", found(61), "missing", True),
        ("compiled", {}, "unverified", True),
    ],
)
def test_a_start_that_still_compiled_is_no_compiled_one(requested, processes, word, valid):
    """A few modules are made anew in every start; where no process reported, nothing is known."""
    state = HostState("as_is", "as_is", bytecode_requested=requested, byte_code=processes)

    assert byte_code_word(processes) == judge(state).byte_code == word
    assert judge(state).valid == valid


def test_the_reason_why_every_start_compiles_again_is_named():
    """By the variable that keeps Python from writing."""
    state = HostState("as_is", "as_is", bytecode_requested="compiled", byte_code=found(6000, writes=False))

    assert judge(state).problems == (
        (
            "bytecode=compiled was asked, but api_server compiled 6,000 of its 6,000 modules from source, as torch (6,000 without byte code; "
            "PYTHONDONTWRITEBYTECODE is set, so every process does it again)"
        ),
    )
