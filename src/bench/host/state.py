"""The state in which a start ran: what was requested, what was measured before and after, and whether the two agree. Pure.

A number counts only with its state. A measured state that differs from the requested one makes a start invalid; one
that cannot be measured here is called unverified, in the report too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.host.byte_code import UNVERIFIED, ByteCode, byte_code_problems, byte_code_word

COLD_AT_MOST = 0.01
WARM_AT_LEAST = 0.99
# Of a checkpoint's bytes: an honest cold start reads them to half a percent, a warm one nothing.
READ_AT_LEAST, READ_ALL = 0.90, 0.95  # in a cold start: less is wrong, and doubtful
# In a warm one, of which the host has taken pages away since exec: more is doubtful, and wrong.
LOST_AT_MOST, READ_AT_MOST = 0.02, 0.10
READ_THE_WHOLE = 0.5  # by what reads past the page cache
MOSTLY = 0.5
GIB = 1024**3


@dataclass(frozen=True)
class HostState:
    """Shares are 0 to 1, None is unknown. `must_read` are the checkpoint's unique bytes, `read` what each rank's
    process took from storage while it loaded them.
    """

    page_cache_requested: str  # cold, warm, as_is
    compile_cache_requested: str  # primed, fresh, as_is
    reads_weights: bool = True  # False: by its settings this format reads no files of weights
    delivered: int = 0  # bytes of weights that the ranks were given; 0 also where nobody counted
    direct_io: bool = False  # this format is known to read past the page cache
    shared_files: bool = False  # all ranks read the same files: through the page cache, one of them reads for all
    gauge: str | None = None
    resident_before: float | None = None
    resident_after: float | None = None
    mapped_by: tuple[str, ...] = ()
    must_read: int | None = None
    read: dict[str, int | None] = field(default_factory=dict)
    counts_reads: bool | None = None  # whether a file of the checkpoint, evicted and read, was counted; None: not tried
    bytes_after: int | None = None  # of the files, when the start was over
    tree_read: int | None = None  # by all that vLLM started, from exec to its end: libraries and caches too
    compile_cache_found: str | None = None  # by the log: compiled, loaded, both, load_failed, none
    compiles: bool | None = None  # False: by its log or its arguments vLLM does not; None: unknown
    bytecode_requested: str = "as_is"  # compiled, as_is
    byte_code: dict[str, ByteCode] = field(default_factory=dict)  # that each process found; empty: none reported

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

    page_cache: str  # cold, warm, as_is, unverified, not_used (nothing is read), wrong (not as requested)
    # primed, unloadable (primed, and vLLM could not load it), fresh, as_is, not_used, unknown (the log shows no use of it), wrong.
    # Of both, an earlier bench wrote "none" for what was not used and for what was unknown.
    compile_cache: str
    problems: tuple[str, ...]
    byte_code: str = UNVERIFIED  # or compiled, missing: as it was found

    @property
    def valid(self) -> bool:
        return not self.problems


def judge(state: HostState) -> Verdict:
    """Compare the requested state with the measured one."""
    of_pages = (*residency_problems(state), *read_problems(state))
    of_compiling = tuple(compile_cache_problems(state))
    of_byte_code = byte_code_problems(state.bytecode_requested, state.byte_code)
    return Verdict(
        _page_cache_word(state, of_pages),
        _compile_cache_word(state, of_compiling),
        (*of_pages, *of_compiling, *of_byte_code),
        byte_code_word(state.byte_code),
    )


def state_doubts(state: HostState) -> list[str]:
    """What is not wrong enough to make a start invalid."""
    return [*_read_doubts(state), *_unknown_files(state)]


def _read_doubts(state: HostState) -> Iterator[str]:
    share, who = _read_share(state)
    if share is None or read_problems(state):
        return
    if state.page_cache_requested == "cold" and share < READ_ALL:
        yield f"{who} read {share:.0%} of the checkpoint from storage in a cold start: a cache has answered for the rest, or the model has no use for it"
    if state.page_cache_requested == "warm" and share > LOST_AT_MOST and not state.bypasses_page_cache:
        yield f"{share:.0%} of the checkpoint came from storage in a warm start: this host took pages away after exec, or libraries had to be read again"


def _unknown_files(state: HostState) -> Iterator[str]:
    requested = state.page_cache_requested
    done = {"cold": "evicted", "warm": "read"}.get(requested, "measured")
    if not state.reads_weights and state.delivered:
        yield (
            f"load_format.checkpoint=config_only reads no files of weights, but {state.delivered / GIB:.2f} GiB were delivered to the ranks: "
            f"nothing was {done} before this start. Set load_format.checkpoint to what the format reads"
        )
    elif state.reads_weights and not state.must_read and requested != "as_is":
        yield f"page_cache={requested} was asked, but which files this start read is not known: nothing was {done} or measured"


def unknown_compile_cache(state: HostState) -> Iterator[str]:
    """That a compile cache was requested and the log shows no use of it. Of starts under an earlier bench that is not known."""
    if state.compile_cache_requested != "as_is" and _compile_cache_word(state, ()) == "unknown":
        yield (
            f"compile_cache={state.compile_cache_requested} was asked, but vLLM's log shows neither that it compiled nor that it loaded "
            "compiled graphs: the state of the cache is unknown"
        )


def _page_cache_word(state: HostState, problems: Sequence[str]) -> str:
    if not state.reads_weights:
        return "unverified" if state.delivered else "not_used"
    if state.page_cache_requested == "as_is":
        return "as_is"
    if problems:
        return "wrong"
    return "unverified" if state.resident_before is None else state.page_cache_requested


def residency_problems(state: HostState) -> list[str]:
    """The requested page cache against what was resident before exec."""
    share, requested = state.resident_before, state.page_cache_requested
    if share is None or not state.reads_weights:
        return []
    who = f"; mapped by {', '.join(state.mapped_by)}" if state.mapped_by else ""
    if requested == "cold" and (share > COLD_AT_MOST or state.mapped_by):
        return [f"page_cache=cold was asked, but {share:.0%} of the checkpoint was in the page cache before exec{who}"]
    if requested == "warm" and share < WARM_AT_LEAST:
        return [f"page_cache=warm was asked, but only {share:.0%} of the checkpoint was in the page cache before exec"]
    return []


def _read_share(state: HostState) -> tuple[float | None, str]:
    """What was read of the checkpoint, and by whom. None: not counted. Where nobody knows what loaded, all that the tree read is an
    upper bound, which proves a cold start only. Nothing at all proves nothing where reads may not be counted, as on tmpfs.
    """
    is_counted = state.counts_reads or state.resident_before is not None
    share, who = state.read_amplification, "vLLM"
    if share is None and state.page_cache_requested == "cold" and state.tree_read is not None and state.must_read:
        share, who = state.tree_read / state.must_read, "all of vLLM together"
    if not state.reads_weights or (not share and not is_counted):
        return None, who
    return share, who


def read_problems(state: HostState) -> list[str]:
    """The requested page cache against what was read from storage. Wherever that is counted, whether residency was measured or not."""
    share, who = _read_share(state)
    if share is None or not state.must_read:
        return []
    read = f"{share * state.must_read / GIB:.2f} GiB from storage, {share:.0%} of the checkpoint"
    problems = _idle_ranks(state)
    if state.page_cache_requested == "cold" and share < READ_AT_LEAST:
        problems.append(f"page_cache=cold was asked, but {who} read only {read}: a cache has answered")
    if state.page_cache_requested == "warm" and share > READ_AT_MOST and not state.bypasses_page_cache:
        problems.append(f"page_cache=warm was asked, but vLLM read {read}: the cache did not hold it")
    return problems


def _idle_ranks(state: HostState) -> list[str]:
    if state.page_cache_requested != "cold" or not state.read_amplification or _another_read_for_all(state):
        return []
    idle = [rank for rank, count in state.read.items() if count == 0]
    return [f"page_cache=cold was asked, but {rank} read nothing while others read" for rank in idle]


def _another_read_for_all(state: HostState) -> bool:
    """Where all ranks read the same files through the page cache, the one that comes second finds it filled."""
    amplification = state.read_amplification
    return (
        state.shared_files and not state.bypasses_page_cache and amplification is not None and amplification >= READ_ALL
    )


def compile_cache_problems(state: HostState) -> list[str]:
    """The requested compile cache against what vLLM did by its log. A graph that it cannot load is its own failure, the same in every
    start: vLLM 0.32.0 on a CPU does so.
    """
    expected = {"primed": ("loaded", "load_failed"), "fresh": ("compiled",)}.get(state.compile_cache_requested)
    found = state.compile_cache_found
    if expected is None or found in {None, "none", *expected}:
        return []
    return [f"compile_cache={state.compile_cache_requested} was asked, but vLLM {_described(found)}"]


def _compile_cache_word(state: HostState, problems: Sequence[str]) -> str:
    requested, found = state.compile_cache_requested, state.compile_cache_found
    if problems:
        return "wrong"
    if found in {None, "none"}:
        return "as_is" if requested == "as_is" else "not_used" if state.compiles is False else "unknown"
    return "unloadable" if (requested, found) == ("primed", "load_failed") else requested


def _described(found: str | None) -> str:
    return {
        "compiled": "compiled",
        "loaded": "loaded a compiled graph",
        "both": "compiled a part and loaded a part",
        "load_failed": "found a graph that it could not load",
    }[found or ""]
