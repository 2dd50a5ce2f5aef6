"""What ran, by the report of each process, against what was recorded: tags that must agree between points, problems and warnings."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import pathsep
from typing import Any

from bench.host.compile_cache import FOLDERS
from bench.masking import masked, masked_value
from bench.start import tags as t
from bench.start.evidence import asked_of, release_of
from bench.start.execution import CgroupCounters, Execution, PreparedStart
from bench.start.warning import ResultWarning, WarningKind, warnings_of
from bench.vllm.command import masked_words
from bench.vllm.probe.bench_probe import cgroup, surroundings
from bench.vllm.probe.bench_probe.surroundings import PREFIXES, bounded
from bench.vllm.probe_report import ProbeProcess, ProbeReport
from bench.vllm.ran import Ran, Surroundings

NOT_SET = "not set"
# Another one in every start, or judged by itself: ports, names of process groups, and the folders of compile and JIT caches.
OF_ONE_START = re.compile(rf".*_(PORT|IDENT|INSTANCE_ID)|{'|'.join(FOLDERS)}")
# In what vLLM sets by itself, as the name of a shared memory: hexadecimal and base64 of random numbers, ports, pids.
RANDOM = re.compile(
    r"(?<![A-Za-z0-9])([0-9a-f]{8,}|(?=[\w-]*[a-z])(?=[\w-]*[A-Z])[\w-]{20,}|\d{4,})(?![A-Za-z0-9])", re.ASCII
)
# What a loader sets by itself follows from the load format: the streamer's sets the size of its group in each rank.
OF_LOADERS = "RUNAI_"
ADDED_BY_BENCH = {"PYTHONPATH", "VLLM_PLUGINS"}  # the probe's own place
DECIDED = ("dtype", "model_class")  # by every rank, in every release
SHOWN_AT_MOST = 300  # characters of arguments in a sentence

Values = list[tuple[str, str]]  # a process's kind, and its value


@dataclass(frozen=True)
class RanRecord:
    """What this adds to a start's record. All empty: nothing was executed. `ran`: by the process's rank or kind, and its pid."""

    tags: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[ResultWarning] = field(default_factory=list)
    ran: dict[str, Ran] | None = None


def ran_record(prepared: PreparedStart, execution: Execution, report: ProbeReport) -> RanRecord:
    """All that follows from what the processes reported; to be called when the last one is gone."""
    if execution.exec_at_s is None:
        return RanRecord()
    settings = prepared.settings
    return RanRecord(
        _inherited_limits(prepared, execution)
        | ran_tags(report, asked_of(settings, prepared.host).ranks, probe=settings.probe),
        ran_problems(prepared, report),
        [*ran_warnings(prepared, report), *cgroup_warnings(execution.cgroup_before, report)],
        {f"{process.rank or process.kind} {process.pid}": ran for process, ran in _reported(report)} or None,
    )


def inherited() -> dict[str, Any]:
    """What every start gets from this process: environment, CPUs, niceness, scheduler, limits. What is another one each time is left out."""
    own = surroundings.of_process()
    variables = own.get("environment", {})
    shared = {name: own.get(name) for name in ("cpus", "niceness", "scheduler")}
    return shared | {
        "limits": own.get("cgroup", {}).get("limits"),
        "environment": {name: value for name, value in variables.items() if not OF_ONE_START.fullmatch(name)},
    }


def _inherited_limits(prepared: PreparedStart, execution: Execution) -> dict[str, str]:
    """Those of bench's own cgroup, which vLLM has where nobody reports others. Behind a command it has those of a container."""
    before = execution.cgroup_before
    known = cgroup.limits(before.membership) if before and not prepared.settings.vllm.command else {}
    return t.RAN.of({f"limit_{name}": value for name, value in known.items()})


def ran_tags(report: ProbeReport, ranks: Sequence[str], *, probe: bool) -> dict[str, str]:
    """What all processes had when they were ready, a tag for each fact and one for the environment; and whether all have reported it."""
    facts = {name: _joined(values) for name, values in _facts(report).items()}
    environment = {name: _joined(values) for name, values in _environment(report).items()}
    why = _why_unverified(report, ranks) if probe else "probe=false"
    return (
        t.RAN.of(facts)
        | t.RAN_ENVIRONMENT.of(environment or None)
        | t.RAN_RECORD.of(f"{t.UNVERIFIED}: {why}" if why else t.RECORDED)
    )


def _why_unverified(report: ProbeReport, ranks: Sequence[str]) -> str | None:
    found = {name: ran for process, ran in _reported(report) for name in (process.kind, process.rank) if name}
    expected = ("api_server", "engine_core", *ranks)
    silent = [name for name in expected if name not in found]
    if silent:
        return f"the probe has no report of {', '.join(silent)}"
    lacking = [
        f"{name}: {', '.join(facts)}" for name in expected if (facts := _lacking(found[name], is_rank=name in ranks))
    ]
    return f"the probe's report lacks {'; '.join(lacking)}" if lacking else None


def _lacking(ran: Ran, *, is_rank: bool) -> list[str]:
    """What every process can read of itself, and every rank of the model that it has loaded."""
    last = ran.last
    known = {"environment": last.environment, "packages": last.packages.get("vllm"), "cpus": last.cpus}
    known |= {name: ran.decided.get(name) for name in DECIDED if is_rank}
    return [name for name, value in known.items() if not value]


def _reported(report: ProbeReport) -> Iterator[tuple[ProbeProcess, Ran]]:
    for process in report.processes:
        if process.ran:
            yield process, process.ran


def _facts(report: ProbeReport) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for process, ran in _reported(report):
        last = ran.last
        share = {"cpus": last.cpus, "niceness": last.niceness, "scheduler": last.scheduler}
        limits = {f"limit_{name}": value for name, value in last.limits.items()}
        for name, value in {**last.packages, **share, **limits, **ran.decided}.items():
            if value is not None:
                found.setdefault(name, []).append((process.kind, str(value)))
    return found


def _environment(report: ProbeReport) -> dict[str, Values]:
    """Of each variable that one of the processes has, what it is in all of them; but for those that vLLM was not given and a loader has set."""
    given = {name for server in _servers(report) for name in server.environment}
    reported = [(process.kind, ran.last.environment) for process, ran in _reported(report)]
    names = {name for _, variables in reported for name in variables if not OF_ONE_START.fullmatch(name)}
    return {
        name: [
            (kind, _lasting(name, variables.get(name, NOT_SET), given=name in given)) for kind, variables in reported
        ]
        for name in sorted(names)
        if name in given or not name.startswith(OF_LOADERS)
    }


def _lasting(name: str, value: str, *, given: bool) -> str:
    """Each folder of a path once, which packages add again in each process; and without what is random in a value that vLLM was not given
    but has set itself.
    """
    if name.endswith("PATH"):
        value = pathsep.join(dict.fromkeys(value.split(pathsep)))
    return value if given else RANDOM.sub("*", value)


def _joined(values: Values) -> str:
    """The value where the processes agree; else by kind, so that the number of ranks does not matter."""
    if len({value for _, value in values}) == 1:
        return values[0][1]
    of_kind: dict[str, dict[str, None]] = {}
    for kind, value in values:
        of_kind.setdefault(kind, {})[value] = None
    return "; ".join(f"{kind}: {' or '.join(found)}" for kind, found in of_kind.items())


def ran_problems(prepared: PreparedStart, report: ProbeReport) -> list[str]:
    """Where vLLM was another than the recorded one, with both values: by its arguments, or its version."""
    recorded = prepared.host.versions.get("vllm", "")
    found = [text for server in _servers(report) for text in _other_arguments(prepared.command.arguments, server)]
    for process, ran in _reported(report):
        version, _, file = ran.last.packages.get("vllm", "").partition(" from ")
        if version not in {"", "unknown"} and release_of(version) != release_of(recorded):
            found.append(f"{process.rank or process.kind} ran vLLM {version} of {file}, and {recorded} was recorded")
    return found


def _servers(report: ProbeReport) -> list[Surroundings]:
    return [ran.first for process, ran in _reported(report) if process.kind == "api_server"]


def _other_arguments(command: Sequence[str], server: Surroundings) -> Iterator[str]:
    expected = [*masked_words([bounded(word) for word in command[3:]])]  # behind `python -m module`
    found = [*masked_words(server.arguments[1:])]
    if server.arguments and found != expected:
        besides, without = (
            " ".join((Counter(some) - Counter(others)).elements())[:SHOWN_AT_MOST]
            for some, others in ((found, expected), (expected, found))
        )
        yield (
            f"vLLM ran with other arguments than it was started with: {besides or 'nothing'} was added, "
            f"{without or 'nothing'} is missing"
        )


def ran_warnings(prepared: PreparedStart, report: ProbeReport) -> list[ResultWarning]:
    """Settings that were other ones inside vLLM: the environment as the API server found it, and the load format."""
    load_format, texts = prepared.settings.load_format.name, list[str]()
    for server in _servers(report):
        for name, value in sorted(prepared.command.environment.items()):
            if not name.startswith(PREFIXES) or name in ADDED_BY_BENCH or not server.environment:
                continue
            found, expected = masked_value(name, server.environment.get(name, "")), masked_value(name, bounded(value))
            if not {*expected.split(pathsep)} <= {*found.split(pathsep)}:  # vLLM adds to LD_LIBRARY_PATH
                texts.append(f"the API server found {name}={found or NOT_SET}, and {expected} was set")
    for process, ran in _reported(report):
        loaded = ran.decided.get("load_format", load_format)
        if loaded.lower() != load_format.lower():
            texts.append(f"{process.rank} loaded with load_format={loaded}, and {load_format} was set")
    return warnings_of(WarningKind.RAN, map(masked, texts))


def cgroup_warnings(before: CgroupCounters | None, report: ProbeReport) -> list[ResultWarning]:
    """What the kernel counted while vLLM ran, in each cgroup of its processes: up to now, or to the last report where it is gone.

    How the driver's own was throttled is noise of the rig, which has a limit.
    """
    own = {name: value for name, value in before.counters.items() if name == "oom_kills"} if before else {}
    first: dict[str, Mapping[str, float]] = {before.membership: own} if before else {}
    last = {member: cgroup.counters(member) for member in first}
    limits: dict[str, Mapping[str, str]] = {}
    for _, ran in _reported(report):
        member = ran.first.cgroup
        first.setdefault(member, ran.first.counters)
        now = last.setdefault(member, cgroup.counters(member))
        last[member] = {name: max(value, now.get(name, 0)) for name, value in {**now, **ran.last.counters}.items()}
        limits[member] = ran.last.limits
    texts = [
        text
        for member, began in first.items()
        for text in _reached(_since(began, last[member]), limits.get(member, cgroup.limits(member)))
    ]
    return warnings_of(WarningKind.CGROUP, texts)


def _since(began: Mapping[str, float], ended: Mapping[str, float]) -> dict[str, float]:
    """What both moments count."""
    return {name: ended[name] - began[name] for name in began.keys() & ended.keys()}


def _reached(counted: Mapping[str, float], limits: Mapping[str, str]) -> Iterator[str]:
    if counted.get("throttled", 0) > 0:
        yield (
            f"the cgroup's CPU limit ({limits.get('cpus', 'unknown')} CPUs) throttled its processes "
            f"{counted['throttled']:g} times, for {counted.get('throttled_s', 0):.2f} s in all, during the start"
        )
    if counted.get("oom_kills", 0) > 0:
        yield (
            f"the kernel killed {counted['oom_kills']:g} processes of the cgroup for want of memory during the start "
            f"(memory_bytes={limits.get('memory_bytes', 'unknown')})"
        )
