"""How long starts took on this host, remembered beside their compile caches.

A plan is estimated from these. MLflow knows them too, but importing it takes longer than all else that a dry run does,
and its store may hold the starts of other hosts.
"""

from pathlib import Path
from statistics import fmean

from bench.config import Settings
from bench.errors import EvidenceError
from bench.host.host import Host, identity
from bench.system.regular_files import read_at_most

BYTES_AT_MOST = 1 << 20
ENOUGH = 20  # earlier starts, to estimate the next


def remember_duration(settings: Settings, host: Host, duration_s: float) -> None:
    """A start like this took so long, from the wait for a quiet host to the end of vLLM's last process."""
    path = _path(settings, host)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="ascii") as file:
        file.write(f"{duration_s:.3f}\n")


def expected_duration_s(settings: Settings, host: Host) -> float | None:
    """The mean of the latest starts of the same settings, versions and device; None where there were none."""
    try:
        data, _ = read_at_most(_path(settings, host), BYTES_AT_MOST)
        return fmean(float(line) for line in data.split()[-ENOUGH:])
    except (FileNotFoundError, EvidenceError, ValueError):  # nothing is there, or not what was written
        return None


def _path(settings: Settings, host: Host) -> Path:
    return Path(settings.caches_dir) / "durations" / f"{settings.sweep.kind}-{identity(settings, host)}"
