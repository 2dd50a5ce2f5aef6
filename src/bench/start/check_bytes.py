"""Bytes that cannot be as they were recorded. Each function gives a sentence for each contradiction, with both values."""

from collections.abc import Iterator

from bench.host.state import (
    COLD_AT_MOST,
    GIB,
    READ_ALL,
    READ_AT_LEAST,
)
from bench.start.evidence import Evidence
from bench.start.storage_use import StorageUse
from bench.weights.fingerprint_store import delivered_in

COUNTED_TWICE = 1.01  # what two counters of the same bytes differ by at most, and a page
PAGE = 4096
STREAMED_AT_LEAST, STREAM_ROUNDING_GIB = 0.9, 0.06  # the streamer prints one decimal
THROUGH_THE_PAGE_CACHE = {"auto", "safetensors"}
MORE_AT_MOST = 1.02  # of what the files hold, by what a loader adds
FASTEST_GIB_PER_S = 1000.0  # into one rank's memory: a tenth of that is the best that is known
MEMORY_SHARE, MEMORY_GIB = 0.1, 0.5  # by which vLLM's and the probe's account of a model's memory may differ


def tree_below_ranks(e: Evidence) -> Iterator[str]:
    """The ranks are a part of the tree, and the kernel counts both."""
    state = e.state
    if state is None or state.tree_read is None:
        return
    ranks = sum(count for count in state.read.values() if count is not None)
    if ranks > state.tree_read * COUNTED_TWICE + PAGE:
        yield f"the ranks read {_gib(ranks)} from storage while loading by the probe, all of vLLM together {_gib(state.tree_read)} by the keeper"


def counters_backwards(e: Evidence) -> Iterator[str]:
    """The kernel's counters only grow."""
    for process in e.probe.processes:
        for span in process.spans:
            if any((count or 0) < 0 for count in (span.facts.read_bytes, span.facts.delivered_bytes, span.facts.delivered_tensors)):  # fmt: skip
                yield f"{span.name} of pid {process.pid} read {span.facts.read_bytes} bytes and was given {span.facts.delivered_bytes} by the probe: a count below 0"


def size_changed(e: Evidence) -> Iterator[str]:
    """The checkpoint before exec and after the end."""
    state = e.state
    if state and None not in (state.must_read, state.bytes_after) and state.must_read != state.bytes_after:
        yield f"the checkpoint's files had {state.must_read:,} bytes before exec and have {state.bytes_after:,} after the end"


def delivered_too_much(e: Evidence) -> Iterator[str]:
    """More than the files hold. A drafter's weights come from other files."""
    if e.weights.held is None or e.asked.has_drafter:
        return
    for rank, (_, size) in delivered_in(e.probe).items():
        if rank in e.weights.held and size > e.weights.held[rank][1] * MORE_AT_MOST:
            yield f"rank {rank} was given {_gib(size)} by the probe, its files hold {_gib(e.weights.held[rank][1])} by their headers"


def delivered_too_little(e: Evidence) -> Iterator[str]:
    """Less than the files hold: part of the model was not loaded. With experts in parallel a rank takes its own alone."""
    if e.weights.held is None or e.asked.expert_parallel:
        return
    for rank, (_, size) in delivered_in(e.probe).items():
        if rank in e.weights.held and size < e.weights.held[rank][1] * READ_ALL:
            yield f"rank {rank} was given {_gib(size)} by the probe, its files hold {_gib(e.weights.held[rank][1])} by their headers: a part was not loaded"


def delivered_too_fast(e: Evidence) -> Iterator[str]:
    """No memory takes weights so fast: whatever was timed, it was not loading them."""
    for process in e.probe.processes:
        for span in process.spans:
            size, seconds = span.facts.delivered_bytes, span.duration_s
            if size and size / GIB > FASTEST_GIB_PER_S * max(seconds, 0.0):
                yield f"{span.name} of pid {process.pid} was given {_gib(size)} in {seconds:.4f} s by the probe: no memory is so fast"


def delivered_unread(e: Evidence) -> Iterator[str]:
    """In a cold start what was delivered was read. Ranks that share files read them once for all."""
    state, given = e.state, [size for _, size in delivered_in(e.probe).values()]
    if state is None or not given or state.read_gib is None or e.asked.has_drafter:
        return
    is_cold = state.page_cache_requested == "cold" and state.resident_before is not None
    unique = max(given) if state.shared_files else sum(given)
    if is_cold and (state.resident_before or 0.0) <= COLD_AT_MOST and state.read_gib * GIB < unique * READ_AT_LEAST:
        yield f"the ranks were given {_gib(unique)} of different tensors and read {state.read_gib:.2f} GiB from storage in a cold start, both by the probe"


def faster_than_storage(e: Evidence) -> Iterator[str]:
    """No storage delivers more than it can: a cache below this host's own has answered."""
    if e.storage_use.exceeds and e.storage_use.is_firm:
        yield f"{_against_storage(e.storage_use)}: a cache below this host's page cache has answered"


def perhaps_faster_than_storage(e: Evidence) -> Iterator[str]:
    """The same of a limit that does not hold still, that was measured once, or through the page cache: it proves nothing."""
    if e.storage_use.exceeds and not e.storage_use.is_firm:
        direct = "" if all(each.is_direct for each in e.storage_use.profiles) else ", through a cache"
        yield f"{_against_storage(e.storage_use)}{direct}: a cache below may have answered, or the limit is not steady"


def _against_storage(use: StorageUse) -> str:
    limits = " and ".join(f"{each.read_gib_per_s:.2f}" for each in use.profiles)
    return (
        f"the ranks read {use.read_gib:.2f} GiB in {use.seconds:.2f} s of loading by the probe, {use.rate_gib_per_s:.2f} GiB/s: "
        f"{use.share:.0%} of what their storage was measured to deliver ({limits} GiB/s)"
    )


def stream_unlike_delivered(e: Evidence) -> Iterator[str]:
    """The streamer's own size against what the loader passed on of it."""
    for rank, (_, size) in delivered_in(e.probe).items():
        streamed = [gib for whose, gib in _streamed(e) if whose == rank]
        if (
            streamed
            and not e.asked.has_drafter
            and sum(streamed) * STREAMED_AT_LEAST > size / GIB + STREAM_ROUNDING_GIB
        ):
            yield f"rank {rank} streamed {sum(streamed):g} GiB by the streamer's log and was given {_gib(size)} by the probe"


def streamed_less_than_delivered(e: Evidence) -> Iterator[str]:
    """By the streamer's lines of all ranks, of which each may stream a part for the others."""
    given = [size for _, size in delivered_in(e.probe).values()]
    streamed = [gib for _, gib in _streamed(e)]
    if given and streamed and sum(streamed) < STREAMED_AT_LEAST * max(given) / GIB - STREAM_ROUNDING_GIB:
        yield f"{sum(streamed):g} GiB were streamed by the streamer's log, and a rank was given {_gib(max(given))} by the probe"


def _streamed(e: Evidence) -> list[tuple[str | None, float]]:
    """Rank and GiB of each of the streamer's lines."""
    printed = [each for each in e.log.readings if each.phase == "stream"]
    return [(each.rank, each.values["size_gib"]) for each in printed if "size_gib" in each.values]


def shares_beyond(e: Evidence) -> Iterator[str]:
    """Of the checkpoint in the page cache."""
    shares = {"before exec": e.state.resident_before, "after the end": e.state.resident_after} if e.state else {}
    for when, share in shares.items():
        if share is not None and not 0 <= share <= 1:
            yield f"{share:.0%} of the checkpoint was in the page cache {when}: a share is 0 to 100 %"


def read_and_gone(e: Evidence) -> Iterator[str]:
    """vLLM's own loader maps safetensors: of what it has read nothing is in the page cache."""
    loaders = {loader for process in e.probe.processes for loader in process.loaders}
    through_cache = loaders == {"DefaultModelLoader"} and e.asked.load_format in THROUGH_THE_PAGE_CACHE
    if e.state and e.state.bypasses_page_cache and through_cache:
        yield f"vLLM read {e.state.read_gib:.2f} GiB of the checkpoint with load_format={e.asked.load_format}, which reads through the page cache, and {e.state.resident_after:.0%} of it is there afterwards: it was taken away, or other files were read"


def memory_unlike_log(e: Evidence) -> Iterator[str]:
    """GPU memory that the model took."""
    for process in e.probe.processes:
        models = [span.facts for span in process.calls("load_model") if span.facts.before and span.facts.after]
        printed = [
            reading.values["memory_gib"]
            for reading in e.log.readings
            if reading.phase == "load_model" and reading.line.pid == process.pid and "memory_gib" in reading.values
        ]
        taken = [
            after - before
            for facts in models
            if facts.before and facts.after
            if (after := facts.after.gpu_allocated_gib) is not None
            and (before := facts.before.gpu_allocated_gib) is not None
        ]
        is_one = len(taken) == len(models) == len(printed) == 1 and not e.asked.has_drafter
        if is_one and abs(printed[0] - taken[0]) > MEMORY_SHARE * taken[0] + MEMORY_GIB:
            yield f"the model took {printed[0]:g} GiB of GPU memory by vLLM's log and {taken[0]:.2f} GiB by the probe, in pid {process.pid}"


def _gib(count: int) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB / 10 else f"{count:,} bytes"
