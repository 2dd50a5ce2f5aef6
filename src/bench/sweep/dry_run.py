"""What `dry_run=true` prints: every start in its order, the exact commands, and how long it may take. Nothing is started or written."""

from collections.abc import Mapping, Sequence

from bench.host.compile_cache import caches_of
from bench.host.emulation.emulate import plan_of
from bench.host.host import Host, look_at_host
from bench.start.durations import expected_duration_s
from bench.sweep.plan import Point, Start, blocks_of, hosts_of
from bench.sweep.prime import describe_untimed, downloads, untimed
from bench.system.output import exit_where_lost, print_result
from bench.vllm.command import command_for
from bench.weights.checkpoint import place_of
from bench.weights.hub import checkpoint_folder

SHORT_PLAN_S = 120  # below that, seconds are shown instead of minutes


def print_plan(points: Sequence[Point], hosts: Sequence[Host]) -> None:
    """Prints the plan on standard output. Nothing is started, made or written."""
    settings = points[0].settings
    found = dict(zip((point.label for point in points), hosts_of(points, hosts), strict=True))
    commands = {
        point.label: command_for(
            point.settings, found[point.label], 0, caches_of(point.settings, found[point.label]).environment
        ).shown()
        for point in points
    }
    blocks = blocks_of(points, settings.seed or 0)
    starts = [start for block in blocks for start in block]
    order = "order: an example; the sweep's id decides, unless seed is set"
    order = order if settings.seed is None else f"order: seed={settings.seed}"
    sooner = [] if settings.precision is None else [f"precision={settings.precision:.0%}"]
    sooner += [] if settings.time_budget_s is None else [f"time_budget_s={settings.time_budget_s:g}"]
    ends = f"in {_counted(len(blocks), 'block')}" + (
        f" at most; {' or '.join(sooner)} may end it earlier" if sooner else ""
    )
    before = [*downloads(points), *untimed(points)]
    every = [*(each.as_settings() for each in before), *(start.point.settings for start in starts)]
    durations_s = [expected_duration_s(each, look_at_host(each)) for each in every]
    print_result(describe_plan(starts, commands, ends, order, before=describe_untimed(before)) + "\n")
    if storages := list(filter(None, map(describe_storage_of, points))):
        print_result("\n".join(["storage, set for the length of each start", *storages, ""]) + "\n")
    print_result(describe_duration(durations_s))
    exit_where_lost()


def describe_storage_of(point: Point) -> str:
    """What would be limited and set for a start of this point. Empty: nothing."""
    place = place_of(point.settings)
    if not point.settings.storage.is_emulated or place is None:
        return ""
    return f"  {point.label}\n    {plan_of(point.settings.storage, place, checkpoint_folder(point.settings))}"


def describe_plan(
    starts: Sequence[Start], commands: Mapping[str, str], ends: str, order: str, *, before: str = ""
) -> str:
    """Every start in its order, and the exact command of each point.

    `order` describes where the order comes from; `before` the starts that come first and do not count.
    """
    first = f"{before}, then " if before else ""
    lines = [f"{first}{_counted(len(starts), 'start')} {ends}", order, ""]
    lines += [f"{start.position:4}  block {start.repeat + 1}  {start.point.label}" for start in starts]
    lines += ["", "commands (the port is chosen when it is started)"]
    lines += [f"  {label}\n    {command}" for label, command in commands.items()]
    return "\n".join(lines)


def describe_duration(durations_s: Sequence[float | None]) -> str:
    """The expected duration of all starts, from earlier starts of the same kinds. `durations_s`: seconds; None: unknown."""
    known = [value for value in durations_s if value is not None]
    if len(known) < len(durations_s):
        unknown = len(durations_s) - len(known)
        of = f"{unknown} of {len(durations_s)} starts" if len(durations_s) > 1 else "this start"
        return (
            f"how long it takes is unknown: {of} {'is' if unknown == 1 else 'are'} of a kind that was never made here"
        )
    total_s = sum(known)
    about = f"{total_s:.0f} s" if total_s < SHORT_PLAN_S else f"{total_s / 60:.0f} min"
    return f"about {about}, by earlier starts of the same kinds"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
