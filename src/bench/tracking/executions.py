"""Which runs are executions of their own: a start counts once however often it was uploaded, and no two run at once."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import isclose
from typing import TYPE_CHECKING

from bench.analysis.records import Doubt
from bench.masking import masked
from bench.start import tags as t
from bench.start.files import STARTUP
from bench.start.metrics import FIRST_TOKEN, PROBE_LOAD_WEIGHTS, READY, name_of_rank
from bench.start.record import Startup
from bench.start.waterfall import step_of
from bench.tracking.log_run import as_taken, text_of
from bench.tracking.runs import is_complete

if TYPE_CHECKING:
    from mlflow.entities import Run

ROUNDING_S = 1e-4
LOADED = "load_weights"
CLOCK_STEP_S = 2.0  # by which a host's clock may have been set back between two starts


@dataclass(frozen=True)
class Held:
    """A run and its start's own record; None: there is none to be had, for the reason `unchecked`. `unreadable`: it is there, and is none."""

    run: "Run"
    startup: Startup | None = None
    unchecked: str = ""
    unreadable: str = ""

    @property
    def name(self) -> str:
        return str(self.run.info.run_name)

    @property
    def own_name(self) -> str:
        """As the start recorded it: whoever renames a run in MLflow renames no start."""
        return text_of(masked(self.startup.name)) if self.startup else self.name

    @cached_property
    def taken(self) -> tuple[dict[str, str], dict[str, float], dict[str, str]]:
        """Params, metrics and tags of its own record, as MLflow takes them; empty where there is none."""
        if self.startup is None:
            return {}, {}, {}
        return as_taken(self.startup.params, self.startup.metrics, self.startup.run_tags)

    @property
    def recorded_names(self) -> set[str]:
        """Of its params and tags, as MLflow takes them."""
        params, _, tags = self.taken
        return {*params, *tags}

    @property
    def marks(self) -> set[Hashable]:
        """What no other start has: its key; where and when it was executed, by the UNIX clock in ms and by the boot's. When a log from
        elsewhere was recorded, nobody knows.
        """
        tags, info = self.run.data.tags, self.run.info
        key = t.KEY.in_(tags)
        marks: set[Hashable] = set() if key is None else {key}
        if t.KIND.in_(tags) is t.Kind.REPLAY:
            return marks
        host = t.HOST_NAME.in_(tags)
        at_ms = info.start_time if self.startup is None else int(self.startup.started_at * 1000)
        exec_at_s = self.startup.exec_at_s if self.startup else None
        return marks | {(host, at_ms)} | (set() if exec_at_s is None else {(host, "boot", exec_at_s)})

    @property
    def marks_anywhere(self) -> set[Hashable]:
        """Those, and of a log from elsewhere, which has another key each time it is read: its file's name and all of its numbers."""
        tags, metrics = self.run.data.tags, self.run.data.metrics
        if t.KIND.in_(tags) is not t.Kind.REPLAY or not metrics:
            return self.marks
        place = [each.in_(tags) for each in (t.FILE, t.SOURCE_IN_FILE, t.START_IN_FILE)]
        return self.marks | {(*place, *sorted(metrics.items()))}


def each_executed_once(found: Sequence[Held]) -> tuple[list[Held], list[tuple[Held, Held]]]:
    """One run for each execution, the checked and complete ones first; and (the one that is kept, another of the same execution)."""
    seen: dict[Hashable, Held] = {}
    twice = []
    for each in sorted(found, key=lambda each: (not is_complete(each.run), each.startup is None)):
        if one := next((seen[mark] for mark in each.marks if mark in seen), None):
            twice.append((one, each))
        seen |= dict.fromkeys(each.marks - seen.keys(), one or each)
    others = {each.run.info.run_id for _, each in twice}
    return [each for each in found if each.run.info.run_id not in others], twice


def in_one_sweep_only(several: Mapping[str, Sequence[Held]]) -> tuple[dict[str, list[Held]], list[Doubt]]:
    """The starts of several sweeps, by the sweep, each only in the first that has it; and which of them were in another too."""
    seen: dict[Hashable, str] = {}
    kept: dict[str, list[Held]] = {}
    doubts = []
    for sweep_id, starts in several.items():
        kept[sweep_id] = []
        for each in starts:
            if first := next((seen[mark] for mark in each.marks_anywhere if mark in seen), None):
                text = f"it is a start of {first} too: it counts once, there"
                doubts.append(Doubt(f"{each.name} of {sweep_id}", text))
            else:
                kept[sweep_id].append(each)
        seen |= {mark: sweep_id for each in kept[sweep_id] for mark in each.marks_anywhere}
    return kept, doubts


def contradictions(one: Held, other: Held) -> Iterator[str]:
    """Two runs of one execution that cannot both be true."""
    data = one.run.data, other.run.data
    points, times = [t.POINT.in_(each.tags) for each in data], [each.metrics.get(READY.name) for each in data]
    for what, (mine, theirs) in (("the point", points), (READY.name, times)):
        if mine != theirs and is_complete(one.run) and is_complete(other.run):
            yield f"{one.name} and {other.name} are one start by its key, or by host and time of exec: {what} is {mine} and {theirs}"


def contradictions_within(startup: Startup) -> Iterator[str]:
    """Values of one record that bench makes of one another: its times, its waterfall, and what its ranks loaded."""
    metrics = startup.metrics
    facts: list[tuple[str, float | None, str, float | None]] = [
        (READY.name, startup.ready_s, f"metric {READY.name}", metrics.get(READY.name)),
        (FIRST_TOKEN.name, startup.first_token_s, f"metric {FIRST_TOKEN.name}", metrics.get(FIRST_TOKEN.name)),
    ]
    phases = [value for name, value in metrics.items() if step_of(name)]
    if phases:
        end = (
            (READY.name, startup.ready_s)
            if startup.first_token_s is None
            else (FIRST_TOKEN.name, startup.first_token_s)
        )
        facts.append((*end, "the sum of its waterfall", sum(phases)))
    for rank in {span.rank for span in startup.spans if span.rank and span.source == "probe"}:
        loads = [span for span in startup.spans if (span.rank, span.name, span.source) == (rank, LOADED, "probe")]
        name = name_of_rank(rank, PROBE_LOAD_WEIGHTS)
        loaded_s = sum(span.duration_s for span in loads) if loads else None
        facts.append((f"{rank}'s load_weights", loaded_s, f"metric {name}", metrics.get(name)))
    for what, value, other, found in facts:
        if value is not None and found is not None and not isclose(value, found, abs_tol=ROUNDING_S):
            yield f"{STARTUP} contradicts itself: {what} is {value:.4f}, {other} {found:.4f}"
    lasted_s = startup.ended_at - startup.started_at
    for what, moment_s in ((READY.name, startup.ready_s), (FIRST_TOKEN.name, startup.first_token_s)):
        if moment_s is not None and moment_s > lasted_s + CLOCK_STEP_S:
            yield f"{STARTUP} contradicts itself: {what} is {moment_s:.4f}, and the start ended {lasted_s:.4f} s after exec"


def renamed(found: Sequence[Held]) -> Iterator[Doubt]:
    """Runs that somebody has renamed in MLflow: their starts keep their names here."""
    for each in found:
        if each.name != each.own_name:
            yield Doubt(
                each.own_name, f"MLflow calls its run {each.name!r}: here it has the name that it recorded itself"
            )


def overlaps(found: Sequence[Held]) -> Iterator[str]:
    """Starts of one host that ran at the same time: a sweep makes them one after the other, so one of them is made up."""
    ran = [(each, each.startup) for each in found if each.startup and t.KIND.in_(each.startup.tags) is t.Kind.START]
    ran.sort(key=lambda pair: pair[1].started_at)
    for (one, first), (other, second) in pairwise(ran):
        hosts = [t.HOST_NAME.in_(each.tags) for each in (first, second)]
        shared_s = min(first.ended_at, second.ended_at) - second.started_at
        if hosts[0] == hosts[1] and shared_s > CLOCK_STEP_S:
            yield f"{one.name} and {other.name} ran at the same time for {shared_s:.1f} s on one host, by their own {STARTUP}: a sweep starts one after the other"


def repeated(found: Sequence[Held]) -> Iterator[Doubt]:
    """A second start of a point in one block. It happens where a start that waited to be uploaded was made again."""
    seen: dict[tuple[str | None, int | None], str] = {}
    for each in found:
        tags = each.run.data.tags
        if (
            t.KIND.in_(tags) is not t.Kind.START
            or str(each.run.info.status) != "FINISHED"
            or t.VALID.in_(tags) is False
        ):
            continue
        place = t.POINT.in_(tags), t.REPEAT.in_(tags)
        if place in seen:
            yield Doubt(
                each.name,
                f"it is the second start of its point in this block, beside {seen[place]}: both count, and blocks are not paired",
            )
        seen[place] = each.name
