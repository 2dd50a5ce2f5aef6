"""Which files the words of a command line mean, and which starts are in them."""

import gzip
import io
import re
from itertools import chain, zip_longest
from pathlib import Path

import pytest

from bench.errors import LogError
from bench.log import recordings
from bench.log.outcome import Ending
from bench.log.recordings import LogFile, expanded, log_file, recordings_in
from bench.log.side_by_side import MIXED
from bench.start.replay import labels_of, places_of
from bench.start.tag_types import LABEL_AT_MOST

LOGS = Path(__file__).parents[1] / "logs"
FIRST = LOGS / "cpu-vllm0.32.0" / "dummy-tp1-eager.log"
SECOND = LOGS / "cpu-vllm0.32.0" / "auto-tp2.log"


def written(folder: Path, *logs: Path, name: str = "serve.log") -> LogFile:
    path = folder / name
    path.write_bytes(b"".join(log.read_bytes().rstrip(b"\n") + b"\n" for log in logs))
    return LogFile(str(path), path)


def test_each_start_in_a_file_is_a_recording(tmp_path):
    """With its number; what it tells is its own."""
    found = recordings_in(written(tmp_path, FIRST, SECOND), None)

    assert [(each.number, each.is_alone) for each in found] == [(1, False), (2, False)]
    assert [each.log.info.load_format for each in found] == ["dummy", "auto"]
    assert [each.log.info.tensor_parallel_size for each in found] == [1, 2]


def test_the_only_start_in_a_file_is_alone(tmp_path):
    """So it needs no number in its name."""
    (found,) = recordings_in(written(tmp_path, FIRST), None)

    assert (found.number, found.is_alone) == (1, True)


def test_starts_of_two_containers_have_their_names(tmp_path):
    """One container's, which has no other to be told from, have none."""
    first, second = ([f"vllm-{name}-1  | ".encode() + line for line in log.read_bytes().splitlines(keepends=True)]
                     for name, log in (("a", FIRST), ("b", SECOND)))  # fmt: skip
    path = tmp_path / "up.log"
    path.write_bytes(b"".join(line for both in zip(first, second, strict=False) for line in both))
    found = recordings_in(LogFile(str(path), path), None)
    assert [each.log.source for each in found] == ["vllm-a-1", "vllm-b-1"]
    assert labels_of(found) == ["up start 1 of vllm-a-1", "up start 2 of vllm-b-1"]

    path.write_bytes(b"".join(first * 2))
    assert labels_of(recordings_in(LogFile(str(path), path), None)) == ["up start 1", "up start 2"]


def server(name: str, more: int) -> list[str]:
    """The lines of a server's log, of other processes."""
    text = (LOGS / "cpu-vllm0.32.0" / name).read_text()
    return re.sub(r"pid=(\d+)", lambda pid: f"pid={int(pid[1]) + more}", text).splitlines(keepends=True)


@pytest.mark.parametrize("first", ["auto-tp1-eager.log", "auto-tp2-eager-FAILED-worker_killed_ready.log"])
@pytest.mark.parametrize("behind", [0, 30, 60])
def test_of_two_servers_whose_lines_stand_in_each_other_no_number_is_taken(first, behind, tmp_path):
    """Started from one shell into one log: whose an engine is does not show."""
    (one, other), path = (server(first, 0), server("server-runai_streamer-tp1.log", 5000)), tmp_path / "both.log"
    path.write_text("".join([*one[:behind], *chain(*zip_longest(one[behind:], other, fillvalue=""))]))
    found = [each.log for each in recordings_in(LogFile(str(path), path), None)]

    assert len(found) > 1
    assert [(each.readings, each.ending) for each in found] == [([], Ending("incomplete", MIXED))] * len(found)


@pytest.mark.parametrize("more", [0, 5000])
def test_a_server_that_is_started_again_keeps_its_numbers(more, tmp_path):
    """In a container its processes have the ids of the first."""
    path = tmp_path / "restarted.log"
    path.write_text("".join(server("auto-tp1-eager.log", 0) + server("server-runai_streamer-tp1.log", more)))

    assert [len(each.log.readings) > 5 for each in recordings_in(LogFile(str(path), path), None)] == [True, True]


def test_logs_with_long_names_have_names_that_fit_and_differ(tmp_path):
    """MLflow would cut both to the same; as repeats of one point they are numbered all the same."""
    others = [written(tmp_path, FIRST, name=f"{'a long name ' * 19}{name}.log") for name in ("x", "y")]
    again = tmp_path / "again"  # another start, by its times
    again.write_bytes(FIRST.read_bytes().replace(b" INFO 11-24 ", b" INFO 11-25 "))
    repeats = [
        written(tmp_path, log, name=f"{'another name ' * 17}{number}.log") for number, log in ((1, FIRST), (2, again))
    ]
    places = places_of([found for file in (*others, *repeats) for found in recordings_in(file, None)])

    assert len({place.name for place in places}) == 4
    assert max(len(each) for place in places for each in (place.name, place.point)) <= LABEL_AT_MOST
    assert [place.repeat for place in places] == [0, 0, 0, 1]
    assert places[2].point == places[3].point


def test_one_start_can_be_chosen(tmp_path):
    """By its number, from 1; it is not the only one in its file for that."""
    file = written(tmp_path, FIRST, SECOND, FIRST)

    for start, load_format in ((1, "dummy"), (2, "auto"), (3, "dummy")):
        (found,) = recordings_in(file, start)
        assert (found.number, found.is_alone, found.log.info.load_format) == (start, False, load_format)


def test_a_number_that_no_start_has_is_refused(tmp_path):
    """With how many there are."""
    with pytest.raises(LogError, match=r"serve\.log: there is no start=3: there are 2 starts in this file\.$"):
        recordings_in(written(tmp_path, FIRST, SECOND), 3)
    with pytest.raises(LogError, match=r"there is no start=2: there is 1 start in this file\.$"):
        recordings_in(written(tmp_path, FIRST), 2)


def test_too_many_starts_are_refused(tmp_path, monkeypatch):
    """Each would be a run: thousands of them are a mistake, and one can be chosen."""
    monkeypatch.setattr(recordings, "MOST_STARTS", 2)
    file = written(tmp_path, FIRST, SECOND, FIRST)

    with pytest.raises(LogError, match=r"serve\.log: there are 3 starts in this file, .* Choose one:  start=N$"):
        recordings_in(file, None)
    assert len(recordings_in(file, 3)) == 1


def test_the_name_of_a_packed_file_has_two_endings():
    """The name that people know it by has neither."""
    names = ["a/serve.log", "serve.log.gz", "serve.log.zst", "serve.1.log", "serve", "-"]

    assert [LogFile(name, Path(name)).stem for name in names] == [
        "serve",
        "serve",
        "serve",
        "serve.1",
        "serve",
        "stdin",
    ]


def test_a_pattern_means_all_files_that_fit(tmp_path, monkeypatch):
    """In the order of their names; a shell that has expanded it itself gives the same. A file is named once."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.log", "a.log", "c.txt", "in/d.log", "[x].log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert expanded(["?.log"]) == ["a.log", "b.log"]
    assert expanded(["c.txt", "**/*.log", "a.log"]) == ["c.txt", "[x].log", "a.log", "b.log", "in/d.log"]
    assert expanded([f"{tmp_path}/?.txt"]) == [f"{tmp_path}/c.txt"]
    assert expanded(["[x].log", "-", "nowhere.log"]) == ["[x].log", "-", "nowhere.log"]


def test_a_pattern_that_fits_nothing_is_refused(tmp_path, monkeypatch):
    """A typing error would else be a smaller sweep."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(LogError, match=r"^\*\.log: no file has a name like this\.$"):
        expanded(["*.log"])


def test_standard_input_can_be_packed(tmp_path, monkeypatch):
    """It is put into a file first, since its lines are kept with the run."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(SECOND.read_bytes()))))
    (found,) = recordings_in(log_file("-", tmp_path), None)

    assert found.file.name == "-"
    assert found.log.info.tensor_parallel_size == 2
