"""The state in which a start ran: what was requested, what was measured before and after, and whether the two agree. Pure.

A number counts only with its state. A measured state that differs from the requested one makes a start invalid; one
that cannot be measured here is called unverified, in the report too.
"""

from dataclasses import dataclass, field

COLD_AT_MOST = 0.01
WARM_AT_LEAST = 0.99
LOST_AT_MOST = 0.02  # of a warm checkpoint, read again because the host has taken its pages away since exec
READ_ALMOST_NOTHING = 0.5  # of the bytes that had to be read, in a cold start
READ_THE_WHOLE = 0.5  # in a warm one
READ_ALL = 0.95
MOSTLY = 0.5
GIB = 1024**3


@dataclass(frozen=True)
class HostState:
    """Shares are 0 to 1, None is unknown. `must_read` are the checkpoint's unique bytes, `read` what each rank's
    process took from storage while it loaded them.
    """

    page_cache_requested: str  # cold, warm, as_is
    compile_cache_requested: str  # primed, fresh, as_is
    reads_weights: bool = True  # False: this format reads no local file
    direct_io: bool = False  # this format is known to read past the page cache
    shared_files: bool = False  # all ranks read the same files: through the page cache, one of them reads for all
    gauge: str | None = None
    resident_before: float | None = None
    resident_after: float | None = None
    mapped_by: tuple[str, ...] = ()
    must_read: int | None = None
    read: dict[str, int | None] = field(default_factory=dict)
    tree_read: int | None = None  # by all that vLLM started, from exec to its end: libraries and caches too
    compile_cache_found: str | None = None  # by the log: compiled, loaded, both, load_failed, none

    @property
    def read_gib(self) -> float | None:
        """Of all ranks together."""
        known = [count for count in self.read.values() if count is not None]
        return sum(known) / GIB if known and len(known) == len(self.read) else None

    @property
    def other_read_gib(self) -> float | None:
        """What was read for anything but the weights: Python's packages, compiled graphs."""
        if self.read_gib is None or self.tree_read is None:
            return None
        return max(0.0, self.tree_read / GIB - self.read_gib)

    @property
    def read_amplification(self) -> float | None:
        """Bytes read over unique bytes; 1.0 is ideal for a cold start."""
        if self.read_gib is None or not self.must_read:
            return None
        return self.read_gib * GIB / self.must_read

    @property
    def page_cache_lost(self) -> float | None:
        """Share of the checkpoint's bytes that the page cache was given, and does not hold at the end: this host took them away. None where
        that cannot be known, as of a format that reads past it.
        """
        amplification, before, after = self.read_amplification, self.resident_before, self.resident_after
        if amplification is None or before is None or after is None or self.direct_io or self.bypasses_page_cache:
            return None
        return max(0.0, min(1.0, before + amplification) - after)

    @property
    def bypasses_page_cache(self) -> bool:
        """It read the files and left nothing of them in a cold cache; or, known to do so, it read them although the cache
        held them and still does. The latter alone is no proof: a file that was evicted and read again looks the same.
        """
        amplification, before, after = self.read_amplification, self.resident_before, self.resident_after
        if amplification is None or before is None or after is None or amplification < READ_THE_WHOLE:
            return False
        if before <= COLD_AT_MOST:
            return after <= COLD_AT_MOST
        return self.direct_io and after >= MOSTLY


@dataclass(frozen=True)
class Verdict:
    """The state, in the report's terms, and why the start does not count, if it does not."""

    page_cache: str  # cold, warm, as_is, unverified, none (nothing is read), wrong (not as requested)
    compile_cache: str  # primed, unloadable (primed, and vLLM could not load it), fresh, as_is, none (not used), wrong
    problems: tuple[str, ...]

    @property
    def valid(self) -> bool:
        return not self.problems


def judge(state: HostState) -> Verdict:
    """Compare the requested state with the measured one."""
    page_cache, problems = _judge_page_cache(state)
    compile_cache, more = _judge_compile_cache(state)
    return Verdict(page_cache, compile_cache, (*problems, *more))


def state_doubts(state: HostState) -> list[str]:
    """What is not wrong enough to make a start invalid."""
    again = state.read_amplification
    if state.page_cache_requested != "warm" or state.bypasses_page_cache or again is None or again <= LOST_AT_MOST:
        return []
    return [
        f"{again:.0%} of the checkpoint came from storage in a warm start: this host took pages away after exec, or libraries had to be read again"
    ]


def _judge_page_cache(state: HostState) -> tuple[str, list[str]]:
    requested = state.page_cache_requested
    if not state.reads_weights:
        return "none", []
    if requested == "as_is":
        return "as_is", []
    if state.resident_before is None:
        return "unverified", []
    problems = _check_residency(state) + _check_reads(state)
    return ("wrong" if problems else requested), problems


def _check_residency(state: HostState) -> list[str]:
    share, requested = state.resident_before, state.page_cache_requested
    assert share is not None
    who = f"; mapped by {', '.join(state.mapped_by)}" if state.mapped_by else ""
    if requested == "cold" and (share > COLD_AT_MOST or state.mapped_by):
        return [f"page_cache=cold was asked, but {share:.0%} of the checkpoint was in the page cache before exec{who}"]
    if requested == "warm" and share < WARM_AT_LEAST:
        return [f"page_cache=warm was asked, but only {share:.0%} of the checkpoint was in the page cache before exec"]
    return []


def _check_reads(state: HostState) -> list[str]:
    amplification = state.read_amplification
    if amplification is None:
        return _tree_read_too_little(state)
    read = f"{state.read_gib:.2f} GiB from storage, {amplification:.0%} of the checkpoint"
    problems = [
        f"page_cache={state.page_cache_requested} was asked, but {rank} read nothing while others read"
        for rank, count in state.read.items()
        if state.page_cache_requested == "cold"
        and count == 0
        and amplification > 0
        and not _another_read_for_all(state)
    ]
    if state.page_cache_requested == "cold" and amplification < READ_ALMOST_NOTHING:
        problems.append(f"page_cache=cold was asked, but vLLM read only {read}: a cache has answered")
    if state.page_cache_requested == "warm" and amplification > READ_THE_WHOLE and not state.bypasses_page_cache:
        problems.append(f"page_cache=warm was asked, but vLLM read {read}: the cache did not hold it")
    return problems


def _tree_read_too_little(state: HostState) -> list[str]:
    """Where the probe has no count of the loading processes, all that the tree read is still an upper bound."""
    if state.page_cache_requested != "cold" or state.tree_read is None or not state.must_read:
        return []
    if (share := state.tree_read / state.must_read) >= READ_ALMOST_NOTHING:
        return []
    read = f"{state.tree_read / GIB:.2f} GiB from storage, {share:.0%} of the checkpoint"
    return [f"page_cache=cold was asked, but all of vLLM together read only {read}: a cache has answered"]


def _another_read_for_all(state: HostState) -> bool:
    """Where all ranks read the same files through the page cache, the one that comes second finds it filled."""
    amplification = state.read_amplification
    return (
        state.shared_files and not state.bypasses_page_cache and amplification is not None and amplification >= READ_ALL
    )


def _judge_compile_cache(state: HostState) -> tuple[str, list[str]]:
    requested, found = state.compile_cache_requested, state.compile_cache_found
    if found in {None, "none"}:
        return ("as_is" if requested == "as_is" else "none"), []
    if requested == "primed" and found == "load_failed":
        return "unloadable", []  # vLLM's own failure, the same in every start: vLLM 0.32.0 on a CPU does so
    if requested == "primed" and found != "loaded":
        return "wrong", [f"compile_cache=primed was asked, but vLLM {_described(found)}"]
    if requested == "fresh" and found != "compiled":
        return "wrong", [f"compile_cache=fresh was asked, but vLLM {_described(found)}"]
    return requested, []


def _described(found: str | None) -> str:
    return {
        "compiled": "compiled",
        "loaded": "loaded a compiled graph",
        "both": "compiled a part and loaded a part",
        "load_failed": "found a graph that it could not load",
    }[found or ""]
