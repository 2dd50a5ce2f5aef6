"""A log has a greatest size, its lines a greatest length, and nothing that is done with a line holds up who prints it."""

import os
import select
import threading
from pathlib import Path

import pytest

from bench.vllm import log_copy
from bench.vllm.log_copy import Copy, Follower, Lines
from conftest import until

KIB = 1024


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test reaches at once."""
    for name, value in {
        "LOG_LIMIT": 8 * KIB,
        "TAIL_LIMIT": 2 * KIB,
        "READ_SIZE": KIB,
        "DRAIN_SIZE": KIB,
        "SMALL": 16,
    }.items():
        monkeypatch.setattr(log_copy, name, value)


def copied(folder: Path, text: bytes) -> tuple[Copy, list[bytes]]:
    """The log of a command that prints this, without stamps."""
    output, end = os.pipe()
    copy = Copy(output, folder / "log", lambda *_: None)
    os.write(end, text)
    os.close(end)
    copy.run(lambda: 1.0)
    os.close(output)
    return copy, [line[10:] for line in (folder / "log").read_bytes().splitlines()]


def test_of_a_log_without_end_the_beginning_and_the_end_are_kept(tmp_path, small):
    """What a vLLM died of stands at the end; and the gap is marked, and a warning."""
    lines = [b"line %d" % number for number in range(8_000)]
    copy, log = copied(tmp_path, b"\n".join(lines) + b"\n")
    (gap,) = [place for place, line in enumerate(log) if b"bytes are left out here" in line]

    assert (tmp_path / "log").stat().st_size < 16 * KIB
    assert log[: gap - 1] == lines[: gap - 1]
    assert lines[gap - 1].startswith(log[gap - 1])  # as far as it had come
    assert log[gap + 1 :] == lines[gap - len(log) + 1 :]
    assert copy.warnings()[0].startswith("vLLM printed more than 0 MiB: 0.1 MiB between the beginning and the end")
    assert copy.unread.is_set()


def test_a_log_that_only_just_exceeds_its_size_is_whole(tmp_path, small):
    """All of it fits into the beginning and the end together."""
    lines = [b"line %d" % number for number in range(600)]
    copy, log = copied(tmp_path, b"\n".join(lines))

    assert (log, copy.warnings()) == (lines, [])


def test_a_line_without_end_is_cut(tmp_path):
    """Its beginning is kept, and how much is not; the next line is whole."""
    copy, log = copied(tmp_path, b"x" * (70 * KIB) + b"\nnext\n" + b"y" * (66 * KIB))

    assert log[0] == b"x" * (64 * KIB) + b" [bench: 6144 more bytes of this line are left out]"
    assert log[1] == b"next"
    assert copy.warnings() == ["2 lines of vLLM's log were longer than 64 KiB and are cut"]


def test_a_line_that_comes_in_many_pieces_takes_no_more_memory_than_it_may():
    """50 MB without an end, as of a progress bar that went wrong."""
    lines = Lines()
    for _ in range(50):
        assert lines.feed(b"x" * 10**6) == []
    (line,) = lines.rest()

    assert len(line) < 65 * KIB
    assert line.endswith(b"[bench: 49934464 more bytes of this line are left out]")


def test_a_listener_that_waits_does_not_hold_up_who_prints(monkeypatch):
    """As where a person has stopped the terminal with Ctrl-S: what comes meanwhile is not followed, and that is known."""
    monkeypatch.setattr(log_copy, "BACKLOG", 1000)
    go_on, heard = threading.Event(), []

    def listen(_elapsed_s: float, text: str) -> None:
        go_on.wait()
        heard.append(text)

    follower = Follower(listen)
    for second in range(100):
        follower.offer(float(second), [b"x" * 100])
    assert follower.unread.is_set()
    go_on.set()
    follower.finish()

    assert 10 <= len(heard) <= 12


def test_so_many_lines_a_second_are_followed_and_no_more(monkeypatch):
    """To look at each takes processor time that vLLM needs; the next second's are followed again."""
    monkeypatch.setattr(log_copy, "LINES_PER_S", 3)
    heard = []
    follower = Follower(lambda _, text: heard.append(text))
    for elapsed_s, text in [(5.0, b"a b"), (5.1, b"c"), (5.2, b"too many"), (6.5, b"d")]:
        follower.offer(elapsed_s, text.split())
    follower.finish()

    assert heard == ["a", "b", "c", "d"]


def test_a_pipe_that_somebody_else_holds_open_does_not_hold_up_the_end(tmp_path):
    """The tree is gone, and yet nobody closed it."""
    output, end = os.pipe()
    copy = Copy(output, tmp_path / "log", lambda *_: None)
    copy.start(lambda: 1.0)
    os.write(end, b"last words")
    until(lambda: not select.select([output], [], [], 0)[0])  # it was read
    copy.finish()
    text = (tmp_path / "log").read_bytes()
    os.close(end)
    os.close(output)

    assert text == b"    1.000 last words\n"
