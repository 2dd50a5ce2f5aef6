"""A checkpoint's content in a few characters: equal for equal bytes, another when a byte that is read is another."""

import os
import shutil
import time
from pathlib import Path

import pytest

from bench.weights.content import BLOCK_BYTES, content_digest, file_stamps, sampled_offsets, turned_in, ways_to

LARGE = 100 * BLOCK_BYTES + 7


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of one large and one small file, with what lies beside them."""
    place = tmp_path / "one"
    place.mkdir()
    (place / "model-1.safetensors").write_bytes(bytes(range(251)) * (LARGE // 251 + 1))
    (place / "model-2.safetensors").write_bytes(b"small")
    (place / "config.json").write_text('{"layers": 4}')
    return place


def flip(path: Path, offset: int) -> None:
    """One bit, and the file as old as it was."""
    stat = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("full", [False, True])
def test_a_copy_has_the_same_content(folder, tmp_path, full):
    """Place, age, inode and bench's own notes are not content."""
    copy = Path(shutil.copytree(folder, tmp_path / "two", copy_function=shutil.copyfile))
    (copy / "bench_manifest.json").write_text("{}")

    assert content_digest(copy, full=full) == content_digest(folder, full=full)
    assert file_stamps(copy) != file_stamps(folder)


def test_a_link_is_what_it_leads_to(folder, tmp_path):
    """A snapshot of a hub's cache is links into a store of blobs."""
    links = tmp_path / "links"
    links.mkdir()
    for path in folder.iterdir():
        (links / path.name).symlink_to(path)

    assert content_digest(links) == content_digest(folder)
    assert file_stamps(links) == file_stamps(folder)


@pytest.mark.parametrize("which", ["first", "sampled", "last", "config", "small"])
def test_a_bit_that_is_read_counts(folder, which):
    """In the header, in a sampled block, in the last partial block, in the config and in a small file."""
    size = (folder / "model-1.safetensors").stat().st_size
    offsets = sampled_offsets("model-1.safetensors", size)
    name, offset = {
        "first": ("model-1.safetensors", 9),
        "sampled": ("model-1.safetensors", offsets[5] + 17),
        "last": ("model-1.safetensors", size - 1),
        "config": ("config.json", 5),
        "small": ("model-2.safetensors", 2),
    }[which]
    before = content_digest(folder)
    flip(folder / name, offset)

    assert content_digest(folder) != before


def test_a_bit_that_is_not_sampled_counts_in_the_full_digest(folder):
    """Which is what a verification takes."""
    path = folder / "model-1.safetensors"
    unread = set(range(1, 100)) - {offset // BLOCK_BYTES for offset in sampled_offsets(path.name, path.stat().st_size)}
    sampled, full = content_digest(folder), content_digest(folder, full=True)
    flip(path, min(unread) * BLOCK_BYTES)

    assert content_digest(folder) == sampled
    assert content_digest(folder, full=True) != full


def test_an_exchanged_file_has_another_stamp(folder):
    """One of equal size, with the old one's time: it is another inode."""
    path = folder / "model-1.safetensors"
    stat, before = path.stat(), file_stamps(folder)
    shutil.copyfile(path, folder / "new")
    os.utime(folder / "new", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (folder / "new").replace(path)

    assert {name for name, stamp in file_stamps(folder).items() if stamp != before[name]} == {path.name}


@pytest.mark.parametrize("change", ["renamed", "removed", "added", "longer"])
def test_names_and_sizes_are_content(folder, change):
    """Files that only changed places are another checkpoint."""
    before = content_digest(folder)
    path = folder / "model-2.safetensors"
    match change:
        case "renamed":
            path.rename(folder / "model-3.safetensors")
        case "removed":
            path.unlink()
        case "added":
            (folder / "model-3.safetensors").touch()
        case "longer":
            path.write_bytes(b"small\0")

    assert content_digest(folder) != before


def test_a_folder_or_link_that_was_another_meanwhile_is_noticed(folder, tmp_path):
    """Although all is back in its place: moving changes a folder's ctime alone, and a link that is made anew is another file."""
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to(folder)
    before, direct = ways_to(link), ways_to(folder)
    time.sleep(0.02)  # file systems keep times to some milliseconds
    link.unlink()
    link.symlink_to(other)
    link.unlink()
    link.symlink_to(folder)
    folder.rename(other)
    other.rename(folder)

    assert turned_in(before, ways_to(link)) == [str(link), f"{link}/"]
    assert turned_in(direct, ways_to(folder)) == [f"{folder}/"]


def test_what_is_written_into_a_folder_turns_no_way(folder):
    """As a model's own code is compiled beside it."""
    before = ways_to(folder)
    (folder / "__pycache__").mkdir()

    assert turned_in(before, ways_to(folder)) == []
