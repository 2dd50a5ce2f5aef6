"""One start, from nothing to nothing, and its log."""

from pathlib import Path

from server import PORT, running

from cases import MODELS, Case

OFFLINE = """
import sys
from vllm import LLM

if __name__ == "__main__":
    llm = LLM(sys.argv[1], enforce_eager=True, max_model_len=512, gpu_memory_utilization=0.2)
    llm.generate(["Hello"])
"""


def record(environment: Path, case: Case, log: Path) -> int:
    """Write the log. Returns vLLM's exit status, negative where a signal ended it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    asked = variables(environment) | case.environment
    given = {name: value for name, value in asked.items() if value is not None}
    with case.world(), running(command(environment, case), given, MODELS, log) as it:
        case.meanwhile(it)
    return int(it.process.returncode)


def command(environment: Path, case: Case) -> list[str]:
    """What is asked of every start comes first: a case may ask otherwise."""
    python, model = str(environment / "bin" / "python"), str(case.model)
    if case.offline:
        return [python, "-c", OFFLINE, model]
    served = ["--model", model, "--host", "127.0.0.1", "--port", str(PORT)]
    small = ["--max-model-len", "512", "--gpu-memory-utilization", "0.2"]
    return [python, "-m", "vllm.entrypoints.openai.api_server", *served, *small, *case.arguments]


def variables(environment: Path) -> dict[str, str | None]:
    """Few, and nothing of the recorder's own."""
    return {
        "PATH": f"{environment}/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "VLLM_CACHE_ROOT": f"{MODELS}/cache/{environment.name}",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "RUNAI_STREAMER_LOG_TO_STDERR": "1",
        "LD_PRELOAD": ":".join(str(library) for library in preloaded(environment)),
    }


def preloaded(environment: Path) -> list[Path]:
    """0.17 and 0.18 refuse to start without them, others warn. Debian's libtcmalloc-minimal4, and intel-openmp, which vllm-cpu asks for."""
    wanted = [Path("/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4"), environment / "lib" / "libiomp5.so"]
    return [library for library in wanted if library.exists()]
