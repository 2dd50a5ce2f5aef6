"""Results that are published as data: packed from a store, brought into another one, and the same report again."""

import json
import re
import shlex
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zstandard

from bench import compare, replay
from bench.errors import SettingError
from bench.report.published_table import STARTS, published_table
from bench.sweep.publish import refuse_name
from command_line import call_command
from conftest import Done, Workplace
from whole_sweeps import MINE, quiet_start, starts_of, sweep_of, with_a_model

ROOT = Path(__file__).parents[2]
RESULTS = sorted(path.parent for path in (ROOT / "benchmark_results").glob(f"*/{STARTS}"))
RUN_ID = re.compile(r"\b[0-9a-f]{32}\b")
DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")  # in the reader's own time zone
NUMBER = re.compile(r"(?<![\w.\-/])\d+(?:[.,]\d+)*(?=x\b|(?![\w\-/]|\.\d))")  # a ratio too: 1.15x


def normalised(text: str) -> str:
    """But for what names the runs of one store, and the date."""
    return DATE.sub("DATE", RUN_ID.sub("RUN", text))


def report_in(folder: Path) -> tuple[str, str, str, list[str]]:
    """Its text, its page, its numbers and its files' names."""
    names = sorted(path.name for path in folder.iterdir() if path.name != STARTS)
    return (
        normalised((folder / "report.md").read_text()),
        normalised((folder / "report.html").read_text()),
        normalised((folder / "benchmark_metrics.json").read_text()),
        names,
    )


def again(place: Workplace, folder: Path) -> Path:
    """The report that a stranger makes of a published result, by the command that replaying it prints."""
    replayed = call_command(place, replay.main, str(folder))
    assert replayed.code == 0, replayed.err
    (command,) = re.findall(r"^compare them:  python -m bench\.compare (.*)$", replayed.out, re.MULTILINE)
    compared = call_command(place, compare.main, *shlex.split(command))
    assert compared.code == 0, compared.err
    (path,) = place.folder.glob("benchmark_results/*/report.md")
    return path.parent


def packed(path: Path) -> dict[str, bytes]:
    with (
        path.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as unpacked,
        tarfile.open(fileobj=unpacked, mode="r|") as archive,
    ):
        return {member.name: archive.extractfile(member).read() for member in archive}


@dataclass(frozen=True)
class Result:
    """A sweep of the fake vLLM that was published, and what another store made of it."""

    place: Workplace
    folder: Path
    published: Done
    stranger: Workplace
    again: Path


@pytest.fixture(scope="module")
def result(new_workplace: Callable[[], Workplace]) -> Result:
    """Two points, two blocks, and a format whose starts fail."""
    place = with_a_model(new_workplace())
    swept = place.bench("-m", "load_format=auto,safetensors", "repeats=2", *MINE, environment=quiet_start(place))
    assert swept.code == 0, swept.err
    words = ("publish=fake-two_points", "title=Two points of a fake, n = 2", "baseline=safetensors")
    published = call_command(place, compare.main, *words)
    assert published.code == 0, published.err
    folder = place.folder / "benchmark_results" / "fake-two_points"
    stranger = new_workplace()
    return Result(place, folder, published, stranger, again(stranger, folder))


def test_a_published_result_gives_the_same_report_again(result):
    """In another store, byte for byte: text, numbers and figures. Only runs have other ids there."""
    assert report_in(result.again) == report_in(result.folder)
    for figure in result.folder.glob("*.png"):
        assert (result.again / figure.name).read_bytes() == figure.read_bytes()


def test_a_published_result_is_the_sweep_itself(result):
    """Its id, its settings and its order come along, and so does every start with all that was recorded of it."""
    here, there = sweep_of(result.place), sweep_of(result.stranger)
    starts, brought = starts_of(result.place), starts_of(result.stranger)

    assert there.data.tags["bench.sweep"] == here.data.tags["bench.sweep"]
    assert there.data.params == here.data.params
    assert there.info.start_time == here.info.start_time
    assert len(starts) == 4
    assert [run.data.metrics for run in brought] == [run.data.metrics for run in starts]
    for one, other in zip(starts, brought, strict=True):
        assert result.stranger.artifacts(other).keys() >= result.place.artifacts(one).keys() - {"settings.json"}
        assert result.stranger.artifacts(other)["vllm.log"] == result.place.artifacts(one)["vllm.log"]


def test_the_archive_holds_no_figures_and_nobodys_name(result):
    """What is drawn from the rest is drawn again; owners and times of the files are nobody's business."""
    names = packed(result.folder / STARTS).keys()

    assert {"sweep.json", "starts/auto_1/startup.json", "starts/auto_1/vllm.log"} <= names
    assert not [name for name in names if name.endswith(".png")]


def test_a_published_result_is_brought_in_once(result):
    """A second time says the same and adds nothing."""
    done = call_command(result.stranger, replay.main, str(result.folder))

    assert done.code == 0, done.err
    assert "4 starts of sweep" in done.out
    assert len(starts_of(result.stranger)) == 4


def test_the_table_of_results_has_its_row(result):
    """Made from the JSON: title, machine, starts and ratios."""
    text = (result.folder.parent / "README.md").read_text()

    assert text == published_table(result.folder.parent)
    assert "[Two points of a fake, n = 2](fake-two_points/report.md)" in text
    assert "auto 2, safetensors 2" in text


@pytest.mark.parametrize("name", ["20261128-151132-9f3a", "../elsewhere", "", "Upper", "a/b", ".hidden"])
def test_a_name_that_git_would_ignore_or_that_is_no_folder_is_refused(name):
    """Before anything is written."""
    with pytest.raises(SettingError, match=r"publish="):
        refuse_name(name)


def test_a_damaged_archive_is_said_to_be_one(result, workplace):
    """In a line, and nothing is brought in."""
    folder = workplace.folder / "damaged"
    folder.mkdir()
    (folder / STARTS).write_bytes((result.folder / STARTS).read_bytes()[:2000])
    done = call_command(workplace, replay.main, str(folder))

    assert done.code == 2
    assert "damaged" in done.err
    assert workplace.runs() == []


# What is committed.


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_a_committed_result_gives_the_same_report_again(folder, workplace):
    """From its packed starts, by today's code: a change of the report changes the committed reports too."""
    assert report_in(again(workplace, folder)) == report_in(folder)


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_a_committed_page_is_small_and_names_no_path_of_a_machine(folder):
    """It is read by whoever clones this."""
    text = (folder / "report.html").read_text()

    assert len(text.encode()) < 300_000
    assert re.findall(r"(?<![\w.])/(?:home|root|tmp|work|data|mnt)/[^\s<\"]*", text) == []


def test_the_table_lists_every_committed_result():
    """As their JSON says, neither more nor less."""
    assert (ROOT / "benchmark_results" / "README.md").read_text() == published_table(ROOT / "benchmark_results")


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_every_number_of_a_pages_results_is_in_their_json(page):
    """Rounded as it is printed there."""
    section = re.search(r"<!-- results -->(.*?)<!-- /results -->", (ROOT / page).read_text(), re.DOTALL)
    published = [json.loads((folder / "benchmark_metrics.json").read_text()) for folder in RESULTS]
    numbers, words = (
        set(numbers_in(published)),
        json.dumps([[each["conditions"], each["weights"]] for each in published]),
    )

    assert section
    printed = NUMBER.findall(section[1])
    assert [each for each in printed if not is_among(each, numbers) and each not in NUMBER.findall(words)] == []


def numbers_in(tree: Any) -> Iterator[float]:
    if isinstance(tree, dict | list):
        for each in tree.values() if isinstance(tree, dict) else tree:
            yield from numbers_in(each)
    elif isinstance(tree, int | float):
        yield float(tree)


def is_among(printed: str, numbers: set[float]) -> bool:
    decimals = len(printed.partition(".")[2])
    return any(f"{number:.{decimals}f}" == printed.replace(",", "") for number in numbers)


def test_a_number_that_nobody_measured_is_not_among_those_of_the_json():
    """So that the check of the pages can fail; and its own words do not make it fail."""
    assert NUMBER.findall("| ready | 147.8 (n = 3) | gpt-oss-120b, TP2, 13.48x") == ["147.8", "3", "13.48"]
    assert is_among("147.8", {147.83})
    assert not is_among("147.8", {147.93})
