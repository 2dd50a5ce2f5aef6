"""What MLflow's own pages show of a run beside its params, metrics and tags: its name, one line, whose it is, the checkpoint, curves."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from bench.masking import masked
from bench.start import tags as t
from bench.start.files import MEMORY
from bench.start.metrics import CHECKPOINT_SIZE, FIRST_TOKEN, READY
from bench.start.record import Startup
from bench.tracking.owner import user_name
from bench.tracking.store import Store
from bench.tracking.views import NOTE
from bench.vllm.memory import MemorySample, read_memory

POINTS_AT_MOST = 200  # of a curve: MLflow draws no more, and each is a row of its database
DIGEST_AT_MOST = 36  # characters, of a dataset's
CURVES = "system/"  # what MLflow draws as system metrics, and no number of ours: nothing is read back from them
BATCH = 1000  # metrics a call
COMMIT = t.SOURCE.name("git_commit")


def sweep_name(sweep_id: str, tags: Mapping[str, str]) -> str:
    """What it compares: the labels of its points. A sweep that has none is called by its id."""
    return ", ".join(t.POINTS.in_(tags) or ()) or sweep_id


def start_note(startup: Startup) -> dict[str, str]:
    """A line on the start, then its reason, problems and warnings, as the run's description; as tags they can be searched for."""
    lines = [_headline(startup)]
    lines += [f"**Failed:** {startup.reason}"] if startup.reason else []
    lines += [f"**Does not count:** {problem}" for problem in startup.problems]
    lines += [f"- Warning: {warning}" for warning in startup.warnings]
    return {NOTE: "\n".join(lines)}


def _headline(startup: Startup) -> str:
    params, cache = startup.params, t.PAGE_CACHE.in_(startup.tags)
    of_what = f"{params.get('load_format', startup.name)} on {params.get('model', 'a model that is not known')}"
    sizes = [f"TP {size}"] if (size := params.get("tensor_parallel_size")) else []
    state = [f"page cache {cache}"] if cache else []
    times = [
        f"{words} {startup.metrics[metric.name]:.2f} s"
        for metric, words in ((READY, "ready after"), (FIRST_TOKEN, "first token after"))
        if metric.name in startup.metrics
    ]
    return f"{', '.join([of_what, *sizes, *state])}: {', '.join(times) or 'not ready'}.\n"


def origin_tags(commit: str | None) -> dict[str, str]:
    """Created by, Source and Version, as MLflow's runs have them. `commit`: of the bench that measured; None: it is not known."""
    version = {"mlflow.source.git.commit": commit} if commit else {}
    return t.OWNER_USER.of(user_name()) | {"mlflow.source.name": "bench", "mlflow.source.type": "LOCAL"} | version


def decorate(store: Store, run_id: str, startup: Startup, folder: Path) -> None:
    """The checkpoint and the curves of a start. What a store does not take of them must not cost the run, whose files hold both; one that
    is away is noticed by what follows.
    """
    from mlflow.exceptions import MlflowException

    for log in (partial(_log_checkpoint, store, run_id, startup), partial(_log_curves, store, run_id, startup, folder)):
        with suppress(MlflowException):
            log()


def _log_checkpoint(store: Store, run_id: str, startup: Startup) -> None:
    """The checkpoint as the run's dataset, by the digest of its content; not where that is unknown. A second call changes nothing."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    content, params = t.CONTENT.in_(startup.tags), startup.params
    if content is None:
        return
    source = json.dumps({"path": masked(params.get("model.path", ""))})
    size = {CHECKPOINT_SIZE.name: startup.metrics.get(CHECKPOINT_SIZE.name)}
    dataset = Dataset(
        name=params.get("model", "checkpoint"),
        digest=content[:DIGEST_AT_MOST],
        source_type="local",
        source=source,
        profile=json.dumps(size),
    )
    store.client.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "checkpoint")])])


def _log_curves(store: Store, run_id: str, startup: Startup, folder: Path) -> None:
    """The curves of memory as `system/…` metrics in steps of milliseconds since exec, which MLflow's page of system metrics draws."""
    from mlflow.entities import Metric

    path = folder / MEMORY
    if not path.is_file():
        return
    try:
        samples = read_memory(path)
    except (OSError, ValueError, IndexError):  # damaged: it is an artifact all the same
        return
    began_ms = int(startup.started_at * 1000)
    metrics = [
        Metric(name, value, began_ms + step_ms, step_ms)
        for sample in thinned(samples)
        for step_ms in (int(sample.elapsed_s * 1000),)
        for name, value in _curves(sample)
    ]
    for start in range(0, len(metrics), BATCH):
        store.client.log_batch(run_id, metrics=metrics[start : start + BATCH])


def thinned(samples: list[MemorySample]) -> list[MemorySample]:
    """At most POINTS_AT_MOST of them, the last among them, evenly spread."""
    every = -(-len(samples) // POINTS_AT_MOST) or 1
    return samples[::-1][::every][::-1]


def _curves(sample: MemorySample) -> Iterator[tuple[str, float]]:
    of_host = {"anon": sample.anon_gib, "file": sample.file_gib, "shmem": sample.shmem_gib, "pss": sample.pss_gib}
    for name, value in of_host.items():
        if value is not None:
            yield f"{CURVES}host_{name}_gib", value
    for name, values in (("used", sample.gpu_used_gib), ("own", sample.gpu_own_gib)):
        for gpu, amount in enumerate(values):
            if amount is not None:
                yield f"{CURVES}gpu_{gpu}_{name}_gib", amount
