"""python -m bench.compare: MLflow -> benchmark_results/<sweep>/report.md, report.html, figures, JSON and logs.

python -m bench.compare                                    the latest sweep of tracking.experiment made by you or in this folder
python -m bench.compare sweep=ID                           one sweep, by its id or its run's id or name
python -m bench.compare sweep=ID,ID                        two sweeps, the baseline's first: each point with the one that is called alike
python -m bench.compare sweep=ID:auto,ID:auto              two of their points; also of one sweep
python -m bench.compare sweep=latest,previous              your latest sweep against the one before it, which is the baseline
python -m bench.compare runs=ID,ID                         two single starts, by the ids of their runs
python -m bench.compare baseline=auto                      a point's label; auto: load_format=auto, else the first point
python -m bench.compare where.tensor_parallel_size=2       only the starts whose params have this value; null: that is not set
python -m bench.compare ignore=version.vllm,host.gpu       compares although these differ, and notes it in the report
python -m bench.compare cost.usd_per_gpu_hour=4            what a start costs, and what a thousand save
python -m bench.compare title='eager, no priming'          instead of the points' names
python -m bench.compare sweep=ID publish=NAME              to benchmark_results/NAME, with all starts packed beside the report
python -m bench.compare gate=5%                            exits with 1 where a candidate is slower by more, 2 where that is not resolved
python -m bench.compare gate=5% gate_metric=first_token_s junit=gate.xml
python -m bench.compare output=FOLDER tracking.uri=URI      and tracking.experiment, cache_dir, caches_dir, experiment, --config-dir=FOLDER
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.analysis.baselines import AUTO
from bench.analysis.between import folder_name, joined
from bench.analysis.comparison import Comparison, compare
from bench.cli import TAKES, command, split_arguments
from bench.compose import compose_one
from bench.config import Settings
from bench.errors import SettingError
from bench.masking import masked_tree
from bench.overrides.words import read_settings
from bench.report.gate import GATE, asked_gate
from bench.report.published_table import published_table, refuse_foreign_table
from bench.report.write import write_report
from bench.sweep.publish import pack_starts, refuse_name
from bench.sweep.report import REPORTS, keep_report, show_report
from bench.system.interrupts import unbroken
from bench.tracking.artifacts import fetcher
from bench.tracking.bring_in import tidy
from bench.tracking.query import LATEST
from bench.tracking.selection import fingerprint_of, selected

WHICH = {"sweep": LATEST, "runs": "", "baseline": AUTO, "ignore": ""}
OWN = WHICH | {"output": REPORTS, "publish": "", "title": ""} | GATE
REPORT_OPTIONS = ("baseline=", "ignore=", "title=", "where.", "cost.")  # these decide what the report contains


@command(__doc__)
def main(arguments: list[str]) -> None:
    """Compare one sweep, or several."""
    own, where, overrides = split_arguments(arguments, OWN, prefix="where.")
    with asked_gate(own) as gate:
        _refuse_options(own)
        settings = compose_one(read_settings(overrides, [*OWN, "where."]), [*TAKES, "cost"], [*OWN, "where.NAME"])
        tracking = settings.tracking
        unbroken(partial(tidy, settings), "MLflow to answer")
        comparison = _compared(settings, own, where)
        sweep, folder = comparison.sweep, _folder(comparison, own)
        files = write_report(comparison, folder, fetcher(tracking.uri))
        if own["publish"]:
            pack_starts(sweep, tracking.uri, [each for each in arguments if each.startswith(REPORT_OPTIONS)], folder)
            (folder.parent / "README.md").write_text(published_table(folder.parent), encoding="utf-8")
        tables = show_report(tracking, comparison, folder)
        keep_report(tracking, comparison, tables, files)
        gate.judge(comparison, tables)
        refuse_without_start(comparison)


def refuse_without_start(comparison: Comparison) -> None:
    """The report names what became of each start; whoever waits for a comparison gets an exit code.

    Raises:
        SettingError: no start finished in the state that was asked for.
    """
    if any(point.starts for point in comparison.points):
        return
    starts = [*comparison.failed, *comparison.invalid]
    first = starts[0]
    raise SettingError(
        f"sweep {comparison.sweep.sweep_id}: nothing to compare, since none of its {len(starts)} starts finished and counts; "
        f"{first.name}: {first.reason or first.invalid_reason}"
    )


def _refuse_options(own: Mapping[str, str]) -> None:
    """What the command line alone shows to be wrong."""
    if own["publish"]:
        refuse_name(own["publish"])
        refuse_foreign_table(Path(own["output"]))
    if own["runs"] and own["sweep"] != LATEST:
        raise SettingError("runs= and sweep= are two ways to name what is compared: leave one of them out.")


def _compared(settings: Settings, own: Mapping[str, str], where: Mapping[str, str]) -> Comparison:
    """What is named, compared."""
    tracking = settings.tracking
    sides, doubts = masked_tree(selected(tracking, own["sweep"], own["runs"]))  # written by any bench
    sweep = joined(sides, partial(fingerprint_of, tracking.uri), doubts)
    if own["publish"] and (sweep.members or any(side.point for side in sides)):
        raise SettingError(
            "publish= packs the starts of one whole sweep. Publish each of them, and compare them later."
        )
    ignore = [*filter(None, own["ignore"].split(","))]
    comparison = compare(sweep, baseline=own["baseline"], where=where, ignore=ignore)
    price = settings.cost.usd_per_gpu_hour or sweep.usd_per_gpu_hour
    return replace(comparison, title=own["title"], usd_per_gpu_hour=price)


def _folder(comparison: Comparison, own: Mapping[str, str]) -> Path:
    return Path(own["output"]) / (own["publish"] or folder_name(comparison.sweep.sweep_id, comparison.part))


if __name__ == "__main__":
    main()
