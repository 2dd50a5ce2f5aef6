"""Byte code of all that vLLM may import. Run as a script by the interpreter that will; the answer is one line of JSON on standard output.

    python compile_byte_code.py look        what is missing or stale, and where it could not be written
    python compile_byte_code.py compile     the same, once it is made, by as many processes as there are cores

Neither vLLM nor torch is imported. PYTHONPYCACHEPREFIX and PYTHONOPTIMIZE count as they do for vLLM. Source: importlib.util, PEP 552
"""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import sys
import sysconfig
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PACKAGES = ("vllm", "torch", "transformers")
SHARED = {"site-packages", "dist-packages"}
LEFT_OUT = {"__pycache__", "test", "tests", ".git", *SHARED}  # below another folder: of another environment
BATCH = 64
FEW = 100  # files of an environment that is complete: templates, and what is for other releases of Python
HEADER_BYTES = 16
LOW = 0xFFFFFFFF


def main() -> None:
    """Writes the answer."""
    with suppress(ValueError):  # PYTHONSAFEPATH
        sys.path.remove(str(Path(__file__).parent))  # its neighbours are no modules of vLLM's environment
    roots = folders()
    lacking, broken = [source for source in sources(roots) if not is_fresh(source)], 0
    if len(lacking) <= FEW:
        lacking = [source for source in lacking if is_python(source)]
    if sys.argv[1] == "compile" and lacking:
        with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            broken = [*pool.map(compiles, lacking, chunksize=BATCH)].count(False)
        os.sync()  # what is still to be written would be written during the start
        lacking = [source for source in lacking if not is_fresh(source)]
    unwritable = [source for source in lacking if not is_writable(source)]
    answer = {"folders": roots, "lacking": len(lacking), "broken": broken, "unwritable": unwritable[:1], "unwritables": len(unwritable)}  # fmt: skip
    sys.stdout.write(json.dumps(answer) + "\n")


def folders() -> list[str]:
    """The standard library, every folder that pip installs to, and checkouts of vLLM and its largest packages elsewhere; each once, under the
    name by which Python imports from it, since that is the byte code's below PYTHONPYCACHEPREFIX.
    """
    found = [sysconfig.get_path("stdlib"), *(each for each in sys.path if Path(each).name in SHARED)]
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        packages = map(Path, (spec and spec.submodule_search_locations) or ())
        found += [str(package.parent if package.parent.name in SHARED else package) for package in packages]
    return list({os.path.realpath(each): each for each in reversed(found)}.values())


def sources(roots: Iterable[str]) -> Iterator[str]:
    """Every Python file below them, but for tests."""
    for root in roots:
        for folder, below, names in os.walk(root):
            below[:] = [name for name in below if name not in LEFT_OUT]
            yield from (f"{folder}/{name}" for name in names if name.endswith(".py"))


def is_fresh(source: str) -> bool:
    """Whether Python takes the byte code that there is for this source."""
    try:
        with open(importlib.util.cache_from_source(source), "rb", buffering=0) as file:  # noqa: PTH123  # 30,000 of them
            header = file.read(HEADER_BYTES)
        if header[:4] != importlib.util.MAGIC_NUMBER or len(header) < HEADER_BYTES:
            return False
        flags = int.from_bytes(header[4:8], "little")
        if flags == 0:
            found = os.stat(source)  # noqa: PTH116
            stamp, size = (int.from_bytes(part, "little") for part in (header[8:12], header[12:]))
            return stamp == int(found.st_mtime) & LOW and size == found.st_size & LOW
        is_checked = flags & 0b10
        return not is_checked or header[8:] == importlib.util.source_hash(Path(source).read_bytes())
    except OSError:
        return False


def is_python(source: str) -> bool:
    """Whether it can be compiled. What cannot, as a template, no start imports."""
    try:
        compile(Path(source).read_bytes(), source, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
        return False
    return True


def compiles(source: str) -> bool:
    """Compiles it, where that can be written. False: it is no Python of this release."""
    with suppress(OSError):
        try:
            py_compile.compile(source, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
        except (py_compile.PyCompileError, ValueError, RecursionError, MemoryError):
            return False
    return True


def is_writable(source: str) -> bool:
    """Whether its byte code can be put where Python looks for it."""
    place = Path(importlib.util.cache_from_source(source)).parent
    there = next((each for each in (place, *place.parents) if each.is_dir()), None)
    return there is not None and os.access(there, os.W_OK)


if __name__ == "__main__":
    main()
