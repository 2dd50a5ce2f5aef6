"""What each rank should be given, by the headers of the files."""

import json
from pathlib import Path

import pytest

from bench.weights.loaded import indexed, read_whole


def write(path: Path, **sizes: int) -> Path:
    """A safetensors file with tensors of these bytes."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, size in sizes.items():
        header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
    return path


def test_every_rank_is_given_all_of_an_original(tmp_path):
    """Each takes its part out of every tensor."""
    paths = [write(tmp_path / "model-1.safetensors", a=5, b=7), write(tmp_path / "model-2.safetensors", c=1)]

    assert indexed(paths, ["TP0", "TP1"]) == {"TP0": (3, 13), "TP1": (3, 13)}


def test_a_rank_is_given_its_own_files_of_a_cut_checkpoint(tmp_path):
    """By the number in their names."""
    paths = [
        write(tmp_path / f"model-rank-{rank}-part-{part}.safetensors", a=5 + rank) for rank in (0, 1) for part in (0, 1)
    ]

    assert indexed(paths, ["TP0", "TP1"]) == {"TP0": (2, 10), "TP1": (2, 12)}
    assert indexed(paths, ["PP0_TP0"]) is None


@pytest.mark.parametrize(
    "content", [b"", b"weights", (2**60).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"[]"]
)
def test_files_of_another_kind_are_unknown(tmp_path, content):
    """Not counted as nothing."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)

    assert indexed([path], ["TP0"]) is None


@pytest.mark.parametrize(
    ("delivered", "expected", "whole"),
    [
        ({"TP0": (3, 13)}, {"TP0": (3, 13)}, True),
        ({"TP0": (2, 12)}, {"TP0": (3, 13)}, False),
        ({}, {"TP0": (3, 13)}, None),
        ({"TP0": (3, 13)}, None, None),
    ],
)
def test_a_rank_that_was_given_less_did_not_read_all(delivered, expected, whole):
    """None where either is unknown."""
    assert read_whole(delivered, expected) is whole
