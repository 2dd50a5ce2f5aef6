"""Saved views of an experiment in MLflow's UI: which runs, in which order, with which columns and charts.

MLflow keeps a view as a tag of the experiment, `mlflow.sharedViewState.KEY`; neither tag nor its contents are documented (tried with
3.17). A view is a convenience: one that MLflow does not take costs nothing else.
"""

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.start import tags as t
from bench.start.metrics import FIRST_TOKEN, PROBE_LOAD_WEIGHTS, READY
from bench.start.tag_types import Tag
from bench.start.waterfall import STEPS

if TYPE_CHECKING:
    from mlflow import MlflowClient

WRITTEN = "bench.views"  # the experiment's tag that says which of ours it has been given: one that a user removed does not come back
RELEASE = "1"  # to be raised when a view below changes
PREFIX = "mlflow.sharedViewState."
NOTE = "mlflow.note.content"
ABOUT = (
    "Seconds from `exec` of vLLM to the first token. Each start of vLLM is a run, below the run of its sweep, which holds the report. "
    "Saved views: *Starts, fastest first*, *Where the seconds go*, *Sweeps*."
)
RUNS_SHOWN = 50


@dataclass(frozen=True)
class View:
    """A saved view. `columns` as MLflow's UI names them; `charts`: a bar per run for each of these metrics, in one section."""

    key: str
    name: str
    condition: str
    order: str
    ascending: bool
    columns: tuple[str, ...]
    section: str
    charts: tuple[str, ...]

    def as_tag(self) -> tuple[str, str]:
        """The tag of an experiment that MLflow's UI reads it from."""
        packed = base64.b64encode(zlib.compress(json.dumps(self._state()).encode(), 9)).decode()
        value = {"name": self.name, "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"}
        return f"{PREFIX}{self.key}", json.dumps(value)

    def _state(self) -> dict[str, Any]:
        return {
            "searchFilter": self.condition,
            "orderByKey": self.order,
            "orderByAsc": self.ascending,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "selectedColumns": list(self.columns),
            "runsHiddenMode": "SHOWALL",
            "isAccordionReordered": True,  # else the UI makes its own sections again, one for each prefix of a metric
            "compareRunSections": [_section(self.section)],
            "compareRunCharts": [_bar(number, metric, self.section) for number, metric in enumerate(self.charts)],
        }


def _section(name: str) -> dict[str, Any]:
    return {"uuid": name, "name": name, "display": True, "isReordered": True, "deleted": False, "isGenerated": False}


def _bar(number: int, metric: str, section: str) -> dict[str, Any]:
    shown = {"deleted": False, "isGenerated": False, "displayName": metric, "metricKey": metric}
    return {
        "uuid": f"{section}{number}",
        "type": "BAR",
        "runsCountToCompare": RUNS_SHOWN,
        "metricSectionId": section,
    } | shown


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _tags(*tags: Tag[Any]) -> Iterator[str]:
    return (f"tags.`{tag.name}`" for tag in tags)


IS_START = f"tags.`{t.KIND.name}` != '{t.Kind.SWEEP}'"  # of ours, and of a log from elsewhere
POINT_COLUMNS = tuple(f"params.`{name}`" for name in ("load_format", "model", "tensor_parallel_size"))
STARTS = View(
    "bench-starts", "Starts, fastest first", IS_START, _metric(READY.name), ascending=True,
    columns=(
        *map(_metric, (READY.name, FIRST_TOKEN.name, PROBE_LOAD_WEIGHTS.name)), *POINT_COLUMNS,
        *_tags(t.PAGE_CACHE, t.VALID, t.VLLM_VERSION, t.SWEEP),
    ),
    section="Time to ready", charts=(READY.name, FIRST_TOKEN.name, PROBE_LOAD_WEIGHTS.name),
)  # fmt: skip
SWEEPS = View(
    "bench-sweeps", "Sweeps", t.KIND.equals(t.Kind.SWEEP), "attributes.start_time", ascending=False,
    columns=(*_tags(t.SWEEP, t.POINTS, t.BLOCKS, t.ENDED_BY), "params.`model`", "params.`load_format`"),
    section="Sweeps", charts=(),
)  # fmt: skip
WATERFALLS = View(
    "bench-seconds", "Where the seconds go", IS_START, _metric(READY.name), ascending=True,
    columns=(_metric(READY.name), *(_metric(step.metric) for step in STEPS.values()), POINT_COLUMNS[0]),
    section="Where the seconds go", charts=tuple(step.metric for step in STEPS.values()),
)  # fmt: skip
VIEWS = (STARTS, WATERFALLS, SWEEPS)


def page_of(experiment: str, view: View = STARTS) -> str:
    """The page of an experiment with this view, behind the address of MLflow's UI. A fresh browser needs the workflow type to see runs."""
    return f"#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={view.key}"


def write_views(client: "MlflowClient", experiment: str, there: Mapping[str, str]) -> None:
    """Give the experiment our views, and a description where it has none; once, so that what a user changed or removed stays so.
    `there`: the tags that it has.
    """
    from mlflow.exceptions import MlflowException

    if there.get(WRITTEN) == RELEASE:
        return
    about = {} if NOTE in there else {NOTE: ABOUT}
    with suppress(MlflowException):  # of a user who may write runs, but not the experiment's tags
        for name, value in (about | dict(view.as_tag() for view in VIEWS) | {WRITTEN: RELEASE}).items():
            client.set_experiment_tag(experiment, name, value)
