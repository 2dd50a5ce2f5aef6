"""A loader's setting counts for the formats of a sweep whose loader has it."""

import pytest

from bench.compose import compose_settings
from bench.overrides.override_checks import normalised
from bench.overrides.points import points_of
from bench.sweep.left_out import own_settings_only

AUTO, STREAMER = "load_format=auto", "load_format=runai_streamer"
FOUR, SIXTEEN = "++load_format.extra.concurrency=4", "++load_format.extra.concurrency=16"


def own(*overrides: str) -> list[tuple[str, ...]]:
    points = points_of(normalised(overrides))
    return own_settings_only(points, [setting for point in points for setting in compose_settings(point)])


@pytest.mark.parametrize(
    ("overrides", "points"),
    [
        (["load_format=auto,runai_streamer", "load_format.extra.concurrency=4,16"], [(AUTO,), (STREAMER, FOUR), (STREAMER, SIXTEEN)]),
        (["load_format.extra.concurrency=4,16", "load_format=auto,runai_streamer"], [(AUTO,), (FOUR, STREAMER), (SIXTEEN, STREAMER)]),
        (["load_format=auto,runai_streamer", "load_format.extra.concurrency=null,4"], [(AUTO,), (STREAMER, "++load_format.extra.concurrency=null"), (STREAMER, FOUR)]),
        (["load_format=auto,runai_streamer", "load_format.extra.concurrency=4"], [(AUTO,), (STREAMER, FOUR)]),
        (["load_format=auto,runai_streamer", "load_format.env.RUNAI_STREAMER_CONCURRENCY=4"],
         [(AUTO,), (STREAMER, "++load_format.env.RUNAI_STREAMER_CONCURRENCY=4")]),
        (["load_format=auto,runai_streamer", "load_format.env={RUNAI_STREAMER_CONCURRENCY:4,X:1}"],
         [(AUTO, "++load_format.env={RUNAI_STREAMER_CONCURRENCY:4,X:1}", "++load_format.env.RUNAI_STREAMER_CONCURRENCY=null"),
          (STREAMER, "++load_format.env={RUNAI_STREAMER_CONCURRENCY:4,X:1}")]),
        (["load_format=auto,safetensors", "load_format.args.safetensors_load_strategy=lazy,prefetch"],
         [(AUTO,), ("load_format=safetensors", "++load_format.args.safetensors_load_strategy=lazy"),
          ("load_format=safetensors", "++load_format.args.safetensors_load_strategy=prefetch")]),
        (["load_format=auto,runai_streamer", "load_format.extra={concurrency:4}"], [(AUTO,), (STREAMER, "++load_format.extra={concurrency:4}")]),
        (["load_format=runai_streamer,dummy", "load_format.extra={concurrency:4},{concurrency:4,memory_limit:9}"],
         [(STREAMER, "++load_format.extra={concurrency:4}"), (STREAMER, "++load_format.extra={concurrency:4,memory_limit:9}"), ("load_format=dummy",)]),
        (["load_format=auto,runai_streamer", "load_format.extra={concurrency:4,num_threads:2}"],
         [(AUTO, "++load_format.extra={concurrency:4,num_threads:2}", "++load_format.extra.concurrency=null"),
          (STREAMER, "++load_format.extra={concurrency:4,num_threads:2}", "++load_format.extra.num_threads=null")]),
    ],
)  # fmt: skip
def test_each_format_has_its_own_settings(overrides, points):
    """What another one has is left out, and the points that are equal without it are one."""
    assert own(*overrides) == points


@pytest.mark.parametrize(
    "overrides",
    [
        ["load_format=runai_streamer", "load_format.extra.concurrency=4,16"],
        ["load_format=auto,safetensors", "load_format.extra.concurrency=4"],  # no loader has it: refused later
        ["load_format=auto,runai_streamer", "load_format.extra.concurrency=null"],
        ["load_format=auto,safetensors", "load_format.extra.num_threads=2,4"],
        ["load_format=auto,runai_streamer", "load_format.extra.num_threadz=2"],
        ["load_format=auto,runai_streamer", "load_format.args.safetensors_load_strategy=prefetch"],
        ["load_format=auto,runai_streamer", "load_format.env.OMP_NUM_THREADS=2,4"],
    ],
)
def test_nothing_else_is_left_out(overrides, capsys):
    """Nor is anything said of it."""
    assert own(*overrides) == points_of(normalised(overrides))
    assert capsys.readouterr().err == ""


def test_a_variable_that_no_format_of_the_sweep_reads_is_set_and_named(capsys):
    """It may be a plugin's too."""
    words = ["load_format=auto,safetensors", "load_format.env.RUNAI_STREAMER_CONCURRENCY=4"]

    assert own(*words) == points_of(normalised(words))
    assert capsys.readouterr().err == (
        "load_format.env.RUNAI_STREAMER_CONCURRENCY: no load format of this sweep is known to read it; it is set for all of them\n"
    )


def test_what_is_left_out_is_printed(capsys):
    """A user who asked for four points gets three."""
    own("load_format=auto,runai_streamer", "load_format.extra.concurrency=4,16")

    assert capsys.readouterr().err.splitlines() == [
        "load_format.extra.concurrency: auto has no such setting, so it is left out there",
        "so 4 points are 3: those that are equal without it are one",
    ]


def test_a_sweep_starts_what_is_left(workplace):
    """auto once, the streamer with 4 and with 16 threads, from one line."""
    done = workplace.bench(
        "-m", "dry_run=true", "load_format=auto,runai_streamer", "load_format.extra.concurrency=4,16", "seed=1"
    )

    assert done.code == 0, done.err
    assert "3 starts" in done.out
    words = [line for line in done.out.splitlines() if " --load-format " in line]
    assert ["--load-format auto" in line for line in words] == [True, False, False]
    assert "--model-loader-extra-config" not in words[0]
