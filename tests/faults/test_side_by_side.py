"""Sweeps at the same time, and sweeps that go on where another one was ended."""

import socket
from collections import Counter

import pytest
from frame import FAULTS, INT, Moment, check_nothing_left, counted, every_run, identity_of, provoked, starts_on_disk

from commands import Preloaded, command
from conftest import Workplace, fake_for, until
from whole_sweeps import MINE, with_a_model

TWO = ("-m", "load_format=auto,safetensors", *MINE)


def test_eight_sweeps_at_once_in_a_fresh_folder_all_finish(tmp_path, preloaded: Preloaded):
    """They share the store, the checkpoint that none has made yet, the caches and the host; each start counts once."""
    place = Workplace(tmp_path / "fresh")
    place.folder.mkdir()
    words = ("-m", "load_format=auto,dummy", *fake_for(()))
    sweeps = [command(preloaded, place, "bench", *words) for _ in range(8)]
    codes = [each.ended() for each in sweeps]
    runs = [run for run in every_run(place) if run.data.tags.get("bench.kind") == "start"]

    assert codes == [0] * 8, [each.err for each in sweeps if each.code]
    assert Counter(run.info.status for run in runs) == {"FINISHED": 16}
    assert set(Counter(run.data.tags["bench.sweep"] for run in runs).values()) == {2}
    assert counted(place) == Counter({identity_of(folder): 1 for folder in starts_on_disk(place)})


def test_who_waits_for_another_sweep_is_told_for_whom(new_workplace, preloaded: Preloaded):
    """The holder's pid and the folder; and the wait can be interrupted."""
    place = with_a_model(new_workplace())
    first = command(preloaded, place, "bench", *TWO, *fake_for(()), hook="bench.vllm.server:Server.complete")
    until(lambda: first.has_reached or first.poll() is not None)
    second = command(preloaded, place, "bench", *TWO, *fake_for(()))
    until(lambda: "waiting for" in second.err or second.poll() is not None)
    second.send(INT)

    assert second.ended() == 130
    assert f"waiting for caches/.bench.lock, held by pid {first.pid} on host" in second.err
    first.go_on()
    assert first.ended() == 0, first.err
    check_nothing_left(preloaded, place)


def test_a_sweep_that_still_runs_is_not_resumed(new_workplace, preloaded: Preloaded):
    """Two drivers of one sweep would make its starts twice."""
    place = with_a_model(new_workplace())
    first = command(preloaded, place, "bench", *TWO, *fake_for(()), hook="bench.start.describe:describe")
    until(lambda: first.has_reached or first.poll() is not None)
    second = command(preloaded, place, "bench", *TWO, "resume=true", *fake_for(()))

    assert second.ended() == 2
    assert f"is still running, by pid {first.pid} on host" in second.err
    first.go_on()
    assert first.ended() == 0, first.err
    assert len(starts_on_disk(place)) == 2


UPLOAD = [
    Moment("before the upload", TWO, "bench.tracking.runs:log_start"),
    Moment("the run is made", TWO, "mlflow.tracking.client:MlflowClient.create_run#2>"),
    Moment("files", TWO, "mlflow.tracking.client:MlflowClient.log_artifact"),
    Moment("uploaded", TWO, "bench.tracking.runs:log_start>"),
]


@pytest.mark.parametrize("fault", ["int", "kill"])
@pytest.mark.parametrize("moment", UPLOAD, ids=lambda moment: moment.name)
def test_a_start_whose_upload_was_broken_off_counts_once(new_workplace, preloaded: Preloaded, moment, fault):
    """However it then comes into the store: resumed, and replayed twice."""
    place = with_a_model(new_workplace())
    provoked(preloaded, place, moment, FAULTS[fault])
    until(lambda: not place.living())
    resumed = command(preloaded, place, "bench", *TWO, "resume=true", *fake_for(()))

    assert resumed.ended() == 0, resumed.err
    assert len(starts_on_disk(place)) == 2
    for _ in range(2):
        command(preloaded, place, "bench.replay", *map(str, starts_on_disk(place))).ended()
    check_nothing_left(preloaded, place)


def test_a_tracking_server_that_hangs_keeps_nobody_who_wants_to_leave(new_workplace, preloaded: Preloaded):
    """It accepts the connection and never answers. What is waited for, and how long at most, is shown."""
    place = with_a_model(new_workplace())
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"tracking.uri=http://127.0.0.1:{server.getsockname()[1]}"
        running = command(preloaded, place, "bench", *TWO, uri, *fake_for(()))
        connection, _ = server.accept()
        running.send(INT)

        assert running.ended() == 130
        assert "waiting for MLflow to answer" in running.err
        assert "at most 10 s" in running.err
        connection.close()
