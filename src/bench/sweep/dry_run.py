"""What `dry_run=true` prints: every start in its order, the exact commands, and how long it may take. Nothing is started or written."""

from collections.abc import Sequence

from bench.host.host import Host, look_at_host
from bench.start.durations import expected_duration_s
from bench.start.prepare import caches_for_plan
from bench.sweep.plan import Point, blocks_of, describe_duration, describe_plan
from bench.sweep.prime import describe_untimed, untimed
from bench.sweep.stop import REPEATS
from bench.system.output import exit_where_lost, print_result
from bench.vllm.command import command_for


def print_plan(points: Sequence[Point], hosts: Sequence[Host]) -> None:
    """Prints the plan on standard output. Nothing is started, made or written."""
    settings = points[0].settings
    found = dict(zip((point.label for point in points), hosts_of(points, hosts), strict=True))
    commands = {
        point.label: command_for(
            point.settings, found[point.label], 0, caches_for_plan(point.settings, found[point.label])
        ).shown()
        for point in points
    }
    starts = [start for block in blocks_of(points, settings.seed or 0) for start in block]
    order = "order: an example; the sweep's id decides, unless seed is set"
    order = order if settings.seed is None else f"order: seed={settings.seed}"
    ends = REPEATS if settings.precision is None else f"at most; precision={settings.precision:.0%} may end it earlier"
    before = untimed(points)
    every = [*(each.as_settings() for each in before), *(start.point.settings for start in starts)]
    durations_s = [expected_duration_s(each, look_at_host(each)) for each in every]
    print_result(describe_plan(starts, commands, ends, order, before=describe_untimed(before)) + "\n")
    print_result(describe_duration(durations_s))
    exit_where_lost()


def hosts_of(points: Sequence[Point], hosts: Sequence[Host]) -> list[Host]:
    """The host of each point. The baseline's second arm, which comes last, has the baseline's."""
    by_settings = {id(point.settings): host for point, host in zip(points, hosts, strict=False)}
    return [by_settings[id(point.settings)] for point in points]
