"""What must agree between the starts of two points, unless it is what the sweep varies, and between those of one. Pure."""

from collections.abc import Iterator, Sequence

from bench.analysis.must_agree import FACTS, LATER, MUST_AGREE, RANKS, RELEASES, STATES, STORAGES
from bench.analysis.records import Point
from bench.start.tags import BYTE_CODE, RAN, RAN_ENVIRONMENT, VLLM_VERSION

# Settings that decide an environment variable, by how it begins: what vLLM derives from them, in its own processes.
VARIABLES_DECIDED_BY = {
    ("OMP_", "GOMP_", "VLLM_CPU_", "CUDA_VISIBLE", "NCCL_", "VLLM_DP_", "VLLM_WORKER_"): RANKS,
    ("RUNAI_STREAMER_CONCURRENCY",): {"concurrency"},
    ("RUNAI_STREAMER_MEMORY_LIMIT",): {"memory_limit"},
    ("RUNAI_STREAMER_S3_ENDPOINT",): {"load_format"},
}
# Starts of an earlier bench lack them: unknown there, and so not varied.
LATER_SETTINGS = {"vllm.entrypoint", "bytecode", "storage", *(f"storage.{name}" for name in STORAGES)}
NOT_USED = {"not_used", "none"}
UNKNOWN = {"unverified", "unknown"}  # agrees with nothing
NOT_SET = "not set"
# Params that are other ones in each start: the port is in the command.
OF_ONE_START = {"vllm_command"}
STARTS = "starts"  # what `ignore=` may call it
NAMED_AT_MOST = 6  # differences in one sentence
SHOWN_AT_MOST = 120  # characters of a value


Row = tuple[str, str, set[str], set[str]]  # name, what it is, the values of either point


def why_not(baseline: Point, candidate: Point, ignore: Sequence[str]) -> str | None:
    """Why the two cannot be joined: every difference, with both values. None: they can."""
    rows = [*_of_table(baseline, candidate), *_of_environment(baseline, candidate)]
    found = [
        row
        for row in rows
        if row[2] and row[3] and not are_same(row[0], row[2], row[3]) and not is_ignored(row[0], ignore)
    ]
    if not found:
        return None
    differences = [f"{what} differs ({_both(was, other)})" for _, what, was, other in found]
    names = ",".join(name for name, *_ in found)
    return f"{_first(differences)}; to compare all the same: ignore={names}"


def known_of_one(baseline: Point, candidate: Point, ignore: Sequence[str]) -> str | None:
    """All that must agree and is known of one of the two alone; None: nothing. A package that only one load format imports is no such thing,
    nor what ran where the probe itself is varied.
    """
    varied, found = _varied(baseline, candidate), dict[str, str]()
    for name, what, was, other in [*_of_table(baseline, candidate), _environments(baseline, candidate)]:
        is_unknown = any(UNKNOWN & values or not values for values in (was, other))
        fact = MUST_AGREE.get(name)
        if name in STATES:  # what is not used has no value, and is known
            is_unknown = any(
                UNKNOWN & _values(each, name) or not _recorded(each, name) for each in (baseline, candidate)
            )
        by_probe = name.startswith(RAN.prefix) or name == BYTE_CODE.name
        is_expected = bool(fact and fact.of_one_format) or (by_probe and "probe" in varied)
        is_expected |= name in LATER and any(map(_predates, (baseline, candidate)))
        if is_unknown and was != other and not is_expected and not is_ignored(name, ignore):
            found[name] = what
    if not found:
        return None
    groups = dict.fromkeys(RAN.prefix if name.startswith(RAN.prefix) else name for name in found)
    verb = "is" if len(found) == 1 else "are"
    return f"{_first([*found.values()])} {verb} known of one of them alone; to compare all the same: ignore={','.join(groups)}"


def _predates(point: Point) -> bool:
    """Whether its starts were made by a bench that did not look for these facts. Some file system or other is always known now."""
    return not any(_values(point, name) for name in LATER)


def are_same(name: str, *values: set[str]) -> bool:
    """Whether these sets are one; numbers that may differ a little by their distance."""
    fact, every = MUST_AGREE.get(name), set().union(*values)
    if fact and fact.within and len(every) > 1 and (numbers := _numbers(every)):
        return max(numbers) - min(numbers) <= fact.within * max(numbers)
    return all(each == every for each in values)


def _numbers(texts: set[str]) -> list[float]:
    """Empty: one is none."""
    try:
        return [float(text) for text in texts]
    except ValueError:
        return []


def _environments(baseline: Point, candidate: Point) -> Row:
    """Whether either has reported any variable at all."""
    was, other = (
        {"reported" for start in point.starts if RAN_ENVIRONMENT.in_(start.tags)} for point in (baseline, candidate)
    )
    return RAN_ENVIRONMENT.name, "the environment of vLLM's processes", was, other


def is_ignored(name: str, ignore: Sequence[str]) -> bool:
    """Whether `ignore` names it: by its name, or by that of its group: ran.environment"""
    return any(name == each or name.startswith(f"{each}.") for each in ignore)


def _first(texts: Sequence[str]) -> str:
    """A few of them, and how many more there are."""
    more = [f"and {len(texts) - NAMED_AT_MOST} more"] if len(texts) > NAMED_AT_MOST else []
    return ", ".join([*texts[:NAMED_AT_MOST], *more])


def _both(was: set[str], other: set[str]) -> str:
    """The values; of long ones what follows the part that they share."""
    texts = [" and ".join(sorted(values)) for values in (was, other)]
    if max(map(len, texts)) > SHOWN_AT_MOST:
        shared = next((at for at, (one, two) in enumerate(zip(*texts, strict=False)) if one != two), 0)
        begin = max(0, shared - SHOWN_AT_MOST // 4)
        texts = [f"{'…' if begin else ''}{text[begin : begin + SHOWN_AT_MOST]}" for text in texts]
    return " and ".join(texts)


def _of_table(baseline: Point, candidate: Point) -> Iterator[Row]:
    varied = _varied(baseline, candidate)
    for fact in FACTS:
        if not fact.decided_by & varied:
            yield fact.name, fact.what, _values(baseline, fact.name), _values(candidate, fact.name)


def _values(point: Point, name: str) -> set[str]:
    """What is not used has no state that could differ."""
    return {value for value in _recorded(point, name) if value not in NOT_USED or name not in STATES}


def _recorded(point: Point, name: str) -> set[str]:
    found = {start.fact(name) for start in point.starts}
    return {value for value in found if value}


def _of_environment(baseline: Point, candidate: Point) -> Iterator[Row]:
    """Each variable that a process of either has. None where that is not known, as of starts under an earlier bench."""
    mine, theirs = (
        [variables for start in point.starts if (variables := RAN_ENVIRONMENT.in_(start.tags)) is not None]
        for point in (baseline, candidate)
    )
    if not mine or not theirs:
        return
    varied = _varied(baseline, candidate)
    for name in sorted({name for variables in (*mine, *theirs) for name in variables}):
        if not _decide(name) & varied:
            was, other = ({variables.get(name, NOT_SET) for variables in some} for some in (mine, theirs))
            yield RAN.name(f"environment.{name}"), f"the environment variable {name}", was, other


def _decide(variable: str) -> set[str]:
    """The settings that decide it: its own, and those that vLLM derives it from."""
    return {variable}.union(*(some for begins, some in VARIABLES_DECIDED_BY.items() if variable.startswith(begins)))


def _varied(baseline: Point, candidate: Point) -> set[str]:
    """Settings in which the two differ, by the last part of their names. Two releases of vLLM are two environments."""
    mine, theirs = (point.starts[0].params for point in (baseline, candidate))
    differ = {name for name in mine | theirs if mine.get(name) != theirs.get(name)}
    lacking = {name for name in LATER_SETTINGS if name not in mine or name not in theirs}
    releases = {"python", RELEASES} if are_two_releases(baseline, candidate) else set()
    return {name.rpartition(".")[2].replace("-", "_") for name in differ - lacking} | releases


def are_two_releases(baseline: Point, candidate: Point) -> bool:
    """Of vLLM, in two sweeps. Within one sweep, a version that differs is one that nobody chose."""
    was, other = (_values(point, VLLM_VERSION.name) for point in (baseline, candidate))
    return is_between_sweeps(baseline, candidate) and bool(was and other) and was != other


def is_between_sweeps(baseline: Point, candidate: Point) -> bool:
    """Whether the starts of the two are of different sweeps: then nothing pairs them."""
    return not {start.sweep for start in baseline.starts} & {start.sweep for start in candidate.starts}


# The starts of one point: repeats of one thing, with the same settings, host, versions and states.


def unlike(point: Point, ignore: Sequence[str]) -> str | None:
    """Why its starts cannot be joined to one number, with the values; None: they can."""
    found = [] if is_ignored(STARTS, ignore) else [*_mixed(point, ignore)]
    if not found:
        return None
    return f"the starts of `{point.label}` are not repeats of one another: {_first(found)}; to compare all the same: ignore={STARTS}"


def _mixed(point: Point, ignore: Sequence[str]) -> Iterator[str]:
    """Each fact that has another value in one start than in the next; one that is unknown of some is another value."""
    for fact in FACTS:
        values = [start.fact(fact.name) for start in point.starts]
        yield from _differing(fact.what, values, ignore, fact.name)
    names = sorted({name for start in point.starts for name in start.params} - OF_ONE_START - MUST_AGREE.keys())
    for name in names:
        yield from _differing(f"the setting {name}", [start.params.get(name) for start in point.starts], ignore, name)


def _differing(what: str, values: Sequence[str | None], ignore: Sequence[str], name: str) -> Iterator[str]:
    found = sorted({value or "unknown" for value in values})
    if not are_same(name, *({value} for value in found)) and not is_ignored(name, ignore):
        yield f"{what} is {' and '.join(found)}"
