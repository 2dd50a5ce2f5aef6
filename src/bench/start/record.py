"""Startup: everything about one start, as it is written to disk before it goes anywhere else."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from bench.errors import EvidenceError
from bench.log.readings import Reading
from bench.masking import masked, masked_tree, private
from bench.start.files import EXCERPTS, PROBE, STARTUP
from bench.start.tags import HOST_NAME, KEY, REASON, WARNINGS
from bench.start.timeline import FIRST_TOKEN, log_and_clock_spans, merged
from bench.start.warning import ResultWarning, from_json
from bench.start.waterfall import Lane, lanes, waterfall
from bench.system.regular_files import read_at_most
from bench.system.whole_files import written_whole
from bench.vllm.probe_events import read_events
from bench.vllm.probe_report import ProbeReport
from bench.vllm.ran import Ran
from bench.vllm.span import Span

BYTES_AT_MOST = 256 << 20  # of startup.json
KEY_LENGTH = 20


@dataclass(frozen=True)
class Startup:
    """One start of vLLM, from exec to the first token, or to its end if it failed.

    Times named _s are seconds since exec; `started_at` and `ended_at` are UNIX time. None: not reached, or not known.
    """

    name: str  # for people: the point, and the repeat where there are several
    parent_run_id: str | None  # the sweep's run
    params: dict[str, str]
    tags: dict[str, str]
    started_at: float
    ended_at: float
    ready_s: float | None = None
    first_token_s: float | None = None
    completion_ended_s: float | None = None
    text: str | None = None
    token_ids: list[int] | None = None
    reason: str | None = None  # why it failed; None: it did not
    metrics: dict[str, float] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)  # merged, as in start/timeline.py
    warnings: list[Annotated[ResultWarning, BeforeValidator(from_json)]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # why it does not count though it finished: its state was another
    host_state: dict[str, Any] | None = None  # requested of the caches, and measured; None: not reached
    ran: dict[str, Ran] | None = None  # what each process really had; None: not reported, as under an earlier bench
    exec_at_s: float | None = None  # on this boot's CLOCK_MONOTONIC, as the probe's events; None: nothing was executed

    @property
    def failed(self) -> bool:
        return self.reason is not None

    @property
    def phases(self) -> list[Span]:
        """Spans of the log and the clock, by their begin."""
        return log_and_clock_spans(self.spans)

    @property
    def chain(self) -> list[Span]:
        """The waterfall, from exec to the first token, or to ready where none was to come; empty where that is not known."""
        if self.ready_s is None or (self.first_token_s is None and self.failed):
            return []
        return waterfall(self.spans, self.ready_s, self.first_token_s)

    @property
    def lanes(self) -> list[Lane]:
        """Every process beside the others."""
        return lanes(self.spans, self.ready_s)

    @property
    def run_tags(self) -> dict[str, str]:
        """The tags of its run: reason and warnings besides."""
        return self.tags | REASON.of(self.reason or None) | WARNINGS.of(tuple(self.warnings) or None)

    @property
    def key(self) -> str:
        """Tells this start from every other one, wherever its files are copied to: made of its host, when it was executed, and
        its name. One key is one run in a store, however often the start is uploaded.
        """
        facts = [HOST_NAME.in_(self.tags), self.started_at, self.exec_at_s, self.name]
        return KEY.in_(self.tags) or hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:KEY_LENGTH]

    def save(self, folder: Path, name: str = STARTUP) -> None:
        """Write startup.json, whole or not at all."""
        with written_whole(folder / name, is_private=True) as file:
            json.dump(masked_tree(asdict(self)), file, indent=2, sort_keys=True, default=_value)
            file.flush()
            os.fsync(file.fileno())


def load_startup(folder: Path, name: str = STARTUP) -> Startup:
    """The Startup that `save` wrote there. One of an earlier bench lacks what was added since: that is None.

    Raises:
        EvidenceError: `save` wrote no such file.
    """
    data, more = read_at_most(folder / name, BYTES_AT_MOST)
    try:
        tree = json.loads("" if more else data)
        return TypeAdapter(Startup).validate_python(
            tree | ({} if "spans" in tree else _spans_of_phases(tree, folder)), strict=False
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise EvidenceError(f"{folder / name} is not what bench writes: {file_problem(error)}") from error


def file_problem(error: Exception) -> str:
    """What is wrong with a file that bench wrote and somebody changed, in one line."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(error).__name__}: {error}"


def _spans_of_phases(tree: dict[str, Any], folder: Path) -> dict[str, list[Span]]:
    """A start of an earlier bench has its log's spans in `phases`, and the probe's spans in the probe's files alone."""
    exec_at_s = tree.get("exec_at_s")
    report = ProbeReport() if exec_at_s is None else read_events(folder / PROBE, exec_at_s)
    return {"spans": merged(report, [_span_of_phase(**phase) for phase in tree["phases"]])}


def _span_of_phase(name: str, rank: str | None, started_at_s: float, ended_at_s: float) -> Span:
    return Span(None, rank, name, started_at_s, ended_at_s, "clock" if name == FIRST_TOKEN else "log")


def write_excerpts(readings: list[Reading], folder: Path) -> None:
    """The lines that gave a number, as vLLM printed them, each once."""
    lines = {(reading.line.number, reading.line.raw): None for reading in readings if reading.values}
    with private(folder / EXCERPTS).open("w", encoding="utf-8", errors="backslashreplace") as file:
        for _, raw in sorted(lines):
            file.write(f"{masked(raw)}\n")


def _value(member: Any) -> Any:
    """An enum's, for json."""
    return member.value
