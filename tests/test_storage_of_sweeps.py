"""The limit of the storage in whole commands: measured around the blocks, and with every start."""

from bench.start.tags import STORAGE_LIMIT
from whole_sweeps import MINE, quiet_start, starts_of, sweep_of, with_a_model

LIMIT, SHARE = "throughput/storage_limit_gib_per_s", "throughput/share_of_storage_limit"


def test_a_sweep_measures_its_storage_before_and_after_its_blocks(workplace):
    """Each start has what was known then, and how much of it it used."""
    words = ("-m", "load_format=auto,dummy", "storage_limit=true", "page_cache=as_is")
    done = with_a_model(workplace).bench(*words, *MINE, environment=quiet_start(workplace))
    profiles = STORAGE_LIMIT.in_(sweep_of(workplace).data.tags)
    reads, dummy = sorted(starts_of(workplace), key=lambda run: run.data.params["load_format"])

    assert done.code == 0, done.err
    assert f"storage {profiles[0].place}: " in done.err + done.out
    assert len(profiles) in {2, 3}  # the third where it moved
    assert reads.data.metrics[LIMIT] == max(profiles[0].read_gib_per_s, 0)
    assert SHARE in reads.data.metrics
    assert STORAGE_LIMIT.in_(reads.data.tags) == profiles[:1]
    assert not {LIMIT, SHARE} & dummy.data.metrics.keys()  # it reads nothing
