"""Which point is compared with which, what enters a mean, and when there is no speedup."""

import pytest

from bench.analysis.comparison import compare
from bench.analysis.records import RunRecord
from bench.errors import SettingError
from bench.start.metrics import FIRST_ANSWER, FIRST_TOKEN, LOAD_MODEL, LOAD_WEIGHTS, READY, REQUESTS
from made_sweeps import made_failure, made_start, made_sweep


def varied(load_format: str, ready_s: float = 10.0, *, tp: int = 1, point: str | None = None) -> RunRecord:
    """A start of a sweep over load formats and ranks, with its settings as params."""
    params = {"load_format": load_format, "tensor_parallel_size": str(tp), "max_model_len": "2048"}
    return made_start(point or f"{load_format} tp={tp}", {"ready_s": ready_s}, params=params)


def timed(point: str, *ready_s: float, tokens: str | None = None) -> list[RunRecord]:
    """Starts of one point that were ready after these times."""
    tags = {} if tokens is None else {"bench.tokens": tokens}
    return [made_start(point, {"ready_s": value}, repeat=repeat, tags=tags) for repeat, value in enumerate(ready_s)]


def answered(point: str, endpoint: str, seconds: float) -> RunRecord:
    """A start of a model that completes no texts."""
    return made_start(point, {"ready_s": seconds, "first_answer_s": seconds}, tags={"bench.endpoint": endpoint})


@pytest.mark.parametrize(("endpoint", "is_compared"), [("/v1/embeddings", True), ("/classify", False)])
def test_first_answers_are_compared_where_the_same_was_asked(endpoint, is_compared):
    """A vector takes another time than a class; the time to ready is what it is in both."""
    found = compare(made_sweep(answered("auto", "/v1/embeddings", 2.0), answered("other", endpoint, 1.0)))

    assert found.speedup("other", READY).ratio.mean == pytest.approx(2.0)
    assert (found.speedup("other", FIRST_ANSWER) is not None) is is_compared
    assert found.speedup("other", FIRST_TOKEN) is None


def test_the_ratio_of_a_rate_is_above_1_where_the_candidate_has_more():
    """As that of a time where it needs less."""
    starts = [
        made_start(name, {"ready_s": 1.0, "throughput/requests_per_s": rate})
        for name, rate in (("auto", 2.0), ("other", 5.0))
    ]

    assert compare(made_sweep(*starts)).speedup("other", REQUESTS).ratio.mean == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("where", "points"),
    [
        ({"vllm.args.dtype": "null"}, ["plain", "unset"]),
        ({"vllm.args.dtype": "None"}, ["plain", "unset"]),
        ({"vllm.args.dtype": "half"}, ["half"]),
        ({"vllm.args.dtype": "null", "load_format": "auto"}, ["plain", "unset"]),
    ],
)
def test_where_finds_what_is_not_set(where, points):
    """An argument that is vLLM's default in one point is no param there; one that is null is the text None."""
    given = {"plain": {}, "unset": {"vllm.args.dtype": "None"}, "half": {"vllm.args.dtype": "half"}}
    starts = [made_start(name, {"ready_s": 1.0}, params={"load_format": "auto"} | more) for name, more in given.items()]

    assert [point.label for point in compare(made_sweep(*starts), where=where).points] == points


def test_a_section_that_has_settings_is_set():
    """`completion=null` in one point is a param of that name; in the others there are the section's settings alone."""
    given = {"off": {"completion": "None"}, "asked": {"completion.prompt": "Once", "completion.max_tokens": "16"}}
    starts = [made_start(name, {"ready_s": 1.0}, params=params) for name, params in given.items()]

    assert [point.label for point in compare(made_sweep(*starts), where={"completion": "null"}).points] == ["off"]


def test_where_refuses_a_name_that_no_start_has():
    """Of a typo every start is without."""
    with pytest.raises(SettingError, match=r"^where.load_formt: no start of sweep .* near to it are load_format\.$"):
        compare(made_sweep(varied("auto")), where={"load_formt": "null"})


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ({"load_formt": "auto"}, r"has such a param; near to it are load_format\.$"),
        ({"load_format": "atuo"}, r"is left\. Of load_format they have auto\.$"),
    ],
)
def test_where_no_start_is_left_it_is_said_what_there_is(where, why):
    """A name that none has, or the values that they have."""
    with pytest.raises(SettingError, match=why):
        compare(made_sweep(varied("auto")), where=where)


# Who is compared with whom.


def test_auto_is_the_baseline_of_the_other_load_formats():
    """What vLLM does by itself is what everything else has to beat, wherever in the command it stands."""
    sweep = made_sweep(
        varied("safetensors", point="safetensors"), varied("auto", point="auto"), varied("dummy", point="dummy")
    )

    assert compare(sweep).baselines == {"safetensors": "auto", "dummy": "auto"}


def test_a_cut_checkpoint_of_its_own_place_is_compared_with_auto():
    """The place follows from the load format: sharded formats have one, the others none."""
    params = {"load_format": "sharded_state", "model.sharded_path": "models/tiny_llama-1a2b-tp1"}
    plain = {"load_format": "auto", "model.sharded_path": "None"}
    starts = [made_start(each["load_format"], {"ready_s": 1.0}, params=each) for each in (plain, params)]

    assert compare(made_sweep(*starts)).baselines == {"sharded_state": "auto"}


def test_each_tensor_parallel_size_has_a_baseline_of_its_own():
    """A load format is compared at otherwise equal settings: more ranks are no merit of it."""
    sweep = made_sweep(*(varied(name, tp=tp) for tp in (1, 2) for name in ("safetensors", "auto", "runai_streamer")))

    assert compare(sweep).baselines == {
        "safetensors tp=1": "auto tp=1",
        "runai_streamer tp=1": "auto tp=1",
        "safetensors tp=2": "auto tp=2",
        "runai_streamer tp=2": "auto tp=2",
    }


def test_the_first_point_is_the_baseline_where_there_is_no_auto():
    """First as the command listed them, and not as they happened to be started."""
    started = varied("safetensors", point="safetensors"), varied("dummy", point="dummy")
    sweep = made_sweep(*started, order=["dummy", "safetensors"])

    assert compare(sweep).baselines == {"safetensors": "dummy"}


def test_a_group_without_auto_has_its_own_first_point():
    """Where auto failed with two ranks, the others with two are still not compared with one rank."""
    sweep = made_sweep(
        varied("auto"), varied("safetensors"), varied("safetensors", tp=2), varied("runai_streamer", tp=2)
    )

    assert compare(sweep).baselines == {
        "safetensors tp=1": "auto tp=1",
        "runai_streamer tp=2": "safetensors tp=2",
    }


def test_points_of_one_load_format_are_one_group():
    """Where only other settings were varied, their first value is the baseline of all."""
    sweep = made_sweep(*(varied("auto", tp=tp) for tp in (1, 2, 4)))

    assert compare(sweep).baselines == {"auto tp=2": "auto tp=1", "auto tp=4": "auto tp=1"}


def test_points_that_differ_in_more_than_the_load_format_are_not_compared():
    """Nobody could say whether the format or the ranks made the difference: each other's partner has failed."""
    sweep = made_sweep(varied("auto", tp=1), varied("safetensors", tp=2))

    assert compare(sweep).baselines == {}


def test_settings_of_a_load_format_divide_no_group():
    """They belong to the candidate: the streamer with 4 and with 16 threads both face auto."""
    streamer = {"load_format": "runai_streamer", "tensor_parallel_size": "1"}
    sweep = made_sweep(
        made_start("auto", params={"load_format": "auto", "tensor_parallel_size": "1"}),
        *(
            made_start(f"concurrency={threads}", params=streamer | {"load_format.extra.concurrency": threads})
            for threads in ("4", "16")
        ),
    )

    assert compare(sweep).baselines == {"concurrency=4": "auto", "concurrency=16": "auto"}


def test_the_command_divides_no_group():
    """It differs in every start, at least in the port, and follows from the rest."""
    sweep = made_sweep(
        *(
            made_start(name, params={"load_format": name, "vllm_command": f"python --load-format {name} --port {port}"})
            for name, port in (("auto", 4711), ("safetensors", 4712), ("dummy", 4713))
        )
    )

    assert compare(sweep).baselines == {"safetensors": "auto", "dummy": "auto"}


def test_logs_without_settings_are_one_group():
    """A replayed log says nothing of what was asked: the first file is the baseline."""
    sweep = made_sweep(*timed("base", 421.89), *timed("runai_sharded", 62.25), replayed=True)

    assert compare(sweep).baselines == {"runai_sharded": "base"}


def test_a_log_that_is_called_auto_is_the_baseline():
    """Its name is all that it says, and it says it as the load format would."""
    sweep = made_sweep(*timed("runai_streamer", 62.25), *timed("auto", 421.89), replayed=True)

    assert compare(sweep).baselines == {"runai_streamer": "auto"}


def test_a_single_point_is_compared_with_nothing():
    """It has means, and nothing beside them."""
    comparison = compare(made_sweep(*timed("auto", 10.0, 12.0)))

    assert (comparison.baselines, comparison.speedups, comparison.withheld) == ({}, (), {})


def test_a_baseline_that_is_named_is_that_of_all_points():
    """Whatever else differs: whoever names it has a reason."""
    sweep = made_sweep(*(varied(name, tp=tp) for tp in (1, 2) for name in ("auto", "safetensors")))

    assert compare(sweep, baseline="safetensors tp=2").baselines == {
        "auto tp=1": "safetensors tp=2",
        "safetensors tp=1": "safetensors tp=2",
        "auto tp=2": "safetensors tp=2",
    }


def test_an_unknown_baseline_is_refused_with_the_points_that_there_are():
    """Labels are long, and nobody remembers them. A point that always failed is none of them: it has no time to divide."""
    sweep = made_sweep(varied("auto"), varied("safetensors"), made_failure("dummy tp=1", "no device"))

    for asked in ("auto tp=8", "dummy tp=1"):
        with pytest.raises(SettingError) as refused:
            compare(sweep, baseline=asked)

        assert str(refused.value) == (
            f"baseline={asked}: the points of this sweep that have finished starts are auto tp=1, safetensors tp=1."
        )


# Which starts.


def test_where_keeps_the_starts_whose_params_have_these_values():
    """All of them at once, and the rest is as if it had never been started."""
    sweep = made_sweep(*(varied(name, tp=tp) for tp in (1, 2) for name in ("auto", "safetensors", "dummy")))
    comparison = compare(sweep, where={"tensor_parallel_size": "2", "load_format": "DUMMY"})

    assert [point.label for point in comparison.points] == ["dummy tp=2"]
    assert comparison.where == {"tensor_parallel_size": "2", "load_format": "DUMMY"}


def test_where_leaves_the_baseline_to_what_is_left():
    """Among the starts with two ranks, auto with two ranks."""
    sweep = made_sweep(*(varied(name, tp=tp) for tp in (1, 2) for name in ("auto", "safetensors")))

    assert compare(sweep, where={"tensor_parallel_size": "2"}).baselines == {"safetensors tp=2": "auto tp=2"}


@pytest.mark.parametrize("where", [{"tensor_parallel_size": "8"}, {"tensor_paralel_size": "1"}])
def test_where_that_leaves_no_start_is_refused(where):
    """Whether the value or the name is wrong: an empty report would look like a result."""
    sweep = made_sweep(varied("auto"), varied("safetensors"))

    with pytest.raises(SettingError) as refused:
        compare(sweep, where=where)

    assert ": none of the 2 starts" in str(refused.value)
    assert next(iter(where)) in str(refused.value)


def test_points_come_in_the_order_of_the_command():
    """Blocks are shuffled, reports are not."""
    started = [*timed("b", 1.0), *timed("c", 1.0), *timed("a", 1.0)]
    comparison = compare(made_sweep(*started, order=["c", "b", "a"]))

    assert [point.label for point in comparison.points] == ["c", "b", "a"]


def test_points_that_the_sweep_does_not_list_come_as_they_were_started():
    """The same report twice, from the same starts."""
    labels = [f"point {letter}" for letter in "hgfedcba"]
    comparison = compare(made_sweep(*(start for label in labels for start in timed(label, 1.0)), order=[]))

    assert [point.label for point in comparison.points] == labels


# What counts.


def test_a_failed_start_enters_no_mean():
    """How fast it was until it died tells nothing."""
    sweep = made_sweep(*timed("auto", 10.0, 20.0), made_failure("auto", "out of memory", {"ready_s": 1.0}, repeat=2))
    (point,) = compare(sweep).points

    assert (point.n, point.values(READY), point.mean(READY)) == (2, [10.0, 20.0], 15.0)


def test_failed_starts_are_listed():
    """With their reasons, those of a point that has finished starts too."""
    sweep = made_sweep(
        *timed("auto", 10.0), made_failure("auto", "out of memory", repeat=1), made_failure("dummy", "no device")
    )

    assert [start.reason for start in compare(sweep).failed] == ["out of memory", "no device"]


def test_a_point_that_always_failed_is_a_point_of_the_sweep():
    """Its absence would say that nobody tried."""
    comparison = compare(
        made_sweep(*timed("auto", 20.0), made_failure("dummy", "no device"), *timed("safetensors", 10.0))
    )

    assert [(point.label, point.n) for point in comparison.points] == [("auto", 1), ("dummy", 0), ("safetensors", 1)]
    assert comparison.baselines == {"safetensors": "auto"}


def test_where_auto_always_failed_the_first_point_that_finished_is_the_baseline():
    """The rest of the sweep is worth a comparison all the same."""
    sweep = made_sweep(made_failure("auto", "no device"), *timed("dummy", 10.0), *timed("safetensors", 20.0))
    comparison = compare(sweep)

    assert comparison.baselines == {"safetensors": "dummy"}
    assert comparison.speedup("safetensors", READY).ratio.mean == pytest.approx(0.5)


def test_a_sweep_in_which_everything_failed_has_no_speedups():
    """And is no error: its failures are worth a report."""
    comparison = compare(made_sweep(made_failure("auto", "no device"), made_failure("dummy", None)))

    assert (comparison.baselines, comparison.speedups) == ({}, ())
    assert len(comparison.failed) == 2


def test_a_metric_that_nothing_said_has_no_mean():
    """None, and never zero; a start that lacks it takes no part in the mean of the others."""
    sweep = made_sweep(
        made_start("auto", {"ready_s": 10.0, "phase/load_weights_s": 4.0}), made_start("auto", {"ready_s": 20.0})
    )
    (point,) = compare(sweep).points

    assert point.mean(LOAD_MODEL) is None
    assert point.mean(LOAD_WEIGHTS) == 4.0
    assert point.mean(READY) == 15.0


# Speedups.


@pytest.mark.parametrize(("candidate_s", "ratio"), [(5.0, 2.0), (10.0, 1.0), (40.0, 0.25)])
def test_a_speedup_is_the_time_of_the_baseline_over_that_of_the_candidate(candidate_s, ratio):
    """Above 1 the candidate is faster."""
    found = compare(made_sweep(*timed("auto", 10.0), *timed("dummy", candidate_s))).speedup("dummy", READY)

    assert found.ratio.mean == pytest.approx(ratio)
    assert (found.baseline, found.candidate) == ("auto", "dummy")


def test_a_speedup_is_the_ratio_of_geometric_means():
    """200 s over 10 s. The arithmetic means, 250 s and 10 s, would let one slow start of the baseline decide."""
    found = compare(made_sweep(*timed("auto", 100.0, 400.0), *timed("dummy", 10.0, 10.0)))

    assert found.speedup("dummy", READY).ratio.mean == pytest.approx(20.0)


def test_the_n_of_a_speedup_is_that_of_the_point_with_fewer_starts():
    """A chain is as strong as its weakest link."""
    comparison = compare(made_sweep(*timed("auto", 10.0, 11.0, 12.0), *timed("dummy", 5.0, 6.0)))

    assert comparison.speedup("dummy", READY).ratio.n == 2


def test_the_n_of_a_speedup_counts_the_starts_that_have_the_metric():
    """Three were ready, one said how long its weights took."""
    sweep = made_sweep(
        made_start("auto", {"ready_s": 10.0, "phase/load_weights_s": 4.0}),
        made_start("auto", {"ready_s": 10.0}),
        *(made_start("dummy", {"ready_s": 5.0, "phase/load_weights_s": 2.0}, repeat=repeat) for repeat in range(3)),
    )
    comparison = compare(sweep)

    assert comparison.speedup("dummy", LOAD_WEIGHTS).ratio.n == 1
    assert comparison.speedup("dummy", READY).ratio.n == 2


@pytest.mark.parametrize("lacking", ["auto", "safetensors"])
def test_a_metric_that_one_of_the_two_lacks_has_no_speedup(lacking):
    """Some loaders never say how long they took; the rest is compared all the same."""
    both = {"ready_s": 10.0, "phase/load_weights_s": 4.0}
    sweep = made_sweep(
        *(
            made_start(name, {"ready_s": 10.0} if name == lacking else both, tags={"bench.tokens": "4711"})
            for name in ("auto", "safetensors")
        )
    )
    comparison = compare(sweep)

    assert comparison.speedup("safetensors", LOAD_WEIGHTS) is None
    assert comparison.speedup("safetensors", READY) is not None


@pytest.mark.parametrize("odd_s", [0.0, -1.0])
@pytest.mark.parametrize("whose", ["auto", "dummy"])
def test_a_time_that_cannot_be_has_no_speedup(odd_s, whose):
    """A log may print 0.00 seconds: that is no reason to divide by it, and none to stop."""
    times = {"auto": [10.0, 10.0], "dummy": [5.0, 5.0], whose: [10.0, odd_s]}
    comparison = compare(made_sweep(*timed("auto", *times["auto"]), *timed("dummy", *times["dummy"])))

    assert comparison.speedups == ()
    assert [point.n for point in comparison.points] == [2, 2]


# The same weights.


def test_other_greedy_tokens_than_the_baselines_withhold_the_speedup():
    """Whoever loads other weights may well be faster, and without verification nothing else tells. The reason is said, and the other candidates keep theirs."""
    sweep = made_sweep(
        *timed("auto", 10.0, tokens="4711"),
        *timed("dummy", 1.0, tokens="0815"),
        *timed("safetensors", 5.0, tokens="4711"),
    )
    comparison = compare(sweep)

    assert comparison.withheld == {
        "dummy": "weights unverified: no verification start was made; its greedy tokens differ from the baseline's though only the "
        "load format was varied; to show it all the same: ignore=weights"
    }
    assert {each.candidate for each in comparison.speedups} == {"safetensors"}


def test_one_repeat_with_other_tokens_withholds_the_speedup():
    """The mean would hold a start of which nobody knows what it loaded."""
    starts = [*timed("dummy", 5.0, tokens="4711"), made_start("dummy", {"ready_s": 5.0}, tags={"bench.tokens": "0815"})]
    comparison = compare(made_sweep(*timed("auto", 10.0, 10.0, tokens="4711"), *starts))

    assert comparison.withheld.keys() == {"dummy"}
    assert comparison.speedups == ()


@pytest.mark.parametrize(("baseline", "candidate"), [("4711", None), (None, "4711"), (None, None)])
def test_unknown_tokens_withhold_nothing(baseline, candidate):
    """A replayed log has none: it is for the reader to know what was loaded."""
    sweep = made_sweep(*timed("auto", 10.0, tokens=baseline), *timed("dummy", 5.0, tokens=candidate))
    comparison = compare(sweep)

    assert comparison.withheld == {}
    assert comparison.speedup("dummy", READY).ratio.mean == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("name", "values", "withheld"),
    [
        ("bench.page_cache", ("unverified", "cold"), True),
        ("bench.page_cache", ("unverified", "not_used"), True),
        ("bench.page_cache", ("cold", "not_used"), False),
        ("bench.compile_cache", ("unknown", "not_used"), True),
        ("bench.compile_cache", ("unknown", "primed"), True),
        ("bench.compile_cache", ("not_used", "primed"), False),
        ("bench.compile_cache", ("none", "primed"), False),  # of an earlier bench
        ("host.gpu", ("H200", None), True),
        ("version.vllm", ("0.32.0", None), True),
        ("version.vllm", (None, None), False),
    ],
)
def test_what_is_unknown_agrees_with_nothing(name, values, withheld):
    """Not used is a state that all agree with; unknown is none."""
    labels = ("base", "candidate")
    starts = [
        made_start(label, {"ready_s": 10.0}, tags={name: value} if value else {})
        for label, value in zip(labels, values, strict=True)
    ]

    assert ("candidate" in compare(made_sweep(*starts)).withheld) is withheld
    assert "candidate" not in compare(made_sweep(*starts), ignore=[name]).withheld
