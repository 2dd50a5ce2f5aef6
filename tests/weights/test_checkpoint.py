"""Checkpoints on disk: what is counted, what is believed, and that none is ever seen half-made."""

import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from bench.compose import compose_settings
from bench.errors import CheckpointError
from bench.system.ownership import MARKER
from bench.system.process_identity import started_ticks, this_process
from bench.weights.checkpoint import first_hole, paths_read, refuse_holes, size_gib, sizes, weight_files
from bench.weights.content import content_digest
from bench.weights.manifest import (
    MANIFEST,
    Manifest,
    check_manifest,
    foreign_manifest,
    making,
    read_manifest,
    write_manifest,
)

COMMAND = "python -m bench.prepare model=tiny_llama remake=true"


def write(folder: Path, **sizes: int) -> Path:
    """A folder with files of these sizes; a double underscore in a name stands for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        (folder / name.replace("__", ".")).write_bytes(bytes(size))
    return folder


def made(folder: Path, manifest: Manifest | None = None) -> Path:
    """A finished checkpoint of two files."""
    write(folder, a__safetensors=10, b__safetensors=20, config__json=5)
    write_manifest(folder, manifest or MADE)
    return folder


MADE = Manifest({"model": "tiny", "seed": 0}, {"vllm": "0.32.0"}, 2, {"a.safetensors": 10, "b.safetensors": 20})


def test_the_files_of_weights_are_listed_with_their_bytes(tmp_path):
    """Config, tokenizer and index are not what a loader's time goes into."""
    write(tmp_path, a__safetensors=10, b__safetensors=20, config__json=5, model__safetensors__index__json=7)

    assert weight_files(tmp_path) == {"a.safetensors": 10, "b.safetensors": 20}


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        ({"a__safetensors": 1, "a__bin": 2, "a__pt": 3}, {"a.safetensors": 1}),
        ({"a__bin": 2, "b__bin": 4, "a__pt": 3}, {"a.bin": 2, "b.bin": 4}),
        ({"a__pt": 3}, {"a.pt": 3}),
        ({"config__json": 5}, {}),
        ({}, {}),
    ],
)
def test_of_several_kinds_the_one_that_vllm_prefers_counts(tmp_path, sizes, found):
    """A repository often has its weights twice; a loader reads safetensors where there are any."""
    assert weight_files(write(tmp_path, **sizes)) == found


TWICE = {  # as Mistral's repositories: the same weights in two layouts, and a file that no index names
    "model-1-of-2__safetensors": 10, "model-2-of-2__safetensors": 20, "extra__safetensors": 4,
    "consolidated__safetensors": 30, "pytorch_model__bin": 31,
}  # fmt: skip
SHARDS = {"model-1-of-2.safetensors": 10, "model-2-of-2.safetensors": 20}


def with_index(folder: Path, names: Iterable[str], index: str = "model.safetensors.index.json") -> Path:
    (folder / index).write_text(json.dumps({"weight_map": {f"tensor of {name}": name for name in names}}))
    return folder


def reads(folder: Path, load_format: str) -> dict[str, int]:
    (settings,) = compose_settings(
        ["model=hf", f"model.path={folder}", "load_format=auto", f"load_format.name={load_format}"]
    )
    return sizes(paths_read(settings))


@pytest.mark.parametrize(
    ("load_format", "found"),
    [
        ("auto", {"consolidated.safetensors": 30}),
        ("mistral", {"consolidated.safetensors": 30}),
        ("hf", SHARDS),
        ("safetensors", SHARDS),
        ("instanttensor", SHARDS),
        ("runai_streamer", SHARDS | {"extra.safetensors": 4, "consolidated.safetensors": 30}),
        ("npcache", {"pytorch_model.bin": 31}),
        ("pt", {}),
    ],
)
def test_the_bytes_that_count_are_those_that_the_format_reads(tmp_path, load_format, found):
    """Each of vLLM's loaders chooses among the files of a repository that has its weights twice."""
    folder = with_index(write(tmp_path / "mix", **TWICE), SHARDS)

    assert reads(folder, load_format) == found


def test_without_an_index_every_file_counts(tmp_path):
    """And without a consolidated one, auto is as safetensors."""
    folder = write(tmp_path / "plain", a__safetensors=1, b__safetensors=2, c__bin=4)

    assert reads(folder, "auto") == reads(folder, "safetensors") == {"a.safetensors": 1, "b.safetensors": 2}


def test_an_index_that_names_a_missing_file_is_refused(tmp_path):
    """vLLM would end with it after its imports; so would a start."""
    folder = with_index(write(tmp_path / "half", a__safetensors=1), ["a.safetensors", "b.safetensors"])

    with pytest.raises(CheckpointError, match=r"index\.json names b\.safetensors, which is not there"):
        reads(folder, "auto")


@pytest.mark.parametrize("text", ["", "[]", '{"weight_map": 3}', "{}"])
def test_an_index_that_is_none_is_refused(tmp_path, text):
    """Cut off, or something else of that name."""
    folder = write(tmp_path / "half", a__safetensors=1)
    (folder / "model.safetensors.index.json").write_text(text)

    with pytest.raises(CheckpointError, match="is no index of weights"):
        reads(folder, "auto")


def test_a_folder_that_is_not_there_has_no_weights(tmp_path):
    """Nothing was made yet."""
    assert weight_files(tmp_path / "nowhere") == {}


def test_links_are_followed(tmp_path):
    """A Hugging Face snapshot is links into a store of blobs: the bytes are the blob's."""
    blobs = write(tmp_path / "blobs", abc=10, def_=20)
    snapshot = write(tmp_path / "snapshot")
    (snapshot / "model-1.safetensors").symlink_to(blobs / "abc")
    (snapshot / "model-2.safetensors").symlink_to("../blobs/def_")

    assert weight_files(snapshot) == {"model-1.safetensors": 10, "model-2.safetensors": 20}


@pytest.mark.parametrize("link", [os.link, os.symlink], ids=["hard link", "symbolic link"])
def test_an_inode_counts_once(tmp_path, link):
    """Two names of one file are read from the same pages; the first name in order stands for both."""
    write(tmp_path, b__safetensors=10, z__safetensors=20)
    link(tmp_path / "b.safetensors", tmp_path / "a.safetensors")
    link(tmp_path / "b.safetensors", tmp_path / "c.safetensors")

    assert weight_files(tmp_path) == {"a.safetensors": 10, "z.safetensors": 20}


@pytest.mark.parametrize("name", ["with blank.safetensors", "ünïcödé.safetensors", "-n.safetensors", "a'b.safetensors"])
def test_odd_names_are_names(tmp_path, name):
    """Nothing here goes through a shell."""
    (tmp_path / name).write_bytes(bytes(3))

    assert weight_files(tmp_path) == {name: 3}


@pytest.mark.parametrize(
    ("overrides", "size"),
    [
        ((), 3 / 1024),
        (("load_format=runai_streamer_sharded", "tensor_parallel_size=2"), 1 / 1024),
        (("load_format=runai_streamer_sharded", "tensor_parallel_size=4"), None),  # not made yet
        (("load_format=dummy",), None),  # reads no weights
        (("model=hf", "model.path=organisation/name"), None),  # lies in a hub
    ],
    ids=["original", "sharded", "not made", "dummy", "hub"],
)
def test_the_size_is_that_of_what_the_format_reads(tmp_path, overrides, size):
    """None where nothing is read that bench can see: never 0."""
    write(tmp_path / "tiny_llama", a__safetensors=2 * 1024**2, b__safetensors=1024**2)
    (settings,) = compose_settings([f"models_dir={tmp_path}", *overrides])
    if "tensor_parallel_size=2" in overrides:
        cut = {"model-rank-0-part-0__safetensors": 2**19, "model-rank-1-part-0__safetensors": 2**19}
        write(Path(settings.checkpoint_path), **cut)

    assert size_gib(settings) == size


def test_an_empty_folder_has_no_size(tmp_path):
    """A folder of config alone is what a start of dummy needs, and weighs nothing that is known."""
    write(tmp_path / "tiny_llama", config__json=5)
    (settings,) = compose_settings([f"models_dir={tmp_path}"])

    assert size_gib(settings) is None


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    """What a checkpoint was made from is compared by equality, so nothing may change on the way through JSON."""
    manifest = Manifest(
        {
            "random_llama": {"seed": 0, "shard_gib": 0.0125, "big": 2**53 + 1},
            "files": {"ü.safetensors": 10},
            "none": None,
        },
        {"vllm": "0.32.0"},
        None,
        {"a.safetensors": 10},
    )
    write_manifest(tmp_path, manifest)

    assert read_manifest(tmp_path) == manifest


@pytest.mark.parametrize("place", ["nowhere", "file", "file/below"])
def test_where_there_is_no_manifest_it_is_none(tmp_path, place):
    """Nothing there, or a file where a folder should be: not made by bench."""
    (tmp_path / "file").touch()

    assert read_manifest(tmp_path / place) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"made_from": {}}', '{"unknown": 1}', "null"])
def test_a_manifest_that_cannot_be_read_says_what_to_do(tmp_path, text):
    """Cut off, edited, or of another version of bench: the file is named, and so is the way out."""
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(CheckpointError) as refused:
        read_manifest(tmp_path)

    assert str(tmp_path / MANIFEST) in str(refused.value)
    assert f"Remove {tmp_path}" in str(refused.value)


def test_the_checkpoint_that_is_wanted_is_accepted(tmp_path):
    """Its own list of files is what the disk must hold; the wanted one does not know them yet."""
    folder = made(tmp_path / "checkpoint")

    assert check_manifest(folder, Manifest(MADE.made_from, MADE.made_by, 2, {}), COMMAND) is None


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Manifest(MADE.made_from, MADE.made_by, 4, {}), ["tensor_parallel_size", "2", "4"]),
        (Manifest(MADE.made_from, MADE.made_by, None, {}), ["tensor_parallel_size", "2", "None"]),
        (Manifest(MADE.made_from, {"vllm": "0.33.0"}, 2, {}), ["made_by", "vllm", "0.32.0", "0.33.0"]),
        (Manifest({"model": "tiny", "seed": 1}, MADE.made_by, 2, {}), ["made_from", "seed: 0 where 1"]),
        (
            Manifest({"model": "tiny", "seed": 0, "files": {"x": 1}}, MADE.made_by, 2, {}),
            ["made_from", "files", "nothing", "'x'"],
        ),
    ],
    ids=["another size", "not cut", "another vLLM", "another seed", "other files"],
)
def test_another_checkpoint_is_refused_with_what_differs(tmp_path, wanted, words):
    """What it is, what it should be, and the command that makes it."""
    folder = made(tmp_path / "checkpoint")
    with pytest.raises(CheckpointError) as refused:
        check_manifest(folder, wanted, COMMAND)
    message = str(refused.value)

    assert [word for word in words if word not in message] == []
    assert str(folder) in message
    assert message.endswith(f"\nMake it:  {COMMAND}")


def test_of_a_deep_difference_only_the_part_that_differs_is_said(tmp_path):
    """A recipe is a dict in a dict with nine numbers in it: a person wants to read the one that is not the same."""
    recipe = {"seed": 0, "hidden_size": 512, "layers": 4}
    folder = made(tmp_path / "checkpoint", Manifest({"random_llama": recipe}, {}, None, MADE.files))
    with pytest.raises(CheckpointError) as refused:
        check_manifest(folder, Manifest({"random_llama": recipe | {"seed": 1}}, {}, None, {}), COMMAND)

    assert "seed" in str(refused.value)
    assert "hidden_size" not in str(refused.value)


def test_nothing_and_none_differ_too(tmp_path):
    """A recipe gains a setting that is null: the old checkpoint does not have it, and is refused, not stumbled over."""
    folder = made(tmp_path / "checkpoint")
    with pytest.raises(CheckpointError, match="tied"):
        check_manifest(folder, Manifest({**MADE.made_from, "tied": None}, MADE.made_by, 2, {}), COMMAND)


def _remove(folder: Path) -> None:
    (folder / "b.safetensors").unlink()


def _grow(folder: Path) -> None:
    (folder / "b.safetensors").write_bytes(bytes(21))


def _cut(folder: Path) -> None:
    (folder / "b.safetensors").write_bytes(bytes(19))


def _add(folder: Path) -> None:
    (folder / "b2.safetensors").write_bytes(bytes(1))


@pytest.mark.parametrize("change", [_remove, _grow, _cut, _add])
def test_files_that_changed_since_are_refused(tmp_path, change):
    """A copy that was cut off loads, or fails, or measures something else."""
    folder = made(tmp_path / "checkpoint")
    change(folder)
    with pytest.raises(CheckpointError) as refused:
        check_manifest(folder, MADE, COMMAND)

    assert "b.safetensors" in str(refused.value) or "b2.safetensors" in str(refused.value)
    assert COMMAND in str(refused.value)


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    """It was never finished, or somebody else made it: nobody knows what its weights are."""
    folder = write(tmp_path / "checkpoint", a__safetensors=10)
    with pytest.raises(CheckpointError) as refused:
        check_manifest(folder, MADE, COMMAND)

    assert MANIFEST in str(refused.value)
    assert COMMAND in str(refused.value)


def test_a_checkpoint_appears_whole(tmp_path):
    """While it is written its place is empty and what is there is hidden; then it is there at once, and nothing else."""
    folder = tmp_path / "models" / "tiny"
    with making(folder) as partial:
        write(partial, a__safetensors=10)
        seen = [path for path in folder.parent.iterdir() if not path.name.startswith(".")]
    left = list(folder.parent.iterdir())

    assert seen == []
    assert left == [folder]
    assert weight_files(folder) == {"a.safetensors": 10}


def test_the_hidden_folder_lies_beside_its_place(tmp_path):
    """A move is whole only within one file system."""
    with making(tmp_path / "tiny") as partial:
        inside = partial

    assert inside.parent == tmp_path
    assert inside.name.startswith(".")


@pytest.mark.parametrize("accident", [RuntimeError, KeyboardInterrupt])
def test_an_accident_leaves_nothing(tmp_path, accident):
    """An error or Ctrl-C: the next command finds the place as it was."""
    with pytest.raises(accident), making(tmp_path / "tiny") as partial:
        write(partial, a__safetensors=10)
        raise accident

    assert list(tmp_path.iterdir()) == []


def test_an_accident_leaves_the_checkpoint_that_was_there(tmp_path):
    """The old one goes only when the new one is whole."""
    folder = made(tmp_path / "tiny")
    with pytest.raises(RuntimeError), making(folder) as partial:
        write(partial, a__safetensors=99)
        raise RuntimeError

    assert list(tmp_path.iterdir()) == [folder]
    assert check_manifest(folder, MADE, COMMAND) is None


def test_a_new_checkpoint_takes_the_old_ones_place(tmp_path):
    """With nothing of the old one in it."""
    folder = made(tmp_path / "tiny")
    with making(folder) as partial:
        write(partial, c__safetensors=7)
        during = weight_files(folder)

    assert during == MADE.files
    assert {path.name for path in folder.iterdir()} == {"c.safetensors", MARKER}
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


NEVER_LEFT: list[ExitStack] = []


@pytest.fixture(autouse=True)
def _left_at_last() -> Iterator[None]:
    """Before Python ends, which would print that it could not."""
    yield
    while NEVER_LEFT:
        with suppress(GeneratorExit):
            NEVER_LEFT.pop().__exit__(GeneratorExit, GeneratorExit(), None)


def left_by(maker: subprocess.Popen[bytes], folder: Path) -> Path:
    """What a preparation by this process has written so far."""
    process = replace(this_process(), pid=maker.pid, started_ticks=started_ticks(maker.pid))
    with patch("bench.system.ownership.this_process", lambda: process):
        NEVER_LEFT.append(ExitStack())
        killed = NEVER_LEFT[-1].enter_context(making(folder))
    return write(killed, a__safetensors=10)


def test_what_a_killed_preparation_left_is_removed(tmp_path):
    """A kill runs no cleanup; 15 GiB in a hidden folder would stay for ever."""
    with subprocess.Popen(["sleep", "60"]) as maker:
        left = left_by(maker, tmp_path / "tiny")
        maker.kill()
    with making(tmp_path / "tiny"):
        still_there = left.exists()

    assert not still_there
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_what_a_preparation_that_still_runs_is_writing_is_left_alone(tmp_path):
    """Two sweeps may need the same checkpoint at once."""
    with subprocess.Popen(["sleep", "60"]) as maker:
        left = left_by(maker, tmp_path / "tiny")
        with making(tmp_path / "tiny"):
            pass
        maker.kill()

    assert weight_files(left) == {"a.safetensors": 10}


@pytest.mark.parametrize("other", ["other", "tiny-tp2", "tiny.v2"])
def test_what_another_preparation_is_writing_is_left_alone(tmp_path, other):
    """Two models are often prepared at once, and one's name may begin with the other's and a dot: Llama-3, Llama-3.1."""
    with making(tmp_path / other) as partial:
        write(partial, a__safetensors=10)
        with making(tmp_path / "tiny"):
            pass
        still_there = partial.exists()
        partial.mkdir(exist_ok=True)

    assert still_there


def test_the_manifest_holds_what_was_given(tmp_path):
    """People read it too: it is JSON, in a stable order."""
    write_manifest(tmp_path, MADE)
    text = (tmp_path / MANIFEST).read_text()

    assert json.loads(text)["files"] == {"a.safetensors": 10, "b.safetensors": 20}
    assert (
        text.index('"files"')
        < text.index('"made_by"')
        < text.index('"made_from"')
        < text.index('"tensor_parallel_size"')
    )


# What is not all there, or not what its manifest describes.


def sparse(folder: Path, begin: int, end: int) -> Path:
    """Of 1 MiB of weights the bytes between are a hole."""
    path = folder / "model.safetensors"
    with path.open("wb") as file:
        file.write(b"w" * begin)
        file.seek(end)
        file.write(b"w" * ((1 << 20) - end))
        file.truncate(1 << 20)
    if path.stat().st_blocks * 512 >= 1 << 20 or first_hole(path) is None:
        pytest.skip(f"{folder} is on a file system without holes")
    return path


@pytest.mark.parametrize(("begin", "end"), [(0, 1 << 20), (1 << 18, 1 << 19), (0, 1 << 19), (1 << 19, 1 << 20)])
def test_weights_with_a_hole_are_refused(tmp_path, begin, end):
    """It reads as zeros, at no disk's speed; the message has its place."""
    path = sparse(tmp_path, begin, end)

    with pytest.raises(CheckpointError, match=rf"{path} has a hole at byte {begin}: of its 1048576 bytes "):
        refuse_holes([path])


def test_a_file_system_that_compresses_or_reports_no_blocks_has_no_holes(tmp_path, monkeypatch):
    """Fewer blocks than bytes alone are no proof, and where holes are not located none is claimed."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(range(256)) * 4096)
    refuse_holes([path])
    with path.open("r+b") as file:
        file.truncate(1 << 21)

    monkeypatch.setattr(os, "lseek", lambda fd, _offset, _whence: os.fstat(fd).st_size)
    refuse_holes([path])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda folder: (folder / "a.safetensors").write_bytes(b"0123456789"),
            "what the files contain, at equal sizes",
        ),
        (lambda folder: (folder / "a.safetensors").write_bytes(b"1"), "a.safetensors"),
        (lambda folder: (folder / "c.safetensors").write_bytes(b"1"), "c.safetensors"),
        (lambda folder: (folder / "b.safetensors").unlink(), "b.safetensors"),
    ],
)
def test_a_manifest_that_was_copied_along_with_other_weights_is_noticed(tmp_path, change, what):
    """By name, size and content; a copy of both together is as good as what it was copied from."""
    folder = write(tmp_path / "mine", a__safetensors=10, b__safetensors=20, config__json=5)
    write_manifest(folder, replace(MADE, content=content_digest(folder)))
    assert foreign_manifest(folder) == []
    change(folder)

    (sentence,) = foreign_manifest(folder)
    assert f"describes other files than those beside it: {what} differs" in sentence
