"""A Comparison as report.md, JSON and logs: what is in it, what is not, and that it is well-formed."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from bench.analysis.comparison import Comparison, compare
from bench.analysis.records import RunRecord
from bench.report import write
from bench.report.comparison_figures import COMPARISON_FIGURE
from bench.report.content import report_of
from bench.report.metrics_json import as_json
from bench.report.numbers import size_text
from bench.report.scope import conditions
from bench.report.templating import render
from bench.report.write import report_markdown, summary_markdown, write_report
from bench.start.warning import ResultWarning, WarningKind
from made_sweeps import made_failure, made_start, made_sweep, made_waterfall

STREAMED = {
    "ready_s": 62.25,
    "phase/load_weights_s": 28.75,
    "phase/stream_s": 28.74,
    "rank/TP0/phase/stream_s": 28.74,
    "rank/TP1/phase/stream_s": 28.52,
    "stream/size_gib": 34.3,
    "throughput/stream_gib_per_s": 1.1,
    "rank/TP0/throughput/stream_gib_per_s": 1.1,
    "rank/TP1/throughput/stream_gib_per_s": 1.2,
}


def base(metrics: dict[str, float] | None = None, *, repeat: int = 0, **params: str) -> RunRecord:
    return made_start(
        "base", metrics or {"ready_s": 421.89, "phase/load_weights_s": 387.56}, repeat=repeat, params=params
    )


def sharded(metrics: dict[str, float] | None = None, *, repeat: int = 0, **params: str) -> RunRecord:
    return made_start("sharded", metrics or STREAMED, repeat=repeat, params=params)


def compared(*starts: RunRecord, replayed: bool = False) -> Comparison:
    return compare(made_sweep(*starts, replayed=replayed))


def reported(*starts: RunRecord, replayed: bool = False) -> str:
    return report(compared(*starts, replayed=replayed), {}, [])


def report(comparison: Comparison, excerpts: dict[str, str], files: list[str]) -> str:
    return report_markdown(report_of(comparison), excerpts, files)


def table_in(comparison: Comparison, heading: str) -> str:
    """The lines of a section's table."""
    lines = section(report(comparison, {}, []), heading).splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def key_metrics(comparison: Comparison) -> str:
    return table_in(comparison, "Key Metrics")


def speedups(comparison: Comparison) -> str:
    return table_in(comparison, "Speedups")


def sections(text: str) -> list[str]:
    """The headings, without what stands behind them in brackets."""
    return [line.removeprefix("## ").partition(" (")[0] for line in text.splitlines() if line.startswith("## ")]


def section(text: str, heading: str) -> str:
    found = re.search(rf"^## {re.escape(heading)}.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def cells(row: str) -> list[str]:
    """Of a markdown table's row; an escaped pipe divides nothing."""
    assert row.startswith("| "), row
    assert row.endswith(" |"), row
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def tables(text: str) -> list[list[list[str]]]:
    """Every table of a markdown text: rows of cells."""
    found = re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    return [[cells(row) for row in block.splitlines()] for block in found]


def rows(table: str) -> dict[str, list[str]]:
    """A table's rows by their titles."""
    return {title: values for title, *values in map(cells, table.splitlines())}


def fetched(contents: dict[tuple[str, str], bytes]):
    """As MLflow's download does: one file of a run into a folder, by its own name."""

    def fetch(run_id: str, name: str, folder: Path) -> Path | None:
        if (run_id, name) not in contents:
            return None
        (folder / name).write_bytes(contents[run_id, name])
        return folder / name

    return fetch


def logs_of(*starts: RunRecord) -> dict[tuple[str, str], bytes]:
    """For each start a log and excerpts that say whose they are."""
    return {
        (start.run_id, name): f"{name} of {start.name}\n".encode()
        for start in starts
        for name in ("vllm.log", "vllm_excerpts.log")
    }


@pytest.fixture
def no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty file in its place: drawing takes longer than all the rest."""

    def touched(_: Comparison, folder: Path) -> Path:
        (folder / COMPARISON_FIGURE).touch()
        return folder / COMPARISON_FIGURE

    monkeypatch.setattr(write, "draw_comparison", touched)


# Sections.


def test_the_sections_are_those_of_the_seed_behind_the_answer():
    """Whoever knows the first report finds everything again; what went wrong stands between the numbers and the conditions."""
    doubtful = replace(base(), warnings=(ResultWarning(WarningKind.MISSING_PHASE, "no line has a number of stream"),))
    comparison = compared(doubtful, sharded(), made_failure("fast", "no device"))
    text = report(comparison, {"base": "Loading weights took 387.56 seconds"}, ["base.log"])

    assert sections(text) == [
        "Visualization",
        "Key Metrics",
        "Speedups",
        "RunAI Streamer Metrics",
        "Failed starts",
        "Warnings",
        "Scope",
        "Relevant vLLM Initialization Log Excerpts",
        "Raw Artifacts",
    ]


def test_there_is_no_section_for_what_is_not_there():
    """One point, no streamer, no failure, no doubt, no excerpts."""
    assert sections(reported(base())) == ["Visualization", "Key Metrics", "Scope", "Raw Artifacts"]


def test_medians_and_every_start_stand_beside_the_means():
    """A mean hides a slow start; the values stand in the order of the blocks."""
    starts = [base({"ready_s": value}, repeat=block) for block, value in enumerate([60.0, 95.0, 61.0])]
    found = section(reported(*starts, sharded({"ready_s": 50.0})), "Single Starts")

    assert "| base | Wall time to model ready (s) | 61.00 | 60.00 95.00 61.00 |" in found
    assert "| 50.00 | 50.00 |" in found


def test_the_a_a_arm_is_marked_as_one():
    """Whoever reads its ratio must know that there is no difference to be seen."""
    again = [made_start("base again", {"ready_s": value}, repeat=block) for block, value in enumerate([60.0, 62.0])]
    first = [base({"ready_s": value}, repeat=block) for block, value in enumerate([61.0, 60.5])]
    text = section(report(compare(made_sweep(*first, *again), baseline="base"), {}, []), "Speedups")

    assert (
        "- `base again` is `base` a second time: how far its ratios are from 1 is the resolution of this setup." in text
    )
    assert "a second time" not in section(reported(*first, sharded()), "Speedups")


def test_a_report_begins_with_the_answer_and_what_limits_it():
    """Below the title, before any table: a sentence, and the reasons to doubt it."""
    lines = reported(base(), sharded(), made_failure("fast", "no device"), replayed=True).splitlines()

    assert lines[2].startswith(
        "One start of each: wall time to ready `sharded` 62.25 s, `base` 421.89 s, 6.78x. n = 1 has no interval"
    )
    assert lines[4] == "- 1 of 3 starts failed: `fast` 1."
    assert "## Visualization" in lines


def test_the_terminal_and_mlflow_begin_with_the_same_answer():
    """Word for word."""
    found = report_of(compared(base(), sharded()))

    assert summary_markdown(found).splitlines()[0] == report_markdown(found, {}, []).splitlines()[2]


def test_of_many_points_each_is_a_row():
    """Thirty columns are no table. With a few, each is a column, as in the seed."""
    starts = [made_start(f"p{index}", {"ready_s": 60.0 - index}) for index in range(11)]
    text = reported(*starts)

    assert text.startswith("# vLLM load benchmark: p0 vs 10 others\n")
    assert "| Metric | Wall time to model ready (s) | Starts (n) |\n| --- | ---: | ---: |\n| p0 | 60.00 | 1 |" in text


def test_what_a_start_costs_is_a_table_where_gpus_were_held():
    """In seconds of GPUs, and at a price in dollars; with an interval where there is one."""
    gpu = {"host.device": "cuda"}
    starts = [
        made_start(name, {"ready_s": seconds + block}, repeat=block, params={"tensor_parallel_size": "2"}, tags=gpu)
        for block in range(2)
        for name, seconds in (("base", 90.0), ("fast", 45.0))
    ]
    comparison = replace(compared(*starts), usd_per_gpu_hour=4.0)
    text = section(report(comparison, {}, []), "What a start costs")

    assert "| fast | 91.0 [" in text
    assert "| 90,000 [90,000, 90,000] | $100 [$100, $100] |" in text
    assert "A start holds 2 GPUs, one for each rank, from exec until it is ready. At $4 a GPU-hour" in text
    assert "Dollars" not in section(report(compared(*starts), {}, []), "What a start costs")
    assert section(reported(base(), sharded()), "What a start costs") == ""


def test_the_title_names_the_points():
    """The baseline first, as the command listed it."""
    assert reported(base(), sharded()).startswith("# vLLM load benchmark: base vs sharded\n")


def test_the_figure_is_in_the_report():
    """By a path that works wherever the folder lies."""
    assert "![vLLM load benchmark](./vllm_load_benchmark.png)" in section(reported(base()), "Visualization")


def test_excerpts_stand_as_they_were_printed():
    """Brackets and underscores of a log are no markdown."""
    text = report(compared(base()), {"base": "(Worker_TP0 pid=7) [a.py:1] took_2_s\n"}, [])

    assert "### base\n```text\n(Worker_TP0 pid=7) [a.py:1] took_2_s\n```" in text


def test_a_template_that_names_what_is_not_there_is_an_error():
    """Not an empty place in a report that nobody misses."""
    with pytest.raises(UndefinedError):
        render("summary.md.j2")


# Scope.


def test_the_scope_lists_what_all_starts_had_in_common():
    """And lists the values of what was varied, in the order of the points."""
    common = {"model.path": "models/gpt-oss-120b", "max_model_len": "4096"}
    text = section(
        reported(base(**common, tensor_parallel_size="1"), sharded(**common, tensor_parallel_size="2")), "Scope"
    )

    assert "- Model: `models/gpt-oss-120b`" in text
    assert "- max_model_len: `4096`" in text
    assert "- tensor_parallel_size: `1`, `2`\n" in text
    assert "gpu_memory_utilization" not in text


@pytest.mark.parametrize(
    ("path", "shown"), [("/home/me/.cache/bench/models/tiny", "tiny"), ("/data/llama", "/data/llama")]
)
def test_the_scope_names_a_model_without_the_folder_that_bench_keeps_it_in(path, shown):
    """A report that is published names no folder of the machine that it was not asked to name."""
    params = {"model.path": path, "models_dir": "/home/me/.cache/bench/models"}

    assert conditions(compare(made_sweep(made_start("base", params=params))))["Model"] == (shown,)


def test_the_scope_names_limits_on_noise_that_were_loosened():
    """By whoever asked for it, with bench's own; a report of a start that kept them says nothing of limits."""
    loose = made_start("base", {"ready_s": 60.0}, tags={"rig.loosened": "rig.busy_cores_at_most=0.9 (0.25)"})

    assert "Limits on noise" not in section(reported(base(), sharded()), "Scope")
    assert "- Limits on noise that were loosened (bench's own): `rig.busy_cores_at_most=0.9 (0.25)`" in section(
        reported(loose, sharded()), "Scope"
    )


def test_the_scope_counts_the_starts_of_each_point():
    """Those that finished, and those that did not."""
    text = section(reported(base(), base(repeat=1), sharded(), made_failure("sharded", "no device")), "Scope")

    assert "- `base`: 2 starts finished\n" in text
    assert "- `sharded`: 1 start finished, 1 failed\n" in text


def test_the_scope_names_the_starts_that_were_left_out():
    """A report of a part must not look like one of the whole."""
    comparison = compare(made_sweep(base(load_format="auto"), sharded()), where={"load_format": "auto"})

    assert "- Only starts with load_format=auto." in section(report(comparison, {}, []), "Scope")


@pytest.mark.parametrize(
    ("replayed", "words"),
    [
        (False, "- Page cache before each start: unknown\n- Compile and JIT caches: unknown\n"),
        (True, "These logs were recorded elsewhere: the state of the caches and the order of the starts are unknown."),
    ],
)
def test_the_scope_states_what_is_unknown_of_the_caches(replayed, words):
    """No number without its state, even if all that can be said is that it is unknown."""
    assert words in section(reported(base(), replayed=replayed), "Scope")


@pytest.mark.parametrize(
    ("tag", "state", "words"),
    [
        ("bench.page_cache", "cold", "- Page cache before each start: cold (evicted and measured)\n"),
        ("bench.page_cache", "unverified", "unverified: no reliable measurement on this host\n"),
        ("bench.compile_cache", "primed", "primed by a start that does not count, and found to be used\n"),
    ],
)
def test_the_scope_names_the_state_of_the_starts(tag, state, words):
    """What it was, which is not always what was asked, in words that need no manual."""
    start = made_start("base", {"ready_s": 421.89}, tags={tag: state})

    assert words in section(reported(start), "Scope")


def test_the_scope_names_what_ended_the_sweep():
    """Whether it is as precise as was asked, or somebody lost patience."""
    sweep = replace(made_sweep(base(), sharded()), ended_by="after max_blocks=20")

    assert "- It ended after max_blocks=20.\n" in report(compare(sweep), {}, [])


# Tables.


def test_all_rows_of_a_table_have_a_cell_for_each_column():
    """Else nothing but text is displayed; what a point lacks is a cell too."""
    text = reported(base(), sharded(), made_start("odd", {"kv_cache/tokens": 1.0}), made_failure("fast", "a | b"))

    assert len(tables(text)) == 3
    assert all(len(row) == len(table[0]) for table in tables(text) for row in table)


def test_numbers_are_aligned_to_the_right():
    """So that their digits stand below each other; names to the left."""
    comparison = compared(base(), sharded())

    assert cells(key_metrics(comparison).splitlines()[1]) == ["---", "---:", "---:"]
    assert cells(speedups(comparison).splitlines()[1]) == ["---", "---:"]


def test_a_pipe_in_a_label_divides_no_cell():
    """vllm.env.VLLM_CPU_OMP_THREADS_BIND has values like 0|1, and is swept like any other."""
    comparison = compared(made_start("BIND=0|1", {"ready_s": 2.0}), made_start("BIND=1|0", {"ready_s": 1.0}))

    assert len(cells(key_metrics(comparison).splitlines()[0])) == 3


def test_every_point_is_a_column_with_its_means():
    """In the order of the points, with the digits of the seed."""
    twice = [base({"ready_s": 421.0}), base({"ready_s": 422.0}, repeat=1)]
    found = rows(key_metrics(compared(*twice, sharded())))

    assert found["Metric"] == ["base", "sharded"]
    assert found["Wall time to model ready (s)"] == ["421.50", "62.25"]


def test_thousands_are_divided():
    """457872 tokens cannot be told from 45787 at a glance."""
    found = rows(key_metrics(compared(base({"kv_cache/tokens": 457872.0}))))

    assert found["KV cache (tokens)"] == ["457,872"]


def test_what_a_point_lacks_is_a_dash_and_what_all_lack_is_no_row():
    """Missing is missing, and never zero."""
    found = rows(key_metrics(compared(base({"ready_s": 421.89}), sharded())))

    assert found["Weights loading time (s)"] == ["-", "28.75"]
    assert "Graph capture time (s)" not in found


def test_n_is_printed_below_the_means():
    """For each point the number of its finished starts."""
    found = rows(key_metrics(compared(base(), base(repeat=1), sharded(), made_failure("sharded", "no device"))))

    assert found["Starts (n)"] == ["2", "1"]


def test_a_mean_of_fewer_starts_has_its_n():
    """Of two starts one said how long its weights took."""
    found = rows(key_metrics(compared(base(), base({"ready_s": 421.89}, repeat=1))))

    assert found["Weights loading time (s)"] == ["387.56 (n=1)"]
    assert found["Wall time to model ready (s)"] == ["421.89"]


def test_a_point_without_a_finished_start_is_no_column():
    """There is nothing to say of it but why."""
    text = reported(base(), made_failure("fast", "no device"))

    assert rows(key_metrics(compared(base(), made_failure("fast", "no device"))))["Metric"] == ["base"]
    assert "| fast #1 | no device |" in section(text, "Failed starts")


def test_a_failed_start_stands_in_its_table_with_its_reason():
    """Each repeat; a pipe in vLLM's words divides no cell, and silence is called so."""
    failures = made_failure("fast", "bad value: a|b"), made_failure("fast", None, repeat=1)
    (table,) = tables(section(reported(base(), *failures), "Failed starts"))

    assert table[2:] == [["fast #1", r"bad value: a\|b"], ["fast #2", "no reason was recorded"]]


def test_a_warning_names_the_start_that_it_is_about():
    """A doubt about a number belongs beside the number."""
    doubtful = replace(
        sharded(), warnings=(ResultWarning(WarningKind.MISSING_PHASE, "no line has a number of stream"),)
    )

    assert "- `sharded #1`: no line has a number of stream" in section(reported(base(), doubtful), "Warnings")


# Speedups.


def test_a_speedup_has_two_digits_and_an_x():
    """As in the seed."""
    found = rows(speedups(compared(base(), sharded())))

    assert found["Wall time to ready"] == ["6.78x"]
    assert found["Weights loading"] == ["13.48x"]
    assert found["Starts (n), the fewer of the two"] == ["1"]


def test_every_speedup_has_its_own_n():
    """One candidate was started twice, the other once."""
    found = rows(
        speedups(compared(base(), base(repeat=1), sharded(), sharded(repeat=1), made_start("dummy", STREAMED)))
    )

    assert found["Metric"] == ["sharded", "dummy"]
    assert found["Starts (n), the fewer of the two"] == ["2", "1"]


def test_the_heading_of_the_speedups_names_what_is_divided_by_what():
    """Which of the two is faster must not be left to guess."""
    assert "## Speedups (base / sharded)\n" in reported(base(), sharded())


def test_several_baselines_are_all_named():
    """Each candidate with its own."""
    starts = [
        made_start(f"{name} tp={tp}", {"ready_s": 1.0}, params={"load_format": name, "tensor_parallel_size": tp})
        for tp in ("1", "2")
        for name in ("auto", "dummy")
    ]

    assert "## Speedups (auto tp=1 / dummy tp=1; auto tp=2 / dummy tp=2)\n" in reported(*starts)


def test_one_start_each_has_the_note_that_there_is_no_interval():
    """n = 1 was the first thing wrong with the seed."""
    text = section(reported(base(), sharded(), sharded(repeat=1)), "Speedups")

    assert "n = 1: there is no interval, and the same sweep may give other figures." in text


def test_two_starts_each_have_the_note_that_intervals_are_wide():
    """The words for one start would be wrong, and silence too."""
    text = section(reported(base(), base(repeat=1), sharded(), sharded(repeat=1)), "Speedups")

    assert "n = 1" not in text
    assert "n = 2: the intervals come from two pairs and are wide." in text


def test_three_starts_each_need_no_excuse():
    """The interval says itself how much they tell, and what it is."""
    text = section(
        reported(*(base(repeat=repeat) for repeat in range(3)), *(sharded(repeat=repeat) for repeat in range(3))),
        "Speedups",
    )

    assert "n = " not in text
    assert "In brackets: 95 % t intervals of log ratios, paired within blocks." in text


def test_a_ratio_has_its_interval_in_brackets():
    """No figure without how far it can be trusted. By hand: the log ratios are ln 2, ln 2 and ln 4; see test_statistics."""
    starts = [base({"ready_s": value}, repeat=repeat) for repeat, value in enumerate((10.0, 10.0, 20.0))]
    starts += [sharded({"ready_s": 5.0}, repeat=repeat) for repeat in range(3)]
    found = rows(speedups(compared(*starts)))

    assert found["Wall time to ready"] == ["2.52x [0.93, 6.81]"]


def test_intervals_of_several_candidates_are_marked_as_widened():
    """Who looks for the fastest of three sees the luckiest of three."""
    labels = ("base", "sharded", "dummy")
    starts = [
        made_start(label, {"ready_s": 10.0 + repeat}, repeat=repeat, params={})
        for label in labels
        for repeat in range(3)
    ]

    assert "They are widened so that all 2 of one baseline hold together (Bonferroni)." in reported(*starts)
    assert "Bonferroni" not in reported(*(start for start in starts if start.point != "dummy"))


def test_a_speedup_without_a_wall_time_has_its_n_too():
    """A log recorded elsewhere may not say when vLLM was ready: no figure without its n."""
    loaded = [base({"phase/load_model_s": 390.37}), sharded({"phase/load_model_s": 31.53})]
    found = rows(speedups(compared(*loaded)))

    assert found["Model loading"] == ["12.38x"]
    assert found["Starts (n), the fewer of the two"] == ["1"]


def test_points_that_share_no_metric_have_no_table_of_speedups():
    """There is nothing that could be divided."""
    text = section(reported(base({"ready_s": 1.0}), sharded({"phase/load_model_s": 1.0})), "Speedups")

    assert tables(text) == []
    assert "Ratios of geometric means" not in text


def test_no_section_is_empty():
    """Where nothing can be divided, either that is said or there is no section."""
    text = section(reported(base({"ready_s": 1.0}), sharded({"phase/load_model_s": 1.0})), "Speedups")

    assert text == "" or text.partition("\n")[2].strip()


def test_a_withheld_speedup_is_listed_with_its_reason():
    """And its candidate is no column: a number would be quoted whatever stands below it."""
    tokens = {"base": "4711", "sharded": "0815", "dummy": "4711"}
    starts = [made_start(point, {"ready_s": 2.0}, tags={"bench.tokens": name}) for point, name in tokens.items()]
    comparison = compared(*starts)

    assert rows(speedups(comparison))["Metric"] == ["dummy"]
    assert (
        "- `sharded`: no speedup is shown: weights unverified: no verification start was made; its greedy tokens differ from the "
        "baseline's though only the load format was varied; to show it all the same: ignore=weights."
    ) in section(report(comparison, {}, []), "Speedups")


def test_where_all_speedups_are_withheld_there_is_no_table():
    """Only the reason."""
    starts = [made_start(point, {"ready_s": 2.0}, tags={"bench.tokens": point}) for point in ("base", "sharded")]
    text = section(reported(*starts), "Speedups")

    assert tables(text) == []
    assert "- `sharded`: no speedup is shown" in text


# The streamer.


@pytest.mark.parametrize(
    ("gib", "words"),
    [
        (34.3, "34.30 GiB"),
        (0.1, "0.10 GiB"),
        (0.0999, "102.30 MiB"),
        (14.8 / 1024, "14.80 MiB"),
        (0.0, "0.00 MiB"),
        (1024.0, "1024.00 GiB"),
    ],
)
def test_a_size_below_a_tenth_of_a_gib_is_in_mib(gib, words):
    """Of a small model nothing but zeros would be left."""
    assert size_text(gib) == words


def test_the_streamer_has_the_lines_of_the_seed():
    """The best of the ranks, as the seed has it, beside the slowest, for which the start waits."""
    lines = section(reported(base(), sharded()), "RunAI Streamer Metrics").splitlines()

    assert lines[1:6] == [
        "- Streamed size: 34.30 GiB",
        "- Best observed stream time: 28.52 s",
        "- Slowest rank's stream time: 28.74 s",
        "- Best observed throughput: 1.20 GiB/s",
        "- From 1 start; mean of each rank: TP0 28.74 s, TP1 28.52 s",
    ]


def test_best_and_slowest_are_over_all_ranks_of_all_starts():
    """And each rank has its mean over the starts."""
    second = STREAMED | {"rank/TP0/phase/stream_s": 30.74, "rank/TP1/phase/stream_s": 20.52}
    text = section(reported(sharded(), sharded(second, repeat=1)), "RunAI Streamer Metrics")

    assert "- Best observed stream time: 20.52 s\n" in text
    assert "- Slowest rank's stream time: 30.74 s\n" in text
    assert "- From 2 starts; mean of each rank: TP0 29.74 s, TP1 24.52 s\n" in text


def test_a_streamer_of_which_no_rank_is_known_has_its_start_as_a_whole():
    """Its line says neither process nor rank on some hosts, and the report says that."""
    whole = {name: value for name, value in STREAMED.items() if not name.startswith("rank/")}
    text = section(reported(sharded(whole)), "RunAI Streamer Metrics")

    assert "- Best observed stream time: 28.74 s\n" in text
    assert "the log does not say which rank streamed" in text


def test_every_point_that_streamed_has_its_own_lines():
    """Below its name; the others are not mentioned."""
    second = made_start("streamer", STREAMED | {"stream/size_gib": 14.8 / 1024})
    text = section(reported(base(), sharded(), second), "RunAI Streamer Metrics")

    assert [line for line in text.splitlines() if line.startswith("###")] == ["### sharded", "### streamer"]
    assert "- Streamed size: 34.30 GiB" in text
    assert "- Streamed size: 14.80 MiB" in text


# The folder.


def test_a_report_is_a_folder_that_needs_nothing_else(tmp_path):
    """Every file that the report names lies beside it, and every file beside it is named."""
    starts = [base(), base(repeat=1), sharded()]
    write_report(compared(*starts), tmp_path, fetched(logs_of(*starts)))
    linked = re.findall(r"\]\(\./([^)]+)\)", (tmp_path / "report.md").read_text())

    assert {path.name for path in tmp_path.iterdir()} == {*linked, "report.md"}
    assert {"benchmark_metrics.json", "vllm_load_benchmark.png", "base_1.log", "base_2_excerpts.log"} < set(linked)


def test_figures_of_waterfalls_are_files_of_the_report(tmp_path):
    """Linked, named among the files, and kept in the sweep's own run; all or none of it."""
    starts = [made_start(name, made_waterfall({"09_load_weights": s})) for name, s in (("base", 20.0), ("fast", 6.0))]
    files = write_report(compared(*starts), tmp_path, fetched({}))
    linked = re.findall(r"\]\(\./([^)]+)\)", (tmp_path / "report.md").read_text())

    assert {path.name for path in files} == {path.name for path in tmp_path.iterdir()} == {*linked, "report.md"}
    assert {"waterfall.png", "savings.png"} < set(linked)


def test_the_sweeps_own_run_gets_the_report_the_figure_and_the_numbers(no_figure, tmp_path):
    """The logs are there already, each in the run of its start."""
    starts = [base(), sharded()]
    files = write_report(compared(*starts), tmp_path, fetched(logs_of(*starts)))

    assert [path.name for path in files] == [
        "report.md",
        "report.html",
        "vllm_load_benchmark.png",
        "benchmark_metrics.json",
    ]


def test_each_log_is_that_of_its_start(no_figure, tmp_path):
    """A failed start's too: the one line of its reason may not be enough."""
    starts = [base(), sharded(), made_failure("fast", "no device")]
    write_report(compared(*starts), tmp_path, fetched(logs_of(*starts)))

    assert (tmp_path / "base_1.log").read_text() == "vllm.log of base #1\n"
    assert (tmp_path / "sharded_1_excerpts.log").read_text() == "vllm_excerpts.log of sharded #1\n"
    assert (tmp_path / "fast_1.log").read_text() == "vllm.log of fast #1\n"


def test_the_excerpts_of_a_point_are_those_of_its_first_start(no_figure, tmp_path):
    """One start tells how vLLM words it; all of them would bury the report."""
    starts = [base(), base(repeat=1)]
    write_report(compared(*starts), tmp_path, fetched(logs_of(*starts)))
    text = (tmp_path / "report.md").read_text()

    assert "vllm_excerpts.log of base #1" in text
    assert "vllm_excerpts.log of base #2" not in text


def test_a_start_without_logs_is_reported_all_the_same(no_figure, tmp_path):
    """Somebody may have deleted the artifacts to save room."""
    write_report(compared(base(), sharded()), tmp_path, fetched({}))

    assert (tmp_path / "report.md").is_file()
    assert list(tmp_path.glob("*.log")) == []


def test_a_sweep_in_which_everything_failed_has_a_report(tmp_path):
    """With the reasons, the logs, and a figure of nothing."""
    failures = [made_failure("fast", "no device"), made_failure("auto", "out of memory")]
    write_report(compared(*failures), tmp_path, fetched(logs_of(*failures)))
    text = (tmp_path / "report.md").read_text()

    assert "| auto #1 | out of memory |" in text
    assert "Speedups" not in text
    assert (tmp_path / "fast_1.log").is_file()


@pytest.mark.parametrize("point", ["a/b c", "../../up", "mem=0.9 len=[1,2]", "a|b`c`", "..", "größe"])
def test_an_odd_name_gives_a_file_that_lies_in_the_folder(point, no_figure, tmp_path):
    """And that a shell, a browser and markdown can take without quotes."""
    folder = tmp_path / "report"
    start = made_start(point, {"ready_s": 1.0})
    write_report(compared(start), folder, fetched(logs_of(start)))
    (log,) = (path for path in tmp_path.rglob("*.log") if not path.name.endswith("_excerpts.log"))

    assert log.parent == folder
    assert re.fullmatch(r"[\w.-]+", log.name)


def test_a_long_name_gives_a_file_all_the_same(no_figure, tmp_path):
    """A point is named by all that varies, and ten settings can vary."""
    start = made_start(" ".join(f"setting_with_a_long_name_{index}=1" for index in range(10)), {"ready_s": 1.0})
    write_report(compared(start), tmp_path, fetched(logs_of(start)))

    assert len(list(tmp_path.glob("*.log"))) == 2


def pair(first: str, second: str) -> list[RunRecord]:
    """Two replayed logs: a start is called as its file."""
    return [replace(made_start(name, {"ready_s": 1.0}), name=name) for name in (first, second)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("tp=1", "tp 1", id="names that are made equal"),
        pytest.param("base", "base_excerpts", id="a log called like another's excerpts"),
        pytest.param("vllm", "base", id="a log called like the artifact that is fetched"),
        pytest.param("Base", "base", id="names that a file system may take for one"),
        pytest.param("a" * 200 + "1", "a" * 200 + "2", id="long names that differ at their end"),
    ],
)
def test_no_start_loses_its_log_to_another(first, second, no_figure, tmp_path):
    """Each log in the folder is one of a start's, and every start has its own, whole."""
    starts = pair(first, second)
    write_report(compared(*starts), tmp_path, fetched(logs_of(*starts)))
    kept = {path.read_text() for path in tmp_path.glob("*.log")}

    assert kept == {content.decode() for content in logs_of(*starts).values()}
    assert len({path.name.lower() for path in tmp_path.glob("*.log")}) == 4


# JSON.


def test_the_json_has_every_single_value(no_figure, tmp_path):
    """Nobody has to read them off a table, or to trust a mean."""
    write_report(compared(base(), base({"ready_s": 400.0}, repeat=1), sharded()), tmp_path, fetched({}))
    points = json.loads((tmp_path / "benchmark_metrics.json").read_text())["points"]

    assert points["base"]["metrics"]["ready_s"] == {"mean": pytest.approx(410.945), "values": [421.89, 400.0]}
    assert points["base"]["run_ids"] == ["run of base #1", "run of base #2"]
    assert {name: found["values"] for name, found in points["sharded"]["metrics"].items()} == {
        name: [value] for name, value in STREAMED.items()
    }


def test_the_json_has_the_speedups_and_what_was_withheld():
    """With what each was compared to, and n."""
    tokens = {"base": "4711", "sharded": "0815", "dummy": "4711"}
    starts = [made_start(point, {"ready_s": 2.0}, tags={"bench.tokens": name}) for point, name in tokens.items()]
    tree = as_json(compared(*starts))

    assert tree["speedups"] == [
        {
            "metric": "ready_s", "baseline": "base", "candidate": "dummy", "n": 1, "ratio": pytest.approx(1.0),
            "low": None, "high": None, "paired": True,
        }
    ]  # fmt: skip
    assert tree["withheld"].keys() == {"sharded"}
    assert tree["answer"][0].startswith("One start of each: ")
    assert tree["baselines"] == {"sharded": "base", "dummy": "base"}


def test_the_json_has_the_failed_starts():
    """By run, with the reason; their values are in no mean."""
    point = as_json(compared(base(), made_failure("base", "no device", {"ready_s": 1.0}, repeat=1)))["points"]["base"]

    assert point["failed"] == [{"name": "base #2", "run_id": "run of base #2", "reason": "no device"}]
    assert point["metrics"]["ready_s"]["values"] == [421.89]
    assert point["n"] == 1
