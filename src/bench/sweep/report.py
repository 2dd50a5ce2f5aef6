"""Where a comparison's report goes: its folder, the terminal, the sweep's own run. For compare, and at the end of a sweep."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.analysis.comparison import Comparison, compare
from bench.analysis.records import REPORT, SweepRecord
from bench.config import Tracking
from bench.errors import BenchError
from bench.masking import masked, masked_tree
from bench.report.content import report_of
from bench.report.metrics_json import summary_metrics
from bench.report.run_tables import run_tables
from bench.report.write import PAGE, summary_markdown, write_report
from bench.start.steps import ENVIRONMENT_ERRORS, describe_error
from bench.system.interrupts import unbroken
from bench.system.output import print_markdown, print_message, print_result
from bench.system.program import on_path
from bench.tracking.artifacts import fetcher
from bench.tracking.owner import owner_of, this_owner
from bench.tracking.runs import log_report
from bench.tracking.selection import selected
from bench.tracking.views import page_of

REPORTS = "benchmark_results"  # in the current folder; each sweep's below it


def report_sweep(tracking: Tracking, sweep_id: str) -> None:
    """The report of a sweep that is over. Why there is none is printed, whatever it is: the sweep is as good without."""
    try:
        sides, doubts = masked_tree(selected(tracking, sweep_id))
        sweep = replace(sides[0].sweep, doubts=(*sides[0].sweep.doubts, *doubts))
        comparison = replace(compare(sweep), usd_per_gpu_hour=sweep.usd_per_gpu_hour)
        folder = Path(REPORTS) / sweep_id
        files = write_report(comparison, folder, fetcher(tracking.uri))
        keep_report(tracking, comparison, show_report(tracking, comparison, folder), files)
    except Exception as error:  # noqa: BLE001  # also a mistake of bench's own
        words = describe_error(error) if isinstance(error, (BenchError, *ENVIRONMENT_ERRORS)) else repr(error)
        print_message(f"sweep {sweep_id} has no report: {words}")


def show_report(tracking: Tracking, comparison: Comparison, folder: Path) -> str:
    """Prints the summary, whose sweep it is, and where the report is. Returns the summary, in markdown."""
    summary, sweep = summary_markdown(report_of(comparison)), comparison.sweep
    print_markdown(summary)
    print_result("\n" + "\n".join(map(_whose, sweep.sweeps)))
    print_result(f"report   {folder / 'report.md'}")
    print_result(f"page     {folder / 'report.html'}")
    print_result(f"MLflow   {_ui(tracking.uri, sweep.experiment_id)}")
    return summary


def keep_report(tracking: Tracking, comparison: Comparison, summary: str, files: list[Path]) -> None:
    """The report in the sweep's run, if it is one sweep, and one's own: nobody's run gets another's report."""
    sweep, owner = comparison.sweep, owner_of(comparison.sweep.tags)
    if sweep.members:
        print_result("         Each sweep's run keeps its own report: this one is in its folder alone.")
    elif comparison.part:
        print_result("         The sweep's run keeps the report of all of it: this one is in its folder alone.")
    elif not owner.is_of(this_owner()):
        print_message(
            f"This sweep was made {owner}: its run keeps the report that it has, and this one is in its folder alone."
        )
    else:
        logging = partial(
            log_report,
            metrics=summary_metrics(comparison),
            note=_linked(sweep, summary),
            files=files,
            tables=run_tables(comparison),
        )
        unbroken(partial(logging, tracking, sweep.run_id), "MLflow to take the report")


def _linked(sweep: SweepRecord, summary: str) -> str:
    """With a way from the run's description to its page, behind the answer."""
    answer, *rest = summary.split("\n\n")
    link = f"[The whole report]({sweep.mlflow_page(sweep.run_id, f'{REPORT}/{PAGE}')})"
    return "\n\n".join([answer, link, *rest])


def _whose(sweep: SweepRecord) -> str:
    return f"start    {sweep.run_id}" if sweep.is_start else f"sweep    {sweep.sweep_id}, made {owner_of(sweep.tags)}"


def _ui(uri: str, experiment: str) -> str:
    page = page_of(experiment)
    if uri.startswith("http"):
        return f"{masked(uri).rstrip('/')}/{page}"
    mlflow = on_path(str(Path(sys.executable).with_name("mlflow")))
    return f"{mlflow} ui --backend-store-uri {masked(uri)}    then http://127.0.0.1:5000/{page}"
