"""Log files as they lie on disks: packed, cut, damaged, without any line end."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from bench.errors import LogError
from bench.log.files import copy_lines, lines_in, log_lines
from bench.log.unwrap import LINE_BYTES

LINES = [b"one\n", b"two\n", b"three\n"]


def written(folder: Path, content: bytes) -> Path:
    path = folder / "vllm.log"
    path.write_bytes(content)
    return path


def test_a_plain_file_gives_its_lines(tmp_path):
    """With their ends, and each state of a bar by itself."""
    assert list(log_lines(written(tmp_path, b"".join(LINES)))) == LINES
    assert list(log_lines(written(tmp_path, b"\r0%\r50%\r\nlast"))) == [b"\r", b"0%\r", b"50%\r\n", b"last"]
    assert list(log_lines(written(tmp_path, b""))) == []


def test_what_packed_a_file_is_seen_in_it(tmp_path):
    """Not in its name: logs are renamed. Archives that were put one behind another are one log."""
    assert list(log_lines(written(tmp_path, gzip.compress(b"one\ntw") + gzip.compress(b"o\nthree\n")))) == LINES


def test_an_archive_that_was_cut_gives_what_came_before(tmp_path):
    """A log of a machine that died is such an archive."""
    packed = gzip.compress(b"".join(b"line %d\n" % number for number in range(100_000)))

    lines = list(log_lines(written(tmp_path, packed[: len(packed) // 2])))
    assert 10_000 < len(lines) < 90_000
    assert lines[0] == b"line 0\n"


def test_a_damaged_archive_is_an_error(tmp_path):
    """Half a log would look like a start that hung."""
    packed = bytearray(gzip.compress(b"".join(b"line %d\n" % number for number in range(100_000))))
    packed[1000:1100] = bytes(100)

    with pytest.raises(LogError, match=r"vllm\.log: the archive is damaged"):
        list(log_lines(written(tmp_path, bytes(packed))))


def test_zstd_is_read_in_frames(tmp_path):
    """Several frames are one log."""
    packed = [zstandard.ZstdCompressor().compress(part) for part in (b"one\ntw", b"o\nthree\n")]

    assert list(log_lines(written(tmp_path, b"".join(packed)))) == LINES


def test_a_zstd_archive_that_just_ends_is_a_log_that_just_ends(tmp_path):
    """What came before the cut is there."""
    whole = b"".join(b"line %d %s\n" % (number, os.urandom(20).hex().encode()) for number in range(100_000))
    packed = zstandard.ZstdCompressor().compress(whole)

    lines = list(log_lines(written(tmp_path, packed[: len(packed) // 2])))
    assert 10_000 < len(lines) < 90_000
    assert lines[0] == whole.splitlines(keepends=True)[0]


def test_a_damaged_zstd_archive_is_an_error(tmp_path):
    """Where it has a checksum, as the zstd command writes one."""
    packed = bytearray(
        zstandard.ZstdCompressor(write_checksum=True).compress(
            b"".join(b"line %d\n" % number for number in range(100_000))
        )
    )
    packed[1000:1100] = bytes(100)

    with pytest.raises(LogError, match=r"vllm\.log: the archive is damaged"):
        list(log_lines(written(tmp_path, bytes(packed))))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """It may be a folder, or not there."""
    with pytest.raises(LogError, match=r"absent\.log: No such file"):
        list(log_lines(tmp_path / "absent.log"))


def blocks(content: bytes, size: int) -> Iterator[bytes]:
    """The same bytes, so many at a time."""
    return (content[at : at + size] for at in range(0, len(content), size))


def test_a_line_without_an_end_takes_little_memory():
    """Its first and its last part come as one line, however long it is."""
    content = b"begin" + b"x" * 500_000 + b"end\nnext\n"

    huge, following = lines_in(blocks(content, 10_000))
    assert len(huge) < LINE_BYTES + 100
    assert huge.startswith(b"beginx")
    assert huge.endswith(b"xend\n")
    assert following == b"next\n"


@pytest.mark.parametrize("size", range(1, 12))
def test_where_a_block_ends_makes_no_difference(size):
    """Also between a return and a line feed: the line that they end together is one."""
    content = b"one\r\n\r0%\r50%\n\n\xe2\x96\x88\r\r\nlast"

    lines = list(lines_in(blocks(content, size)))
    assert b"".join(lines) == content
    assert [line.strip(b"\r\n") for line in lines if line.strip()] == [b"one", b"0%", b"50%", b"\xe2\x96\x88", b"last"]


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_some_lines_are_copied_byte_by_byte(block_bytes, pack, tmp_path, monkeypatch):
    """Also where a block of the file ends within one. A return ends no line, and the last line needs no end."""
    monkeypatch.setattr("bench.log.files.BLOCK_BYTES", block_bytes)
    lines = [b"one\r\n", b"\rtwo\rhalves\n", b"\n", b"four"]
    path = written(tmp_path, pack(b"".join(lines)))

    for first in range(1, 5):
        for last in (*range(first, 5), None):
            copy_lines(path, first, last, tmp_path / "copy")
            assert (tmp_path / "copy").read_bytes() == b"".join(lines[first - 1 : last])
