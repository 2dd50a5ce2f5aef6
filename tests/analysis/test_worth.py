"""What starts cost in GPU-seconds."""

import pytest

from bench.analysis.comparison import compare
from bench.analysis.worth import costs, gpus_of, on_cpu, saved, usd
from made_sweeps import made_start, made_sweep

GPU = {"host.device": "cuda"}


@pytest.mark.parametrize(
    ("params", "tags", "gpus"),
    [
        ({"tensor_parallel_size": "2"}, GPU, 2),
        ({"tensor_parallel_size": "2", "vllm.args.pipeline-parallel-size": "3"}, GPU, 6),
        ({"tensor_parallel_size": "2", "vllm.args.data_parallel_size": "4"}, {"host.device": "rocm"}, 8),
        ({"tensor_parallel_size": "2"}, {"host.device": "cpu"}, 0),
        ({"tensor_parallel_size": "2"}, {}, None),
        ({}, GPU, None),
    ],
)
def test_a_start_holds_a_gpu_for_each_rank(params, tags, gpus):
    """None where the device is unknown, as of a log from elsewhere: it is not taken for a GPU, nor for none."""
    assert gpus_of(made_start("a", {"ready_s": 1.0}, params=params, tags=tags)) == gpus


def test_what_is_saved_is_counted_in_gpus():
    """Twice as fast on twice as many GPUs saves nothing."""
    made = [
        made_start(
            f"tp={tp}", {"ready_s": seconds + block}, repeat=block, params={"tensor_parallel_size": tp}, tags=GPU
        )
        for block in range(3)
        for tp, seconds in (("1", 60.0), ("2", 30.0 - block / 2))
    ]
    comparison = compare(made_sweep(*made), baseline="tp=1")
    (found,) = saved(comparison)

    assert [(each.point, each.gpus) for each in costs(comparison)] == [("tp=1", 1), ("tp=2", 2)]
    assert found.gpu_s.mean == pytest.approx(0.0)
    assert found.gpu_s.n == 3


def test_a_cpu_costs_no_gpu():
    """And that is known, where every start says so."""
    made = [made_start(name, {"ready_s": 9.0}, tags={"host.device": "cpu"}) for name in "ab"]
    comparison = compare(made_sweep(*made))

    assert costs(comparison) == []
    assert saved(comparison) == []
    assert on_cpu(comparison)
    assert not on_cpu(compare(made_sweep(made_start("a", {"ready_s": 9.0}))))


def test_an_hour_has_its_price():
    assert usd(3600.0, 4.0) == 4.0
    assert usd(90.0, 4.0) == pytest.approx(0.1)
