"""Whether a start ran in the requested state: what was measured, what was read, what is in its log."""

import pytest

from bench.host.state import GIB, HostState, Verdict, judge, state_doubts

CHECKPOINT = 15 * GIB


def cold(**found: object) -> HostState:
    """A mapped checkpoint that was cold and was read once, as `found` changes it."""
    usual = {"resident_before": 0.0, "resident_after": 1.0, "must_read": CHECKPOINT, "read": {"TP0": CHECKPOINT}}
    return HostState("cold", "as_is", **usual | found)


def warm(**found: object) -> HostState:
    """One that was warm, and so was not read from storage."""
    usual = {"resident_before": 1.0, "resident_after": 1.0, "must_read": CHECKPOINT, "read": {"TP0": 0}}
    return HostState("warm", "as_is", **usual | found)


def compiled(requested: str, found: str | None) -> HostState:
    return HostState("as_is", requested, compile_cache_found=found)


def test_a_warm_start_of_which_the_host_took_pages_away_warns():
    """It was warm at exec, so it counts; but a part of it was read again. What reads past the cache has lost nothing."""
    lost = warm(read={"TP0": CHECKPOINT // 20})

    assert judge(lost).valid
    assert state_doubts(lost)[0].startswith("5% of the checkpoint came from storage in a warm start")
    assert state_doubts(warm(read={"TP0": CHECKPOINT // 100})) == []
    assert state_doubts(warm(direct_io=True, read={"TP0": CHECKPOINT})) == []
    assert state_doubts(cold()) == state_doubts(warm(read={})) == []


@pytest.mark.parametrize(
    ("state", "lost"),
    [
        (cold(), 0.0),
        (cold(resident_after=0.7), 0.3),
        (cold(resident_after=0.55, read={"TP0": int(0.55 * CHECKPOINT)}), 0.0),  # a rank reads its part
        (warm(resident_after=0.9), 0.1),
        (warm(read={"TP0": CHECKPOINT // 20}), 0.0),  # read again, and there at the end
        (cold(resident_after=0.0), None),  # read past the cache, or all of it was taken: nobody can tell
        (cold(direct_io=True, resident_after=0.5), None),
        (cold(read={}), None),
        (cold(resident_after=None), None),
        (HostState("as_is", "as_is", resident_before=0.4, resident_after=0.8, must_read=10, read={"TP0": 6}), 0.2),
    ],
)
def test_pages_that_the_host_took_away_are_known_by_what_was_read(state, lost):
    """What the page cache had before exec, and what was read through it, must be there in the end."""
    assert state.page_cache_lost == (None if lost is None else pytest.approx(lost, abs=1e-6))


# The page cache: what it was.


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (cold(), "cold"),
        (cold(resident_before=0.01), "cold"),
        (cold(read={}), "cold"),  # who loads was not seen
        (cold(read={"TP0": None}), "cold"),  # somebody else's counter
        (cold(read={"TP0": CHECKPOINT // 2, "TP1": CHECKPOINT // 2}), "cold"),  # two ranks share the work
        (cold(read={"TP0": CHECKPOINT, "TP1": CHECKPOINT}), "cold"),  # each rank reads all
        (cold(resident_after=0.0), "cold"),  # read past the cache
        (warm(), "warm"),
        (warm(resident_before=0.99), "warm"),
        (warm(read={"TP0": 4096}), "warm"),
        (warm(read={}), "warm"),
        (HostState("as_is", "as_is"), "as_is"),
        (HostState("as_is", "as_is", resident_before=0.4, must_read=CHECKPOINT, read={"TP0": 0}), "as_is"),
        (cold(resident_before=None, resident_after=None), "unverified"),
        (warm(resident_before=None, resident_after=None), "unverified"),
        (cold(resident_before=None, read={"TP0": 0}), "unverified"),  # on tmpfs nobody ever reads from storage
        (HostState("cold", "as_is", reads_weights=False), "not_used"),
        (HostState("warm", "as_is", reads_weights=False), "not_used"),
    ],
)
def test_a_start_in_the_requested_state_counts(state, word):
    """And has a word for it; where nothing is known, the word is for that."""
    assert judge(state) == Verdict(word, "as_is", ())


# The page cache: planted lies.


def problem(state: HostState) -> str:
    """The only one."""
    verdict = judge(state)
    (found,) = verdict.problems
    assert not verdict.valid
    return found


def test_a_checkpoint_that_is_still_cached_is_not_cold():
    """More than 1 % of it was there before exec."""
    assert problem(cold(resident_before=0.37)) == (
        "page_cache=cold was asked, but 37% of the checkpoint was in the page cache before exec"
    )


def test_a_checkpoint_that_a_process_keeps_mapped_is_not_cold():
    """Its pages cannot be evicted, whatever the gauge says; the process is named."""
    assert problem(cold(mapped_by=("python (pid 7)",))) == (
        "page_cache=cold was asked, but 0% of the checkpoint was in the page cache before exec; mapped by python (pid 7)"
    )


def test_a_checkpoint_that_was_warmed_behind_our_back_is_not_cold():
    """Nothing was resident when we looked, and vLLM read nothing from storage: between the two somebody filled the cache."""
    assert problem(cold(read={"TP0": 0})) == (
        "page_cache=cold was asked, but vLLM read only 0.00 GiB from storage, 0% of the checkpoint: a cache has answered"
    )


def test_a_checkpoint_of_which_a_part_was_warmed_is_not_cold():
    """4 of 15 GiB are not the whole."""
    assert problem(cold(read={"TP0": 4 * GIB})) == (
        "page_cache=cold was asked, but vLLM read only 4.00 GiB from storage, 27% of the checkpoint: a cache has answered"
    )


def test_a_cold_start_reads_nearly_all_or_counts_for_less():
    """Below 95 % of the checkpoint it carries a warning, below 90 % it does not count: most of a half-warm cache is no cold start."""
    assert state_doubts(cold(read={"TP0": CHECKPOINT * 96 // 100})) == []
    assert state_doubts(cold(read={"TP0": CHECKPOINT * 93 // 100}))[0].startswith("vLLM read 93% of the checkpoint")
    assert judge(cold(read={"TP0": CHECKPOINT * 93 // 100})).valid
    assert "read only 13.35 GiB" in problem(cold(read={"TP0": CHECKPOINT * 89 // 100}))


def test_a_warm_start_that_read_a_tenth_is_not_warm():
    """5 % are a warning, 11 % are another state."""
    assert judge(warm(read={"TP0": CHECKPOINT // 20})).valid
    assert "vLLM read 1.65 GiB" in problem(warm(read={"TP0": CHECKPOINT * 11 // 100}))


def test_what_was_read_is_proof_where_residency_could_not_be_measured():
    """If the kernel counts: what it counted of something, or nothing where a trial on the same files was counted."""
    unknown = {"resident_before": None, "resident_after": None}

    assert "read only 7.50 GiB" in problem(cold(read={"TP0": CHECKPOINT // 2}, **unknown))
    assert "read only 0.00 GiB" in problem(cold(read={"TP0": 0}, counts_reads=True, **unknown))
    assert "vLLM read 15.00 GiB" in problem(warm(read={"TP0": CHECKPOINT}, **unknown))
    assert judge(cold(read={"TP0": 0}, counts_reads=False, **unknown)) == Verdict("unverified", "as_is", ())


def test_a_rank_that_read_nothing_is_named():
    """The other's gigabytes must not hide it."""
    assert problem(cold(read={"TP0": CHECKPOINT, "TP1": 0})) == (
        "page_cache=cold was asked, but TP1 read nothing while others read"
    )


def test_a_rank_that_read_nothing_where_all_share_the_files_is_no_lie():
    """The first has read the whole through the page cache. A format that bypasses it has no such excuse."""
    read = {"TP0": CHECKPOINT, "TP1": 0}

    assert judge(cold(read=read, shared_files=True)).valid
    assert "TP1 read nothing" in problem(cold(read=read, shared_files=True, resident_after=0.0))
    assert "TP1 read nothing" in problem(cold(read={"TP0": CHECKPOINT * 93 // 100, "TP1": 0}, shared_files=True))


def test_what_the_whole_tree_read_is_a_limit_where_the_loading_process_is_unknown():
    """The log names no process; all together read too little, whatever it was for."""
    assert "all of vLLM together read only 1.50 GiB from storage, 10% of the checkpoint" in problem(
        cold(read={}, tree_read=CHECKPOINT // 10)
    )
    assert judge(cold(read={}, tree_read=CHECKPOINT)).valid
    assert judge(warm(read={}, tree_read=0)).valid


def test_what_was_read_for_anything_else_is_the_rest_of_the_tree():
    """Packages and compiled graphs; unknown where either is."""
    assert cold(tree_read=CHECKPOINT + GIB).other_read_gib == 1.0
    assert cold(read={}, tree_read=GIB).other_read_gib is None
    assert cold().other_read_gib is None


def test_ranks_that_all_read_nothing_are_one_problem():
    """It is the cache that answered, and no rank is different from the others."""
    assert "a cache has answered" in problem(cold(read={"TP0": 0, "TP1": 0}))


def test_a_checkpoint_that_was_not_wholly_cached_is_not_warm():
    """The host's memory was too small, or somebody else needed it."""
    assert problem(warm(resident_before=0.98)) == (
        "page_cache=warm was asked, but only 98% of the checkpoint was in the page cache before exec"
    )


@pytest.mark.parametrize("after", [0.3, 1.0])
def test_a_checkpoint_that_was_evicted_behind_our_back_is_not_warm(after):
    """All was resident when we looked, and vLLM read all from storage. A mapping has filled the cache again since."""
    assert problem(warm(read={"TP0": CHECKPOINT}, resident_after=after)) == (
        "page_cache=warm was asked, but vLLM read 15.00 GiB from storage, 100% of the checkpoint: the cache did not hold it"
    )


def test_everything_that_is_wrong_is_reported():
    """Of both caches, since each is another thing to look after."""
    state = HostState(
        "cold", "primed", resident_before=0.5, must_read=CHECKPOINT, read={"TP0": 0}, compile_cache_found="compiled"
    )

    assert [words.partition(" was asked")[0] for words in judge(state).problems] == [
        "page_cache=cold",
        "page_cache=cold",
        "compile_cache=primed",
    ]


@pytest.mark.parametrize("state", [cold(resident_before=0.5), cold(read={"TP0": 0}), warm(resident_before=0.5)])
def test_a_state_that_was_another_is_not_called_by_the_requested_word(state):
    """Whoever searches MLflow for tags.`bench.page_cache` = 'cold' must not find a start that was warm."""
    assert judge(state).page_cache != state.page_cache_requested


# Formats that read past the page cache.


@pytest.mark.parametrize(
    ("state", "bypasses"),
    [
        (cold(resident_after=0.0), True),  # all was read, nothing of it was left in the cache
        (cold(resident_after=1.0), False),  # a mapping fills it
        (cold(resident_after=None), False),  # nobody knows
        (cold(resident_after=0.0, read={"TP0": None}), False),
        (cold(resident_after=0.0, read={"TP0": 0}), False),  # it did not read at all
        (warm(direct_io=True, read={"TP0": CHECKPOINT}), True),
        (warm(direct_io=True, read={"TP0": 0}), False),  # its file system had no O_DIRECT, so it read from the cache
        (warm(direct_io=False, read={"TP0": CHECKPOINT}), False),  # evicted, and read again
        (warm(direct_io=True, resident_after=None, read={"TP0": CHECKPOINT}), False),
    ],
)
def test_a_format_that_bypasses_the_page_cache_is_recognised(state, bypasses):
    """By what it read and what it left, in a cold start and in a warm one."""
    assert state.bypasses_page_cache is bypasses


def test_a_format_that_bypasses_a_warm_page_cache_counts():
    """15 GiB were read from storage although the cache held them: that is how it works, and no lie."""
    assert judge(warm(direct_io=True, read={"TP0": CHECKPOINT})) == Verdict("warm", "as_is", ())


# What was read.


def test_what_was_read_is_the_sum_of_all_processes():
    """Two ranks of the plain streamer read the checkpoint twice."""
    state = cold(read={"TP0": CHECKPOINT, "TP1": CHECKPOINT})

    assert (state.read_gib, state.read_amplification) == (30.0, 2.0)


@pytest.mark.parametrize("read", [{}, {"TP0": None}, {"TP0": CHECKPOINT, "TP1": None}])
def test_what_one_process_read_unseen_makes_the_sum_unknown(read):
    """None, and never the sum of the others."""
    state = cold(read=read)

    assert (state.read_gib, state.read_amplification) == (None, None)


def test_without_a_checkpoint_there_is_no_amplification():
    """Nothing had to be read: there is nothing to divide by."""
    assert cold(must_read=None).read_amplification is None


# Compile and JIT caches.


@pytest.mark.parametrize(
    ("requested", "found", "word"),
    [
        ("primed", "loaded", "primed"),
        ("primed", "load_failed", "unloadable"),  # vLLM's own failure, in every start alike
        ("primed", "none", "unknown"),  # of an eager start it would be known that there was nothing to keep
        ("primed", None, "unknown"),
        ("fresh", "compiled", "fresh"),
        ("fresh", "none", "unknown"),
        ("as_is", "compiled", "as_is"),
        ("as_is", "loaded", "as_is"),
        ("as_is", "both", "as_is"),
        ("as_is", "none", "as_is"),
        ("as_is", None, "as_is"),
    ],
)
def test_a_start_with_the_requested_caches_counts(requested, found, word):
    """By what its log says of compiling."""
    assert judge(compiled(requested, found)) == Verdict("as_is", word, ())


@pytest.mark.parametrize(
    ("requested", "found", "words"),
    [
        ("primed", "compiled", "compile_cache=primed was asked, but vLLM compiled"),
        ("primed", "both", "compile_cache=primed was asked, but vLLM compiled a part and loaded a part"),
        ("fresh", "loaded", "compile_cache=fresh was asked, but vLLM loaded a compiled graph"),
        ("fresh", "both", "compile_cache=fresh was asked, but vLLM compiled a part and loaded a part"),
        ("fresh", "load_failed", "compile_cache=fresh was asked, but vLLM found a graph that it could not load"),
    ],
)
def test_a_start_whose_caches_were_filled_or_emptied_by_another_does_not_count(requested, found, words):
    """The 1.43x of the H100 was two thirds this."""
    assert judge(compiled(requested, found)) == Verdict("as_is", "wrong", (words,))
