"""The host in trouble, and settings that cannot work: refused before the first start, in words. A row for each fault."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.errors import BenchError, EvidenceError, LogError, SettingError
from bench.host.output_folders import refuse_current_folder, refuse_places
from bench.log import files
from bench.log.files import log_lines
from bench.start.files import STARTUP
from bench.start.record import load_startup
from bench.system.regular_files import read_at_most
from commands import Preloaded, command
from conftest import Workplace, fake_for

# Folders that Hydra would give to several starts; what is typed wrong otherwise is in bad_words.py.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("hydra.run.dir=''",), "hydra.run.dir='': must not be empty."),
        (("hydra.run.dir=null",), "hydra.run.dir=null"),
        (("hydra.run.dir=${nope}",), "Interpolation key 'nope' not found"),
        (("hydra.job.chdir=true",), "hydra.job.chdir=true: bench stays in the folder"),
        (("-m", "hydra.job.chdir=true"), "hydra.job.chdir=true: bench stays in the folder"),
        (("-m", "hydra.sweep.dir=''", "load_format=auto,dummy"), "hydra.sweep.dir='': must not be empty."),
        (
            ("-m", "hydra.sweep.subdir=same", "load_format=auto,dummy"),
            "hydra.sweep.subdir=same: every start has a folder",
        ),
        (("-m", "hydra.sweeper.params=5"), "hydra.sweeper.params=5: must be settings"),
        (("tracking.uri=http://",), "tracking.uri=http://: this is no server's address."),
        (("tracking.uri=http://localhost:notaport",), "this is no server's address."),
        (("tracking.uri=databricks",), "Databricks credential"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_no_start_can_be_written_to_is_refused_in_a_sentence(
    workplace: Workplace, preloaded: Preloaded, words, said
):
    """Before the first start, which would be made in vain."""
    check_refused(workplace, preloaded, "bench", *words, said=said)


@pytest.mark.parametrize(
    "words",
    [("bench",), ("bench", "-m", "load_format=auto,sharded_state"), ("bench.prepare", "load_format=sharded_state")],
    ids=" ".join,
)
def test_a_checkpoint_that_bench_did_not_make_is_refused_before_a_start(
    workplace: Workplace, preloaded: Preloaded, words
):
    """A user's own, where bench would make one: neither replaced nor taken for the one that is needed."""
    (workplace.models / "tiny_llama").mkdir(parents=True)
    (workplace.models / "tiny_llama" / "model.safetensors").touch()
    check_refused(workplace, preloaded, *words, said="models/tiny_llama is not the checkpoint that is needed", lines=2)


@pytest.mark.parametrize("words", [("model.path=mine", "remake=true"), ("remake=perhaps",)], ids=" ".join)
def test_a_preparation_that_is_refused_leaves_nothing(workplace: Workplace, preloaded: Preloaded, words):
    """Not even the folders of its log."""
    (workplace.folder / "mine").mkdir()
    (workplace.folder / "mine" / "thesis.txt").touch()
    check_refused(workplace, preloaded, "bench.prepare", *words, said=words[0].partition("=")[2])


def check_refused(place: Workplace, preloaded: Preloaded, module: str, *words: str, said: str, lines: int = 1) -> None:
    """With 2 and in one line, with nothing made; not of locks, which are kept."""
    before = sorted(place.folder.rglob("*"))
    running = command(preloaded, place, module, *words, *fake_for(words))

    assert running.ended() == 2, running.err
    assert said in running.err
    assert len(running.err.splitlines()) == lines, running.err
    assert [path for path in sorted(place.folder.rglob("*")) if path.suffix != ".lock"] == before


# Folders.


def a_file(place: Path) -> None:
    place.write_text("")


def below_a_file(place: Path) -> None:
    place.parent.rmdir()
    place.parent.write_text("")


def a_dangling_link(place: Path) -> None:
    place.symlink_to("nowhere")


def a_loop_of_links(place: Path) -> None:
    place.symlink_to(place.with_name("other"))
    place.with_name("other").symlink_to(place)


def a_pipe(place: Path) -> None:
    os.mkfifo(place)


@pytest.mark.parametrize("fault", [a_file, below_a_file, a_dangling_link, a_loop_of_links, a_pipe])
@pytest.mark.parametrize("setting", ["models_dir", "caches_dir", "hydra.run.dir"])
def test_a_folder_that_cannot_be_written_is_refused_by_its_setting(
    tmp_path: Path, fault: Callable[[Path], None], setting: str
):
    """Before a start, since vLLM would have been waited for in vain."""
    place = tmp_path / "above" / "place"
    place.parent.mkdir()
    fault(place)
    places = {"models_dir": tmp_path / "models", "caches_dir": tmp_path / "caches", "hydra.run.dir": tmp_path / "out"}
    places[setting] = place
    settings = compose_settings([f"models_dir={places['models_dir']}", f"caches_dir={places['caches_dir']}"])
    with pytest.raises(SettingError, match=rf"^{re.escape(setting)}={re.escape(str(place))}: .*\.$"):
        refuse_places(settings, places["hydra.run.dir"], "hydra.run.dir")


@pytest.mark.parametrize("name", ["/proc/bench", "/dev/null/bench", "x" * 300])
def test_a_place_where_nobody_can_make_a_folder_is_refused(tmp_path, monkeypatch, name):
    """As the kernel puts it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError, match=r"^hydra\.run\.dir="):
        refuse_places(compose_settings([]), Path(name), "hydra.run.dir")


def test_trying_the_folders_leaves_nothing(tmp_path, monkeypatch):
    """A plan is checked like a sweep, and makes nothing."""
    monkeypatch.chdir(tmp_path)
    refuse_places(compose_settings([]), Path("a b#%20?\n'\"\\"), "hydra.run.dir")

    assert list(tmp_path.iterdir()) == []


def test_a_current_folder_that_is_gone_is_refused(tmp_path, monkeypatch):
    """All that is relative would be nowhere."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SettingError, match="is gone"):
        refuse_current_folder()


def test_a_current_folder_whose_name_is_not_utf_8_is_refused(tmp_path, monkeypatch):
    """MLflow could not keep it."""
    odd = tmp_path / os.fsdecode(b"b\xff")
    odd.mkdir()
    monkeypatch.chdir(odd)
    with pytest.raises(SettingError, match="not UTF-8"):
        refuse_current_folder()


# Settings.


@pytest.mark.parametrize(
    "words",
    [
        ("models_dir=''",),
        ("models_dir=' '",),
        ("caches_dir=''",),
        ("tracking.uri=''",),
        ("tracking.experiment=''",),
        ("vllm.python=''",),
        ("model=hf", "model.path=''"),
    ],
    ids=" ".join,
)
def test_an_empty_setting_is_refused_by_name(words):
    """An empty path is the current folder, which nobody has asked for."""
    name = words[-1].partition("=")[0]
    with pytest.raises(SettingError, match=rf"(^|\n){re.escape(name)}=.*must not be empty"):
        compose_settings(words)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("model.random.heads=3", "heads=3 must divide hidden_size=512"),
        ("model.random.kv_heads=3", "kv_heads=3 must divide heads=8"),
        ("model.random.hidden_size=24", "a head has 3 dimensions"),
        ("model.random.hidden_size=4", "heads=8 must divide hidden_size=4"),
        ("tensor_parallel_size=3", "tensor_parallel_size=3 must divide heads=8"),
        ("tensor_parallel_size=16", "tensor_parallel_size=16 must divide heads=8"),
        ("model.random.intermediate_size=1535 tensor_parallel_size=2", "must divide intermediate_size=1535"),
    ],
)
def test_random_sizes_that_do_not_fit_together_are_refused_with_their_numbers(word, sentence):
    """vLLM would die of them, minutes later."""
    with pytest.raises(SettingError, match=re.escape(sentence)):
        compose_settings(word.split())


# Files that are given to be read.


def a_device(place: Path) -> None:
    place.symlink_to("/dev/zero")


def a_folder(place: Path) -> None:
    place.mkdir()


@pytest.mark.parametrize("fault", [a_pipe, a_device, a_folder, a_dangling_link, a_loop_of_links])
def test_a_log_that_is_no_file_is_refused_and_never_waited_for(tmp_path, fault):
    """A pipe without a writer would block, and a device has no end."""
    fault(tmp_path / "log")
    with pytest.raises(LogError, match="log"):
        list(log_lines(tmp_path / "log"))


def test_an_archive_that_unpacks_to_more_than_the_bound_is_refused(tmp_path, monkeypatch):
    """A few kB can hold terabytes."""
    import gzip

    monkeypatch.setattr(files, "BYTES_AT_MOST", 1 << 20)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"\n" * (3 << 20)))
    with pytest.raises(LogError, match=r"bomb\.gz: it is longer"):
        list(log_lines(tmp_path / "bomb.gz"))


@pytest.mark.parametrize("fault", [a_pipe, a_device, a_folder])
def test_what_a_start_left_is_opened_only_where_it_is_a_regular_file(tmp_path, fault):
    """vLLM's processes may have put anything there."""
    fault(tmp_path / "7.jsonl")
    with pytest.raises(EvidenceError):
        read_at_most(tmp_path / "7.jsonl", 10)

    assert not stat.S_ISREG((tmp_path / "7.jsonl").lstat().st_mode)


@pytest.mark.parametrize(
    "text", ["", "[[[", "[]", "{}", "null", '{"phases": 7}', '{"phases": [{"x": 1}]}', "[" * 100_000]
)
def test_a_startup_json_that_is_garbage_is_refused_in_words(tmp_path, text):
    """By replay, which is given folders of any origin."""
    (tmp_path / STARTUP).write_text(text)
    with pytest.raises(BenchError, match=r"startup\.json is not what bench writes"):
        load_startup(tmp_path)
