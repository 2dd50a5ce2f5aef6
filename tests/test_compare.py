"""`python -m bench.compare` on sweeps that MLflow holds: the folder it writes, what it tells MLflow, and what it refuses."""

import html
import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench import compare, replay
from bench.config import Tracking
from bench.sweep.report import report_sweep
from bench.tracking.owner import this_owner
from command_line import call_command, run_command, uri
from conftest import Done, Workplace, mlflow_client, quiet

if TYPE_CHECKING:
    from mlflow.entities import Run
    from pandas import DataFrame

LOGS = {f"{start}_{repeat}{kind}.log" for start in ("auto", "fastsafetensors", "runai_streamer_sharded")
        for repeat in (1, 2) for kind in ("", "_excerpts")}  # fmt: skip
REPORT = {
    "report.md",
    "report.html",
    "vllm_load_benchmark.png",
    "waterfall.png",
    "savings.png",
    "benchmark_metrics.json",
}


@dataclass(frozen=True)
class Compared:
    """A sweep that was compared, and what there was then."""

    place: Workplace
    measured: Done  # with its report at its end
    done: Done
    sweep: "Run"
    starts: "list[Run]"
    artifacts: dict[str, bytes]  # of the sweep's run
    files: dict[str, bytes]  # of the report's folder
    at_its_end: dict[str, bytes]  # of the same, when the sweep itself was over
    tables: list["DataFrame"]  # starts and speedups

    @property
    def sweep_id(self) -> str:
        return self.sweep.data.tags["bench.sweep"]

    @property
    def report(self) -> str:
        return self.files["report.md"].decode()


@pytest.fixture(scope="module")
def compared(new_workplace: Callable[[], Workplace]) -> Compared:
    """Three load formats, twice each: one fails on a CPU, one streams. The fake's shards have a few bytes, so whether those
    are cold cannot be told, and nothing is asked of the page cache.
    """
    place = new_workplace()
    formats = "load_format=auto,fastsafetensors,runai_streamer_sharded"
    measured = place.bench("-m", formats, "repeats=2", "page_cache=as_is", "cost.usd_per_gpu_hour=4", "report=true")
    assert measured.code == 1, measured.err
    at_its_end = files_of(place)
    done = run_command(place, "compare")
    assert done.code == 0, done.err
    runs = place.runs()
    (sweep,) = (run for run in runs if run.data.tags["bench.kind"] == "sweep")
    return Compared(
        place,
        measured,
        done,
        sweep,
        [run for run in runs if run.data.tags["bench.kind"] == "start"],
        place.artifacts(sweep),
        files_of(place),
        at_its_end,
        tables_of(place, sweep),
    )


def tables_of(place: Workplace, sweep: "Run") -> list["DataFrame"]:
    """By MLflow's own function."""
    with quiet(), pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", uri(place))
        client, experiment = mlflow_client(place.folder), sweep.info.experiment_id
        names = ("report/starts.json", "report/speedups.json")
        return [client.load_table(experiment, name, extra_columns=["run_id"]) for name in names]


def files_of(place: Workplace) -> dict[str, bytes]:
    """Of the report's folder, the only one."""
    (folder,) = (place.folder / "benchmark_results").iterdir()
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# What it writes.


def test_a_sweep_ends_with_the_report_that_compare_makes(compared):
    """Also one of which starts failed, and with its exit code. The same files, and the same words."""
    assert compared.at_its_end == compared.files
    assert compared.measured.out == compared.done.out


def test_a_report_that_cannot_be_made_is_said_and_costs_the_sweep_nothing(compared, tmp_path, monkeypatch, capsys):
    """Whatever it is: a folder that cannot be made, a store that is gone."""
    (tmp_path / "benchmark_results").touch()
    monkeypatch.chdir(tmp_path)
    for tracking in (
        Tracking(uri=uri(compared.place), experiment="bench"),
        Tracking(uri="sqlite:///gone.db", experiment="bench"),
    ):
        report_sweep(tracking, compared.sweep_id)
    folder, store = capsys.readouterr().err.splitlines()

    assert folder.startswith(f"sweep {compared.sweep_id} has no report: benchmark_results/{compared.sweep_id}: ")
    assert store.startswith(
        f"sweep {compared.sweep_id} has no report: tracking.uri=sqlite:///gone.db: there is no such file"
    )


def test_the_report_lies_in_a_folder_that_is_called_as_the_sweep(compared):
    """With every start's log beside it: it can be sent to somebody who has no MLflow."""
    (folder,) = (compared.place.folder / "benchmark_results").iterdir()

    assert folder.name == compared.sweep_id
    assert compared.files.keys() == REPORT | LOGS


def test_every_log_is_the_artifact_of_its_start(compared):
    """Byte by byte: what MLflow remembers is what the report was made of."""
    for run in compared.starts:
        kept = compared.place.artifacts(run)
        stem = run.info.run_name.replace(" #", "_")

        assert compared.files[f"{stem}.log"] == kept["vllm.log"]
        assert compared.files[f"{stem}_excerpts.log"] == kept["vllm_excerpts.log"]


def test_everything_that_the_report_links_to_is_there(compared):
    """And the other way round, except for the report itself."""
    linked = re.findall(r"\]\(\./([^)]+)\)", compared.report)

    assert {*linked, "report.md"} == compared.files.keys()


def test_the_report_names_what_the_starts_had_in_common(compared):
    """The model, the settings, the versions of the environment that was measured, and the host."""
    for words in ("Model: `tiny_llama`", "tensor_parallel_size: `1`", "vLLM: `0.32.0`", "Host: `"):
        assert f"- {words}" in compared.report


def test_a_failed_start_is_listed_and_no_column(compared):
    """With vLLM's own words; its point is mentioned where the points are counted."""
    assert "| fastsafetensors #2 | RuntimeError: Invalid device string: 'cuda:cpu' |" in compared.report
    assert "- `fastsafetensors`: 0 starts finished, 2 failed" in compared.report
    assert "| Metric | auto | runai_streamer_sharded |" in compared.report


def test_auto_is_the_baseline(compared):
    """Without a word from the user."""
    assert "## Speedups (auto / runai_streamer_sharded)" in compared.report


def test_the_streamer_has_its_section(compared):
    """The recorded log says 14.8 MiB, twice played; its seconds are made those of this start."""
    assert "- Streamed size: 14.80 MiB" in compared.report
    assert re.search(r"^- Best observed stream time: 0\.\d+ s$", compared.report, re.MULTILINE)


def test_the_json_has_the_values_of_every_start(compared):
    """The same ones as in MLflow."""
    points = json.loads(compared.files["benchmark_metrics.json"])["points"]
    kept = {run.info.run_id: run.data.metrics for run in compared.starts}

    for label in ("auto", "runai_streamer_sharded"):
        found = points[label]
        assert found["metrics"]["ready_s"]["values"] == [kept[run]["ready_s"] for run in found["run_ids"]]
        assert len(found["run_ids"]) == 2


# What it tells MLflow.


def test_the_sweeps_run_has_the_report_too(compared):
    """The same bytes: whoever has MLflow alone needs no folder."""
    kept = {name.removeprefix("report/"): content for name, content in compared.artifacts.items()}
    assert {kept.pop(name)[:12] for name in ("starts.json", "speedups.json")} == {b'{"columns": '}

    assert kept == {name: compared.files[name] for name in REPORT}


def test_the_sweeps_run_has_the_means_and_the_speedups(compared):
    """Else its row in MLflow's list is empty; those of the single starts stay with the starts."""
    points = json.loads(compared.files["benchmark_metrics.json"])["points"]
    metrics = compared.sweep.data.metrics

    assert metrics["mean ready_s/auto"] == pytest.approx(points["auto"]["metrics"]["ready_s"]["mean"])
    assert metrics["speedup ready_s/runai_streamer_sharded"] > 0
    assert all(name.startswith(("mean ", "speedup ")) for name in metrics)
    assert not any("fastsafetensors" in name for name in metrics)


def test_the_sweeps_description_is_the_table(compared):
    """MLflow shows it as one, on the run's page; it begins with the answer."""
    note = compared.sweep.data.tags["mlflow.note.content"]

    assert "| Metric | auto | runai_streamer_sharded |\n| --- | ---: | ---: |\n" in note
    assert "| Wall time to ready | " in note


def test_the_answer_is_the_first_thing_wherever_one_looks(compared):
    """The same words in the terminal, in MLflow's description, in the report and on its page."""
    answer, *_ = compared.done.out.splitlines()
    page = re.search(r"<section class=\"answer[^>]*>\s*<p>(.*?)</p>", compared.files["report.html"].decode(), re.DOTALL)

    assert len(answer) > 40
    assert compared.report.splitlines()[2] == answer
    assert compared.sweep.data.tags["mlflow.note.content"].splitlines()[0] == answer
    assert page
    assert html.unescape(re.sub(r"</?code>", "`", page[1])) == answer


def test_mlflow_loads_the_starts_and_the_speedups_as_tables(compared):
    """Typed, what is not known as such; each start once, though the report was written twice."""
    starts, speedups = compared.tables
    of_streamer = speedups[(speedups.candidate == "runai_streamer_sharded") & (speedups.metric == "ready_s")]

    assert [*starts.order] == [1, 2, 3, 4, 5, 6]
    assert {*starts.start_run_id} == {run.info.run_id for run in compared.starts}
    assert {*starts.run_id} == {compared.sweep.info.run_id}
    assert {*starts[starts.point == "fastsafetensors"].outcome} == {"failed"}
    assert starts.ready_s.notna().sum() == 4
    assert of_streamer.n.tolist() == [2]
    assert (of_streamer.low < of_streamer.speedup).all()
    assert [*speedups[speedups.candidate == "fastsafetensors"].metric] in ([], [None])


def test_the_price_that_the_sweep_was_given_is_the_reports(compared):
    """Without a word to compare; and a CPU has none."""
    assert compared.sweep.data.params["cost.usd_per_gpu_hour"] == "4.0"
    assert "- cost.usd_per_gpu_hour=4 is not used: these starts ran on a CPU.\n" in compared.report


# What it tells the user.


def test_the_tables_are_printed(compared):
    """The numbers are what one came for; they are those of the report."""
    tables, _, _ = compared.done.out.partition("\n\nsweep")
    answer, link, *rest = compared.sweep.data.tags["mlflow.note.content"].split("\n\n")
    run = compared.sweep.info

    assert tables == "\n\n".join([answer, *rest])
    assert link == (
        f"[The whole report](#/experiments/{run.experiment_id}/runs/{run.run_id}/artifacts/report/report.html)"
    )
    assert all(part in compared.report for part in tables.split("\n\n"))


def test_the_last_lines_say_where_the_report_is_and_how_to_see_the_runs(compared):
    """Both can be copied: a path from here, and a command."""
    sweep, report, page, mlflow = compared.done.out.splitlines()[-4:]

    assert sweep == f"sweep    {compared.sweep_id}, made {this_owner()}".replace(
        str(Path.cwd()), str(compared.place.folder)
    )
    assert report == f"report   benchmark_results/{compared.sweep_id}/report.md"
    assert page == f"page     benchmark_results/{compared.sweep_id}/report.html"
    assert re.fullmatch(
        r"MLflow   \S*mlflow ui --backend-store-uri sqlite:///mlflow\.db    then "
        rf"http://127\.0\.0\.1:5000/#/experiments/{compared.sweep.info.experiment_id}/runs\?workflowType=machine_learning&viewStateShareKey=bench-starts",
        mlflow,
    )
    assert compared.done.err == ""


# Which sweep, and how.


def test_a_sweep_is_found_by_its_id_its_run_and_as_the_latest(compared, tmp_path):
    """Whatever of it one has before one's eyes, in the terminal or in MLflow."""
    names = ["latest", compared.sweep_id, compared.sweep.info.run_id]
    found = [
        call_command(compared.place, compare.main, f"sweep={name}", f"output={tmp_path / str(index)}")
        for index, name in enumerate(names)
    ]
    reports = [(tmp_path / str(index) / compared.sweep_id / "report.md").read_text() for index in range(len(names))]

    assert [done.code for done in found] == [0, 0, 0]
    assert set(reports) == {compared.report}


def test_comparing_twice_is_comparing_once(compared):
    """The same files in the same place, and nothing left over."""
    done = call_command(compared.place, compare.main)
    (folder,) = (compared.place.folder / "benchmark_results").iterdir()
    again = {path.name: path.read_bytes() for path in folder.iterdir()}

    assert done.code == 0
    assert again.keys() == compared.files.keys()
    assert again["report.md"] == compared.files["report.md"]
    assert again["benchmark_metrics.json"] == compared.files["benchmark_metrics.json"]


def test_a_baseline_can_be_named(compared, tmp_path):
    """By the label of its point. The figures beside the report are pictures; tests/report looks at them more closely."""
    done = call_command(compared.place, compare.main, "baseline=runai_streamer_sharded", f"output={tmp_path}")
    folder = tmp_path / compared.sweep_id

    assert done.code == 0
    assert "## Speedups (runai_streamer_sharded / auto)" in (folder / "report.md").read_text()
    pictures = [path.read_bytes() for path in folder.glob("*.png")]
    assert len(pictures) == 3
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def test_where_leaves_a_part_of_the_sweep(compared, tmp_path):
    """One load format is left, so there is nothing to divide."""
    done = call_command(compared.place, compare.main, "where.load_format=auto", f"output={tmp_path}")
    text = (tmp_path / f"{compared.sweep_id}_load_format_auto" / "report.md").read_text()

    assert done.code == 0
    assert "- Only starts with load_format=auto." in text
    assert "Speedups" not in text


@pytest.mark.parametrize("part", ["where.load_format=auto", "sweep={sweep}:auto"])
def test_the_report_of_a_part_takes_no_place_of_the_wholes(compared, tmp_path, part):
    """Neither in the sweep's folder nor in its run: it would be the sweep's report from then on."""
    (was,) = (run for run in compared.place.runs() if run.info.run_id == compared.sweep.info.run_id)
    before = compared.place.artifacts(was)
    done = call_command(compared.place, compare.main, part.format(sweep=compared.sweep_id), f"output={tmp_path}")
    (run,) = (run for run in compared.place.runs() if run.info.run_id == compared.sweep.info.run_id)

    assert done.code == 0
    assert "keeps the report of all of it" in done.out
    assert not (tmp_path / compared.sweep_id).exists()
    assert run.data.tags["mlflow.note.content"] == was.data.tags["mlflow.note.content"]
    assert compared.place.artifacts(run) == before


def test_the_latest_sweep_is_the_one_that_began_last(workplace):
    """Whatever was compared, or named, in between."""
    for name in ("first", "second"):
        (workplace.folder / f"{name}.log").write_text("BENCHMARK_READY_SECONDS=1.0\n")
        assert call_command(workplace, replay.main, f"{name}.log").code == 0
    done = call_command(workplace, compare.main)

    assert done.code == 0
    assert "| Metric | second |" in done.out


def test_the_default_is_ones_own_sweep_and_nobody_elses_run_is_written(workplace):
    """A server is shared: the latest sweep of all is not the one that was just made here, and its run keeps its own report."""
    for name in ("mine", "hers"):
        (workplace.folder / f"{name}.log").write_text("BENCHMARK_READY_SECONDS=1.0\n")
        assert call_command(workplace, replay.main, f"{name}.log").code == 0
    with quiet():
        client = mlflow_client(workplace.folder)
        hers = workplace.runs()[-1 if workplace.runs()[-1].data.tags["bench.kind"] == "sweep" else -2]
        for tag, value in {"mlflow.user": "her", "bench.owner_host": "h", "bench.owner_folder": "/data/it's"}.items():
            client.set_tag(hers.info.run_id, tag, value)
    mine, named = (
        call_command(workplace, compare.main, *words) for words in ((), (f"sweep={hers.data.tags['bench.sweep']}",))
    )

    assert (mine.code, named.code) == (0, 0)
    assert "| Metric | mine |" in mine.out
    assert "| Metric | hers |" in named.out
    assert "made by her on h in /data/it's" in named.out
    assert "its run keeps the report that it has" in named.err
    assert workplace.artifacts(hers) == {}


def test_where_no_sweep_is_ones_own_another_one_is_named_and_not_taken(workplace):
    """Its owner and its id are in the message: it can be asked for."""
    (workplace.folder / "hers.log").write_text("BENCHMARK_READY_SECONDS=1.0\n")
    assert call_command(workplace, replay.main, "hers.log").code == 0
    sweep = next(run for run in workplace.runs() if run.data.tags["bench.kind"] == "sweep")
    with quiet():
        for tag in ("mlflow.user", "bench.owner_folder"):
            mlflow_client(workplace.folder).set_tag(sweep.info.run_id, tag, "hers")
    done = call_command(workplace, compare.main)

    assert done.code == 2
    assert "no sweep in this experiment was made by this user or in this folder" in done.err
    assert f"made by hers on {socket.gethostname()} in hers: sweep={sweep.data.tags['bench.sweep']}" in done.err
    other = call_command(workplace, compare.main, "tracking.experiment=foo")
    assert other.err.startswith("tracking.experiment=foo: there is no such experiment in sqlite:///")


# What it refuses.


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("sweep=nonsense", "sweep=nonsense: there is none of this id or name in sqlite:///"),
        (
            "baseline=nonsense",
            "baseline=nonsense: the points of this sweep that have finished starts are auto, runai_streamer_sharded.",
        ),
        ("where.load_format=nonsense", "where.load_format=nonsense: none of the 6 starts of sweep"),
        ("where.nonsense=auto", "where.nonsense=auto: none of the 6 starts of sweep"),
        ("gate_metric=first_token_s", "gate_metric=first_token_s: this has no effect without a gate:  gate=5%"),
        ("where.load_formt=null", "where.load_formt: no start of sweep"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(word, message, compared, tmp_path):
    """It names the setting; nothing is written, and nobody has to read a traceback."""
    done = call_command(compared.place, compare.main, word, f"output={tmp_path / 'results'}")

    assert done.code == 2
    assert done.err.startswith(message)
    assert done.err.count("\n") == 1
    assert done.out == ""
    assert not (tmp_path / "results").exists()


def test_a_number_that_was_changed_in_mlflow_is_refused_with_both_values(workplace):
    """Nothing is written, and no figure printed: which of the two is true, bench cannot know."""
    (workplace.folder / "first.log").write_text("BENCHMARK_READY_SECONDS=9.0\n")
    assert call_command(workplace, replay.main, "first.log").code == 0
    (start,) = (run for run in workplace.runs() if run.data.tags["bench.kind"] == "replay")
    with quiet():
        mlflow_client(workplace.folder).log_metric(start.info.run_id, "ready_s", 1.0)
    done = call_command(workplace, compare.main)

    assert (done.code, done.out) == (2, "")
    assert "first: metric ready_s: MLflow has 1.0, startup.json 9.0" in done.err
    assert not (workplace.folder / "benchmark_results").exists()


def test_a_store_without_a_sweep_says_how_to_make_one(workplace):
    """It is what everybody sees who starts with the wrong command."""
    done = call_command(workplace, compare.main)

    assert done.code == 2
    assert done.err == (
        f"tracking.uri={uri(workplace)}: there is no sweep yet. Make one:  python -m bench -m load_format=auto,safetensors\n"
    )


def test_a_comparison_without_a_finished_start_says_so(workplace):
    """The report has what became of each; whoever waits for a comparison reads the exit code."""
    (workplace.folder / "first.log").write_text("Loading weights took 1.00 seconds\n")
    assert call_command(workplace, replay.main, "first.log").code == 0
    done = call_command(workplace, compare.main)

    assert done.code == 2
    assert "nothing to compare, since none of its 1 starts finished and counts; first: " in done.err
    assert "first" in done.out
    assert len([*workplace.folder.glob("benchmark_results/*/report.md")]) == 1


def test_a_sweep_without_a_start_says_so(workplace):
    """It has only just begun, or it was ended before."""
    with quiet():
        client = mlflow_client(workplace.folder)
        tags = {"bench.kind": "sweep", "bench.sweep": "20260215-051500-1a2b"} | this_owner().tags
        client.create_run(client.create_experiment("bench"), tags=tags)
    done = call_command(workplace, compare.main)

    assert (done.code, done.err) == (2, "sweep 20260215-051500-1a2b has no start yet.\n")


def test_a_setting_that_does_not_exist_is_refused(compared):
    """A typo in one of the command's own must not pass for nothing."""
    done = call_command(compared.place, compare.main, "basline=auto")

    assert done.code == 2
    assert "basline" in done.err


def test_help_is_the_docstring_of_the_command(workplace):
    """Without looking at any store."""
    done = call_command(workplace, compare.main, "--help")

    assert done.code == 0
    assert "python -m bench.compare sweep=ID" in done.out
    assert (workplace.folder / "benchmark_results").exists() is False


def test_a_folder_without_a_store_is_left_without_one(workplace):
    """Who only reads makes nothing, and says what may be wrong: most likely the folder."""
    (workplace.folder / "mlflow.db").unlink()
    done = call_command(workplace, compare.main)

    assert done.code == 2
    assert "there is no such file" in done.err
    assert not (workplace.folder / "mlflow.db").exists()
