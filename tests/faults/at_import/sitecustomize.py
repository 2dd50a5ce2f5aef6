"""On PYTHONPATH of a command, this stops it where it imports $FAULT_IMPORT: it writes $FAULT_FOLDER/reached, and waits for a signal."""

import os
import sys
import time
from pathlib import Path


class Stop:
    """A finder that finds nothing: the import goes on when somebody has written $FAULT_FOLDER/go."""

    def find_spec(self, name, _path=None, _target=None):
        if name == os.environ["FAULT_IMPORT"]:
            folder = Path(os.environ["FAULT_FOLDER"])
            (folder / "reached").touch()
            for _ in range(6000):
                if (folder / "go").exists():
                    break
                time.sleep(0.01)


if "FAULT_IMPORT" in os.environ:
    sys.meta_path.insert(0, Stop())
