"""vLLM's own load generator, that of `vllm bench serve`. Run as a script by the interpreter that has vLLM.

    python generate_load.py look          what it imports and this environment lacks, as JSON on standard output; nothing of vLLM is imported
    python generate_load.py ARGUMENTS     its own arguments; the result goes to the file that they name

Source: vllm/benchmarks/serve.py, `add_cli_args` and `main`, since 0.8.3. `vllm bench` itself needs the metadata of a package named vllm.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE = "vllm.benchmarks.serve"
FILES = ("benchmarks/serve.py", "benchmarks/datasets.py", "benchmarks/datasets/*.py", "benchmarks/lib/*.py")


def main() -> None:
    """Looks, or generates load."""
    with suppress(ValueError):  # PYTHONSAFEPATH
        sys.path.remove(str(Path(__file__).parent))  # its neighbours are no modules of vLLM's environment
    if sys.argv[1:] == ["look"]:
        sys.stdout.write(json.dumps(lacking()) + "\n")
        return
    generator: Any = importlib.import_module(MODULE)
    parser = argparse.ArgumentParser()
    generator.add_cli_args(parser)
    generator.main(parser.parse_args())


def lacking() -> list[str]:
    """The packages, or the generator itself where this vLLM is from before it had one."""
    spec = importlib.util.find_spec("vllm")
    roots = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    files = [path for root in roots for pattern in FILES for path in root.glob(pattern)]
    if not any(path.name == "serve.py" for path in files):
        return [MODULE]
    names = {name for path in files for name in imports(ast.parse(path.read_text(encoding="utf-8")))}
    return sorted(name for name in names if importlib.util.find_spec(name) is None)


def imports(tree: ast.Module) -> Iterator[str]:
    """Packages that a module imports whatever happens: at its top, and not in a `try`."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


if __name__ == "__main__":
    main()
