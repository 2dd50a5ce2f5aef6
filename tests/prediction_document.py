"""The table of docs/prediction.md, made of benchmarks/prediction.json: each emulated storage predicted from the starts without a limit, and what was measured there."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.analysis.predict_load import Reads, Target, predict
from bench.analysis.prediction_errors import MeasuredError, errors_of

STARTS = Path(__file__).parents[1] / "benchmarks" / "prediction.json"
BASE = (128.0, None, None)  # read-ahead in KiB, without a limit: from which all others are predicted
HEADER = """| format | storage | starts | predicted (s) | held back by | measured, median (s) | each start (s) | error |
|---|---|---:|---:|---|---:|---|---:|
"""

Storage = tuple[float, float | None, float | None]
Start = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """Of one format and one storage. Seconds."""

    load_format: str
    storage: Storage
    predicted_s: float
    held_by: str
    measured_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        return median(self.measured_s)

    @property
    def error(self) -> float:
        return self.predicted_s / self.median_s - 1


def pairs() -> list[Pair]:
    """Without that of the base, which predicts itself."""
    return list(_pairs(json.loads(STARTS.read_text(encoding="utf-8"))))


def errors_by_what_held(found: list[Pair]) -> dict[str, MeasuredError]:
    """As VALIDATED has them."""
    by_kind = defaultdict(list)
    for pair in found:
        by_kind[pair.held_by].append((pair.predicted_s, pair.median_s))
    return {kind: errors_of(each) for kind, each in sorted(by_kind.items())}


def table(found: list[Pair]) -> str:
    """Markdown, and a sentence under it."""
    all_of_them = errors_of((pair.predicted_s, pair.median_s) for pair in found)
    return (
        HEADER
        + "".join(map(_row, found))
        + f"\n{all_of_them.within} of {all_of_them.pairs} pairs lie within 20 %.\n\n"
        + "".join(
            f"- {kind}: {each.within} of {each.pairs} within 20 %, measured / predicted {each.low:.2f} to {each.high:.2f}\n"
            for kind, each in errors_by_what_held(found).items()
        )
    )


def _pairs(starts: list[Start]) -> Iterator[Pair]:
    by_pair: dict[tuple[str, Storage], list[Start]] = defaultdict(list)
    for start in starts:
        storage = start["storage"]
        by_pair[start["format"], (storage["read_ahead_kib"], storage["reads_per_s"], storage["mib_per_s"])].append(
            start
        )
    for (load_format, storage), there in sorted(by_pair.items(), key=str):
        if storage == BASE:
            continue
        predicted = predict(_reads(by_pair[load_format, BASE]), _target(storage))
        assert predicted.load_s is not None
        assert predicted.held_by is not None
        measured_s = tuple(start["load_s"] for start in there)
        yield Pair(load_format, storage, predicted.load_s, predicted.held_by, measured_s)


def _reads(starts: list[Start]) -> Reads:
    load_s, gib, requests = (median(start[name] for start in starts) for name in ("load_s", "gib", "requests"))
    return Reads(
        load_s,
        gib,
        is_held_back=False,
        requests=requests,
        read_ahead_kib=BASE[0],
        largest_kib=max(each["largest_kib"] for each in starts),
    )


def _target(storage: Storage) -> Target:
    read_ahead_kib, reads_per_s, mib_per_s = storage
    return Target(reads_per_s, mib_per_s / 1024 if mib_per_s else None, None, read_ahead_kib)


def _row(pair: Pair) -> str:
    read_ahead_kib, reads_per_s, mib_per_s = pair.storage
    limits = [f"{reads_per_s:,.0f} reads/s"] if reads_per_s else []
    limits += [f"{mib_per_s:g} MiB/s"] if mib_per_s else []
    storage = ", ".join([*(limits or ["no limit"]), f"read-ahead {read_ahead_kib:,.0f} KiB"])
    each = ", ".join(f"{seconds:.2f}" for seconds in pair.measured_s)
    cells = [
        f"`{pair.load_format}`", storage, str(len(pair.measured_s)), f"{pair.predicted_s:.2f}", pair.held_by,
        f"{pair.median_s:.2f}", each, f"{pair.error:+.0%}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |\n"
