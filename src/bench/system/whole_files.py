"""Writing a file whole or not at all: a reader, and a crash, find the one before or this one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from bench.masking import private


@contextmanager
def written_whole(path: Path, *, is_private: bool = False) -> Iterator[TextIO]:
    """A file beside its place to write to, in UTF-8; moved there when the block ends normally, removed when it raises. The folder is made
    where it is missing. `is_private`: only its user can read it.

    Raises:
        OSError: it cannot be made, or moved.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with (private(partial) if is_private else partial).open("w", encoding="utf-8") as file:
            yield file
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str, *, is_private: bool = False) -> None:
    """The same for a text that is there."""
    with written_whole(path, is_private=is_private) as file:
        file.write(text)
