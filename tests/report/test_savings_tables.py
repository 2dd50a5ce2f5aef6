"""Where the seconds go and where the saved ones come from, as sections of the report: what stands in them, and when."""

import re
from dataclasses import replace

import pytest

from bench.analysis.comparison import Comparison, compare
from bench.analysis.records import RunRecord
from bench.analysis.statistics import Interval
from bench.report.content import report_of
from bench.report.metrics_json import as_json
from bench.report.numbers import saved_text
from bench.report.write import report_markdown
from made_sweeps import made_failure, made_start, made_sweep, made_waterfall

SLOW = {"01_api_server_imports": 8.0, "09_load_weights": 20.0, "17_first_token": 1.0, "99_unattributed": 2.0}
FAST = SLOW | {"09_load_weights": 5.5, "17_first_token": 0.5}


def started(point: str, phases: dict[str, float], repeat: int = 0, state: str = "cold", **params: str) -> RunRecord:
    tags = {"bench.page_cache": state}
    return made_start(point, made_waterfall(phases), repeat=repeat, tags=tags, params=params)


def compared(*starts: RunRecord) -> Comparison:
    return compare(made_sweep(*starts))


def section(comparison: Comparison, heading: str) -> str:
    """Empty where the report has no such section."""
    text = report_markdown(report_of(comparison), {}, [])
    found = re.search(rf"^## {heading}$.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[0].rstrip() if found else ""


def seconds_section(comparison: Comparison) -> str:
    return section(comparison, "Where the seconds go")


def savings_section(comparison: Comparison) -> str:
    return section(comparison, "Where the saved seconds come from")


def rows(text: str) -> list[dict[str, list[str]]]:
    """Each table of a section: the cells of its rows, by their titles."""
    tables = re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    cells = [[re.split(r" ?\| ?", line.strip("| ")) for line in table.splitlines()] for table in tables]
    return [{title: values for title, *values in table if title != "---"} for table in cells]


# Where the seconds go.


def test_every_point_is_a_column_that_adds_up():
    """To ready, and with what comes behind it to the first token; what nothing explains is a row like the others."""
    (found,) = rows(seconds_section(compared(started("base", SLOW), started("fast", FAST))))

    assert found == {
        "Phase (s)": ["base", "fast"],
        "API server: imports": ["8.00", "8.00"],
        "Load weights": ["20.00", "5.50"],
        "Unattributed": ["2.00", "2.00"],
        "**Ready**": ["**30.00**", "**15.50**"],
        "Ready to first token": ["1.00", "0.50"],
        "**First token**": ["**31.00**", "**16.00**"],
        "Starts (n)": ["1", "1"],
    }
    assert list(found)[3:6] == ["Unattributed", "**Ready**", "Ready to first token"]


def test_a_phase_that_a_start_lacks_is_a_dash_or_has_its_n():
    """A dash where no start had it; where some had it, how many, since the mean is over all."""
    compiled = SLOW | {"12_compile": 9.0}
    starts = started("base", compiled), started("base", SLOW, 1), started("fast", FAST)
    (found,) = rows(seconds_section(compared(*starts)))

    assert found["Compile"] == ["4.50 (in 1 of 2)", "-"]


def test_an_unknown_phase_has_its_name():
    """A later version may tell of more; the report must not hide it."""
    (found,) = rows(seconds_section(compared(started("base", SLOW | {"10_dance_around": 1.0}))))

    assert found["Dance around"] == ["1.00"]


def test_starts_without_a_waterfall_are_counted_and_points_without_one_named():
    """Whoever misses a column must not have to guess."""
    unseen = made_start("base", {"ready_s": 99.0}, repeat=1, tags={"bench.page_cache": "cold"})
    text = seconds_section(compared(started("base", SLOW), unseen, replace(unseen, point="old")))
    (found,) = rows(text)

    assert (found["Phase (s)"], found["Starts (n)"], found["**Ready**"]) == (["base"], ["1 of 2"], ["**30.00**"])
    assert text.endswith("- `old`: no start has a waterfall.")


def test_cold_and_warm_starts_are_in_tables_of_their_own():
    """Of the seconds and of the savings; dummy weights are the floor of both, and no candidate that saves."""
    starts = [
        started(f"{name} {state}", phases, 0, state, load_format=name, page_cache=state)
        for state in ("cold", "warm")
        for name, phases in (("auto", SLOW), ("runai_streamer", FAST))
    ]
    dummy = started("dummy", FAST, 0, "none", load_format="dummy", page_cache="cold")
    comparison = compared(*starts, dummy)
    seconds, saved = seconds_section(comparison), savings_section(comparison)

    assert [table["Phase (s)"] for table in rows(seconds)] == [
        ["auto cold", "runai_streamer cold", "dummy"],
        ["auto warm", "runai_streamer warm", "dummy"],
    ]
    assert [next(iter(table.items())) for table in rows(saved)] == [
        ("Seconds saved against auto cold", ["runai_streamer cold"]),
        ("Seconds saved against auto warm", ["runai_streamer warm"]),
    ]
    assert seconds.index("Page cache: cold") < seconds.index("auto cold") < seconds.index("Page cache: warm")


# Where the saved seconds come from.


def test_the_saved_seconds_have_sign_interval_and_n():
    """By hand: the weights differ by 14 and 15 s, and t of two pairs is 12.706. Nothing is not minus nothing."""
    starts = [started("base", SLOW, block) for block in range(2)]
    starts += [started("fast", FAST | {"09_load_weights": 6.0 - block}, block) for block in range(2)]
    starts += [started("slow", SLOW | {"01_api_server_imports": 8.0 + 1e-9, "12_compile": 4.0}, b) for b in range(2)]
    (found,) = rows(savings_section(compare(made_sweep(*starts[:4]))))
    (both,) = rows(savings_section(compare(made_sweep(*starts))))

    assert found == {
        "Seconds saved against base": ["fast"],
        "API server: imports": ["0.00 ± 0.00"],
        "Load weights": ["+14.50 ± 6.35"],
        "Unattributed": ["0.00 ± 0.00"],
        "**Time to ready**": ["**+14.50 ± 6.35**"],
        "Starts (n), the fewer of the two": ["2"],
    }
    assert both["Compile"] == ["-", "-4.00 ± 0.00"]
    assert both["API server: imports"] == ["0.00 ± 0.00", "0.00 ± 0.00"]


def test_one_start_each_has_no_interval_and_a_note():
    """As with the speedups."""
    text = savings_section(compared(started("base", SLOW), started("fast", FAST)))

    assert rows(text)[0]["Load weights"] == ["+14.50"]
    assert "n = 1: there is no interval." in text
    assert "t interval" not in text


def test_the_kind_of_an_interval_is_named():
    """Paired or not, and widened for how many."""
    starts = [started(name, phases, block) for name, phases in (("base", SLOW), ("fast", FAST)) for block in range(2)]
    alone = savings_section(compared(*starts))
    more = savings_section(compared(*starts, *(started("odd", FAST, block) for block in (7, 8))))

    assert "95 % t interval, paired within blocks. Each row's" in alone
    assert "Not paired (Welch): `odd`. Widened for the 2 candidates of one baseline (Bonferroni)." in more


def test_each_baseline_has_a_table_of_its_own():
    """Else nobody could tell what a column is compared with."""
    starts = [
        started(f"{name} tp={tp}", phases, load_format=name, tensor_parallel_size=tp)
        for tp in ("1", "2")
        for name, phases in (("auto", SLOW), ("runai_streamer", FAST))
    ]

    assert [next(iter(table.items())) for table in rows(savings_section(compared(*starts)))] == [
        ("Seconds saved against auto tp=1", ["runai_streamer tp=1"]),
        ("Seconds saved against auto tp=2", ["runai_streamer tp=2"]),
    ]


def test_the_cap_is_a_sentence_with_what_was_reached():
    """30 s, of which 20 are weights; the candidate made 30 / 15.5 of it."""
    text = savings_section(compared(started("base", SLOW), started("fast", FAST)))

    assert text.splitlines()[-1] == (
        "- Upper bound: if the weights of `base` took no time, it would be ready in 10.00 s instead of 30.00 s, "
        "3.00x as fast (n = 1). A faster loader alone cannot gain more. Reached: `fast` 1.94x."
    )


def test_the_cap_of_several_starts_has_an_interval():
    """Without spread it has no width."""
    starts = [started(name, phases, block) for name, phases in (("base", SLOW), ("fast", FAST)) for block in range(3)]

    assert "3.00x [3.00, 3.00] as fast (n = 3)" in savings_section(compared(*starts))


def test_a_baseline_without_a_loading_time_has_no_upper_bound():
    """Nothing can be taken away."""
    bare = {name: seconds for name, seconds in SLOW.items() if "weights" not in name}

    assert "Upper bound" not in savings_section(compared(started("base", bare), started("fast", FAST)))


@pytest.mark.parametrize(
    ("mean", "half", "words"),
    [(14.5, 6.349, "+14.50 ± 6.35"), (-0.004, None, "0.00"), (-0.006, None, "-0.01"), (0.004, 0.1, "0.00 ± 0.10")],
)
def test_seconds_are_written_with_two_digits(mean, half, words):
    """And a sign, unless nothing is left of them."""
    ends = (None, None) if half is None else (mean - half, mean + half)

    assert saved_text(Interval(mean, *ends, n=3, paired=True, confidence=0.95)) == words


# The report as a whole.


def test_the_sections_stand_behind_the_speedups_with_their_figures():
    """First how much faster, then why."""
    text = report_markdown(report_of(compared(started("base", SLOW), started("fast", FAST))), {}, [])
    headings = re.findall(r"^## ([\w ]+\w)", text, re.MULTILINE)

    assert headings[2:5] == ["Speedups", "Where the seconds go", "Where the saved seconds come from"]
    assert "](./waterfall.png)" in text
    assert "](./savings.png)" in text


def test_without_waterfalls_there_is_no_such_section():
    """Logs from elsewhere, older sweeps, and sweeps in which everything failed."""
    plain = compared(made_start("base", {"ready_s": 30.0}), made_start("fast", {"ready_s": 15.0}))
    failed = compared(made_failure("base", "no device", made_waterfall(SLOW)))

    assert {make(each) for make in (seconds_section, savings_section) for each in (plain, failed)} == {""}


def test_one_point_has_a_waterfall_and_no_savings():
    """There is nothing to compare it with."""
    alone = compared(started("base", SLOW))

    assert seconds_section(alone)
    assert savings_section(alone) == ""


def test_the_json_has_waterfalls_savings_and_upper_bounds():
    """With all digits and both ends of each interval."""
    starts = [started(name, phases, block) for name, phases in (("base", SLOW), ("fast", FAST)) for block in range(2)]
    tree = as_json(compared(*starts))

    assert [(each["point"], each["ready_s"], each["n"]) for each in tree["waterfalls"]] == [
        ("base", 30.0, 2),
        ("fast", 15.5, 2),
    ]
    assert tree["savings"][0]["steps"][1] == {
        "step": {"number": 9, "name": "load_weights"},
        "baseline_s": 20.0,
        "candidate_s": 5.5,
        "saved_s": {"mean": 14.5, "low": 14.5, "high": 14.5, "n": 2, "paired": True, "confidence": pytest.approx(0.95)},
    }
    assert [(each["point"], each["ratio"]) for each in tree["upper_bounds"]] == [("base", pytest.approx(3.0))]
