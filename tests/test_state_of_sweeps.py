"""Whole sweeps with the fake vLLM: each start in its state, planted lies named, and what ends, resumes and plans a sweep."""

import mmap
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench import compare as compare_door
from bench.analysis.comparison import compare
from bench.host.page_cache import find_gauge
from bench.report.markdown import report
from conftest import Done, Workplace, ended, until
from doors import knock
from made_sweeps import made_start, made_sweep

if TYPE_CHECKING:
    from mlflow.entities import Run

MIB = 1024**2
PARENT = "mlflow.parentRunId"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # a tmpfs is what is wanted
RECORDED = Path(__file__).parent / "logs" / "cpu-vllm0.32.0" / "auto-tp1-compile.log"
NO_PROCESS = 2**22  # no process has a number beyond it, so nobody else's counter is taken for vLLM's


def with_a_model(place: Workplace) -> Workplace:
    """Weights of the user's own, in two files; what is in them is nobody's business here."""
    folder = place.folder / "mine"
    folder.mkdir()
    for number in range(2):
        (folder / f"model-{number}.safetensors").write_bytes(os.urandom(8 * MIB))
    (folder / "config.json").write_text("{}")
    return place


MINE = ("model=hf", "model.path=mine")


def eager_log(folder: Path) -> Path:
    """A recorded start that says nothing of compiling, by processes that there are not."""
    lines = [line for line in RECORDED.read_text().splitlines(keepends=True) if "torch_compile_cache" not in line]
    path = folder / "eager.log"
    path.write_text(re.sub(r"pid=(\d+)", lambda found: f"pid={NO_PROCESS + int(found[1])}", "".join(lines)))
    return path


def quiet_start(place: Workplace) -> dict[str, str]:
    """The environment in which the fake plays that log, whatever the settings say: it is no setting of the start."""
    return {"FAKE_LOG": str(eager_log(place.folder))}


def sweep_of(place: Workplace) -> "Run":
    (found,) = (run for run in place.runs() if run.data.tags["bench.kind"] == "sweep")
    return found


def starts_of(place: Workplace) -> "list[Run]":
    return [run for run in place.runs() if PARENT in run.data.tags]


def reported(place: Workplace) -> str:
    """The report of its latest sweep."""
    done = knock(place, compare_door.main)
    assert done.code == 0, done.err
    (path,) = place.folder.glob("benchmark_results/*/report.md")
    return path.read_text()


def section(text: str, heading: str) -> str:
    found = re.search(rf"^## {re.escape(heading)}.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def columns(text: str) -> list[str]:
    """The points of every table of means."""
    return re.findall(r"^\| Metric \| (.*) \|$", section(text, "Key Metrics"), re.MULTILINE)


# Cold and warm.


@dataclass(frozen=True)
class Swept:
    """A sweep that is over."""

    place: Workplace
    done: Done
    starts: "list[Run]"
    report: str

    def start(self, point: str) -> "Run":
        (found,) = (run for run in self.starts if run.data.tags["bench.point"] == point)
        return found


def swept(place: Workplace, *words: str, environment: dict[str, str] | None = None) -> Swept:
    done = place.bench("-m", *words, environment=environment)
    return Swept(place, done, starts_of(place), reported(place))


@pytest.fixture(scope="module")
def cold_and_warm(new_workplace: Callable[[], Workplace]) -> Swept:
    """The axis page_cache, once each."""
    place = with_a_model(new_workplace())
    if find_gauge([*(place.folder / "mine").glob("*.safetensors")]) is None:
        pytest.skip(f"no gauge is true on the file system of {place.folder}")
    return swept(place, "page_cache=cold,warm", *MINE, environment=quiet_start(place))


def test_what_was_resident_before_a_start_is_a_metric(cold_and_warm):
    """At most 1 % of a cold checkpoint, at least 99 % of a warm one; and after it all of either."""
    cold, warm = (cold_and_warm.start(f"page_cache={state}").data.metrics for state in ("cold", "warm"))

    assert cold_and_warm.done.code == 0, cold_and_warm.done.err
    assert cold["page_cache/resident_before"] <= 0.01
    assert cold["page_cache/resident_after"] >= 0.99
    assert warm["page_cache/resident_before"] >= 0.99
    assert warm["page_cache/resident_after"] >= 0.99


def test_every_start_has_its_state_and_its_place_as_tags(cold_and_warm):
    """What it was, whether it counts, and when in the sweep it came."""
    tags = [cold_and_warm.start(f"page_cache={state}").data.tags for state in ("cold", "warm")]

    assert [each["bench.page_cache"] for each in tags] == ["cold", "warm"]
    assert {each["bench.valid"] for each in tags} == {"true"}
    assert {each["bench.block"] for each in tags} == {"0"}
    assert sorted(each["bench.order"] for each in tags) == ["1", "2"]
    assert not any("bench.invalid_reason" in each for each in tags)
    assert all(each["bench.page_cache_gauge"] in {"cachestat", "mincore", "sampled"} for each in tags)


def test_cold_and_warm_starts_are_in_separate_tables(cold_and_warm):
    """And no speedup is shown between them: that of a page cache is known."""
    assert columns(cold_and_warm.report) == ["page_cache=cold", "page_cache=warm"]
    assert "no speedup is shown: the page cache's state differs (cold and warm)" in cold_and_warm.report


def test_a_cold_start_reads_from_storage_and_a_warm_one_does_not(cold_and_warm):
    """By the kernel's count of the process that read, while it read."""
    read = [cold_and_warm.start(f"page_cache={state}").data.metrics for state in ("cold", "warm")]

    assert read[0]["io/read_amplification"] == pytest.approx(1.0, rel=0.05)
    assert read[1]["io/read_amplification"] <= 0.02


# Planted lies.


def test_a_cold_start_in_which_nobody_read_the_checkpoint_does_not_count(workplace):
    """Named in the run and in the report. Without the probe too: all of vLLM together read less than the half."""
    place = with_a_model(workplace)
    if find_gauge([*(place.folder / "mine").glob("*.safetensors")]) is None:
        pytest.skip(f"no gauge is true on the file system of {place.folder}")
    found = swept(place, "probe=true,false", *MINE, environment=quiet_start(place) | {"FAKE_MODE": "reads_nothing"})

    for point, who in (("probe=True", "vLLM"), ("probe=False", "all of vLLM together")):
        tags = found.start(point).data.tags
        assert (tags["bench.page_cache"], tags["bench.valid"]) == ("wrong", "false")
        assert tags["bench.invalid_reason"].startswith(f"page_cache=cold was asked, but {who} read only")
        assert f"but {who} read only" in section(found.report, "Invalid starts")


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """By this very process, as a serving vLLM would."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        yield


@pytest.fixture(scope="module")
def held(new_workplace: Callable[[], Workplace]) -> Swept:
    """A cold sweep over a checkpoint that a living process has mapped, with a point that reads none."""
    place = with_a_model(new_workplace())
    with mapped(place.folder / "mine" / "model-1.safetensors"):
        return swept(place, "load_format=auto,dummy", *MINE, environment=quiet_start(place))


def test_a_checkpoint_that_a_process_keeps_mapped_is_not_called_cold(held):
    """The start is refused, with who it is and what to do; vLLM was not even started."""
    run = held.start("auto")

    assert held.done.code == 1
    assert run.info.status == "FAILED"
    assert re.fullmatch(
        rf"page_cache=cold: \S+ \(pid {os.getpid()}\) has the checkpoint mapped, so its pages cannot be evicted and the "
        r"start would not be cold\. End that process, or set page_cache=as_is",
        run.data.tags["bench.reason"],
    )
    assert "vllm.log" not in held.place.artifacts(run)
    assert "ready_s" not in run.data.metrics


def test_a_start_that_was_refused_is_in_the_report(held):
    """Among those that failed; the other point is a table by itself."""
    assert "| auto | page_cache=cold: " in section(held.report, "Failed starts")
    assert columns(held.report) == ["dummy"]
    assert held.start("dummy").data.tags["bench.page_cache"] == "none"


@pytest.fixture(scope="module")
def on_tmpfs(new_workplace: Callable[[], Workplace]) -> Iterator[Swept]:
    """A checkpoint in shared memory, of which cold is asked by default."""
    if not SHARED_MEMORY.is_dir() or not os.access(SHARED_MEMORY, os.W_OK):
        pytest.skip("there is no tmpfs that may be written to")
    place = new_workplace()
    models = Path(tempfile.mkdtemp(dir=SHARED_MEMORY, prefix="bench-test-"))
    try:
        yield swept(place, "load_format=auto", f"models_dir={models}", environment=quiet_start(place))
    finally:
        shutil.rmtree(models)


def test_a_checkpoint_on_a_tmpfs_is_unverified(on_tmpfs):
    """It can be neither evicted nor measured there. The start counts, under its own name."""
    (run,) = on_tmpfs.starts

    assert on_tmpfs.done.code == 0, on_tmpfs.done.err
    assert run.data.tags["bench.page_cache"] == "unverified"
    assert run.data.tags["bench.valid"] == "true"
    assert not any(name.startswith("page_cache/") for name in run.data.metrics)


def test_an_unverified_state_is_said_in_the_report(on_tmpfs):
    """Where the states are, in words."""
    words = "- Page cache before each start: unverified: nothing on this host tells it truly\n"

    assert words in section(on_tmpfs.report, "Scope")


@pytest.fixture(scope="module")
def badly_primed(new_workplace: Callable[[], Workplace]) -> Swept:
    """Primed caches, and a vLLM that compiles all the same; its neighbour says nothing of compiling."""
    place = with_a_model(new_workplace())
    formats = "load_format=auto,safetensors"
    return swept(place, formats, "compile_cache=primed", "page_cache=as_is", *MINE)


def test_a_start_that_compiled_though_its_caches_were_primed_does_not_count(badly_primed):
    """It finished, and is as invalid as a failed one; it says why, in its tags and in its description."""
    run, words = badly_primed.start("auto"), "compile_cache=primed was asked, but vLLM compiled"

    assert badly_primed.done.code == 0, badly_primed.done.err
    assert run.info.status == "FINISHED"
    assert run.data.tags["bench.valid"] == "false"
    assert run.data.tags["bench.compile_cache"] == "wrong"
    assert run.data.tags["bench.invalid_reason"] == words
    assert f"**Does not count:** {words}" in run.data.tags["mlflow.note.content"]


def test_a_start_that_does_not_count_is_said_to_the_user(badly_primed):
    """When it ends, and once more when the sweep does."""
    assert "  INVALID: compile_cache=primed was asked, but vLLM compiled\n" in badly_primed.done.err
    assert "  INVALID auto: compile_cache=primed was asked, but vLLM compiled\n" in badly_primed.done.err


def test_a_start_that_does_not_count_is_named_in_the_report_and_in_no_table(badly_primed):
    """It is counted where the points are, and listed with its reason."""
    scope = section(badly_primed.report, "Scope")

    assert "| auto | compile_cache=primed was asked, but vLLM compiled |" in section(
        badly_primed.report, "Invalid starts"
    )
    assert "- `auto`: 0 starts finished, 1 invalid\n" in scope
    assert columns(badly_primed.report) == ["safetensors"]
    assert section(badly_primed.report, "Speedups") == ""


def test_a_start_that_does_not_count_is_in_no_mean_of_the_sweep(badly_primed):
    """Neither in MLflow's."""
    metrics = sweep_of(badly_primed.place).data.metrics

    assert "mean ready_s/safetensors" in metrics
    assert not any(name.endswith("/auto") for name in metrics)


def test_the_starts_that_prime_are_runs_of_their_own_kind(badly_primed):
    """They are no children of the sweep, are compared with nothing, and are right to compile."""
    primes = [run for run in badly_primed.place.runs("bench-prepare") if run.data.tags["bench.kind"] == "prime"]

    assert primes
    assert all(PARENT not in run.data.tags for run in primes)
    assert {run.data.tags["bench.valid"] for run in primes} == {"true"}
    assert {run.data.tags["bench.page_cache"] for run in primes} == {"as_is"}
    assert [run.data.tags["bench.kind"] for run in badly_primed.starts] == ["start", "start"]


# A candidate that was measured elsewhere.


def measured(point: str, ready_s: float, **tags: str) -> list:
    names = {"vllm": "version.vllm", "gpu": "host.gpu", "host": "host.host"}
    return [
        made_start(point, {"ready_s": ready_s}, repeat=block, tags={names[name]: value for name, value in tags.items()})
        for block in range(3)
    ]


def test_a_candidate_on_another_vllm_version_has_no_speedup():
    """It may be the release that made the difference. Both versions are named, and how to compare all the same."""
    sweep = made_sweep(*measured("auto", 60.0, vllm="0.26.0"), *measured("dummy", 40.0, vllm="0.32.0"))
    comparison = compare(sweep)
    words = "the vLLM version differs (0.26.0 and 0.32.0); to compare all the same: ignore=version.vllm"

    assert comparison.withheld == {"dummy": words}
    assert comparison.speedups == ()
    assert f"- `dummy`: no speedup is shown: {words}." in report(comparison, {}, [])


def test_a_difference_that_is_ignored_by_name_is_said_in_the_report():
    """Whoever reads it was not asked."""
    sweep = made_sweep(*measured("auto", 60.0, vllm="0.26.0"), *measured("dummy", 40.0, vllm="0.32.0"))
    comparison = compare(sweep, ignore=["version.vllm"])

    assert comparison.withheld == {}
    assert comparison.speedup("dummy", "ready_s").ratio == pytest.approx(1.5)
    assert "- Compared although it differs, as asked: version.vllm.\n" in report(comparison, {}, [])


def test_only_the_difference_that_is_named_is_ignored():
    """On another GPU too: that is another reason."""
    sweep = made_sweep(
        *measured("auto", 60.0, vllm="0.26.0", gpu="H100"), *measured("dummy", 40.0, vllm="0.32.0", gpu="H200")
    )
    (reason,) = compare(sweep, ignore=["version.vllm"]).withheld.values()

    assert reason == "the GPU differs (H100 and H200); to compare all the same: ignore=host.gpu"
    assert compare(sweep, ignore=["version.vllm", "host.gpu"]).withheld == {}


# The plan.


@pytest.fixture
def bare(workplace: Workplace) -> Workplace:
    """A folder with nothing in it at all."""
    (workplace.folder / "mlflow.db").unlink()
    return workplace


def test_a_plan_lists_every_start_with_its_command_and_makes_nothing(bare):
    """In a moment, and as if it had never been asked for: no folder, no store, no checkpoint, no process."""
    began_s = time.monotonic()
    done = bare.bench("-m", "load_format=auto,runai_streamer_sharded", "repeats=2", "dry_run=true")
    lasted_s = time.monotonic() - began_s
    starts = re.findall(r"^ +\d+  block (\d)  (.*)$", done.out, re.MULTILINE)
    commands = [line for line in done.out.splitlines() if "vllm.entrypoints.openai.api_server" in line]

    assert done.code == 0, done.err
    assert Counter(starts) == Counter((block, point) for block in "12" for point in ("auto", "runai_streamer_sharded"))
    assert [re.search(r"--model (\S+) .*--load-format (\S+)", line).groups() for line in commands] == [
        ("models/tiny_llama", "auto"),
        ("models/tiny_llama-tp1", "runai_streamer_sharded"),
    ]
    assert [*bare.folder.iterdir()] == []
    assert bare.living() == []
    assert lasted_s < 10  # 3 where nobody else uses the host


def test_a_plan_is_estimated_from_earlier_starts_without_asking_mlflow(workplace):
    """Those that fill caches count too. What failed, or was never made here, tells nothing."""
    words = ("-m", "load_format=auto,dummy", "compile_cache=primed", "vllm.args.enforce_eager=false")
    plan = (*words, "repeats=200", "dry_run=true", "tracking.uri=http://nobody.invalid")
    before, failed = workplace.bench(*plan), workplace.bench(*words, environment={"FAKE_MODE": "exit"})
    after_failures = workplace.bench(*plan)
    workplace.bench(*words)
    after = workplace.bench(*plan)

    assert failed.code == 1
    assert "is unknown: 401 of 401 starts" in before.out
    assert "is unknown: 401 of 401 starts" in after_failures.out
    assert (found := re.search(r"^about (\d+) min, by earlier starts", after.out, re.MULTILINE))
    assert 2 <= int(found[1]) <= 100  # 400 starts of the fake, of half a second or a few each


def test_a_plan_shows_the_variables_that_move_the_caches(bare):
    """The command is the exact one: copied into a shell, it is the same start. A secret is the only thing that is not told."""
    words = (
        "-m",
        "load_format=auto",
        "compile_cache=fresh",
        "vllm.env.HF_TOKEN=a-token-nobody-may-see",
        "dry_run=true",
    )
    done = bare.bench(*words)

    assert re.search(rf"VLLM_CACHE_ROOT={bare.folder}/caches/fresh-\w+/vllm ", done.out)
    assert "HF_TOKEN='***'" in done.out
    assert "a-token-nobody-may-see" not in done.out + done.err
    assert [*bare.folder.iterdir()] == []


def test_the_plan_of_a_start_on_its_own_leaves_nothing_either(bare):
    """Hydra has made a folder for it before anybody could know."""
    done = bare.bench("load_format=dummy", "dry_run=true")

    assert done.code == 0, done.err
    assert "1 starts" in done.out
    assert [*bare.folder.iterdir()] == []


def test_a_plan_of_what_was_refused_is_refused(bare):
    """A plan that cannot be carried out is none."""
    done = bare.bench("-m", "tensor_parallel_size=0", "dry_run=true")

    assert done.code == 2
    assert "tensor_parallel_size=0" in done.err
    assert done.out == ""


def test_a_plan_of_a_start_on_its_own_that_this_host_cannot_make_is_refused(bare):
    """In words, and nothing of it is left."""
    done = bare.bench("dry_run=true", "vllm.python=/nowhere/python")

    assert done.code == 2
    assert "vllm.python=/nowhere/python: this interpreter cannot be run" in done.err
    assert "Traceback" not in done.err
    assert not (bare.folder / "outputs").exists()


# How a sweep ends.


def test_a_sweep_ends_early_where_its_ratios_are_known(workplace):
    """Two equal formats, known to 90 % after a few of 20 blocks; the run and the report say why."""
    words = ("load_format=auto,safetensors", "precision=90%", "min_blocks=3", "max_blocks=20", "page_cache=as_is")
    found = swept(with_a_model(workplace), *words, *MINE, environment=quiet_start(workplace))
    ended_by = sweep_of(workplace).data.tags["bench.ended_by"]
    blocks = Counter(run.data.tags["bench.block"] for run in found.starts)

    assert found.done.code == 0, found.done.err
    assert re.fullmatch(
        rf"after {len(blocks)} blocks, all ratios known to [\d.]+% \(precision=90% was asked\)", ended_by
    )
    assert 3 <= len(blocks) < 20
    assert set(blocks.values()) == {2}
    assert f"- It ended {ended_by}.\n" in section(found.report, "Scope")


def test_an_a_a_arm_is_a_point_more(workplace):
    """The baseline against itself: what its ratio shows is this rig."""
    found = swept(
        with_a_model(workplace),
        "load_format=auto",
        "aa=true",
        "page_cache=as_is",
        *MINE,
        environment=quiet_start(workplace),
    )
    once, again = found.start("auto"), found.start("auto again")

    assert found.done.code == 0, found.done.err
    assert sweep_of(workplace).data.tags["bench.points"].splitlines() == ["auto", "auto again"]
    assert once.data.params | {"vllm_command": ""} == again.data.params | {"vllm_command": ""}
    assert once.data.tags["bench.identity"] == again.data.tags["bench.identity"]
    assert "## Speedups (auto / auto again)" in found.report


# Resumed.


@contextmanager
def at_the_pipe(path: Path) -> Iterator[int]:
    """The other end of the log that a fake is about to play: it waits there until something is written, or the end."""
    opened: list[int] = []

    def open_it() -> bool:
        with suppress(OSError):  # ENXIO: nobody reads yet
            opened.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        return bool(opened)

    until(open_it)
    yield opened[0]
    os.close(opened[0])


BLOCKS = ("load_format=auto,safetensors", "repeats=3", *MINE)


@dataclass(frozen=True)
class Resumed:
    """A sweep that was killed, and what became of it."""

    place: Workplace
    first: Done
    before: "list[Run]"  # the starts that MLflow held when it was killed
    second: Done
    after: "list[Run]"
    third: Done
    at_last: "list[Run]"

    @property
    def folders(self) -> list[list[Path]]:
        """Those of the starts that were begun, by the command that began them."""
        begun: dict[Path, list[Path]] = {}
        for path in sorted(self.place.folder.glob("multirun/*/*/start-*")):
            begun.setdefault(path.parent, []).append(path)
        return list(begun.values())


@pytest.fixture(scope="module")
def resumed(new_workplace: Callable[[], Workplace]) -> Resumed:
    """Three blocks of two points: killed in the fourth start, which is the second of block 2; then resumed, twice."""
    place = with_a_model(new_workplace())
    quiet, pipe = quiet_start(place), place.folder / "pipe"
    log = Path(quiet["FAKE_LOG"]).read_bytes()
    os.mkfifo(pipe)
    driver = place.launch("-m", *BLOCKS, environment={"FAKE_LOG": str(pipe)})
    for done in range(1, 4):
        with at_the_pipe(pipe) as end:
            os.write(end, log)
        until(
            lambda done=done: len([*place.folder.glob("multirun/**/startup.json")]) == done or driver.poll() is not None
        )
    with at_the_pipe(pipe):
        driver.kill()
        first = ended(driver)
        until(lambda: not place.living())
    before = starts_of(place)
    second = place.bench("-m", *BLOCKS, "resume=true", environment=quiet)
    after = starts_of(place)
    third = place.bench("-m", *BLOCKS, "resume=true", environment=quiet)
    return Resumed(place, first, before, second, after, third, starts_of(place))


def test_a_killed_sweep_is_resumed_with_what_it_lacks(resumed):
    """Every point of every block once, no matter that the driver had no time to say goodbye."""
    found = Counter((run.data.tags["bench.point"], run.data.tags["bench.block"]) for run in resumed.after)

    assert resumed.second.code == 0, resumed.second.err
    assert found == Counter({(point, block): 1 for point in ("auto", "safetensors") for block in "012"})
    assert {run.info.status for run in resumed.after} == {"FINISHED"}


def test_what_was_measured_before_is_not_measured_again(resumed):
    """Three of the six were done: their runs are the same, and three were begun now."""
    kept = {run.info.run_id: run.info.end_time for run in resumed.before}

    assert len(kept) == 3
    assert kept.items() <= {run.info.run_id: run.info.end_time for run in resumed.after}.items()
    assert [len(folders) for folders in resumed.folders][:2] == [4, 3]
    assert "3 starts are done" in resumed.second.err


def test_a_resumed_sweep_keeps_its_order(resumed):
    """Each start has the place in the sweep that it was drawn for: the drift check needs it."""
    by_time = sorted(resumed.after, key=lambda run: run.info.start_time)

    assert [int(run.data.tags["bench.order"]) for run in by_time] == [1, 2, 3, 4, 5, 6]
    assert [int(run.data.tags["bench.block"]) for run in by_time] == [0, 0, 1, 1, 2, 2]


def test_a_resumed_sweep_is_one_sweep(resumed):
    """Below the run of the first command, which has ended now as if nothing had happened."""
    sweep = sweep_of(resumed.place)

    assert {run.data.tags[PARENT] for run in resumed.at_last} == {sweep.info.run_id}
    assert {run.data.tags["bench.sweep"] for run in resumed.at_last} == {sweep.data.tags["bench.sweep"]}
    assert sweep.info.status == "FINISHED"
    assert sweep.data.tags["bench.ended_by"] == "after the asked number of blocks"


def test_resuming_what_is_finished_starts_nothing(resumed):
    """And is no error: a script may say resume=true always."""
    assert resumed.third.code == 0, resumed.third.err
    assert [run.info.run_id for run in resumed.at_last] == [run.info.run_id for run in resumed.after]
    assert "6 starts are done" in resumed.third.err
    assert len(resumed.folders) == 2


def test_a_failed_start_is_made_again(workplace):
    """It may have been the weather. What failed stays a run, and is listed."""
    words = ("-m", "load_format=auto", *MINE)
    quiet = quiet_start(with_a_model(workplace))
    failed = workplace.bench(*words, environment=quiet | {"FAKE_MODE": "exit"})
    resumed = workplace.bench(*words, "resume=true", environment=quiet)
    statuses = [run.info.status for run in starts_of(workplace)]

    assert (failed.code, resumed.code) == (1, 0)
    assert statuses == ["FAILED", "FINISHED"]
    assert sweep_of(workplace).info.status == "FINISHED"
    assert "- `auto`: 1 start finished, 1 failed\n" in section(reported(workplace), "Scope")
