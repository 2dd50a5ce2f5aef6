"""Starts that MLflow does not have yet, from their begin on: a small file for each, which names its folder and its target store.

They lie in `caches_dir`/outbox, so that the next command finds them whatever folder it writes to.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.config import Tracking
from bench.masking import masked
from bench.system.process_identity import parse, this_process
from bench.system.whole_files import write_whole
from bench.tracking.store import absolute

OUTBOX = "outbox"
NAME_LENGTH = 20


@dataclass(frozen=True)
class Pending:
    """One start that waits. `folder` and `uri` hold from any current directory; `uri` is without its password. `driver` is the process
    that made the start and uploads it as long as it lives.
    """

    folder: str
    uri: str
    experiment: str
    driver: str = ""

    @property
    def is_anothers(self) -> bool:
        """Whether its driver still lives, and is not this process."""
        driver = parse(self.driver)
        return driver is not None and driver.is_here and not driver.is_gone and driver != this_process()

    @property
    def is_over(self) -> bool:
        """Whether its driver has certainly ended."""
        driver = parse(self.driver)
        return driver is None or driver.is_gone

    def is_for(self, uri: str) -> bool:
        """Whether it waits for this store, whatever password one has for it now."""
        return masked(absolute(uri)) in {self.uri, masked(self.uri)}


def put(caches_dir: Path, tracking: Tracking, folder: Path) -> Path:
    """Enter this start into the outbox, until the returned file is removed.

    Raises:
        OSError: caches_dir cannot be written to.
    """
    name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:NAME_LENGTH]
    path = caches_dir / OUTBOX / f"{name}.json"
    pending = Pending(
        str(folder.absolute()), masked(absolute(tracking.uri)), tracking.experiment, this_process().as_text()
    )
    write_whole(path, json.dumps(asdict(pending), indent=2), is_private=True)
    return path


def waiting(caches_dir: Path, uri: str) -> Iterator[tuple[Path, Pending]]:
    """The starts that wait for this store, each with its file in the outbox."""
    for path in sorted((caches_dir / OUTBOX).glob("*.json")):
        try:
            pending = Pending(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            continue  # uploaded meanwhile, or not written by bench
        if pending.is_for(uri) and not pending.is_anothers:
            yield path, pending
