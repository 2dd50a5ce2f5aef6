"""Runs that are RUNNING although the process that should end them is gone: killed, or its host was restarted."""

from bench.config import Tracking
from bench.start.tags import DRIVER, ENDED_BY
from bench.system.process_identity import parse, this_process
from bench.tracking.store import connect, errors_translated, search


def end_abandoned(tracking: Tracking) -> list[str]:
    """Ends them as KILLED, in all experiments, and returns a sentence for each. Runs of other hosts, of other containers and of
    living processes stay as they are.

    Raises:
        TrackingError: the store is away, or cannot be written.
    """
    host, sentences = this_process().host.replace("'", ""), []
    with errors_translated(tracking.uri):
        store = connect(tracking.uri)
        for run in [*search(store, f"attributes.status = 'RUNNING' AND tags.`{DRIVER.name}` LIKE '{host} %'")]:
            driver = parse(run.data.tags[DRIVER.name])
            if driver is None or not driver.is_gone:
                continue
            reason = f"its driver, {driver}, is gone"
            store.client.set_tag(run.info.run_id, ENDED_BY.name, reason)
            store.client.set_terminated(run.info.run_id, "KILLED")
            sentences.append(f"run {run.info.run_name} is KILLED: {reason}")
    return sentences
