"""What being measured costs vLLM: bench with its probe against a bare start, and against bench without the probe.

    python benchmarks/overhead.py ROUNDS RESULT.json [SIDE_BY_SIDE] [OVERRIDE...]

Each block starts vLLM three times: `bare`, by nothing but a process whose output goes to a file and whose
/health is asked in the same way, by the same code; `unprobed`, by bench with probe=false; `probed`, by bench as it is. All with the same
command, in the same state of the caches. The ratios of their times to ready are paired within the blocks.

A round is one block, its starts one after another in random order. With SIDE_BY_SIDE=4 it is four blocks, and all their twelve
starts begin together, dealt at random to equal shares of the cores and, one GPU each, to the GPUs: on a host with cores to spare,
what its neighbours do to the clock meets all arms at once.

The result holds every time, the ratios with their 95 % intervals, and what noise does not hide: the processor seconds of
vLLM with and without the probe, and those of bench itself as a share of vLLM's. It is written after each block, so that a run that is cut short has what it had.
"""

import json
import multiprocessing
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean

from bench.analysis.statistics import Interval, paired
from bench.compose import compose_settings
from bench.config import Settings
from bench.host.container import free_port
from bench.host.device import Device, find_device
from bench.host.host import look_at_host
from bench.log.texts import Stage
from bench.log.texts.phases import stage_of
from bench.start.prepare import caches_for
from bench.start.run import measure
from bench.start.steps import Steps
from bench.vllm.api_key import api_key
from bench.vllm.command import command_for
from bench.vllm.server import Server
from bench.weights.make import ensure_checkpoint

ARMS = ("bare", "unprobed", "probed")
SEED = 0
DEFAULTS = ("page_cache=as_is", "rig.wait_s=0", "vllm.args.enforce_eager=true")
STOP_TIMEOUT_S = 60.0


class Bare:
    """What a Server asks of its process, and no more. Its output goes to a file, and tells when the engine is up."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
        self.engine_is_up = threading.Event()
        self.unread = threading.Event()  # never set: each line is read
        self._started_s = time.monotonic()
        self._process = subprocess.Popen(
            arguments, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._copy, args=(log,), daemon=True).start()

    def _copy(self, log: Path) -> None:
        assert self._process.stdout is not None
        with log.open("wb") as file:
            for line in self._process.stdout:
                file.write(line)
                if stage_of(line.decode(errors="replace")) == Stage.SERVER:
                    self.engine_is_up.set()

    def elapsed_s(self) -> float:
        return time.monotonic() - self._started_s

    def exit_code(self) -> int | None:
        return self._process.poll()

    def how_it_ended(self) -> str:
        return f"exit code {self._process.returncode}"

    def end(self) -> None:
        """As a shell would: SIGTERM, then SIGKILL for its whole session."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Share:
    """What of the host a start may use. `gpu` is its number in nvidia-smi; None: all of them."""

    cores: tuple[int, ...]
    gpu: int | None = None


@dataclass
class Times:
    """What the starts took, by arm and block. The processor seconds of a bare start are not known: nobody buries all its processes."""

    ready_s: dict[str, dict[int, float]] = field(default_factory=lambda: {arm: {} for arm in ARMS})
    vllm_cpu_s: dict[str, dict[int, float]] = field(default_factory=lambda: {arm: {} for arm in ARMS[1:]})
    bench_cpu_s: dict[int, float] = field(default_factory=dict)  # of the probed starts

    def add(self, arm: str, block: int, metrics: dict[str, float]) -> None:
        """Takes in one start."""
        self.ready_s[arm][block] = metrics["ready_s"]
        if arm != "bare":
            self.vllm_cpu_s[arm][block] = metrics["cpu/vllm_s"]
        if arm == "probed":
            self.bench_cpu_s[block] = metrics["cpu/bench_s"]


def main(rounds: int, result: Path, side_by_side: int, overrides: list[str]) -> None:
    """Round by round; the first start of all is not counted, since it warms the host for the others."""
    settings = compose_settings([*DEFAULTS, *overrides])[0]
    shuffler = random.Random(SEED)  # noqa: S311  # an order, not a secret
    times = Times()
    with tempfile.TemporaryDirectory() as place:
        ensure_checkpoint(settings, look_at_host(settings), Path(place), lambda *_: None)
        bare(settings, Path(place, "first"))
        for number in range(rounds):
            blocks = range(number * max(1, side_by_side), (number + 1) * max(1, side_by_side))
            starts = shuffler.sample([(block, arm) for block in blocks for arm in ARMS], len(blocks) * len(ARMS))
            take_in(starts, 1 if not side_by_side else len(starts), Path(place), overrides, times)
            result.write_text(json.dumps(summary(settings, side_by_side, times), indent=2) + "\n", encoding="utf-8")
            print(f"round {number + 1} of {rounds}", flush=True)
    print(result.read_text(encoding="utf-8"))


def take_in(starts: list[tuple[int, str]], at_once: int, place: Path, overrides: list[str], times: Times) -> None:
    """Each start from a process of its own: its processor seconds are then its own, and so can its cores be."""
    device = find_device()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, mp_context=context, max_tasks_per_child=1) as processes:
        running = {}
        for position, (block, arm) in enumerate(starts):
            share = Share(device.cores) if at_once == 1 else share_of(device, position, at_once)
            running[processes.submit(start, arm, Path(place, f"{block}-{arm}"), share, overrides)] = (block, arm)
        for done in as_completed(running):
            block, arm = running[done]
            times.add(arm, block, done.result())
            print(f"block {block + 1}  {arm:9} ready {times.ready_s[arm][block]:.2f} s", flush=True)


def share_of(device: Device, position: int, of: int) -> Share:
    """The start at this position of `of` gets neighbouring cores, which it shares with nobody if there are enough, and the next GPU."""
    count = max(1, len(device.cores) // of)
    first = position * count % len(device.cores)
    return Share(device.cores[first : first + count], position % len(device.names) if device.names else None)


def start(arm: str, folder: Path, share: Share, overrides: list[str]) -> dict[str, float]:
    """The metrics of one start on its share of the host.

    Raises:
        RuntimeError: it failed, and with it the pairing.
    """
    os.sched_setaffinity(0, share.cores)
    if share.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(share.gpu)
    settings = compose_settings([*DEFAULTS, *overrides, f"probe={str(arm != 'unprobed').lower()}"])[0]
    if arm == "bare":
        return {"ready_s": bare(settings, folder)}
    folder.mkdir()
    startup = measure(settings, folder, lambda *_: None, Steps())
    if startup.reason:
        raise RuntimeError(startup.reason)
    return startup.metrics


def bare(settings: Settings, folder: Path) -> float:
    """Seconds from exec to ready of a start that nobody looks at."""
    host = look_at_host(settings)
    command = command_for(settings, host, free_port(), caches_for(settings, host).environment)
    key = api_key(Path(settings.caches_dir))
    process = Bare(command.arguments, command.environment | {"VLLM_API_KEY": key}, folder.with_suffix(".log"))
    server = Server(process, command.port, key, process.engine_is_up)  # type: ignore[arg-type]  # no Kept, but all that it asks of one
    try:
        ready_s = server.wait_until_ready(settings.vllm.ready_timeout_s)
        if settings.completion:
            server.complete(settings.checkpoint_path, settings.completion)
    finally:
        process.end()
    return ready_s


def summary(settings: Settings, side_by_side: int, times: Times) -> dict[str, object]:
    """Above 1: the first of the two is slower, or takes more."""
    ratios = {f"{slow} / {fast}": paired(times.ready_s[slow], times.ready_s[fast], ratio=True)
              for slow, fast in (("probed", "bare"), ("unprobed", "bare"), ("probed", "unprobed"))}  # fmt: skip
    ratios["probed / unprobed, vLLM's processor seconds"] = paired(
        times.vllm_cpu_s["probed"], times.vllm_cpu_s["unprobed"], ratio=True
    )
    shares = [ours / times.vllm_cpu_s["probed"][block] for block, ours in times.bench_cpu_s.items()]
    host = look_at_host(settings)
    return {
        "host": {"gpus": host.device.names, "cores": len(host.device.cores), "kernel": platform.release()},
        "starts_side_by_side": side_by_side * len(ARMS) or 1,
        "versions": host.versions,
        "settings": {name: value for name, value in settings.flat().items() if not name.endswith("python")},
        "ready_s": listed(times.ready_s),
        "vllm_cpu_s": listed(times.vllm_cpu_s),
        "ratios": {name: rounded(ratio) for name, ratio in ratios.items() if ratio},
        "cpu_of_bench_over_cpu_of_vllm": {"mean": round(fmean(shares), 5), "largest": round(max(shares), 5)},
    }


def listed(by_arm: dict[str, dict[int, float]]) -> dict[str, list[float]]:
    """In the order of the blocks."""
    return {arm: [round(value, 3) for _, value in sorted(values.items())] for arm, values in by_arm.items()}


def rounded(ratio: Interval) -> dict[str, object]:
    """Four digits are more than it knows."""
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(ratio).items()}


ENOUGH_WORDS = 3  # the script, ROUNDS and RESULT.json

if __name__ == "__main__":
    if len(sys.argv) < ENOUGH_WORDS:
        sys.exit(__doc__)
    _, how_many, where, *rest = sys.argv
    beside = int(rest.pop(0)) if rest and rest[0].isdigit() else 0
    main(int(how_many), Path(where), beside, rest)
