"""What this process really has: its arguments, the environment that matters, the packages that it imported, its share of the host.

Read, never changed; each part by itself, so that one which cannot be read takes no other with it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from typing import TYPE_CHECKING

from . import cgroup, events

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Variables that change how fast, or what, vLLM loads and computes.
PREFIXES = (
    "VLLM_", "TORCH", "PYTORCH_", "CUDA", "NCCL", "OMP", "GOMP_", "KMP_", "MKL", "PYTHON", "LD_", "MALLOC_", "GLIBC_TUNABLES",
    "RUNAI_", "HF_", "SAFETENSORS_", "TRANSFORMERS_", "TOKENIZERS_", "TRITON_", "FLASHINFER_", "HIP_", "ROCR_",
)  # fmt: skip
PACKAGES = ("vllm", "torch", "transformers", "safetensors", "triton", "runai_model_streamer")
SCHEDULERS = {0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle", 6: "deadline"}
MASK = "***"
NAME = re.compile(r"\w{1,100}", re.ASCII)
VARIABLES_AT_MOST = 300
ARGUMENTS_AT_MOST = 500
LENGTH_AT_MOST = 2000
DIGITS = 12
NAMES_OF_SECRETS = "../../../masking/names.py"  # bench's own rule, which has no imports of bench


def of_process() -> dict[str, Any]:
    """As it is now; a part that cannot be read is absent, with a warning."""
    parts: dict[str, Callable[[], Any]] = {
        "arguments": arguments,
        "environment": environment,
        "packages": packages,
        "cpus": cpus,
        "niceness": lambda: os.getpriority(os.PRIO_PROCESS, 0),
        "scheduler": lambda: SCHEDULERS.get(os.sched_getscheduler(0), "unknown"),
        "cgroup": of_cgroup,
    }
    found = {}
    for name, read in parts.items():
        with events.guarded(f"its {name} cannot be read"):
            found[name] = read()
    return found


def arguments() -> list[str]:
    """Those of the command, behind the module's path; a secret option's are masked."""
    shown, name = [], ""
    for word in sys.argv[: ARGUMENTS_AT_MOST + 1]:
        option, equals, _ = word.partition("=")
        if word.startswith("--"):
            name = option[2:]
            shown.append(f"{option}={MASK}" if equals and is_secret_name(name) else bounded(word))
        else:
            shown.append(MASK if is_secret_name(name) else bounded(word))
    return shown


def environment() -> dict[str, str]:
    """The variables of PREFIXES that have a value; a secret's is masked."""
    names = sorted(name for name in os.environ if name.startswith(PREFIXES) and NAME.fullmatch(name))
    if len(names) > VARIABLES_AT_MOST:
        events.warn(f"of {len(names)} variables of its environment the first {VARIABLES_AT_MOST} are recorded")
    values = {name: os.environ[name] for name in names[:VARIABLES_AT_MOST]}
    return {name: MASK if is_secret_name(name) else bounded(value) for name, value in values.items() if value}


def packages() -> dict[str, str]:
    """Version and file of each that is imported."""
    imported = {name: sys.modules[name] for name in PACKAGES if name in sys.modules}
    return {
        name: bounded(f"{getattr(module, '__version__', 'unknown')} from {vars(module).get('__file__', 'unknown')}")
        for name, module in imported.items()
    }


def cpus() -> str:
    """That this thread may run on: 0-3,8"""
    ranges: list[list[int]] = []
    for cpu in sorted(os.sched_getaffinity(0)):
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def of_cgroup() -> dict[str, Any]:
    """Which it is, its limits and its counters."""
    member = cgroup.membership()
    return {"membership": member, "limits": cgroup.limits(member), "counters": cgroup.counters(member)}


def bounded(text: str) -> str:
    """A long text by its digest alone: a part of it could end within a secret, which nobody would recognise any more."""
    if len(text) <= LENGTH_AT_MOST:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]
    return f"{len(text)} characters, sha256 {digest}"


def is_secret_name(name: str) -> bool:
    """By bench's rule. Raises where that cannot be read: nothing is written then."""
    found: bool = _rule()(name)
    return found


RULES: list[Callable[[str], bool]] = []  # one, once it was read


def _rule() -> Callable[[str], bool]:
    if not RULES:
        path = os.path.normpath(os.path.join(os.path.dirname(__file__), NAMES_OF_SECRETS))  # noqa: PTH118, PTH120  # no pathlib here
        spec = importlib.util.spec_from_file_location("bench_probe_names", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        RULES.append(module.is_secret_name)
    return RULES[0]
