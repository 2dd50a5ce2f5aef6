"""Eighty secrets are planted in a whole sweep, its report, a replay, a plan and starts that fail: none is found in any file or stream."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import planted_secrets
from commands import done
from conftest import Done, Workplace
from whole_sweeps import MINE, eager_log, with_a_model

KEY = "api_key"  # the one file that holds a secret, of bench's own


@pytest.fixture(scope="module")
def place(new_workplace: Callable[[], Workplace]) -> Workplace:
    return with_a_model(new_workplace())


@pytest.fixture(scope="module")
def streams(place: Workplace) -> list[Done]:
    """All that is done, and what it printed."""
    log, replayed = (place.folder / name for name in ("input.log", "input_replayed.log"))
    start = eager_log(place.folder).read_text()
    spoken = "\n".join(planted_secrets.spoken(settings=True))
    short = "\n".join(list(planted_secrets.spoken(settings=True))[:12])
    log.write_text(f"{start}{spoken}\n")
    replayed.write_text(start + "\n".join(planted_secrets.spoken(settings=False)))
    hub = place.folder / "input_hub"
    hub.mkdir()
    (hub / "token").write_text(planted_secrets.HUB_TOKEN_FILE + "\n")
    told = planted_secrets.environment() | {
        "FAKE_LOG": str(log),
        "HF_HOME": str(hub),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "FAKE_ANSWER": short,
        "FAKE_FAILED": short,
    }
    words = [*MINE, "page_cache=as_is", "verify=false", *planted_secrets.overrides()]
    accounts = f"vllm.env.ACCOUNT_TOKEN={','.join(planted_secrets.ACCOUNTS)}"

    def run_command(name: str, *rest: str) -> Done:
        return done(place, f"bench.{name}", *rest, environment=told)

    return [
        place.bench("-m", *words, accounts, "vllm.env.FAKE_MODE=ok,refuse_completion", environment=told),
        place.bench("-m", *words, accounts, "dry_run=true", environment=told),
        place.bench("--cfg", "job", *words, accounts.partition(",")[0], environment=told),
        place.bench(
            *words, f"vllm.env.TOKEN=[{planted_secrets.ACCOUNTS[0]}", environment=told
        ),  # Hydra cannot parse it
        run_command("compare"),
        run_command("replay", str(replayed)),
        run_command("compare", "sweep=none", f"tracking.uri=http://me:{planted_secrets.TRACKING_PASSWORD}@127.0.0.1:9"),
    ]


def written(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if (
            path.is_file()
            and path.name != KEY
            and not path.name.startswith("input")
            and path.parent.name != "input_hub"
            and path.name != "eager.log"
        ):
            yield path, path.read_bytes()


def test_the_secrets_were_there(place, streams):
    """Else the other test would prove nothing."""
    logs = [path.read_bytes() for path in place.folder.glob("multirun/**/vllm.log")]

    assert [done.code for done in streams] == [1, 0, 0, 2, 0, 0, 2]
    assert "refused with 400" in streams[0].err
    assert len(planted_secrets.EVERY) >= 80
    assert len(logs) == 4, "four starts"
    assert all(log.count(b"***") > 100 for log in logs)


def test_no_secret_is_in_any_file_or_stream(place, streams):
    """In no spelling, not in the names of files, and not in the store."""
    found = set()
    everything = [(path, data + str(path).encode()) for path, data in written(place.folder)]
    everything += [
        (f"{name} of {at}", text.encode())
        for at, done in enumerate(streams)
        for name, text in (("out", done.out), ("err", done.err))
    ]
    spellings = planted_secrets.spellings()
    for where, data in everything:
        found |= {(value, spelling, str(where)) for spelling, value in spellings.items() if spelling in data}

    assert not found


def test_two_accounts_are_two_points(place, streams):
    """What is hidden is different all the same."""
    points = {run.data.tags["bench.point"] for run in place.runs() if run.data.params.get("vllm.env.ACCOUNT_TOKEN")}
    identities = {
        run.data.tags["bench.identity"] for run in place.runs() if run.data.params.get("vllm.env.ACCOUNT_TOKEN")
    }

    assert points == {
        f"ACCOUNT_TOKEN=#{account} FAKE_MODE={mode}" for account in (1, 2) for mode in ("ok", "refuse_completion")
    }
    assert len(identities) == 4
