"""What ran in two points must agree, unless the sweep varies it."""

from dataclasses import replace

import pytest

from bench.analysis.comparison import Comparison, compare
from bench.start.tags import RAN_ENVIRONMENT
from made_sweeps import made_start, made_sweep

RAN = {"ran.vllm": "0.32.0 from /a", "ran.dtype": "bfloat16", "ran.cpus": "0-3", "ran.attention_backend": "FLASH_ATTN"}
HOST = {"host.gpu_driver": "580", "host.kernel": "6.8.0-40", "host.memory_gib": "125.9", "bench.page_cache": "cold"}
RAN |= {"ran.max_num_seqs": "128", "ran.max_num_batched_tokens": "2048"}
VARIABLES = {"OMP_NUM_THREADS": "4", "LD_LIBRARY_PATH": "/usr/lib"}


def compared(
    *,
    tags: dict[str, str] | None = None,
    variables: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
    ignore: tuple[str, ...] = (),
    base: dict[str, str] | None = None,
) -> Comparison:
    """Two points, of which the second has these; `base`: what the first has besides."""
    plain = {
        "load_format": "auto",
        "load_format.extra.concurrency": "None",
        "vllm.args.dtype": "None",
        "storage": "as_is",
    }
    first, second = RAN_ENVIRONMENT.of(VARIABLES), RAN_ENVIRONMENT.of(VARIABLES if variables is None else variables)
    return compare(
        made_sweep(
            made_start("base", {"ready_s": 2.0}, params=plain, tags={name: value for name, value in (HOST | RAN | first | (base or {})).items() if value != "gone"}),
            made_start("other", {"ready_s": 1.0}, params=plain | {"load_format": "x"} | (params or {}), tags={name: value for name, value in (HOST | RAN | second | (tags or {})).items() if value != "gone"}),
        ),
        baseline="base",
        ignore=ignore,
    )  # fmt: skip


# What the second point has, and what is named.
LIES = [
    ({"tags": {"ran.vllm": "0.32.0 from /b"}}, "the vLLM that ran differs (0.32.0 from /a and 0.32.0 from /b)"),
    ({"tags": {"ran.cpus": "0"}}, "the CPUs that vLLM ran on differs (0-3 and 0)"),
    ({"tags": {"ran.dtype": "float16"}}, "the effective dtype differs (bfloat16 and float16)"),
    ({"variables": VARIABLES | {"OMP_NUM_THREADS": "8"}}, "the environment variable OMP_NUM_THREADS differs (4 and 8)"),
    ({"variables": VARIABLES | {"LD_PRELOAD": "/x.so"}}, "the environment variable LD_PRELOAD differs (not set and /x.so)"),
    ({"tags": {"host.gpu_driver": "470"}}, "the GPU's driver differs (580 and 470)"),
    ({"tags": {"host.kernel": "6.8.0-45"}}, "the kernel differs (6.8.0-40 and 6.8.0-45)"),
    ({"tags": {"host.memory_gib": "62.7"}}, "the host's memory in GiB differs (125.9 and 62.7)"),
    ({"variables": {"LD_LIBRARY_PATH": "/usr/lib"}}, "the environment variable OMP_NUM_THREADS differs (4 and not set)"),
]  # fmt: skip


@pytest.mark.parametrize(("lie", "named"), LIES)
def test_what_ran_otherwise_is_named_where_the_comparison_is_withheld(lie, named):
    """With both values, and what overlooks it."""
    withheld = compared(**lie).withheld["other"]
    name = withheld.partition("ignore=")[2]

    assert withheld.startswith(f"{named}; to compare all the same: ignore={name}")
    assert compared(**lie, ignore=(name,)).withheld == compared(**lie, ignore=(name.partition(".")[0],)).withheld == {}


@pytest.mark.parametrize("name", ["host.kernel", "bench.page_cache", "ran.dtype"])
def test_what_is_known_of_one_alone_agrees_with_nothing(name):
    """Where it was not recorded at all; what is not used has no state that could be unknown."""
    withheld = compared(tags={name: "gone"}).withheld["other"]

    assert " is known of one of them alone; to compare all the same: ignore=" in withheld
    assert compared(tags={"bench.page_cache": "not_used", "host.memory_gib": "125.4"}).withheld == {}


def test_a_fact_that_an_earlier_bench_did_not_look_for_is_no_difference():
    """Of two starts under this bench it is one, as any other fact."""
    now = {"storage.filesystem": "ext4", "storage.own_options": "rw", "storage.queue_depth": "64"}

    assert compared(tags=now | {"storage.filesystem": "gone"}).withheld == {}
    assert "queue_depth" in compared(tags=now, base=now | {"storage.queue_depth": "gone"}).withheld["other"]
    assert compared(tags=now | {"storage.free_gib": "7.0"}, base=now | {"storage.free_gib": "99.0"}).withheld == {}


def test_what_is_ignored_and_is_no_difference_is_named():
    """A typo overlooks nothing; who wrote it shall know."""
    comparison = compared(tags={"host.kernel": "6.8.0-45"}, ignore=("hots.host", "host.kernel", "ran"))

    assert (comparison.withheld, comparison.ignored) == ({}, ("host.kernel",))
    assert comparison.ignored_in_vain == ("hots.host", "ran")


def test_every_difference_is_named():
    """Whoever overlooks one shall know of the others."""
    withheld = compared(tags={"ran.dtype": "float16"}, variables={}).withheld["other"]

    assert (
        "the effective dtype differs (bfloat16 and float16), the environment variable LD_LIBRARY_PATH differs"
        in withheld
    )
    assert withheld.endswith("ignore=ran.dtype,ran.environment.LD_LIBRARY_PATH,ran.environment.OMP_NUM_THREADS")


def test_of_long_values_the_part_that_differs_is_shown():
    """They may be equal for a thousand characters."""
    longer = compared(variables=VARIABLES | {"LD_LIBRARY_PATH": "/usr/lib:" + "a" * 500 + ":/mine"}).withheld["other"]

    assert len(longer) < 500


VARIED = [
    ({"vllm.env.OMP_NUM_THREADS": "8"}, {}, VARIABLES | {"OMP_NUM_THREADS": "8"}),
    ({"load_format.env.OMP_NUM_THREADS": "8"}, {}, VARIABLES | {"OMP_NUM_THREADS": "8"}),
    ({"load_format.extra.concurrency": "16"}, {}, VARIABLES | {"RUNAI_STREAMER_CONCURRENCY": "worker: 16"}),
    ({"tensor_parallel_size": "2"}, {"ran.cpus": "0 or 1"}, VARIABLES | {"OMP_NUM_THREADS": "1"}),
    ({"tensor_parallel_size": "2"}, {"ran.max_num_seqs": "256", "ran.max_num_batched_tokens": "4096"}, VARIABLES),
    ({"vllm.args.dtype": "float16"}, {"ran.dtype": "float16"}, VARIABLES),
    ({"vllm.args.attention-backend": "TRITON_ATTN"}, {"ran.attention_backend": "TRITON_ATTN"}, VARIABLES),
]


@pytest.mark.parametrize(("params", "tags", "variables"), VARIED)
def test_what_the_sweep_varies_may_differ(params, tags, variables):
    """And what follows from it; a load format's own settings are part of what is compared."""
    comparison = compared(params=params, tags=tags, variables=variables)

    assert (comparison.withheld, len(comparison.speedups)) == ({}, 1)


def test_another_setting_excuses_nothing():
    """Only what it decides."""
    assert "OMP_NUM_THREADS" in compared(params={"vllm.env.OMP_PROC_BIND": "1"}, variables={}).withheld["other"]


def test_what_ran_is_no_reason_where_it_is_known_of_neither():
    """Recorded by an earlier bench, or without the probe."""
    starts = (made_start("auto", {"ready_s": 2.0}), made_start("other", {"ready_s": 1.0}))

    assert compare(made_sweep(*starts)).withheld == {}


def test_what_ran_in_one_point_alone_agrees_with_nothing_unless_the_probe_is_what_is_varied():
    one, other = made_start("auto", {"ready_s": 2.0}, tags=RAN), made_start("other", {"ready_s": 1.0})
    (why,) = compare(made_sweep(one, other)).withheld.values()
    varied = [replace(each, params=each.params | {"probe": str(each is one)}) for each in (one, other)]

    assert why.endswith("are known of one of them alone; to compare all the same: ignore=ran")
    assert compare(made_sweep(one, other), ignore=["ran"]).withheld == {}
    assert compare(made_sweep(*varied)).withheld == {}


@pytest.mark.parametrize(
    ("fact", "values"),
    [
        ("host.host", ("one", "other")),
        ("bench.page_cache", ("cold", "unverified")),
        ("ran.dtype", ("bfloat16", None)),
        ("max_model_len", ("2048", "4096")),
        ("load_format", ("auto", "runai_streamer")),
    ],
)
def test_starts_of_a_point_that_are_no_repeats_of_one_another_give_no_speedup(fact, values):
    """Also where both arms are mixed alike: what is averaged or paired is then another thing in each block."""
    starts = []
    for point in ("auto", "other"):
        for block, value in enumerate(values):
            made = made_start(point, {"ready_s": 2.0 + block}, repeat=block)
            where = made.params if fact in {"max_model_len", "load_format"} else made.tags
            where |= {fact: value} if value else {}
            starts.append(made)
    comparison = compare(made_sweep(*starts))

    assert "are not repeats of one another" in comparison.withheld["other"]
    assert compare(made_sweep(*starts), ignore=["starts", fact]).withheld == {}


def test_the_port_in_the_command_makes_no_start_another_thing():
    starts = [
        made_start(
            point, {"ready_s": 2.0 + block}, repeat=block, params={"vllm_command": f"vllm --port {4000 + block}"}
        )
        for point in ("auto", "other")
        for block in range(2)
    ]

    assert compare(made_sweep(*starts)).withheld == {}


OF_SETTING, OF_TAG = "vllm.entrypoint", "bench.entrypoint"


@pytest.mark.parametrize(
    ("mine", "theirs", "named"),
    [
        ((None, None), (None, None), None),  # both of an earlier bench
        (("auto", "serve"), ("auto", "serve"), None),
        (("auto", "serve"), ("auto", "module"), "differs (serve and module)"),  # of two interpreters
        (("serve", "serve"), ("module", "module"), None),  # what the sweep varies
        ((None, None), ("auto", "serve"), "is known of one of them alone"),
    ],
)
def test_two_entry_points_are_compared_only_where_the_sweep_varies_them(mine, theirs, named):
    """An earlier bench wrote neither setting nor tag: what is unknown is not varied."""
    starts = [
        made_start(
            point,
            {"ready_s": 1.0},
            params={OF_SETTING: setting} if setting else {},
            tags={OF_TAG: executed} if executed else {},
        )
        for point, (setting, executed) in (("base", mine), ("other", theirs))
    ]
    withheld = compare(made_sweep(*starts), baseline="base").withheld.get("other")

    if named is None:
        assert withheld is None
    else:
        assert f"the entry point of vLLM's server {named}" in withheld
        assert withheld.endswith(f"ignore={OF_TAG}")


GP3 = {
    "storage.name": "gp3",
    "storage.limit": "riops=3000",
    "storage.read_ahead_kb": "128",
    "storage.device": "loop device",
}
AS_IS = {"storage.name": "as_is", "storage.limit": "none", "storage.read_ahead_kb": "8192", "storage.device": "vda"}


def test_an_emulated_storage_is_compared_with_a_real_one_where_it_is_what_was_varied():
    """Then all that is recorded of it may differ; else each fact of it must agree. Of the read-ahead the measured one counts, not the setting."""
    varied = compared(tags=GP3, base=AS_IS, params={"storage": "gp3", "storage.read_iops": "3000"})
    found = compared(tags=GP3, base=AS_IS, params={"storage.read_ahead_kb": "None"})
    same = {"tags": GP3, "base": GP3}

    assert varied.withheld == compared(**same, params={"storage.read_ahead_kb": "128"}).withheld == {}
    assert "the disk's read-ahead differs (8192 and 128)" in found.withheld["other"]
