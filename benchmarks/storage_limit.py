"""Does the limit of a storage that bench measures agree with fio's?

    python benchmarks/storage_limit.py models/big/*.safetensors --times 5          needs fio (Debian: apt-get install fio)

Both read the same files with O_DIRECT, in turn, so that a storage whose speed changes from minute to minute changes for both. fio is given the
cell that bench has found best (threads and size of a read), and one of its own: libaio, 64 requests of 1 MiB under way. Writes a JSON line: all values, and
the ratio of the medians.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from bench.compose import compose_settings
from bench.host.storage_limit import measure_storage, place_of_files
from bench.host.storage_profile import GIB, StorageProfile

SECONDS = 5
AGREES = 0.15


def main() -> None:
    """Measures in turn, and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args()
    (settings,) = compose_settings([])
    place = place_of_files(settings.storage, asked.paths)
    rounds = [_round(asked.paths, place) for _ in range(asked.times)]
    middle = {name: median(each[name] for each in rounds) for name in rounds[0]}
    ratios = {
        "sustained against fio, same cell": middle["bench_sustained_gib_per_s"] / middle["fio_same_gib_per_s"],
        "limit against fio's best": middle["bench_limit_gib_per_s"]
        / max(middle["fio_same_gib_per_s"], middle["fio_libaio_gib_per_s"]),
        "reads of 4 KiB": middle["bench_reads_per_s_4_kib"] / middle["fio_reads_per_s_4_kib"],
        "reads of 128 KiB": middle["bench_reads_per_s_128_kib"] / middle["fio_reads_per_s_128_kib"],
    }
    agrees = {name: abs(ratio - 1) <= AGREES for name, ratio in ratios.items()}
    host = {"cores": len(os.sched_getaffinity(0)), "kernel": os.uname().release, "load_average": os.getloadavg()[0]}
    print(
        json.dumps(
            {"host": host, "place": place, "ratios": ratios, "agrees": agrees, "medians": middle, "rounds": rounds}
        )
    )


def _round(paths: list[Path], place: str) -> dict[str, float]:
    profile, why = measure_storage(paths, place, may_evict=False)
    if profile is None:
        sys.exit(f"the storage could not be measured: {why}")
    same = ["--rw=read", f"--bs={profile.block_kib}k", f"--numjobs={profile.threads}", "--ioengine=psync"]
    found = {
        "bench_limit_gib_per_s": profile.read_gib_per_s,
        "bench_sustained_gib_per_s": profile.sustained_gib_per_s,
        "bench_threads": float(profile.threads),
        "bench_block_kib": float(profile.block_kib),
        "bench_reads_per_s_4_kib": profile.reads_per_s_4_kib or 0.0,
        "bench_reads_per_s_128_kib": profile.reads_per_s_128_kib or 0.0,
        "fio_same_gib_per_s": _fio(paths, *same)["bw_bytes"] / GIB,
        "fio_libaio_gib_per_s": _fio(paths, "--rw=read", "--bs=1M", "--iodepth=64", "--ioengine=libaio")["bw_bytes"]
        / GIB,
    } | {f"fio_reads_per_s_{size}_kib": _requests(paths, size) for size in (4, 128)}
    print(_shown(profile, found), file=sys.stderr)
    return found


def _requests(paths: list[Path], size_kib: int) -> float:
    found = _fio(paths, "--rw=randread", f"--bs={size_kib}k", "--numjobs=32", "--ioengine=psync")
    return float(found["iops"])


def _fio(paths: list[Path], *options: str) -> dict[str, Any]:
    """What fio says of its reads."""
    names = ":".join(str(path.resolve()).replace(":", "\\:") for path in paths)
    words = ["fio", "--name=limit", f"--filename={names}", "--readonly", "--direct=1", "--thread", "--group_reporting", "--time_based", f"--runtime={SECONDS}", "--ramp_time=1", "--output-format=json", *options]  # fmt: skip
    if "--rw=read" in options:
        words.append("--offset_increment=7M")  # else all threads would read the same bytes
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    reads: dict[str, Any] = json.loads(done.stdout)["jobs"][0]["read"]
    return reads


def _shown(profile: StorageProfile, found: dict[str, float]) -> str:
    cell = f"{profile.threads} threads of {profile.block_kib} KiB"
    rates = [found[name] for name in ("bench_limit_gib_per_s", "bench_sustained_gib_per_s", "fio_same_gib_per_s", "fio_libaio_gib_per_s")]  # fmt: skip
    return f"{cell}: bench {rates[0]:.2f}, sustained {rates[1]:.2f}; fio {rates[2]:.2f}, libaio {rates[3]:.2f} GiB/s"


if __name__ == "__main__":
    main()
