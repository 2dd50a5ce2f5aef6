"""The order of a sweep's starts, what makes two starts or two sweeps the same, and the plan that a person reads."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import pytest

from bench.compose import compose_settings
from bench.config import Settings
from bench.host.device import Device, of_one_host
from bench.host.host import Host, Needs, identity
from bench.overrides.points import points_of
from bench.start.tag_types import LABEL_AT_MOST
from bench.sweep.dry_run import describe_duration, describe_plan
from bench.sweep.plan import Point, Start, blocks_of, label_points, seed_of, signature, with_baseline_again

HOST = Host(Device("cuda", ("NVIDIA H100 80GB HBM3",), "570.0", (0, 1)), "/env/bin/python", {"vllm": "0.32.0"}, Needs({}, {}))  # fmt: skip
FORMATS = ("auto", "safetensors", "runai_streamer", "dummy")


@cache
def composed(*overrides: str) -> Settings:
    (settings,) = compose_settings(overrides)
    return settings


def points(*labels: str, **changed: object) -> list[Point]:
    return [Point(label, (f"load_format={label}",), composed().model_copy(update=changed)) for label in labels]


def labels_of(blocks: list[list[Start]]) -> list[list[str]]:
    return [[start.point.label for start in block] for block in blocks]


# Blocks.


@pytest.mark.parametrize("seed", range(20))
def test_every_block_holds_every_point_once(seed):
    """Whatever the host does meanwhile, it does to all of them."""
    blocks = blocks_of(points(*FORMATS, repeats=5), seed)

    assert [Counter(block) for block in labels_of(blocks)] == [Counter(FORMATS)] * 5


def test_starts_are_numbered_through_the_whole_sweep():
    """From 1, in the order in which they are made; blocks from 0."""
    starts = [start for block in blocks_of(points("a", "b", repeats=3), 0) for start in block]

    assert [start.position for start in starts] == [1, 2, 3, 4, 5, 6]
    assert [start.repeat for start in starts] == [0, 0, 1, 1, 2, 2]


def test_the_same_seed_gives_the_same_order():
    """A sweep can be repeated as it was, and resumed."""
    first, second = (labels_of(blocks_of(points(*FORMATS, repeats=5), 7)) for _ in range(2))

    assert first == second


def test_other_seeds_give_other_orders():
    """20 blocks of four points have more orders than anybody counts."""
    orders = {str(labels_of(blocks_of(points(*FORMATS, repeats=20), seed))) for seed in range(50)}

    assert len(orders) == 50


def test_every_second_block_is_the_reverse_of_the_one_before():
    """So a steady drift of the host delays each point as much in one block as it favours it in the next."""
    blocks = labels_of(blocks_of(points(*FORMATS, repeats=7), 0))

    assert blocks[1:6:2] == [block[::-1] for block in blocks[0:6:2]]


def test_every_pair_of_blocks_is_shuffled_anew():
    """One order for all would let the last block of an odd number, which has no reverse, favour the same point each time."""
    blocks = labels_of(blocks_of(points(*FORMATS, repeats=40), 0))

    assert len({str(block) for block in blocks[::2]}) > 10


def test_the_seed_of_a_sweep_follows_from_its_id():
    """Another one for each sweep, so that no point is favoured by a default; the same one for this sweep for ever."""
    assert seed_of("20261128-151132-9f3a") == seed_of("20261128-151132-9f3a")
    assert len({seed_of(f"20261128-151132-{number:04x}") for number in range(100)}) == 100


def test_every_point_is_first_as_often_as_the_others():
    """Over many seeds, within what chance does: 400 blocks of two points."""
    firsts = Counter(blocks_of(points("a", "b"), seed)[0][0].point.label for seed in range(400))

    assert 160 < firsts["a"] < 240


def test_a_longer_sweep_begins_as_the_shorter_one():
    """With resume=true more repeats can be asked for later."""
    short, long = (labels_of(blocks_of(points(*FORMATS, repeats=repeats), 3)) for repeats in (2, 6))

    assert long[:2] == short


def test_precision_plans_as_many_blocks_as_it_may_take():
    """Whether they are all needed is seen on the way."""
    assert len(blocks_of(points("a", "b", precision=0.1, max_blocks=7, repeats=2), 0)) == 7


def test_a_point_that_asks_for_fewer_repeats_is_left_out_of_later_blocks():
    """`repeats` may be swept like any other."""
    blocks = blocks_of([*points("a", repeats=3), *points("b", repeats=1)], 0)

    assert [len(block) for block in blocks] == [2, 1, 1]
    assert [start.position for block in blocks for start in block] == [1, 2, 3, 4]


def test_a_load_format_can_have_fewer_repeats_than_the_others():
    """A slow one need not cost as much as those that matter; more than the sweep has it cannot have."""
    settings = compose_settings(
        ["repeats=3", "repeats_of.dummy=1", "repeats_of.auto=9", "load_format=auto,dummy,safetensors"]
    )
    blocks = labels_of(blocks_of([Point(each.load_format.name, (), each) for each in settings], 0))

    assert [sorted(block) for block in blocks] == [["auto", "dummy", "safetensors"], *[["auto", "safetensors"]] * 2]


def test_a_point_that_is_left_out_does_not_change_the_order_of_the_others():
    """The reverse of a block is taken of the points that both have."""
    unequal = [*points("a", "b", "c", repeats=2), *points("d", repeats=1)]
    for seed in range(20):
        first, second = labels_of(blocks_of(unequal, seed))

        assert second == [label for label in first if label != "d"][::-1]


# The A/A arm.


def test_the_a_a_arm_is_the_baseline_under_another_name():
    """With the same settings and overrides: what its ratio shows is the rig."""
    given = label_points(*swept("load_format=safetensors,auto", "aa=true"))
    found = with_baseline_again(given)

    assert [point.label for point in found] == ["safetensors", "auto", "auto again"]
    assert found[2] == replace(given[1], label="auto again")


def test_the_a_a_arm_without_auto_is_the_first_point():
    """Which is the baseline then."""
    found = with_baseline_again(label_points(*swept("load_format=safetensors,dummy", "aa=true")))

    assert [point.label for point in found] == ["safetensors", "dummy", "safetensors again"]


def test_without_aa_there_are_the_points_that_were_asked_for():
    """An A/A arm costs a start in every block."""
    assert with_baseline_again(points("auto", "dummy")) == points("auto", "dummy")


def test_the_a_a_arm_is_in_every_block():
    """Among the others, in random order."""
    blocks = labels_of(blocks_of(with_baseline_again(points("auto", "dummy", aa=True, repeats=4)), 0))

    assert all(sorted(block) == ["auto", "auto again", "dummy"] for block in blocks)


def swept(*words: str) -> tuple[list[tuple[str, ...]], list[Settings]]:
    return points_of(words), compose_settings(words)


# Identity: which starts measure the same.


@pytest.mark.parametrize(
    "override",
    [
        "load_format=safetensors",
        "model=random_llama_8b",
        "tensor_parallel_size=2",
        "gpu_memory_utilization=0.5",
        "max_model_len=1024",
        "page_cache=warm",
        "compile_cache=fresh",
        "vllm.args.enforce_eager=true",
        "vllm.env.VLLM_LOGGING_LEVEL=DEBUG",
        "load_format.extra.num_threads=8",
        "completion.max_tokens=32",
    ],
)
def test_a_start_is_another_where_a_setting_of_the_start_is(override):
    """What was measured with it must not be taken for what was measured without."""
    assert identity(composed(override), HOST) != identity(composed(), HOST)


@pytest.mark.parametrize(
    "override",
    [
        "repeats=9",
        "precision=10%",
        "min_blocks=3",
        "max_blocks=9",
        "time_budget_s=60",
        "aa=true",
        "resume=true",
        "dry_run=true",
        "seed=9",
        "tracking.uri=sqlite:///elsewhere.db",
        "tracking.experiment=mine",
        "vllm.stop_timeout_s=9",
        "sweep.position=9",
        "sweep.repeat=9",
        "sweep.parent_run_id=c0ffee",
    ],
)
def test_a_start_is_the_same_however_often_and_wherever_it_is_kept(override):
    """How many others there are decides nothing about it."""
    assert identity(composed(override), HOST) == identity(composed(), HOST)


@pytest.mark.parametrize(
    "other",
    [
        replace(HOST, versions={"vllm": "0.33.0"}),
        replace(HOST, versions={"vllm": "0.32.0", "torch": "2.13.0"}),
        replace(HOST, device=replace(HOST.device, names=("NVIDIA H200",))),
        replace(HOST, device=replace(HOST.device, names=HOST.device.names * 2)),
        replace(HOST, device=Device("cpu")),
    ],
)
def test_a_start_is_another_with_other_versions_or_on_another_device(other):
    """An upgraded vLLM is not a repeat of the old one."""
    assert identity(composed(), other) != identity(composed(), HOST)


def test_what_a_driver_may_change_by_itself_makes_no_other_start():
    """Which cores this process may use, and what is told to a person."""
    moved = replace(HOST, device=replace(HOST.device, cores=(4, 5)), needs=Needs({}, {}, ("a note",)))

    assert identity(composed(), moved) == identity(composed(), HOST)


# Signature: which sweeps are one.

HERE = {"host": "here", "kernel": "6.8.0-40", "gpu_driver": "580", "memory_gib": "125.9", "bench_python": "3.12.3"}


def signed(*labels: str, host: Host = HOST, facts: Mapping[str, str] = HERE, **changed: object) -> str:
    made = points(*labels, **changed)
    return signature(made, [host] * len(made), of_one_host(facts))


def test_the_same_command_on_the_same_host_has_the_same_signature():
    """It is how an interrupted sweep is found again; resume=true is no other command."""
    assert signed("auto", "dummy") == signed("auto", "dummy", resume=True)
    assert signed("auto", "dummy") == signed(
        "auto", "dummy", facts=HERE | {"memory_gib": "125.7", "bench_python": "3.13.0"}
    )


def test_a_sweep_on_other_storage_is_another_one():
    """resume=true under another read-ahead must not take the starts that were made under the first."""
    made = points("auto", "dummy")
    slow, fast = ([{"read_ahead_kb": kib}] * 2 for kib in ("128", "8192"))

    assert signature(made, [HOST] * 2, HERE, slow) == signature(made, [HOST] * 2, HERE, slow)
    assert signature(made, [HOST] * 2, HERE, slow) != signature(made, [HOST] * 2, HERE, fast)


def test_a_sweep_in_another_environment_is_another_one():
    """All that vLLM gets from the driver without being a setting."""
    made = points("auto", "dummy")
    some, others = ({"environment": {"OMP_NUM_THREADS": threads}, "cpus": "0-3"} for threads in "12")

    assert signature(made, [HOST] * 2, HERE, inherited=some) == signature(made, [HOST] * 2, HERE, inherited=some)
    assert signature(made, [HOST] * 2, HERE, inherited=some) != signature(made, [HOST] * 2, HERE, inherited=others)


def test_what_a_users_own_load_format_brings_is_in_the_label():
    """Besides bench's file of that name: whoever reads the report cannot see into it. A secret's value stays out of it."""
    overrides, settings = swept("load_format=auto,runai_streamer", "load_format.extra.concurrency=16")
    brought = {"args": {"enforce_eager": True}, "env": {"OMP_NUM_THREADS": 8, "HF_TOKEN": "hush", "UNSET": None}}
    own = settings[0].load_format.model_copy(update=brought)
    found = label_points(overrides, [settings[0].model_copy(update={"load_format": own}), settings[1]])

    assert [point.label for point in found] == [
        "auto enforce_eager=True OMP_NUM_THREADS=8 HF_TOKEN=***",
        "runai_streamer",
    ]


def test_what_was_left_out_of_a_point_is_not_in_its_label():
    """Nor does a word in braces stand there twice."""
    overrides = [
        ("load_format=auto", "++load_format.extra.concurrency=null"),
        ("load_format=runai_streamer", "++load_format.extra={concurrency:4}"),
    ]
    found = label_points(overrides, [compose_settings(each)[0] for each in overrides])

    assert [point.label for point in found] == ["auto", "runai_streamer extra={concurrency:4}"]


def test_a_label_fits_where_mlflow_has_it():
    """In a metric's name behind others, and in a line; two that were cut stay different, and what stands behind a long value is read too."""
    long = ["/data/" + "deep/" * 200 + name for name in ("one", "two")]
    overrides = [(f"model.path={path}", f"load_format={name}") for path in long for name in ("auto", "dummy")]
    overrides.append(("model.path=a\n b", "load_format=auto"))
    settings = composed()
    labels = [point.label for point in label_points(overrides, [settings] * len(overrides))]

    assert len(set(labels)) == len(labels)
    assert max(map(len, labels)) <= LABEL_AT_MOST
    assert [label.split()[0] for label in labels] == ["auto", "dummy", "auto", "dummy", "auto"]
    assert "\n" not in "".join(labels)


def test_more_repeats_are_the_same_sweep():
    """Longer."""
    assert signed("auto", "dummy") == signed("auto", "dummy", repeats=9, precision=0.1, max_blocks=30)


@pytest.mark.parametrize(
    "other",
    [
        signed("auto"),
        signed("auto", "dummy", "safetensors"),
        signed("dummy", "auto"),
        signed("auto", "dummy", seed=1),  # another order
        signed("auto", "dummy", page_cache="warm"),
        signed("auto", "dummy", host=replace(HOST, versions={"vllm": "0.33.0"})),
        *(
            signed("auto", "dummy", facts=HERE | {name: "128"})
            for name in HERE
            if name not in {"memory_gib", "bench_python"}
        ),
        signed("auto", "dummy", facts=HERE | {"memory_gib": "62.7"}),
    ],
)
def test_another_sweep_has_another_signature(other):
    """Its starts are not those that were interrupted."""
    assert other != signed("auto", "dummy")


# The plan, for people.


def in_order(repeats: int) -> list[Start]:
    return [start for block in blocks_of(points("auto", "dummy", repeats=repeats), 0) for start in block]


def described() -> list[str]:
    commands = {"auto": "python -m vllm --load-format auto", "dummy": "python -m vllm --load-format dummy"}
    return describe_plan(in_order(2), commands, "in 2 blocks", "order: seed=7").splitlines()


def test_the_plan_lists_every_start_in_its_order():
    """With its block, as it will be made."""
    lines = described()

    assert lines[:3] == ["4 starts in 2 blocks", "order: seed=7", ""]
    assert [line.split() for line in lines[3:7]] == [
        [str(start.position), "block", str(start.repeat + 1), start.point.label] for start in in_order(2)
    ]


def test_the_plan_has_the_command_of_every_point_once():
    """It is the same in all blocks, but for the port."""
    lines = described()

    assert [line for line in lines if "python -m vllm" in line] == [
        "    python -m vllm --load-format auto",
        "    python -m vllm --load-format dummy",
    ]


def test_the_plan_says_how_long_it_takes_by_earlier_starts():
    """In seconds where minutes would say too little."""
    assert describe_duration([60.0, 40.0] * 3) == "about 5 min, by earlier starts of the same kinds"
    assert describe_duration([12.3, 30.0]) == "about 42 s, by earlier starts of the same kinds"


def test_the_plan_guesses_nothing():
    """One of the two was never made here."""
    assert describe_duration([60.0, None]) == (
        "how long it takes is unknown: 1 of 2 starts is of a kind that was never made here"
    )


def test_an_emulated_storage_is_in_the_label():
    """Once, whether it is swept or every point has it; the host's own only where it is swept."""
    found = [
        [point.label for point in label_points(*swept(*words))]
        for words in (
            ("storage=as_is,gp3",),
            ("load_format=auto,dummy", "storage=gp3"),
            ("storage=limited", "storage.read_iops=500,50"),
        )
    ]

    assert found == [
        ["storage=as_is", "storage=gp3"],
        ["auto storage=gp3", "dummy storage=gp3"],
        ["read_iops=500 storage=limited", "read_iops=50 storage=limited"],
    ]
