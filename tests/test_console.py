"""The console script, and commands that work when they are pasted."""

import sys

import pytest

from bench.overrides.setting_names import allowed, names
from bench.system import program
from commands import done
from conftest import Workplace


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 0, "bench run -m load_format=auto,runai_streamer "),
        (("--help",), 0, "bench replay LOG..."),
        (("--version",), 0, "bench 0.1.0, Python 3."),
        (("comapre",), 2, "bench comapre: there is no such command; nearest: compare; all: run, compare, predict, prepare, replay."),
        (("-m", "seed=1"), 2, "-m: a command comes first, as in  bench run -m  All: run"),
        (("completion", "fish"), 0, "complete -c bench"),
        (("completion", "tcsh"), 2, "of which shell?  bench completion bash, "),
        (("run", "--version"), 0, "bench 0.1.0, Python 3."),
        (("run", "tensor_paralel_size=2"), 2, "nearest: tensor_parallel_size."),
        (("run", "dry_run=true", "vllm.python=/nowhere/python"), 2, "vllm.python=/nowhere/python"),
        (("compare", "--help"), 0, "python -m bench.compare sweep=ID,ID "),
        (("compare", "--version"), 0, ", Hydra 1.3"),
        (("replay",), 2, "which log?"),
        (("prepare", "remake=perhaps"), 2, "remake='perhaps': must be true or false."),
    ],
)  # fmt: skip
def test_the_first_word_is_a_command(workplace, words, code, said):
    """What follows is that command's, as behind `python -m`."""
    ran = done(workplace, "bench.console", *words)

    assert (ran.code, ran.err if code == 0 else ran.out) == (code, "")
    assert said in ran.out + ran.err


@pytest.mark.parametrize(
    ("called", "path", "typed"),
    [
        ("/v/bin/python3.11", "/v/bin", "python -m bench.compare sweep=a"),
        ("/v/bin/python3.11", "/other/bin", "/v/bin/python3.11 -m bench.compare sweep=a"),
        ("{here}/.venv/bin/python", "/other/bin", ".venv/bin/python -m bench.compare sweep=a"),
        ("/v w/bin/python", "", "'/v w/bin/python' -m bench.compare sweep=a"),
        ("/v/bin/bench", "/v/bin", "bench compare sweep=a"),
        ("/v/bin/bench", "/other/bin", "/v/bin/bench compare sweep=a"),
    ],
)
def test_a_printed_command_is_that_of_the_program_that_runs(tmp_path, monkeypatch, called, path, typed):
    """By the name that the shell finds it under, else by its path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", called.format(here=tmp_path))
    monkeypatch.setattr(program.shutil, "which", lambda name: f"{path}/{name}" if path else None)
    monkeypatch.setattr(program, "_script", [called] if called.endswith("bench") else [])
    program.on_path.cache_clear()

    assert program.as_typed("compare them:  python -m bench.compare sweep=a") == f"compare them:  {typed}"
    program.on_path.cache_clear()


@pytest.mark.parametrize("text", ["/v/bin/python -m bench.compare", "python -m bench.other", "python -m benchmark"])
def test_what_is_no_command_of_bench_stays_as_it_is(monkeypatch, text):
    """Another interpreter was typed, or another module."""
    monkeypatch.setattr(program, "_script", ["/v/bin/bench"])

    assert program.as_typed(text) == text


def test_help_has_the_comments_and_every_value_that_the_schema_allows(workplace: Workplace):
    """The settings of the groups' choices stand below them; what bench sets itself is hidden."""
    ran = workplace.start("--help", "model=hf", "load_format=runai_streamer,auto").done()
    lines = {line.split(":")[0].strip(): line for line in ran.out.splitlines() if "#" in line}
    taken = {name: set(allowed(name)) - {"true", "false", "null"} for name in names() if "." not in name}

    assert ran.code == 0
    assert taken["page_cache"] == {"cold", "warm", "as_is"}
    assert [name for name, values in taken.items() if values and not all(each in lines[name] for each in values)] == []
    assert "path: ???" in ran.out
    assert "concurrency: null           # threads" in ran.out
    assert "parent_run_id" not in ran.out
    assert "CheckSingle" not in ran.out
