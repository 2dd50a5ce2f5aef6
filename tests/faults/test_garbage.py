"""Whatever vLLM's processes leave behind, a start is described: property tests feed garbage into everything that is read of them."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.compose import compose_settings
from bench.config import Settings
from bench.host.device import Device
from bench.host.host import Host, Needs
from bench.log.start_log import read_start
from bench.start.describe import describe, ending_of, with_failures
from bench.start.execution import Execution, PreparedStart, Stop, StopKind
from bench.start.files import ERRORS, LOG, OUTPUTS
from bench.start.folder import RESERVE, place_for, saved
from bench.start.record import Startup, load_startup
from bench.start.steps import Steps
from bench.start.trace import trace_of
from bench.vllm.command import Command

HOST = Host(Device("cpu"), "/env/bin/python", {"vllm": "0.32.0"}, Needs({"gpu_memory_utilization": 0.2}, {}))
EXAMPLES = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PROCESS = {"event": "process", "t": 1.0, "pid": 7, "parent": 1, "kind": "worker", "started_s": 0.5, "imported_s": 1.0}
EVENTS = [
    PROCESS,
    {"event": "rank", "t": 1.5, "rank": "TP0", "kind": "worker"},
    {"event": "begin", "t": 2.0, "span": 1, "name": "load_weights", "of": "Loader", "read_bytes": 0},
    {"event": "delivered", "t": 2.5, "iterator": 1, "span": 1, "name": "w", "aside": False, "bytes": 5, "tensors": 1, "blocked_s": 0.1, "began_s": 2.0},
    {"event": "end", "t": 3.0, "span": 1, "failed": None, "read_bytes": 9},
]  # fmt: skip


@cache
def asked() -> Settings:
    """Composing takes longer than all else here."""
    (chosen,) = compose_settings(["page_cache=as_is", "model=hf", "model.path=/nowhere/at/all"])
    return chosen


def described(folder: Path) -> tuple[Startup, Steps]:
    """A start that was ready and left this folder."""
    chosen = asked()
    execution = Execution(started_at=1e9, exec_at_s=0.0, ready_s=10.0)
    steps = Steps()
    startup = describe(PreparedStart(chosen, HOST, Command(("python",), {}, 1), folder), execution, steps)
    return with_failures(startup, steps), steps


def probe_folder(folder: Path, content: bytes) -> Path:
    probe = folder / "probe"
    probe.mkdir(exist_ok=True)
    (probe / "7.jsonl").write_bytes(content)
    return folder


def lines(events: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def test_what_the_probe_really_writes_is_no_failure(tmp_path):
    """The examples below are garbage only where they were changed."""
    startup, steps = described(probe_folder(tmp_path, lines(EVENTS)))

    assert steps.failures == []
    assert startup.reason is None
    assert startup.lanes[0].name == "TP0"


@EXAMPLES
@given(content=st.binary(max_size=2000))
def test_bytes_of_any_kind_in_a_file_of_the_probe(tmp_path, content):
    """They are described, and can be saved, read and drawn as a trace."""
    startup, _ = described(probe_folder(tmp_path, content))
    startup.save(tmp_path)

    assert load_startup(tmp_path) == startup
    trace_of(startup)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@EXAMPLES
@given(which=st.integers(0, len(EVENTS) - 1), data=st.data())
def test_a_value_of_any_type_in_an_event_of_the_probe(tmp_path, which, data):
    """Either it is a value that the probe could have written, or the start fails by the file's name; nothing is raised."""
    event = EVENTS[which]
    name = data.draw(st.sampled_from(sorted(event)))
    changed = [*EVENTS[:which], event | {name: data.draw(JSON)}, *EVENTS[which + 1 :]]
    startup, steps = described(probe_folder(tmp_path, lines(changed)))
    startup.save(tmp_path)
    trace_of(startup)

    assert load_startup(tmp_path) == startup
    assert all("7.jsonl" in sentence for sentence in steps.sentences), steps.failures


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe", b"null\n", b'"x"\n', lines([PROCESS | {"imported_s": -5e3}]), lines([PROCESS | {"pid": "7"}]), lines([PROCESS | {"started_s": 1e6, "imported_s": 1e6 + 1}])])  # fmt: skip
def test_garbage_of_the_probe_fails_the_start_by_the_file_s_name(tmp_path, content):
    """What cannot be trusted is not measured, and the rest of the start is there."""
    startup, _ = described(probe_folder(tmp_path, content))

    assert startup.failed
    assert "7.jsonl" in (startup.reason or "")
    assert startup.tags["bench.outcome"] == "failed"
    assert startup.ready_s == 10.0


def test_two_files_of_one_process_are_garbage(tmp_path):
    """A process has one."""
    probe_folder(tmp_path, lines(EVENTS))
    (tmp_path / "probe" / "8.jsonl").write_bytes(lines(EVENTS))
    startup, _ = described(tmp_path)

    assert "8.jsonl" in (startup.reason or "")


@EXAMPLES
@given(content=st.binary(max_size=3000))
def test_bytes_of_any_kind_in_the_log(tmp_path, content):
    """NULs, half characters, no ends of lines."""
    (tmp_path / LOG).write_bytes(content)
    _, steps = described(tmp_path)

    assert steps.failures == []


def test_a_bug_of_ours_is_a_failed_start_with_its_traceback_beside_it(tmp_path, monkeypatch):
    """And one line on the terminal."""
    monkeypatch.setattr("bench.start.describe.metrics_of", lambda *_: 1 / 0)
    startup, steps = described(tmp_path)
    folder = saved(startup, tmp_path, steps)

    assert "ZeroDivisionError" in (load_startup(folder).reason or "")
    assert "Traceback" in (folder / ERRORS).read_text()
    assert startup.metrics["ready_s"] == 10.0


def test_a_full_disk_has_room_for_the_start_s_last_word(tmp_path, monkeypatch):
    """What was set aside is freed for it; where even that is not enough, the least is written."""
    folder = place_for(tmp_path / "start", Steps())
    startup, steps = described(folder)
    whole, written = Startup.save, []

    def full(self: Startup, place: Path) -> None:
        written.append((place / RESERVE).exists())
        if self.host_state is not None:
            raise OSError(28, "No space left on device")
        whole(self, place)

    monkeypatch.setattr(Startup, "save", full)
    saved(replace(startup, host_state={"much": "x"}), folder, steps)

    assert written == [False, False]
    assert load_startup(folder).name == startup.name
    assert "No space left on device" in steps.sentences[0]


def test_a_folder_that_is_gone_is_made_again(tmp_path):
    """Somebody cleaned up while vLLM was running."""
    folder = place_for(tmp_path / "start", Steps())
    startup, steps = described(folder)
    (folder / RESERVE).unlink()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()

    assert saved(startup, folder, steps) == folder
    assert load_startup(folder) == startup


def test_a_folder_that_cannot_be_made_is_a_failure_and_another_place(tmp_path):
    """The start is kept all the same."""
    (tmp_path / "file").write_text("")
    steps = Steps()
    folder = place_for(tmp_path / "file" / "start", steps)

    assert steps.failures
    assert folder.is_dir()
    folder.rmdir()


def test_all_that_describing_writes_is_known_as_bench_s_own(tmp_path):
    """A folder that holds one of these names is refused, and nothing else in it is uploaded."""
    folder = place_for(tmp_path / "start", Steps())
    startup, steps = described(probe_folder(folder, lines(EVENTS)))
    saved(startup, folder, steps)

    assert {path.name for path in folder.iterdir()} <= OUTPUTS


def test_the_reason_is_not_what_vllm_says_of_the_connection_that_bench_closed():
    """It hangs up where an answer is wrong."""
    broken = read_start([b"Traceback (most recent call last):\n", b"BrokenPipeError: [Errno 32] Broken pipe\n"])
    stop = Stop(StopKind.VLLM_ENDED, "the completion failed: \x1b[2J")
    ready = Execution(started_at=1e9, ready_s=1.0, stop=stop)

    assert ending_of(ready, broken).reason == r"the completion failed: \x1b[2J"
    assert ending_of(replace(ready, ready_s=None), broken).reason == "BrokenPipeError: [Errno 32] Broken pipe"
