"""python -m bench.compare: MLflow -> benchmark_results/<sweep>/report.md, report.html, figures, JSON and logs.

python -m bench.compare                                    the latest sweep
python -m bench.compare sweep=ID                           one sweep, by its id or its run's id or name
python -m bench.compare baseline=auto                      a point's label; auto: load_format=auto, else the first point
python -m bench.compare where.tensor_parallel_size=2       only the starts whose params have this value; null: that is not set
python -m bench.compare ignore=version.vllm,host.gpu       compares although these differ, and notes it in the report
python -m bench.compare cost.usd_per_gpu_hour=4            what a start costs, and what a thousand save
python -m bench.compare title='eager, no priming'          instead of the points' names
python -m bench.compare sweep=ID publish=NAME              to benchmark_results/NAME, with all starts packed beside the report
python -m bench.compare output=FOLDER tracking.uri=URI      and tracking.experiment, caches_dir, experiment, --config-dir=FOLDER
"""

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.analysis.comparison import AUTO, Comparison, compare
from bench.cli import TAKES, command, split_arguments
from bench.compose import compose_one
from bench.errors import SettingError
from bench.masking import masked, masked_tree
from bench.report.content import report_of
from bench.report.metrics_json import summary_metrics
from bench.report.published_table import published_table, refuse_foreign_table
from bench.report.write import summary_markdown, write_report
from bench.sweep.publish import pack_starts, refuse_name
from bench.system.interrupts import unbroken
from bench.system.output import print_result
from bench.tracking.query import LATEST, download, find_sweep
from bench.tracking.runs import log_report
from bench.tracking.uploads import tidy
from bench.tracking.views import page_of
from bench.words import read_settings

OWN = {"sweep": LATEST, "baseline": AUTO, "ignore": "", "output": "benchmark_results", "publish": "", "title": ""}
REPORT_OPTIONS = ("baseline=", "ignore=", "title=", "where.", "cost.")  # these decide what the report contains


@command(__doc__)
def main(arguments: list[str]) -> None:
    """Compare one sweep."""
    own, where, overrides = split_arguments(arguments, OWN, prefix="where.")
    if own["publish"]:
        refuse_name(own["publish"])
    settings = compose_one(read_settings(overrides), [*TAKES, "cost"], [*OWN, "where.NAME"])
    tracking = settings.tracking
    unbroken(partial(tidy, settings), "MLflow to answer")
    sweep = masked_tree(find_sweep(tracking.uri, own["sweep"]))  # written by any bench
    comparison = compare(sweep, baseline=own["baseline"], where=where, ignore=[*filter(None, own["ignore"].split(","))])
    price = settings.cost.usd_per_gpu_hour or sweep.usd_per_gpu_hour
    comparison = replace(comparison, title=own["title"], usd_per_gpu_hour=price)
    folder = Path(own["output"]) / (own["publish"] or sweep.sweep_id)
    if own["publish"]:
        refuse_foreign_table(folder.parent)
    files = write_report(comparison, folder, partial(download, tracking.uri))
    if own["publish"]:
        pack_starts(sweep, tracking.uri, [each for each in arguments if each.startswith(REPORT_OPTIONS)], folder)
        (folder.parent / "README.md").write_text(published_table(folder.parent), encoding="utf-8")
    tables = summary_markdown(report_of(comparison))
    print_result(tables)
    print_result(f"\nreport   {folder / 'report.md'}")
    print_result(f"page     {folder / 'report.html'}")
    print_result(f"MLflow   {_ui(tracking.uri, sweep.experiment_id)}")
    logging = partial(log_report, metrics=summary_metrics(comparison), note=tables, files=files)
    unbroken(partial(logging, tracking, sweep.run_id), "MLflow to take the report")
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


def _ui(uri: str, experiment: str) -> str:
    page = page_of(experiment)
    if uri.startswith("http"):
        return f"{masked(uri).rstrip('/')}/{page}"
    mlflow = os.path.relpath(Path(sys.executable).parent / "mlflow")
    return f"{mlflow} ui --backend-store-uri {masked(uri)}    then http://127.0.0.1:5000/{page}"


if __name__ == "__main__":
    main()
