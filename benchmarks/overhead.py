"""What being measured costs vLLM: bench with its probe against a bare start, and against bench without the probe.

    python benchmarks/overhead.py BLOCKS RESULT.json [OVERRIDE...]

Each block starts vLLM three times, in random order: `bare`, by nothing but a process whose output goes to a file and whose
/health is asked in the same way, by the same code; `unprobed`, by bench with probe=false; `probed`, by bench as it is. All with the same
command, in the same state of the caches. The ratios of their times to ready are paired within the blocks.

The result holds every time, the ratios with their 95 % intervals, and what noise does not hide: the processor seconds of
vLLM with and without the probe, and those of bench itself as a share of vLLM's. It is written after each block, so that a run that is cut short has what it had.
"""

import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean

from bench.analysis.statistics import Ratio, paired_ratio
from bench.composing import compose_settings
from bench.condition import caches_for
from bench.config import Settings
from bench.host.measured import look_at_host
from bench.host.vllm_caches import api_key
from bench.measure import measure
from bench.startup.command import command_for
from bench.startup.rules import SERVING, stage_of
from bench.startup.server import Server, free_port
from bench.weights.prepare import ensure_checkpoint

ARMS = ("bare", "unprobed", "probed")
SEED = 0
DEFAULTS = ("page_cache=as_is", "rig.wait_s=0", "vllm.args.enforce_eager=true")
STOP_TIMEOUT_S = 60.0


class Bare:
    """What a Server asks of its process, and no more. Its output goes to a file, and tells when the engine is up."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
        self.engine_is_up = threading.Event()
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
                if stage_of(line.decode(errors="replace")) == SERVING:
                    self.engine_is_up.set()

    def elapsed_s(self) -> float:
        return time.monotonic() - self._started_s

    def exit_code(self) -> int | None:
        return self._process.poll()

    def end(self) -> None:
        """As a shell would: SIGTERM, then SIGKILL for its whole session."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


@dataclass
class Times:
    """What the starts took, by arm and block. The processor seconds of a bare start are not known: nobody buries all its processes."""

    ready_s: dict[str, dict[int, float]] = field(default_factory=lambda: {arm: {} for arm in ARMS})
    vllm_cpu_s: dict[str, dict[int, float]] = field(default_factory=lambda: {arm: {} for arm in ARMS[1:]})
    bench_cpu_s: list[float] = field(default_factory=list)  # of the probed starts

    def add(self, arm: str, block: int, metrics: dict[str, float]) -> None:
        """Takes in a start by bench."""
        self.ready_s[arm][block] = metrics["ready_s"]
        self.vllm_cpu_s[arm][block] = metrics["cpu/vllm_s"]
        if arm == "probed":
            self.bench_cpu_s.append(metrics["cpu/bench_s"])


def main(blocks: int, result: Path, overrides: list[str]) -> None:
    """Block by block; the first start of all is not counted, since it warms the host for the others."""
    settings = {
        "unprobed": compose_settings([*DEFAULTS, *overrides, "probe=false"])[0],
        "probed": compose_settings([*DEFAULTS, *overrides])[0],
    }
    shuffler = random.Random(SEED)  # noqa: S311  # an order, not a secret
    times = Times()
    with tempfile.TemporaryDirectory() as place:
        ensure_checkpoint(settings["probed"], look_at_host(settings["probed"]), Path(place), lambda *_: None)
        bare(settings["unprobed"], Path(place, "first.log"))
        for block in range(blocks):
            for arm in shuffler.sample(ARMS, len(ARMS)):
                folder = Path(place, f"{block}-{arm}")
                if arm == "bare":
                    times.ready_s[arm][block] = bare(settings["unprobed"], folder.with_suffix(".log"))
                else:
                    times.add(arm, block, started(settings[arm], folder))
                print(f"block {block + 1} of {blocks}  {arm:9} ready {times.ready_s[arm][block]:.2f} s", flush=True)
            result.write_text(json.dumps(summary(settings["probed"], times), indent=2) + "\n")
    print(result.read_text())


def started(settings: Settings, folder: Path) -> dict[str, float]:
    """The metrics of a start by bench."""
    startup = measure(settings, folder, lambda *_: None)
    if startup.reason:
        sys.exit(f"a start failed, and with it the pairing: {startup.reason}")
    return startup.metrics


def bare(settings: Settings, log: Path) -> float:
    """Seconds from exec to ready of a start that nobody looks at."""
    host = look_at_host(settings)
    command = command_for(settings, host, free_port(), caches_for(settings, host).environment)
    key = api_key(settings)
    process = Bare(command.arguments, command.environment | {"VLLM_API_KEY": key}, log)
    server = Server(process, command.port, key, process.engine_is_up)  # type: ignore[arg-type]  # no Kept, but all that it asks of one
    try:
        ready_s = server.wait_until_ready(settings.vllm.ready_timeout_s)
        server.complete(settings.checkpoint_path, settings.completion)
    finally:
        process.end()
    return ready_s


def summary(settings: Settings, times: Times) -> dict[str, object]:
    """Above 1: the first of the two is slower, or takes more."""
    ratios = {f"{slow} / {fast}": paired_ratio(times.ready_s[slow], times.ready_s[fast])
              for slow, fast in (("probed", "bare"), ("unprobed", "bare"), ("probed", "unprobed"))}  # fmt: skip
    ratios["probed / unprobed, vLLM's processor seconds"] = paired_ratio(
        times.vllm_cpu_s["probed"], times.vllm_cpu_s["unprobed"]
    )
    shares = [ours / vllm for ours, vllm in zip(times.bench_cpu_s, times.vllm_cpu_s["probed"].values(), strict=True)]
    host = look_at_host(settings)
    return {
        "host": {"gpus": host.device.names, "cores": len(host.device.cores), "kernel": platform.release()},
        "versions": host.versions,
        "settings": {name: value for name, value in settings.flat().items() if not name.endswith("python")},
        "ready_s": listed(times.ready_s),
        "vllm_cpu_s": listed(times.vllm_cpu_s),
        "ratios": {name: rounded(ratio) for name, ratio in ratios.items() if ratio},
        "cpu_of_bench_over_cpu_of_vllm": {"mean": round(fmean(shares), 5), "largest": round(max(shares), 5)},
    }


def listed(by_arm: dict[str, dict[int, float]]) -> dict[str, list[float]]:
    """In the order of the blocks."""
    return {arm: [round(value, 3) for value in values.values()] for arm, values in by_arm.items()}


def rounded(ratio: Ratio) -> dict[str, object]:
    """Four digits are more than it knows."""
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(ratio).items()}


ENOUGH_WORDS = 3  # the script, BLOCKS and RESULT.json

if __name__ == "__main__":
    if len(sys.argv) < ENOUGH_WORDS:
        sys.exit(__doc__)
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
