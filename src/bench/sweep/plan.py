"""The plan of a sweep: its points, named; their order in blocks; and when it has enough of them. Pure, but for reading conf/."""

import hashlib
import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.baselines import AUTO
from bench.analysis.comparison import AGAIN, compare
from bench.analysis.records import RunRecord, SweepRecord
from bench.config import Settings, blocks_at_most
from bench.host.host import Host, identity
from bench.masking import is_secret_name, masked, masked_value
from bench.start.tag_types import brief
from bench.sweep.left_out import stock_format

SHORT = {
    "tensor_parallel_size": "tp",
    "gpu_memory_utilization": "mem",
    "max_model_len": "len",
    "page_cache": "page_cache",
}


VALUE_AT_MOST = 60  # characters of one in a label: the others behind it are to be read too


@dataclass(frozen=True)
class Point:
    """One combination of settings. `label` is its readable name: what varies in this sweep, the load format first."""

    label: str
    overrides: tuple[str, ...]
    settings: Settings


@dataclass(frozen=True)
class Start:
    """A point's place in the order of the whole sweep. `position` counts from 1, `repeat` from 0."""

    point: Point
    repeat: int
    position: int


def blocks_of(points: Sequence[Point], seed: int) -> list[list[Start]]:
    """The order of the starts, in blocks that hold every point once: shuffled, then reversed, shuffled anew, and so on.

    A steady drift of the host delays a point in one block as much as it favours it in the next, so over two blocks it
    cancels out for every pair of points. In an odd number of blocks the last is without its reverse: what remains of the
    drift is then smaller than the interval has widened. A point with fewer repeats is left out of the later blocks.
    """
    shuffler = random.Random(seed)  # noqa: S311  # an order, not a secret
    position = 0
    blocks: list[list[Start]] = []
    order = list(points)
    for repeat in range(max(blocks_at_most(point.settings) for point in points)):
        if repeat % 2:
            order.reverse()
        else:
            shuffler.shuffle(order)
        members = [point for point in order if repeat < blocks_at_most(point.settings)]
        blocks.append([Start(point, repeat, position) for position, point in enumerate(members, position + 1)])
        position += len(members)
    return blocks


def seed_of(sweep_id: str) -> int:
    """The seed of a sweep for which none is set: another one for every sweep, and always the same for this one."""
    return int.from_bytes(hashlib.sha256(sweep_id.encode()).digest()[:4])


def label_points(points: Sequence[tuple[str, ...]], settings: Sequence[Settings]) -> list[Point]:
    """Name each point by what varies between them."""
    varying = {override for point in points for override in point if not all(override in other for other in points)}
    names = _shown(points)
    chosen = [[names[override] for override in point if override in varying] for point in points]
    labels = [_label(overrides, each) for overrides, each in zip(chosen, settings, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [" ".join(overrides) for overrides in chosen]
    labels = [
        brief(" ".join([label, *_emulated(label, each), *_brought(point, each)]))
        for label, point, each in zip(labels, points, settings, strict=True)
    ]
    return [Point(label, point, each) for label, point, each in zip(labels, points, settings, strict=True)]


def _shown(points: Iterable[Sequence[str]]) -> dict[str, str]:
    """Each override as it may be printed: the values of a secret are numbered instead."""
    shown: dict[str, str] = {}
    for override in (override for point in points for override in point):
        key, _, value = override.lstrip("+").partition("=")
        if is_secret_name(key) or masked(override) != override:
            numbered = 1 + sum(each.lstrip("+").startswith(f"{key}=") for each in shown if each != override)
            value = f"#{numbered}"
        shown.setdefault(override, f"{key}={value}")
    return shown


def _label(overrides: Sequence[str], settings: Settings) -> str:
    pairs = [override.partition("=")[::2] for override in overrides]
    if not pairs:
        return settings.load_format.name
    formats = [value for key, value in pairs if key == "load_format"]
    others = [
        f"{SHORT.get(key, key.rpartition('.')[2])}={brief(value, VALUE_AT_MOST)}"
        for key, value in pairs
        if key != "load_format"
        and not (formats and value == "null" and key.startswith("load_format."))  # left out there
    ]
    return re.sub(r"['\"\\]", "", " ".join([*formats, *others]))


def _emulated(label: str, settings: Settings) -> list[str]:
    """An emulated storage is in every label, also where all points have the same."""
    is_named = any(word.startswith("storage=") for word in label.split())
    return [f"storage={settings.storage.name}"] if settings.storage.is_emulated and not is_named else []


def _brought(overrides: Sequence[str], settings: Settings) -> list[str]:
    """What a load format of the user's sets besides the file of that name in conf/, and no override does."""
    own = settings.load_format.model_dump(include={"args", "env", "extra"})
    stock = stock_format(settings.load_format.name)
    given = {override.lstrip("+").partition("=")[0] for override in overrides}
    return [
        re.sub(r"['\"\\]", "", f"{name}={masked_value(name, value)}")
        for section, values in own.items()
        for name, value in values.items()
        if value is not None
        and value != stock.get(section, {}).get(name)
        and not given & {f"load_format.{section}", f"load_format.{section}.{name}"}
    ]


def with_baseline_again(points: Sequence[Point]) -> list[Point]:
    """The A/A arm: the baseline a second time, under another name. Its ratio shows the smallest difference that this rig can resolve."""
    if not points[0].settings.aa:
        return list(points)
    base = next((point for point in points if point.settings.load_format.name == AUTO), points[0])
    return [*points, Point(base.label + AGAIN, base.overrides, base.settings)]


def signature(
    points: Sequence[Point],
    hosts: Sequence[Host],
    facts: Mapping[str, str],
    storages: Sequence[Mapping[str, str]] = (),
    inherited: Mapping[str, Any] | None = None,
) -> str:
    """An identifier of a whole sweep: the same for the same command on the same host, whatever its repeats. `facts` are the host's, `storages` describe
    the storage of each point's checkpoint, `inherited` what vLLM gets from this process: with another read-ahead, another environment
    or fewer CPUs, starts do not belong to the same sweep.
    """
    parts = [[point.label, identity(point.settings, host)] for point, host in zip(points, hosts, strict=True)]
    return hashlib.sha256(
        json.dumps(
            [dict(facts), points[0].settings.seed, parts, *map(dict, storages), inherited], sort_keys=True
        ).encode()
    ).hexdigest()[:12]


def hosts_of(points: Sequence[Point], hosts: Sequence[Host]) -> list[Host]:
    """The host of each point. The baseline's second arm, which comes last, has the baseline's."""
    by_settings = {id(point.settings): host for point, host in zip(points, hosts, strict=False)}
    return [by_settings[id(point.settings)] for point in points]


def why_stop(
    settings: Settings, starts: Sequence[RunRecord], order: Sequence[str], blocks: int, another_s: float
) -> str | None:
    """The reason to stop, as the report has it; None: continue. Called after each block. Without `precision` the sweep has `repeats`
    blocks, unless time_budget_s ends it. `another_s` is the sweep's expected duration after one more block, in seconds.

    Enough is when, after `min_blocks`, the 95 % half-width of every ratio that the report will show is at most `precision`.
    """
    if settings.precision is None:
        return _over_budget(settings, blocks, another_s) if blocks < settings.repeats else None
    if (
        blocks >= settings.min_blocks
        and (widest := _widest(starts, order)) is not None
        and widest <= settings.precision
    ):
        return f"after {blocks} blocks, all ratios known to {widest:.1%} (precision={settings.precision:.0%} was asked)"
    if blocks >= settings.max_blocks:
        return f"after max_blocks={settings.max_blocks}, not all ratios known to precision={settings.precision:.0%}"
    return _over_budget(settings, blocks, another_s)


def _over_budget(settings: Settings, blocks: int, another_s: float) -> str | None:
    if settings.time_budget_s is None or another_s <= settings.time_budget_s:
        return None
    return f"after {blocks} blocks: another would exceed time_budget_s={settings.time_budget_s:g}"


def _widest(starts: Sequence[RunRecord], order: Sequence[str]) -> float | None:
    """The largest half-width of all ratios; None: a ratio has no interval, or there is no ratio."""
    if not starts:
        return None
    comparison = compare(SweepRecord("", "", 0.0, "", replayed=False, starts=tuple(starts), order=tuple(order)))
    widths = [speedup.half_width for speedup in comparison.speedups]
    if not widths or None in widths:
        return None
    return max(width for width in widths if width is not None)
