"""Whole sweeps of the fake vLLM whose weights are verified; and what a start notices of files that changed since."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.config import Settings
from bench.host.host import look_at_host
from bench.sweep.plan import Point
from bench.sweep.prime import untimed
from bench.sweep.verify import found_of, groups_of
from bench.vllm.probe_report import ProbeProcess, ProbeReport
from bench.vllm.span import Facts, Span
from bench.weights.content import content_digest
from bench.weights.fingerprint import Fingerprint
from bench.weights.fingerprint_store import Expected, change_in, expect, expected, files_of, fingerprint_key, keep
from bench.weights.loaded import weights_of
from conftest import FAKE, Workplace
from whole_sweeps import MINE, Swept, section, swept, with_a_model

FORMATS = "load_format=auto,runai_streamer,dummy"


@pytest.fixture(scope="module")
def verified(new_workplace: Callable[[], Workplace]) -> Swept:
    """A sweep whose load formats agree."""
    return swept(with_a_model(new_workplace()), *MINE, FORMATS, "verify=null")


@pytest.fixture(scope="module")
def wrong(new_workplace: Callable[[], Workplace]) -> Swept:
    """One whose runai_streamer loads something else."""
    return swept(with_a_model(new_workplace()), *MINE, FORMATS, "verify=null", "vllm.env.FAKE_WRONG=runai_streamer")


def test_load_formats_that_agree_are_bitwise(verified):
    """Each was verified by one start that does not count; made up weights need none."""
    verdicts = {run.data.tags["bench.point"]: run.data.tags["bench.weights"] for run in verified.starts}

    assert verdicts == {"auto": "bitwise", "runai_streamer": "bitwise", "dummy": "dummy"}
    assert "2 starts that do not count (to verify weights: 2)" in verified.done.err
    assert "`runai_streamer`: the same weights, bit for bit (bitwise)" in section(verified.report, "Speedups")


def test_a_start_carries_its_fingerprint(verified):
    """With the verdict, and every tensor's checksum by rank."""
    document = json.loads(verified.place.artifacts(verified.start("runai_streamer"))["fingerprint.json"])

    assert document["verdict"]["baseline"] == "auto"
    assert document["fingerprint"]["ranks"]["TP0"]["tensors"].keys() == {"model-0", "model-1"}
    assert len(document["fingerprint"]["answers"]) == 4
    assert document["fingerprint"]["content"] == content_digest(verified.place.folder / "mine", full=True)


def test_weights_that_differ_fail_before_a_speedup_is_shown(wrong):
    """Named by parameter and rank, on standard error before the first timed start, in MLflow and in the report."""
    tags = wrong.start("runai_streamer").data.tags
    text = section(wrong.report, "Speedups")

    assert tags["bench.weights"] == "FAILED"
    assert tags["bench.weights_why"].startswith("model-0 (rank TP0), model-1 (rank TP0) differ from the baseline's")
    assert "runai_streamer: weights FAILED: model-0 (rank TP0)" in wrong.done.err
    assert "- ~~`runai_streamer`~~: no speedup is shown: weights FAILED" in text
    assert "x |" not in text


def test_the_baseline_is_loaded_twice_only_where_something_differs(verified, wrong):
    """A second load tells padding from other weights, and costs a start."""
    loads = {
        name: json.loads(each.place.artifacts(each.start("auto"))["fingerprint.json"])["fingerprint"]["loads"]
        for name, each in (("verified", verified), ("wrong", wrong))
    }

    assert loads == {"verified": 1, "wrong": 2}


def test_what_is_verified_needs_no_second_time(verified):
    """The same sweep again plans no start that does not count."""
    done = verified.place.bench("-m", *MINE, FORMATS, "verify=null", "dry_run=true")

    assert "do not count" not in done.out
    assert "3 starts" in done.out


# What must be verified.


def points(*each: tuple[str, ...]) -> list[Point]:
    """A point for these overrides, in this folder."""
    own = {word.partition("=")[0] for words in each for word in words}
    common = [
        word for word in (f"vllm.python={FAKE}", "compile_cache=as_is", *MINE) if word.partition("=")[0] not in own
    ]
    return [Point(" ".join(words), words, compose_settings([*common, *words])[0]) for words in each]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of the user's, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.safetensors").write_bytes(os.urandom(1000))
    (tmp_path / "mine" / "config.json").write_text("{}")
    return tmp_path / "mine"


EAGER = "vllm.args.enforce_eager="


@pytest.mark.parametrize(
    ("sweep", "verified"),
    [
        ([("load_format=auto",), ("load_format=runai_streamer",)], 2),
        ([("load_format=auto",), ("load_format=sharded_state",)], 2),
        ([("load_format=auto",), ("load_format=dummy",)], 0),
        ([(f"{EAGER}true",), (f"{EAGER}false",)], 0),
        ([("load_format=auto", "verify=false"), ("load_format=runai_streamer", "verify=false")], 0),
        ([("load_format=auto",)], 0),
        ([("verify=true",)], 1),
        (
            [
                (f"load_format={name}", f"{EAGER}{eager}")
                for name in ("auto", "runai_streamer")
                for eager in ("true", "false")
            ],
            2,
        ),
    ],
)
def test_a_start_is_spent_where_it_can_tell_something(mine, sweep, verified):
    """Two load formats at otherwise equal settings; eager or compiled load alike, and are verified together."""
    starts = untimed(points(*sweep))

    assert sum(start.verifies for start in starts) == len(starts) == verified


def test_one_start_verifies_and_fills_caches(mine):
    """GPU seconds are money."""
    starts = untimed(
        points(("load_format=auto", "compile_cache=primed"), ("load_format=runai_streamer", "compile_cache=primed"))
    )

    assert [(start.fills, start.verifies) for start in starts] == [(True, True), (False, True)]


def test_points_that_differ_in_more_than_the_format_read_the_same_files(mine):
    """No start is needed to say so."""
    found = found_of(points((f"{EAGER}true",), (f"{EAGER}false",)))

    assert {each.kind for each in found.values()} == {"same_files"}


def test_formats_that_differ_in_more_have_nothing_to_be_compared_with(mine):
    """No verification start is made for them, so none is called failed."""
    found = found_of(points(("load_format=auto", f"{EAGER}true"), ("load_format=runai_streamer", f"{EAGER}false")))

    assert "the sweep has no other load format at otherwise equal settings" in {each.why for each in found.values()}
    assert not any("failed" in each.why for each in found.values())


def test_checkpoints_cut_for_other_ranks_are_not_the_same_files(mine):
    """Though they were cut from the same: one of them may be broken."""
    for ranks in (1, 2):
        folder = mine.parent / f"cut{ranks}"
        folder.mkdir()
        (folder / "model-rank-0-part-0.safetensors").write_bytes(bytes([ranks]) * 100)
    words = ("load_format=sharded_state", "model=hf", "model.path=mine")
    cut = points(
        *((*words, f"tensor_parallel_size={ranks}", f"model.sharded_path=cut{ranks}") for ranks in (1, 2)),
        (*words, "tensor_parallel_size=1", "model.sharded_path=cut1", f"{EAGER}true"),
    )
    found = list(found_of(cut).values())

    assert [each.kind for each in found[1:]] == ["unverified", "same_files"]
    assert "add load_format=auto" in found[1].why


def test_each_group_has_its_own_baseline(mine):
    """Auto at otherwise equal settings."""
    sweep = points(
        *(
            (f"load_format={name}", f"{EAGER}{eager}")
            for eager in ("true", "false")
            for name in ("runai_streamer", "auto")
        )
    )

    assert [base.label for base, _ in groups_of(sweep)] == [
        f"load_format=auto {EAGER}true",
        f"load_format=auto {EAGER}false",
    ]


# What a timed start notices.


def placed(settings: Settings) -> Settings:
    place = settings.sweep.model_copy(update={"id": "s", "point": "p"})
    return settings.model_copy(update={"sweep": place})


def problems_after(change: Callable[[Path], object], folder: Path) -> tuple[str, ...]:
    """Of a start that finds the files so, in a sweep that began before."""
    settings = placed(points(("load_format=auto",))[0].settings)
    host = look_at_host(settings)
    expect(settings.caches_dir, "s", {"p": Expected(files_of(settings), None, "bitwise", "", "p")})
    change(folder)
    return weights_of(settings, host, files_of(settings), ProbeReport()).exchanged


def flip(folder: Path) -> None:
    """One bit, and the time set back, so that size, time and inode are those that they were."""
    path = folder / "model.safetensors"
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def turn(folder: Path) -> None:
    """The path leads to an equal copy elsewhere."""
    shutil.copytree(folder, folder.parent / "other")
    folder.rename(folder.parent / "was")
    folder.symlink_to(folder.parent / "other")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(bytes(1000)), "model.safetensors in mine changed"),
        (flip, "model.safetensors in mine changed"),
        (turn, "leads to"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors in mine changed"),
        (lambda folder: (folder / "more.safetensors").write_bytes(b"1"), "more.safetensors in mine changed"),
        (lambda folder: folder.joinpath("config.json").write_text("{ }"), "config.json in mine changed"),
        (lambda folder: folder.joinpath("modeling.py").write_text("pass"), "modeling.py in mine changed"),
    ],
)
def test_a_file_that_is_exchanged_between_two_starts_is_noticed(mine, change, words):
    """Zeros of the same size, a flipped bit, another folder behind the path, a file that is gone, or that came."""
    (problem,) = problems_after(change, mine)

    assert words in problem


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (flip, "model.safetensors in mine changed while this start ran"),
        (turn, "before this start and leads to"),
        (shutil.rmtree, "could not be read after this start any more"),
    ],
)
@pytest.mark.parametrize("verified", [True, False])
def test_a_file_that_is_exchanged_while_a_start_runs_is_noticed(mine, change, words, verified):
    """After the look at it before exec; also in a start on its own, and in the last of a sweep."""
    settings = points(("load_format=auto",))[0].settings
    settings = placed(settings) if verified else settings
    host, before = look_at_host(settings), files_of(settings)
    if verified:
        expect(settings.caches_dir, "s", {"p": Expected(before, None, "bitwise", "", "p")})
    change(mine)
    (problem,) = weights_of(settings, host, before, ProbeReport()).exchanged

    assert words in problem


def test_files_that_nobody_touched_are_no_problem(mine):
    """Reading them is no change."""
    assert problems_after(lambda folder: (folder / "model.safetensors").read_bytes(), mine) == ()


def test_a_start_that_was_given_less_than_its_verification_does_not_count(mine):
    """By the tensors and bytes of each rank."""
    settings = placed(points(("load_format=auto",))[0].settings)
    host, files = look_at_host(settings), files_of(settings)
    key = fingerprint_key(settings, host, files)
    keep(settings.caches_dir, Fingerprint(key, {}, "", {}, (), (), {"TP0": (9, 900)}), files)
    expect(settings.caches_dir, "s", {"p": Expected(files, key, "bitwise", "", "p")})
    span = Span(
        None, None, "load_weights", 1.0, 2.0, "probe", Facts("Loader", delivered_bytes=800, delivered_tensors=8)
    )
    report = ProbeReport((ProbeProcess(1, 0, "worker", "TP0", 0.0, 0.5, (span,)),))
    (problem,) = weights_of(settings, host, files, report).other_delivery

    assert problem.startswith("rank TP0 was given 8 tensors of 800 bytes together, in its verification start 9 of 900")


@pytest.mark.parametrize("fault", ["no rank reports what it was given", "the fingerprint is gone"])
def test_a_start_of_which_it_is_not_known_what_it_was_given_is_not_called_verified(mine, fault):
    """The verdict is that of its verification start; what was computed of this one is nothing."""
    settings = placed(points(("load_format=auto",))[0].settings)
    host, files = look_at_host(settings), files_of(settings)
    key = fingerprint_key(settings, host, files)
    if fault != "the fingerprint is gone":
        keep(settings.caches_dir, Fingerprint(key, {}, "", {}, (), (), {"TP0": (9, 900)}), files)
    expect(settings.caches_dir, "s", {"p": Expected(files, key, "bitwise", "all tensors", "p")})
    weights = weights_of(settings, host, files, ProbeReport())

    assert weights.kind == "unverified"
    assert weights.why.endswith("in the verification starts: all tensors")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ("vllm.env.RUNAI_STREAMER_DIST=1", False),
        ("vllm.args.safetensors_load_strategy=eager", False),
        ("vllm.args.something_new=1", False),
        ("vllm.args.enforce_eager=true", True),
        ("max_model_len=1024", True),
    ],
)
def test_a_fingerprint_holds_for_no_start_that_may_load_otherwise(mine, change, same):
    """What is not known to have no part in loading has one."""
    one, other = (points(words)[0].settings for words in ((), (change,)))
    keys = {fingerprint_key(each, look_at_host(each), files_of(each)) for each in (one, other)}

    assert (len(keys) == 1) == same


def test_a_fingerprint_holds_for_the_environment_that_loaders_inherit(mine, monkeypatch):
    (settings,) = (point.settings for point in points(()))
    before = fingerprint_key(settings, look_at_host(settings), files_of(settings))
    monkeypatch.setenv("LD_PRELOAD", "/mine.so")

    assert fingerprint_key(settings, look_at_host(settings), files_of(settings)) != before


def test_a_start_on_its_own_expects_nothing(mine):
    """Unless it was verified."""
    (point,) = points(("load_format=auto",))

    assert expected(point.settings, look_at_host(point.settings), files_of(point.settings)) is None
    assert change_in(files_of(point.settings), files_of(point.settings), "mine") is None
