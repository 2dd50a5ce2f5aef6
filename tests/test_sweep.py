"""Whole runs of `python -m bench` with the fake vLLM: what MLflow holds, what the user is told, and what is left behind."""

import json
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from bench.compose import compose_settings
from bench.overrides.override_checks import normalised
from bench.overrides.points import points_of
from bench.sweep.plan import label_points
from bench.system.ownership import mark
from bench.system.process_identity import this_process
from bench.weights.manifest import MANIFEST
from bench.weights.sharded import check_whole
from conftest import Done, Workplace, cut_name, ended, mlflow_client, quiet, until

if TYPE_CHECKING:
    from mlflow.entities import Run

PARENT = "mlflow.parentRunId"
SECRET = "a-token-nobody-may-see"  # noqa: S105  # this one everybody may


def parents(runs: "list[Run]") -> "list[Run]":
    return [run for run in runs if PARENT not in run.data.tags]


def children(runs: "list[Run]") -> "list[Run]":
    return [run for run in runs if PARENT in run.data.tags]


@dataclass(frozen=True)
class Swept:
    """A sweep that is over, and what MLflow held of it then."""

    place: Workplace
    done: Done
    runs: "list[Run]"

    @property
    def children(self) -> "list[Run]":
        return children(self.runs)

    def child(self, load_format: str) -> "Run":
        return next(run for run in self.children if run.data.params["load_format"] == load_format)


@pytest.fixture(scope="module")
def two_sweeps(new_workplace: Callable[[], Workplace]) -> list[Swept]:
    """Those of `finished` and `mixed`, side by side, since each takes a while."""
    places = [new_workplace(), new_workplace()]
    left = places[0].models / f".{cut_name()}.0badcafe.partial"
    left.mkdir(parents=True)
    with patch("bench.system.ownership.this_process", lambda: replace(this_process(), boot="an-earlier-one")):
        mark(left, "a checkpoint that is being made")
    (left / "model-rank-0-part-0.safetensors").write_bytes(b"half of the wei")
    running = [
        places[0].launch("-m", "load_format=auto,runai_streamer_sharded"),
        places[1].launch("-m", "load_format=auto,fastsafetensors", "repeats=2", f"vllm.env.HF_TOKEN={SECRET}"),
    ]
    return [Swept(place, ended(process), place.runs()) for place, process in zip(places, running, strict=True)]


# A sweep in which every start finishes, over an original and a sharded checkpoint.


@pytest.fixture(scope="module")
def finished(two_sweeps: list[Swept]) -> Swept:
    """auto and runai_streamer_sharded, once each. What a killed preparation has left lies where the latter's checkpoint is
    to come.
    """
    return two_sweeps[0]


def test_every_start_of_a_sweep_is_a_finished_run_below_the_run_of_the_sweep(finished):
    """One parent and a child for each point: `mlflow ui` folds them up."""
    assert finished.done.code == 0, finished.done.err
    (parent,) = parents(finished.runs)

    assert [child.data.tags[PARENT] for child in finished.children] == [parent.info.run_id] * 2
    assert {run.info.status for run in finished.runs} == {"FINISHED"}


def test_a_start_is_named_by_what_varies(finished):
    """And by nothing else: MLflow shows 20 characters."""
    assert {child.info.run_name for child in finished.children} == {"auto", "runai_streamer_sharded"}


def test_a_start_has_its_settings_as_params(finished):
    """By their dotted names, a group by its choice, with the command that was executed."""
    params = finished.child("auto").data.params

    assert params["model"] == "tiny_llama"
    assert params["tensor_parallel_size"] == "1"
    assert params["model.random.hidden_size"] == "512"
    assert "-m vllm.entrypoints.openai.api_server --model models/tiny_llama" in params["vllm_command"]
    assert params["load_format"] == "auto"


def test_what_the_host_decided_is_a_param_too(finished):
    """A setting that was left open has the value that vLLM was given, so that runs of two hosts can be told apart."""
    assert 0 < float(finished.child("auto").data.params["gpu_memory_utilization"]) < 1


def test_a_start_has_the_times_of_the_clock_and_of_the_log(finished):
    """Each child its own."""
    metrics = finished.child("auto").data.metrics

    assert 0 < metrics["ready_s"] < metrics["first_token_s"]
    assert metrics["phase/init_engine_s"] > 0
    assert metrics["checkpoint/size_gib"] > 0


def test_a_start_tells_what_was_measured_and_what_it_said(finished):
    """The versions are those of the measured environment; equal tokens have equal names."""
    auto, sharded = (finished.child(name).data.tags for name in ("auto", "runai_streamer_sharded"))

    assert auto["bench.kind"] == "start"
    assert auto["version.vllm"] == "0.32.0"
    assert auto["bench.tokens"] == sharded["bench.tokens"]


def test_the_run_of_the_sweep_tells_its_points_and_what_varies(finished):
    """It carries no numbers of its own."""
    (parent,) = parents(finished.runs)

    assert parent.data.tags["bench.kind"] == "sweep"
    assert set(parent.data.tags["bench.points"].splitlines()) == {"auto", "runai_streamer_sharded"}
    assert parent.data.params["load_format"] == "auto,runai_streamer_sharded"


def test_the_children_belong_to_the_sweep_by_a_tag_too(finished):
    """A report finds them by it, whatever the parent is called."""
    (parent,) = parents(finished.runs)

    assert {run.data.tags["bench.sweep"] for run in finished.runs} == {parent.data.tags["bench.sweep"]}


def test_a_start_keeps_its_whole_log_and_record(finished):
    """What a number was read from can be read again, stamps and all."""
    files = finished.place.artifacts(finished.child("auto"))
    played = [line[10:] for line in files["vllm.log"].splitlines()]

    assert json.loads(files["startup.json"])["reason"] is None
    assert any(b"init engine" in line for line in played)
    assert {"settings.json", "vllm_excerpts.log"} < files.keys()


def test_a_start_tells_how_much_memory_it_took(finished):
    """Sampled from outside: the peaks are metrics, the curve is a file and a figure."""
    metrics, files = (finished.child("auto").data.metrics, finished.place.artifacts(finished.child("auto")))

    assert 0.001 < metrics["memory/host_anon_peak_gib"] < 1
    assert files["memory.csv"].startswith(b"elapsed_s,anon_gib,file_gib,shmem_gib,pss_gib")
    assert files["memory.png"].startswith(b"\x89PNG")


def test_the_sharded_checkpoint_is_made_before_the_starts(finished):
    """One that the load format needs and nobody has made is no reason to fail."""
    manifest = json.loads((finished.place.models / cut_name() / MANIFEST).read_text())

    assert manifest["tensor_parallel_size"] == 1
    assert list(manifest["files"]) == ["model-rank-0-part-0.safetensors"]
    assert manifest["made_by"] == {"vllm": "0.32.0"}


def test_what_a_killed_preparation_left_is_not_taken_for_a_checkpoint(finished):
    """It is removed, and the work done again."""
    folder = finished.place.models / cut_name()

    assert check_whole(folder, 1) is None
    assert b"half of the wei" not in (folder / "model-rank-0-part-0.safetensors").read_bytes()
    assert list(finished.place.models.glob(".*.partial")) == []


def test_a_preparation_is_a_run_of_its_own_experiment(finished):
    """Listed apart from the starts, with how long it took."""
    made = finished.place.runs("bench-prepare")

    assert {run.info.run_name for run in made} == {"tiny_llama", cut_name()}
    assert all(run.data.metrics["prepare_s"] > 0 for run in made)


def test_a_checkpoint_that_is_there_is_not_made_again(finished, alone):
    """A second run reads what the first has made, to the last file."""
    made, read = (
        {path.relative_to(models): path.stat().st_mtime_ns for path in models.glob("*/*")}
        for models in (finished.place.models, alone.place.models)
    )

    assert alone.done.code == 0, alone.done.err
    assert read == made
    assert alone.place.runs("bench-prepare") == []


def test_a_checkpoint_that_was_changed_is_refused(finished, workplace):
    """A truncated file would fail late, or load wrong weights; the message has the command that makes it again."""
    shutil.copytree(finished.place.models, workplace.models)
    with (workplace.models / cut_name() / "model-rank-0-part-0.safetensors").open("r+b") as file:
        file.truncate(3)
    done = workplace.bench("-m", "load_format=runai_streamer_sharded")

    assert done.code == 2
    assert "its files changed since they were written, among them model-rank-0-part-0.safetensors" in done.err
    assert (
        "python -m bench.prepare model=tiny_llama load_format=runai_streamer_sharded tensor_parallel_size=1 remake=true"
    ) in done.err
    assert children(workplace.runs()) == []


# A sweep in which one point fails, in several blocks, and a secret is told to vLLM.


@pytest.fixture(scope="module")
def mixed(two_sweeps: list[Swept]) -> Swept:
    """auto and fastsafetensors, twice each; vLLM on a CPU cannot load the latter."""
    return two_sweeps[1]


def test_every_block_holds_each_point_once(mixed):
    """So that a drift of the host touches all points alike: the second block begins when the first is over."""
    in_order = sorted(mixed.children, key=lambda run: run.info.start_time)
    blocks = [
        {run.data.tags["bench.point"] for run in in_order[:2]},
        {run.data.tags["bench.point"] for run in in_order[2:]},
    ]

    assert blocks == [{"auto", "fastsafetensors"}] * 2
    assert [run.data.tags["bench.repeat"] for run in in_order] == ["0", "0", "1", "1"]


def test_a_failing_start_does_not_stop_the_sweep(mixed):
    """The others are as good as ever."""
    statuses = {(run.data.params["load_format"], run.info.status) for run in mixed.children}

    assert len(mixed.children) == 4
    assert statuses == {("auto", "FINISHED"), ("fastsafetensors", "FAILED")}


def test_a_failed_start_tells_why_in_a_line_of_vllm(mixed):
    """Not that the engine core died, which is only how it ended."""
    tags = mixed.child("fastsafetensors").data.tags

    assert tags["bench.reason"].count("\n") == 0
    assert "Invalid device string" in tags["bench.reason"]
    assert "Invalid device string" in tags["mlflow.note.content"]


def test_every_start_tells_its_outcome(mixed):
    """A failed one with the class of its reason, so that failures can be searched for and counted."""
    failed, good = mixed.child("fastsafetensors").data.tags, mixed.child("auto").data.tags

    assert (good["bench.outcome"], failed["bench.outcome"]) == ("ready", "failed")
    assert failed["bench.reason_class"] == "device_failure"
    assert "bench.reason_class" not in good


def test_a_failed_start_has_no_times_that_it_did_not_reach(mixed):
    """Missing is missing, and never zero."""
    metrics = mixed.child("fastsafetensors").data.metrics

    assert "ready_s" not in metrics
    assert "first_token_s" not in metrics


def test_a_failed_start_keeps_its_log(mixed):
    """The one line may not be enough."""
    assert b"Invalid device string" in mixed.place.artifacts(mixed.child("fastsafetensors"))["vllm.log"]


def test_a_sweep_with_a_failed_start_fails_as_a_whole(mixed):
    """In its exit code, in its run, and in the list at the end, with each reason."""
    (parent,) = parents(mixed.runs)
    failures = [line for line in mixed.done.err.splitlines() if line.startswith("  FAILED  fastsafetensors #")]

    assert mixed.done.code == 1
    assert parent.info.status == "FAILED"
    assert len(failures) == 2
    assert all("Invalid device string" in line for line in failures)


def test_a_secret_is_in_no_param_tag_or_artifact(mixed):
    """A tracking server is read by many."""
    everywhere = [json.dumps(run.to_dictionary()).encode() for run in mixed.runs]
    everywhere += [content for run in mixed.runs for content in mixed.place.artifacts(run).values()]

    assert not any(SECRET.encode() in some for some in everywhere)
    assert SECRET not in mixed.done.out + mixed.done.err
    assert {run.data.params["vllm.env.HF_TOKEN"] for run in mixed.children} == {"***"}


SECRET_POINTS = ["vllm.env.HF_TOKEN=a-token,another-token"]


def test_a_secret_is_in_no_name_of_a_point():
    """Two accounts are compared: each point is named by what varies, which may not be told."""
    overrides = points_of(normalised(SECRET_POINTS))
    labels = [point.label for point in label_points(overrides, compose_settings(SECRET_POINTS))]

    assert not any("a-token" in label or "another-token" in label for label in labels)


# A start on its own.


@pytest.fixture(scope="module")
def alone(new_workplace: Callable[[], Workplace], finished: Swept) -> Swept:
    """runai_streamer_sharded, from the checkpoint that an earlier sweep has made."""
    place = new_workplace()
    shutil.copytree(finished.place.models, place.models)
    done = place.bench("load_format=runai_streamer_sharded", environment={"MLFLOW_RUN_ID": "0" * 32})
    return Swept(place, done, place.runs())


def test_a_start_on_its_own_has_no_parent(alone):
    """Not even the run that a surrounding `mlflow run` may have opened for something else."""
    (run,) = alone.runs

    assert alone.done.code == 0, alone.done.err
    assert PARENT not in run.data.tags
    assert run.info.status == "FINISHED"


def test_a_start_on_its_own_fills_its_caches_first_and_finishes(workplace):
    """The default: the start that fills them has a folder inside of that of the one that counts, made before it."""
    done = workplace.bench("compile_cache=primed")

    assert done.code == 0, done.err
    assert [run.info.status for run in workplace.runs()] == ["FINISHED"]
    assert [run.info.status for run in workplace.runs("bench-prepare")] == ["FINISHED"]
    assert len([*workplace.folder.glob("outputs/*/*/prime/startup.json")]) == 1


def test_a_start_that_is_never_ready_is_a_failed_run(workplace):
    """After vllm.ready_timeout_s; what vLLM said until then is kept, and not taken for the reason."""
    done = workplace.bench("vllm.env.FAKE_MODE=hang", "vllm.ready_timeout_s=0.5")
    (run,) = workplace.runs()

    assert done.code == 1
    assert run.info.status == "FAILED"
    assert run.data.tags["bench.reason"] == "not ready within vllm.ready_timeout_s=0.5"
    assert run.data.tags["bench.reason_class"] == "timeout"
    assert workplace.living() == []


# What is refused before anything is started.

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def test_one_bad_point_stops_the_whole_sweep_before_its_first_start(workplace):
    """All that is wrong with any point is said at once: nobody waits an hour for the next mistake."""
    done = workplace.bench("-m", "tensor_parallel_size=1,0", "max_model_len=none", "vllm.args.port=1,2")

    assert done.code == 2
    assert "tensor_parallel_size=0: must be greater than or equal to 1" in done.err
    assert "max_model_len='none': must be a whole number" in done.err
    assert "Traceback" not in done.err
    assert workplace.runs() == []
    assert workplace.logs() == []


def test_several_starts_are_refused_where_there_is_no_sweep(workplace):
    """`repeats` and `precision` would silently mean nothing."""
    several = {"repeats=2": "repeats=2", "precision=10%": "precision=0.1"}
    done = {word: workplace.bench(word) for word in several}

    assert {word: each.code for word, each in done.items()} == dict.fromkeys(several, 2)
    for word, shown in several.items():
        assert done[word].err.strip() == f"{shown}: several starts are a sweep. Add -m."
    assert workplace.runs() == []


@pytest.mark.parametrize(
    "words",
    [
        ("hydra/sweeper=basic", "load_format=auto,safetensors"),
        ("--config-dir=own", "experiment=other_sweeper", "load_format=auto,safetensors"),
        ("--config-dir=own", "experiment=no_check", "load_format=auto,safetensors"),
    ],
    ids=" ".join,
)
def test_without_bench_s_sweeper_and_its_check_nothing_is_started(workplace, words):
    """Also where a config of the user's own changes them, and dry_run is there for nobody else."""
    own = workplace.folder / "own" / "experiment"
    own.mkdir(parents=True)
    (own / "other_sweeper.yaml").write_text(
        f"# @package _global_\nhydra: {{sweeper: {{_target_: {BASIC}, max_batch_size: null}}}}\n"
    )
    (own / "no_check.yaml").write_text(
        "# @package _global_\nhydra: {callbacks: {check: {_target_: hydra.experimental.callback.Callback}}}\n"
    )
    done = workplace.bench("-m", "dry_run=true", *words)

    assert done.code == 2, done.err
    assert re.match(r"hydra(/sweeper=\w+|\.callbacks\.check): ", done.err)
    assert workplace.logs() == []
    assert not (workplace.folder / "multirun").exists()


def test_an_interpreter_without_vllm_is_refused(workplace):
    """By the name of the setting that says which interpreter it is."""
    done = workplace.bench("-m", "load_format=auto,dummy", "vllm.python=/nowhere/python")

    assert done.code == 2
    assert "vllm.python=/nowhere/python: this interpreter cannot be run" in done.err
    assert workplace.runs() == []


# Below a run of somebody else's.


def run_of_a_user(place: Workplace, **tags: str) -> str:
    """A run in the experiment `mine`, as MLFLOW_RUN_ID names it."""
    with quiet():
        client = mlflow_client(place.folder)
        experiment = client.create_experiment("mine", artifact_location=str(place.folder / "mlruns"))
        return str(client.create_run(experiment, run_name="my parent", tags=tags).info.run_id)


def test_the_run_of_mlflow_run_becomes_the_sweep(workplace):
    """It has opened one for bench, by MLFLOW_RUN_ID; a second parent beside it would be empty."""
    opened = run_of_a_user(workplace, **{"mlflow.source.type": "PROJECT"})
    done = workplace.bench("-m", "load_format=auto,dummy", environment={"MLFLOW_RUN_ID": opened})
    (parent,) = parents(workplace.runs("mine"))

    assert done.code == 0, done.err
    assert parent.info.run_id == opened
    assert [child.data.tags[PARENT] for child in children(workplace.runs("mine"))] == [opened] * 2
    assert workplace.runs("bench") == []


def test_sweeps_of_an_orchestrator_are_below_its_run_which_stays_as_it_is(workplace):
    """In its experiment, whatever MLFLOW_EXPERIMENT_NAME is: MLflow shows no child of another one. A second sweep is a second child."""
    given = {"MLFLOW_RUN_ID": run_of_a_user(workplace), "MLFLOW_EXPERIMENT_NAME": "team"}
    done = [workplace.bench("-m", word, environment=given) for word in ("load_format=auto,dummy", "load_format=auto")]
    every = workplace.runs("mine")
    (users,) = (run for run in every if run.info.run_id == given["MLFLOW_RUN_ID"])
    sweeps = [run for run in every if run.data.tags.get("bench.kind") == "sweep"]

    assert [each.code for each in done] == [0, 0], done
    assert (users.info.run_name, users.info.status, users.data.params) == ("my parent", "RUNNING", {})
    assert [sweep.data.tags[PARENT] for sweep in sweeps] == [users.info.run_id] * 2
    assert len({sweep.info.run_name for sweep in sweeps}) == 2
    assert len([run for run in every if run.data.tags.get(PARENT) in {each.info.run_id for each in sweeps}]) == 3
    assert workplace.runs("team") == []


def test_the_experiment_is_the_environments_unless_it_is_typed(workplace):
    """As for any other program that logs to MLflow."""
    team = {"MLFLOW_EXPERIMENT_NAME": "team"}
    done = [workplace.bench(*words, environment=team) for words in ((), ("tracking.experiment=typed",))]

    assert [each.code for each in done] == [0, 0], done
    assert [len(workplace.runs(name)) for name in ("team", "typed", "bench")] == [1, 1, 0]


def test_a_run_or_an_experiment_of_the_environment_that_does_not_fit_is_refused(workplace):
    """Before anything is started; with what to type."""
    run_of_a_user(workplace)
    unknown = workplace.bench("-m", "load_format=auto", environment={"MLFLOW_RUN_ID": "0" * 32})
    other = workplace.bench(environment={"MLFLOW_EXPERIMENT_ID": "1"})

    assert (unknown.code, other.code) == (2, 2)
    assert unknown.err.startswith(
        f"MLFLOW_RUN_ID={'0' * 32}: there is no such run at tracking.uri=sqlite:///mlflow.db."
    )
    assert other.err.startswith("MLFLOW_EXPERIMENT_ID=1 is the experiment 'mine', and tracking.experiment=bench. Type")
    assert workplace.logs() == []


# Interrupted and killed.


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"])
def test_an_interrupted_sweep_leaves_a_failed_run_and_no_process(workplace, number, code):
    """vLLM is in the middle of its start. The starts that have not begun are not begun any more."""
    driver = workplace.start("-m", "load_format=auto,dummy", "vllm.env.FAKE_MODE=hang")
    until(lambda: workplace.logs() or driver.poll() is not None)
    driver.send(number)
    done = driver.done()
    (child,) = children(workplace.runs())
    (parent,) = parents(workplace.runs())

    assert done.code == code, done.err
    assert workplace.living() == []
    assert (child.info.status, child.data.tags["bench.reason"]) == ("FAILED", "interrupted")
    assert parent.info.status == "FAILED"


@pytest.mark.parametrize("mode", ["hang", "orphan"])
def test_a_killed_driver_leaves_no_process(workplace, mode):
    """Whether vLLM still starts, or serves and has a worker that nothing but SIGKILL ends."""
    driver = workplace.start(f"vllm.env.FAKE_MODE={mode}", "vllm.stop_timeout_s=0.2")
    until(lambda: workplace.logs() or driver.poll() is not None)
    driver.send(signal.SIGKILL)
    driver.ended()

    until(lambda: not workplace.living())


def test_a_killed_preparation_leaves_no_process_and_no_checkpoint(workplace):
    """Only a hidden folder, which nobody takes for one."""
    driver = workplace.start("load_format=sharded_state", environment={"FAKE_SHARD": "hang"})
    until(lambda: list(workplace.models.glob(".tiny_llama-*-tp1.*.partial/*")) or driver.poll() is not None)
    driver.send(signal.SIGKILL)
    driver.ended()

    until(lambda: not workplace.living())
    assert not (workplace.models / cut_name()).exists()
