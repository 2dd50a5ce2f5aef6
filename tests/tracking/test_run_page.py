"""What MLflow's own pages show of a run: a name, a line, whose it is, the checkpoint, curves; and that none of it can cost the run."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from bench.compose import compose_settings
from bench.config import Settings
from bench.tracking.page import POINTS_AT_MOST, origin_tags, sweep_name, thinned
from bench.tracking.runs import log_report, log_start
from bench.tracking.store import connect
from bench.tracking.sweeps import SweepRun, open_sweep
from bench.vllm.memory import FILE, MemorySample, write_memory
from conftest import quiet
from made_starts import failed, startup

pytestmark = pytest.mark.filterwarnings("ignore")
CONTENT = "0123456789abcdef" * 4


@pytest.fixture
def settings(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return compose_settings([f"tracking.uri=sqlite:///{tmp_path / 'mlflow.db'}"])[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A start on disk, with its memory in 1,000 samples."""
    place = tmp_path / "start"
    place.mkdir()
    samples = [
        MemorySample(number / 10, anon_gib=number / 1000, gpu_used_gib=(2.0,), gpu_own_gib=(None,))
        for number in range(1000)
    ]
    write_memory(samples, place / FILE)
    return place


def logged(settings: Settings, folder: Path, **facts: object):
    start = startup(**facts)
    start.save(folder)
    with quiet():
        client = connect(settings.tracking.uri).client
        return client, client.get_run(log_start(settings.tracking, start, folder))


def test_a_start_says_in_one_line_what_it_was_and_how_long_it_took(settings, folder):
    params = {"load_format": "auto", "model": "tiny_llama", "tensor_parallel_size": "2"}
    metrics = {"ready_s": 35.774, "first_token_s": 35.92}
    _, run = logged(settings, folder, params=params, metrics=metrics, tags={"bench.page_cache": "cold"})

    first = run.data.tags["mlflow.note.content"].splitlines()[0]
    assert first == "auto on tiny_llama, TP 2, page cache cold: ready after 35.77 s, first token after 35.92 s."


def test_a_start_that_was_never_ready_says_so_and_why(settings, folder):
    start = failed()
    start.save(folder)
    with quiet():
        client = connect(settings.tracking.uri).client
        note = client.get_run(log_start(settings.tracking, start, folder)).data.tags["mlflow.note.content"]

    assert note.splitlines()[0].endswith(": not ready.")
    assert "**Failed:** a worker was killed" in note


def test_a_sweep_is_called_by_what_it_compares(settings):
    sweep = SweepRun("20261129-1", 1.0, {}, {"bench.points": "auto\nrunai_streamer"})
    with quiet():
        run = connect(settings.tracking.uri).client.get_run(open_sweep(settings.tracking, sweep))

    assert run.info.run_name == "auto, runai_streamer"
    assert sweep_name("20261129-1", {}) == "20261129-1"


def test_a_run_says_who_made_it_from_which_commit(settings, folder):
    _, run = logged(settings, folder, tags={"source.git_commit": "abc123"})

    shown = {name: run.data.tags.get(f"mlflow.{name}") for name in ("source.name", "source.git.commit")}
    assert shown == {"source.name": "bench", "source.git.commit": "abc123"}
    assert run.data.tags["mlflow.user"]
    assert "mlflow.source.git.commit" not in origin_tags(None)


def test_the_checkpoint_is_the_runs_dataset_by_its_content(settings, folder):
    """Once, however often it is uploaded; and none where its content is not known."""
    _, run = logged(settings, folder, params={"model": "tiny_llama"}, tags={"bench.checkpoint_content": CONTENT})
    (found,) = run.inputs.dataset_inputs

    assert (found.dataset.name, found.dataset.digest) == ("tiny_llama", CONTENT[:36])


def test_a_checkpoint_of_unknown_content_is_no_dataset(settings, folder):
    _, run = logged(settings, folder)

    assert run.inputs.dataset_inputs == []


def test_the_memory_is_a_curve_of_system_metrics(settings, folder):
    client, run = logged(settings, folder)
    curve = client.get_metric_history(run.info.run_id, "system/host_anon_gib")

    assert len(curve) <= POINTS_AT_MOST
    assert max((point.step, point.value) for point in curve) == (99_900, 0.999)
    assert {point.value for point in client.get_metric_history(run.info.run_id, "system/gpu_0_used_gib")} == {2.0}
    assert not client.get_metric_history(run.info.run_id, "system/host_pss_gib")


@pytest.mark.parametrize("count", [0, 1, POINTS_AT_MOST, POINTS_AT_MOST + 1, 3 * POINTS_AT_MOST])
def test_a_curve_keeps_its_last_sample_and_no_more_than_can_be_drawn(count):
    samples = [MemorySample(float(number)) for number in range(count)]
    kept = thinned(samples)

    assert len(kept) <= POINTS_AT_MOST
    assert kept[-1:] == samples[-1:]
    assert kept == sorted(kept, key=lambda sample: sample.elapsed_s)


@pytest.mark.parametrize("call", ["log_inputs", "log_batch of curves"])
def test_a_store_that_takes_neither_dataset_nor_curves_has_the_run_all_the_same(settings, folder, monkeypatch, call):
    from mlflow import MlflowClient

    real = MlflowClient.log_batch

    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("no such endpoint")

    def no_curves(self: MlflowClient, run_id: str, metrics: tuple = (), **rest: object) -> object:
        if any(metric.key.startswith("system/") for metric in metrics):
            refuse()
        return real(self, run_id, metrics=metrics, **rest)

    monkeypatch.setattr(MlflowClient, *(("log_inputs", refuse) if call == "log_inputs" else ("log_batch", no_curves)))
    _, run = logged(settings, folder, tags={"bench.checkpoint_content": CONTENT})

    assert (run.info.status, run.data.tags["bench.uploaded"]) == ("FINISHED", "true")


def test_a_damaged_file_of_the_memory_is_no_reason_to_fail(settings, folder):
    (folder / FILE).write_text("elapsed_s,anon_gib\n\n1,x\n")

    assert logged(settings, folder)[1].info.status == "FINISHED"


def test_a_second_report_replaces_the_first_and_leaves_tables_of_users(settings):
    """As of a sweep that was compared, and then resumed. MLflow's own log_table would keep the rows of both."""
    sweep = SweepRun("20260101-000000-abcd", 1.0, {}, {})
    run_id, users = open_sweep(settings.tracking, sweep), {"path": "mine.json", "type": "table"}
    client = connect(settings.tracking.uri).client
    client.set_tag(run_id, "mlflow.loggedArtifacts", json.dumps([users]))
    for mean_s in (2.0, 1.0):
        tables = {"starts.json": {"start": ["auto"], "ready_s": [mean_s], "reason": [None]}}
        log_report(settings.tracking, run_id, metrics={"mean": mean_s}, note=f"{mean_s}", files=[], tables=tables)
    run = client.get_run(run_id)
    table = json.loads((Path(run.info.artifact_uri.removeprefix("file://")) / "report" / "starts.json").read_text())

    assert (run.data.metrics, run.data.tags["mlflow.note.content"]) == ({"mean": 1.0}, "1.0")
    assert table == {"columns": ["start", "ready_s", "reason"], "data": [["auto", 1.0, None]]}
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [
        users,
        {"path": "report/starts.json", "type": "table"},
    ]
