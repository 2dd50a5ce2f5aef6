"""Whole starts of the fake vLLM: what the probe saw in them is part of their runs, and so is what it did not see."""


def test_a_start_has_the_numbers_of_the_probe(workplace):
    """Each rank's, and over all of them."""
    workplace.bench()
    (run,) = workplace.runs()
    metrics = run.data.metrics

    assert metrics["probe/load_weights_s"] == metrics["rank/TP0/probe/load_weights_s"] == 1.0
    assert (metrics["probe/delivered_gib"], metrics["probe/read_gib"], metrics["probe/wait_for_bytes_s"]) == (
        1.0,
        0.5,
        0.5,
    )
    assert "the probe" not in run.data.tags.get("bench.warnings", "")


def test_a_start_says_that_the_probe_saw_nothing(workplace):
    """The log's numbers remain, and the start is none the worse."""
    done = workplace.bench("vllm.env.FAKE_MODE=unprobed")
    (run,) = workplace.runs()

    assert done.code == 0
    assert run.info.status == "FINISHED"
    assert "phase/load_weights_s" in run.data.metrics
    assert not [name for name in run.data.metrics if "probe" in name]
    assert run.data.tags["bench.warnings"].splitlines() == [
        "the probe has nothing of the API server",
        "the probe has nothing of the engine core",
        "the probe has nothing of rank TP0",
    ]


def test_a_start_that_failed_says_how_far_each_rank_came(workplace):
    """Here vLLM was killed before any of its processes had reported."""
    workplace.bench("vllm.env.FAKE_MODE=unprobed", "vllm.env.FAKE_LOG=/nowhere.log")
    (run,) = workplace.runs()

    assert run.info.status == "FAILED"
    assert "the probe has nothing of rank TP0" in run.data.tags["bench.warnings"]
