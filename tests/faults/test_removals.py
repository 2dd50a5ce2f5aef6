"""bench removes only what bench made: a row for each way in which it could take something else with it."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bench.errors import OwnershipError
from bench.host.compile_cache import Caches, empty
from bench.report.metrics_json import METRICS
from bench.report.published_table import FIRST_LINE, refuse_foreign_table
from bench.report.write import refuse_foreign
from bench.start.files import OUTPUTS, refuse_taken
from bench.system.ownership import MARKER, mark, remove_marked
from bench.weights.manifest import MANIFEST, Manifest, making, write_manifest
from conftest import Workplace

MINE = "thesis.txt"


def files_below(folder: Path) -> dict[str, bytes]:
    """All that lies there, by path, links not followed."""
    return {
        str(path.relative_to(folder)): os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def a_users_folder(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (place / MINE).write_text("years of work")
    (place / "results").mkdir()
    (place / "results" / "old.json").write_text("{}")
    return place


def a_checkpoint(place: Path) -> Path:
    """As bench made it before it marked what is its own."""
    place.mkdir(parents=True)
    (place / "a.safetensors").write_bytes(bytes(10))
    (place / "config.json").write_text("{}")
    write_manifest(place, Manifest({}, {}, None, {"a.safetensors": 10}))
    return place


# A start on its own, and sweeps, that start nothing.

REFUSED = ("tensor_parallel_size=0",), ("vllm.python=/nowhere/python",), ("dry_run=true",)


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
@pytest.mark.parametrize("where", [("hydra.run.dir=.",), ("-m", "hydra.sweep.dir=.")], ids=" ".join)
def test_what_starts_nothing_touches_nothing(new_workplace: Callable[[], Workplace], where, words):
    """Hydra may have been told to put the results where a user's files are. Not even a folder is added."""
    place = new_workplace()
    a_users_folder(place.folder)
    before = files_below(place.folder)
    done = place.bench(*where, *words)

    assert done.code == (0 if words == ("dry_run=true",) else 2), done.err
    assert files_below(place.folder) == before
    assert {path.name for path in place.folder.iterdir()} == {MINE, "results", "mlflow.db"}
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_a_folder_with_a_file_of_a_start_s_name_is_refused(tmp_path, name):
    """Whoever made it, and also where it is a link that leads nowhere."""
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(OwnershipError, match=re.escape(name)):
        refuse_taken(tmp_path, "hydra.run.dir")


@pytest.mark.parametrize("name", ["vllm.log"])
def test_a_start_is_not_written_over_files_of_the_same_name(workplace, name):
    """An own vllm.log is neither appended to nor replaced: refused before the start, by the file's name."""
    folder = a_users_folder(workplace.folder / "mine")
    (folder / name).symlink_to(folder / MINE)
    before = files_below(folder)
    done = workplace.bench("hydra.run.dir=mine")

    assert done.code == 2
    assert name in done.err
    assert "hydra.run.dir=mine" in done.err
    assert files_below(folder) == before


# Folders that are emptied or replaced.


def foreign(place: Path) -> None:
    a_users_folder(place)


def a_link(place: Path) -> None:
    """To a folder that even has a marker, say of a cache that was moved away."""
    there = place.parent.parent / "elsewhere"
    a_users_folder(there)
    mark(there, "a test")
    place.parent.mkdir(parents=True)
    place.symlink_to(there)


def a_file(place: Path) -> None:
    place.parent.mkdir(parents=True)
    place.write_text("years of work")


def a_dangling_link(place: Path) -> None:
    place.parent.mkdir(parents=True)
    place.symlink_to("nowhere")


def a_marker_that_is_a_link(place: Path) -> None:
    a_users_folder(place)
    real = a_users_folder(place.parent.parent / "elsewhere")
    mark(real, "a test")
    (place / MARKER).symlink_to(real / MARKER)


def a_marker_that_is_not_ours(place: Path) -> None:
    (a_users_folder(place) / MARKER).write_text("my workbench")


def a_marker_that_is_a_pipe(place: Path) -> None:
    os.mkfifo(a_users_folder(place) / MARKER)


def a_marker_without_an_end(place: Path) -> None:
    (a_users_folder(place) / MARKER).symlink_to("/dev/zero")


LYING_THERE = [
    foreign, a_link, a_file, a_dangling_link, a_marker_that_is_a_link, a_marker_that_is_not_ours, a_marker_that_is_a_pipe,
    a_marker_without_an_end,
]  # fmt: skip


def fresh_caches(place: Path) -> None:
    empty(Caches("fresh", place))


def a_new_checkpoint(place: Path) -> None:
    with making(place) as partial:
        (partial / "a.safetensors").write_bytes(b"new")


def names_below(folder: Path) -> dict[str, Any]:
    """Everything, with what links and files hold; pipes by name."""
    return {
        str(path.relative_to(folder)): path.readlink()
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("lying_there", LYING_THERE, ids=lambda each: each.__name__)
@pytest.mark.parametrize("removing", [fresh_caches, a_new_checkpoint, remove_marked], ids=lambda each: each.__name__)
def test_what_bench_did_not_make_is_neither_emptied_nor_replaced(tmp_path, lying_there, removing):
    """By a sentence that names it."""
    place = tmp_path / "data" / "place"
    lying_there(place)
    before = names_below(tmp_path)
    with pytest.raises(OwnershipError) as refused:
        removing(place)

    assert str(place) in str(refused.value)
    assert names_below(tmp_path) == before


@pytest.mark.parametrize("marked", [False, True])
def test_a_checkpoint_that_holds_a_file_of_somebody_else_is_not_replaced(tmp_path, marked):
    """remake=true: notes beside the weights are not bench's, whichever bench made the weights."""
    place = a_checkpoint(tmp_path / "models" / "tiny")
    if marked:
        mark(place, "a checkpoint", ["a.safetensors", "config.json", MANIFEST, MARKER])
    (place / "notes.txt").write_text("what I found out")
    before = files_below(tmp_path)
    with pytest.raises(OwnershipError, match=r"notes\.txt"):
        a_new_checkpoint(place)

    assert files_below(tmp_path) == before


def test_notes_that_were_put_there_while_a_checkpoint_is_made_stay(tmp_path):
    """It takes minutes: what is there at its end decides."""
    place = a_checkpoint(tmp_path / "models" / "tiny")
    with pytest.raises(OwnershipError, match=r"notes\.txt"), making(place) as partial:
        (partial / "a.safetensors").write_bytes(b"new")
        (place / "notes.txt").write_text("what I found out")

    assert (place / "a.safetensors").read_bytes() == bytes(10)
    assert [path.name for path in place.parent.iterdir()] == ["tiny"]


def test_links_in_a_cache_go_and_what_they_lead_to_stays(tmp_path):
    """Somebody may have moved a part of a cache to another disk."""
    caches, elsewhere = tmp_path / "caches", a_users_folder(tmp_path / "elsewhere")
    fresh_caches(caches)
    (caches / "vllm").symlink_to(elsewhere)
    (caches / "note").symlink_to(elsewhere / MINE)
    fresh_caches(caches)

    assert [path.name for path in caches.iterdir()] == [MARKER]
    assert (elsewhere / MINE).read_text() == "years of work"


@pytest.mark.parametrize("name", [".tiny.0badcafe.partial", ".tiny.notebook.partial", ".tiny.0badcafe.replaced"])
def test_hidden_folders_that_only_look_like_leftovers_stay(tmp_path, name):
    """Only a marker whose process is over tells that bench left it."""
    left = a_users_folder(tmp_path / name)
    a_new_checkpoint(tmp_path / "tiny")

    assert (left / MINE).exists()


def test_an_interrupted_removal_leaves_a_folder_that_is_still_bench_s(tmp_path, monkeypatch):
    """The marker goes last, so the next command can go on."""
    caches = tmp_path / "caches"
    fresh_caches(caches)
    (caches / "vllm").mkdir()
    monkeypatch.setattr("shutil.rmtree", lambda _: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(OwnershipError, match="Permission denied"), suppress(KeyboardInterrupt):
        fresh_caches(caches)
    monkeypatch.undo()
    fresh_caches(caches)

    assert [path.name for path in caches.iterdir()] == [MARKER]


# Reports.


def test_a_report_is_not_written_into_a_folder_of_somebody_else(tmp_path):
    """output= may lead anywhere; a report of bench's is written anew."""
    mine, ours = a_users_folder(tmp_path / "mine"), tmp_path / "ours"
    ours.mkdir()
    (ours / METRICS).write_text('{"sweep": "20261128-120000-abcd"}')

    refuse_foreign(ours)
    refuse_foreign(tmp_path / "not there")
    with pytest.raises(OwnershipError, match="mine"):
        refuse_foreign(mine)


def test_a_report_is_not_written_through_a_link(tmp_path):
    """Its target may be anybody's file."""
    ours, target = tmp_path / "ours", tmp_path / "thesis.md"
    ours.mkdir()
    (ours / METRICS).write_text('{"sweep": "20261128-120000-abcd"}')
    (ours / "report.md").symlink_to(target)
    with pytest.raises(OwnershipError, match=r"report\.md"):
        refuse_foreign(ours)


def test_a_readme_that_is_no_table_of_results_is_not_written_over(tmp_path):
    """publish= with output= of a project's own folder."""
    refuse_foreign_table(tmp_path)
    (tmp_path / "README.md").write_bytes(FIRST_LINE)
    refuse_foreign_table(tmp_path)
    (tmp_path / "README.md").write_text("# My project")
    with pytest.raises(OwnershipError, match=r"README\.md"):
        refuse_foreign_table(tmp_path)
