"""The plan of a sweep, which starts nothing (dry_run=true)."""

import re
import time
from collections import Counter

import pytest

from bench.sweep.single import ending_the_process
from conftest import Workplace, cut_name


@pytest.fixture
def bare(workplace: Workplace) -> Workplace:
    """A folder with nothing in it at all."""
    (workplace.folder / "mlflow.db").unlink()
    return workplace


def test_a_plan_lists_every_start_with_its_command_and_makes_nothing(bare, preloaded):
    """In a moment, and as if it had never been asked for: no folder, no store, no checkpoint, no process."""
    began_s = time.monotonic()
    done = bare.bench("-m", "load_format=auto,runai_streamer_sharded", "repeats=2", "dry_run=true")
    lasted_s = time.monotonic() - began_s
    starts = re.findall(r"^ +\d+  block (\d)  (.*)$", done.out, re.MULTILINE)
    commands = [line for line in done.out.splitlines() if "vllm.entrypoints.openai.api_server" in line]

    assert done.code == 0, done.err
    assert Counter(starts) == Counter((block, point) for block in "12" for point in ("auto", "runai_streamer_sharded"))
    assert [re.search(r"--model (\S+) .*--load-format (\S+)", line).groups() for line in commands] == [
        ("models/tiny_llama", "auto"),
        (f"models/{cut_name()}", "runai_streamer_sharded"),
    ]
    assert [*bare.folder.iterdir()] == []
    assert bare.living() == []
    assert lasted_s < 10  # 3 where nobody else uses the host


@pytest.mark.parametrize(
    ("entrypoints", "executed"),
    [
        ("serve module", "-m vllm.entrypoints.cli.main serve models/tiny_llama --host"),
        ("module", "-m vllm.entrypoints.openai.api_server --model models/tiny_llama --host"),
    ],
)
def test_a_plan_shows_the_entry_point_that_can_be_executed_there(bare, entrypoints, executed):
    """By what the measured environment holds; its other arguments are the same."""
    done = bare.bench("vllm.args.data_parallel_size=2", "dry_run=true", environment={"FAKE_ENTRYPOINTS": entrypoints})

    assert executed in done.out
    assert "--data-parallel-size 2" in done.out


def test_a_plan_is_estimated_from_earlier_starts_without_asking_mlflow(workplace):
    """Those that fill caches count too. What failed, or was never made here, tells nothing."""
    words = ("-m", "load_format=auto,dummy", "compile_cache=primed", "vllm.args.enforce_eager=false")
    plan = (*words, "repeats=200", "dry_run=true", "tracking.uri=http://nobody.invalid")
    before, failed = workplace.bench(*plan), workplace.bench(*words, environment={"FAKE_MODE": "exit"})
    after_failures = workplace.bench(*plan)
    workplace.bench(*words)
    after = workplace.bench(*plan)

    assert failed.code == 1
    assert "is unknown: 401 of 401 starts" in before.out
    assert "is unknown: 401 of 401 starts" in after_failures.out
    assert (found := re.search(r"^about (\d+) min, by earlier starts", after.out, re.MULTILINE))
    assert 2 <= int(found[1]) <= 100  # 400 starts of the fake, of half a second or a few each


def test_a_plan_shows_the_variables_that_move_the_caches(bare):
    """The command is the exact one: copied into a shell, it is the same start. A secret is the only thing that is not told."""
    words = (
        "-m",
        "load_format=auto",
        "compile_cache=fresh",
        "vllm.env.HF_TOKEN=a-token-nobody-may-see",
        "dry_run=true",
    )
    done = bare.bench(*words)

    assert re.search(rf"VLLM_CACHE_ROOT={bare.folder}/caches/fresh-\w+/vllm ", done.out)
    assert "HF_TOKEN='***'" in done.out
    assert "a-token-nobody-may-see" not in done.out + done.err
    assert [*bare.folder.iterdir()] == []


def test_the_plan_of_a_start_on_its_own_leaves_nothing_either(bare):
    """Hydra has made a folder for it before anybody could know."""
    done = bare.bench("load_format=dummy", "dry_run=true")

    assert done.code == 0, done.err
    assert "1 start in 1 block\n" in done.out
    assert [*bare.folder.iterdir()] == []


def test_a_plan_of_what_was_refused_is_refused(bare):
    """A plan that cannot be carried out is none. All that is wrong with its points is said at once."""
    done = bare.bench("-m", "tensor_parallel_size=0", "load_format=auto,dummy", "repeats=0", "dry_run=true")

    assert done.code == 2
    assert "tensor_parallel_size=0" in done.err
    assert "repeats=0" in done.err
    assert done.out == ""


def test_a_plan_of_a_start_on_its_own_that_this_host_cannot_make_is_refused(bare):
    """In words, and nothing of it is left."""
    done = bare.bench("dry_run=true", "vllm.python=/nowhere/python")

    assert done.code == 2
    assert "vllm.python=/nowhere/python: this interpreter cannot be run" in done.err
    assert "Traceback" not in done.err
    assert not (bare.folder / "outputs").exists()


def test_a_bug_in_the_check_starts_nothing(capsys):
    """Hydra logs what its callbacks raise, and goes on."""
    with pytest.raises(SystemExit, match="1"), ending_the_process():
        raise RuntimeError("ours")

    assert "RuntimeError: ours" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/nope/nope", "there is no such file or folder, and it cannot be a hub id."),
        ("./nope", "there is no such file or folder, and it cannot be a hub id."),
        ("'$HOME/x'", "~ and $NAME are the shell's, outside of single quotes."),
        ("serve.yaml", "this is a file, and none of GGUF."),
        ("'https://huggingface.co/org/name/tree/main'", "Type model.path=org/name"),
        ("'file:///data/x'", "Type model.path=/data/x"),
    ],
)
def test_a_plan_of_a_model_that_no_start_would_find_is_refused(workplace, path, answer):
    """What a start refuses, its plan refuses."""
    (workplace.folder / "serve.yaml").touch()
    done = workplace.bench("dry_run=true", "model=hf", f"model.path={path}")

    assert (done.code, done.out) == (2, "")
    assert answer in done.err
