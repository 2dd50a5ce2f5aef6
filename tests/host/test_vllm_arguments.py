"""What a vLLM takes is asked of it once, and again when it is another one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.host import vllm_arguments
from bench.host.vllm_arguments import SCRIPT, what_vllm_takes

LISTED = {"arguments": [{"options": ["--seed"], "name": "seed", "form": "value", "takes": ["1"]}], "loaders": {}}


class Interpreter:
    """A vllm.python that answers with files beside it, and counts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "python"
        self.path.write_text(f"#!/bin/sh\necho $2 >> {folder}/asked\ncat {folder}/$2\n")
        self.path.chmod(0o755)
        self.answers(state={"version": 1}, arguments=LISTED)

    def answers(self, **answers: object) -> None:
        for question, answer in answers.items():
            (self.folder / question).write_text(answer if isinstance(answer, str) else json.dumps(answer))

    def taken(self, **environment: str) -> list[str] | None:
        vllm_arguments._what_vllm_takes.cache_clear()  # noqa: SLF001  # as in another process
        found = what_vllm_takes(str(self.path), environment)
        return found and found.names()

    def lists(self) -> int:
        """How often it was asked for its arguments, which takes seconds."""
        return (self.folder / "asked").read_text().split().count("arguments")


@pytest.fixture
def interpreter(tmp_path, monkeypatch) -> Interpreter:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Interpreter(tmp_path)


def kept(folder: Path) -> list[Path]:
    return sorted((folder / "cache").rglob("*.json"))


def test_the_list_is_asked_for_once(interpreter):
    """By the next command it is read from the user's cache."""
    assert interpreter.taken() == interpreter.taken() == ["seed"]
    assert interpreter.lists() == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda each: each.answers(state={"version": 2}),
        lambda each: [path.write_text("{") for path in kept(each.folder)],
        lambda each: [path.write_bytes(b"\xff\xfe") for path in kept(each.folder)],
        lambda each: [path.write_text("[]") for path in kept(each.folder)],
        lambda each: [path.unlink() for path in kept(each.folder)],
    ],
    ids=["another vLLM", "cut off", "no text", "something else", "removed"],
)
def test_another_vllm_or_a_damaged_cache_is_asked_anew(interpreter, change):
    """What is kept holds for one vLLM with its plugins, and only whole."""
    interpreter.taken()
    change(interpreter)

    assert interpreter.taken() == ["seed"]
    assert interpreter.lists() == 2
    assert interpreter.taken() == ["seed"]
    assert interpreter.lists() == 2


def test_plugins_that_are_allowed_decide_too(interpreter):
    """A platform's plugin adds arguments of its own."""
    interpreter.taken()
    interpreter.taken(VLLM_PLUGINS="other", VLLM_LOGGING_LEVEL="DEBUG")
    interpreter.taken(VLLM_PLUGINS="other", VLLM_LOGGING_LEVEL="INFO")

    assert interpreter.lists() == 2


@pytest.mark.parametrize("answer", ["", "[]", '{"arguments": 3}', "\x00"])
def test_what_cannot_be_read_is_said_and_refuses_nothing(interpreter, answer, capsys):
    """An old release, a broken environment: vLLM itself checks its arguments then."""
    interpreter.answers(arguments=answer)

    assert interpreter.taken() is None
    assert kept(interpreter.folder) == []
    assert "what this vLLM takes could not be read (its answer is no list)" in capsys.readouterr().err


def test_an_interpreter_that_fails_is_quoted(interpreter, capsys):
    """With the last line that it printed."""
    interpreter.path.write_text("#!/bin/sh\necho first >&2; echo 'no vLLM here' >&2; exit 3\n")

    assert interpreter.taken() is None
    assert "(exit code 3: no vLLM here)" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_is_done_without(interpreter, monkeypatch):
    """The next command asks again."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")

    assert interpreter.taken() == interpreter.taken() == ["seed"]
    assert interpreter.lists() == 2


VLLM = {  # as small as a vLLM can be that has a parser, at the places of older releases
    "vllm/__init__.py": "print('noise on standard output')",
    "vllm/utils/__init__.py": "from argparse import ArgumentParser as FlexibleArgumentParser",
    "vllm/entrypoints/__init__.py": "",
    "vllm/entrypoints/openai/__init__.py": "",
    "vllm/entrypoints/openai/cli_args.py": """
import argparse, json
def optional(value):
    return None if value in ("", "None") else int(value)
def make_arg_parser(parser):
    parser.add_argument("model_tag", nargs="?")
    parser.add_argument("--eager", action=argparse.BooleanOptionalAction)
    parser.add_argument("--trust", action="store_true")
    parser.add_argument("--seed", "-s", type=optional)
    parser.add_argument("--level", type=int, choices=[8, 16])
    parser.add_argument("--overrides", type=json.loads)
    parser.add_argument("--modules", nargs="+")
    parser.add_argument("--layer", action="append")
    return parser
""",
    "vllm/model_executor/__init__.py": "",
    "vllm/model_executor/model_loader/__init__.py": """
class Loader:
    def __init__(self, extra):
        allowed = {"threads", "limit", "track"}
        if "distributed" in extra: pass
_LOAD_FORMAT_TO_MODEL_LOADER = {"fast": Loader}
""",
    "own-1.dist-info/METADATA": "Name: own\nVersion: 1\n",
    "own-1.dist-info/entry_points.txt": "[vllm.general_plugins]\nown = own:register\n[console_scripts]\nown = own:main\n",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("site")
    for name, text in VLLM.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def printed(place: Path, question: str) -> dict:
    environment = os.environ | {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), question], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_the_script_lists_what_the_parser_has(place):
    """Forms, numbers of values, and of the samples those that each type takes."""
    found = {each["name"]: each for each in printed(place, "arguments")["arguments"]}

    assert list(found) == ["eager", "trust", "seed", "level", "overrides", "modules", "layer"]
    assert [each["form"] for each in found.values()] == ["switch", "flag", *["value"] * 5]
    assert found["seed"]["options"] == ["--seed", "-s"]
    assert found["seed"]["takes"] == ["1", "None"]
    assert found["level"]["choices"] == ["8", "16"]
    assert found["overrides"]["takes"] == ["1", "1.5", "{}", "[]"]
    assert (found["modules"]["nargs"], found["layer"]["repeats"]) == ("+", True)


def test_the_script_lists_what_each_loader_knows(place):
    """Whether it tests for a name, or holds it in a set of allowed ones."""
    assert set(printed(place, "arguments")["loaders"]["fast"]) >= {"threads", "limit", "track", "distributed"}


def test_the_state_changes_with_vllms_files_and_plugins(place):
    """And is read without importing vLLM."""
    before = printed(place, "state")
    assert "vllm.general_plugins own own:register" in before["plugins"]
    assert before == printed(place, "state")
    (place / "vllm" / "utils" / "__init__.py").write_text(VLLM["vllm/utils/__init__.py"] + "\n")

    assert printed(place, "state")["files"] != before["files"]
