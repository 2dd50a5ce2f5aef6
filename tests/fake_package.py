"""A package called vllm, as far as the probe looks into it: written to a folder, to be imported in a process of its own.

Its tensors know nothing but their size, and its loaders are those of vLLM in their shapes: one with iterators inside
iterators, one that iterates by itself, one that delivers nothing, one that stops midway.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.vllm import server
from bench.vllm.probe_events import read_events
from bench.vllm.probe_report import ProbeProcess, ProbeReport

PROBE = Path(server.__file__).parent / "probe"
LOADING = "vllm/model_executor/model_loader"

MODULES = {
    f"{LOADING}/utils.py": """
def process_weights_after_loading(model, model_config, target_device):
    model.processed = True
""",
    f"{LOADING}/weight_utils.py": """
class Tensor:
    def __init__(self, nbytes):
        self.nbytes = nbytes

def safetensors_weights_iterator(sizes):
    for number, size in enumerate(sizes):
        yield f"layer.{number}", Tensor(size)
""",
    f"{LOADING}/base_loader.py": """
from abc import ABC, abstractmethod
from vllm.model_executor.model_loader.utils import process_weights_after_loading

class BaseModelLoader(ABC):
    def __init__(self, load_config):
        self.load_config = load_config

    @abstractmethod
    def load_weights(self, model, model_config): ...

    def load_model(self, model):
        self.load_weights(model, None)
        process_weights_after_loading(model, None, None)
        return model
""",
    f"{LOADING}/loaders.py": """
from vllm.model_executor.model_loader.base_loader import BaseModelLoader
from vllm.model_executor.model_loader.weight_utils import safetensors_weights_iterator

class DefaultModelLoader(BaseModelLoader):
    def _get_weights_iterator(self):
        return (("model." + name, tensor) for name, tensor in safetensors_weights_iterator(self.load_config))

    def get_all_weights(self):
        yield from self._get_weights_iterator()

    def load_weights(self, model, model_config):
        model.load_weights(self.get_all_weights())

class ShardedStateLoader(BaseModelLoader):
    def iterate_over_files(self):
        yield from safetensors_weights_iterator(self.load_config)

    def load_weights(self, model, model_config):
        for name, tensor in self.iterate_over_files():
            model.loaded.append(name)

class DummyModelLoader(BaseModelLoader):
    def load_weights(self, model, model_config):
        model.loaded.append("random")
""",
    f"{LOADING}/__init__.py": """
from vllm.model_executor.model_loader.base_loader import BaseModelLoader
from vllm.model_executor.model_loader.loaders import DefaultModelLoader, DummyModelLoader, ShardedStateLoader
""",
    "vllm/v1/worker/worker_base.py": """
class WorkerBase:
    def __init__(self, rank, tensor_parallel_size, pipeline_parallel_size=1):
        self.rank = rank
        self.parallel_config = type("ParallelConfig", (), {})()
        self.parallel_config.tensor_parallel_size = tensor_parallel_size
        self.parallel_config.pipeline_parallel_size = pipeline_parallel_size
""",
    "vllm/v1/worker/gpu_worker.py": """
from vllm.model_executor import model_loader
from vllm.v1.worker.worker_base import WorkerBase

class Worker(WorkerBase):
    def init_device(self):
        self.device = "cpu"

    def determine_available_memory(self):
        return 2**30

    def initialize_from_config(self, kv_cache_config):
        self.kv_cache_config = kv_cache_config

    def compile_or_warm_up_model(self):
        from vllm.v1.worker.gpu_model_runner import GPUModelRunner
        return GPUModelRunner().capture_model()

    def load_model(self, loader="DefaultModelLoader", sizes=(100, 20, 3)):
        return getattr(model_loader, loader)(sizes).load_model(Model())

class Model:
    def __init__(self):
        self.loaded, self.processed = [], False

    def load_weights(self, weights):
        for name, tensor in weights:
            self.loaded.append(name)
""",
    "vllm/v1/engine/core.py": """
class EngineCore:
    def __init__(self):
        self.ready = True

class EngineCoreProc(EngineCore):
    def __init__(self):
        super().__init__()

    def run_busy_loop(self):
        return "served"
""",
    "vllm/engine/arg_utils.py": """
class EngineArgs:
    def create_engine_config(self):
        return "config"

class AsyncEngineArgs(EngineArgs):
    pass
""",
    "vllm/v1/engine/async_llm.py": """
class AsyncLLM:
    def __init__(self, config):
        self.config = config
""",
    "vllm/compilation/monitor.py": """
import contextlib

@contextlib.contextmanager
def monitor_torch_compile(vllm_config, message="torch.compile took %.2f s in total", is_encoder=False):
    yield
""",
    "vllm/compilation/decorators.py": """
from .monitor import monitor_torch_compile

def run(*arguments, fails=False, **options):
    with monitor_torch_compile(*arguments, **options):
        if fails:
            raise OSError("damaged")
        print("compiled")
""",
    "vllm/v1/worker/gpu_model_runner.py": """
class GPUModelRunner:
    def capture_model(self):
        return 0.5
""",
}


def write_package(folder: Path, changed: dict[str, str | None]) -> None:
    """`changed` has other texts for modules, and None for those that this release has not."""
    for name, text in (MODULES | changed).items():
        if text is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for below in [folder / "vllm", *(path for path in (folder / "vllm").rglob("*") if path.is_dir())]:
        (below / "__init__.py").touch()  # or a vllm that is installed would come first


@dataclass(frozen=True)
class Ended:
    """A process of the fake that is over."""

    code: int
    out: str
    err: str
    report: ProbeReport

    @property
    def process(self) -> ProbeProcess:
        """The only one that reported."""
        (process,) = self.report.processes
        return process

    def spans(self, name: str):
        return [span for span in self.process.spans if span.name == name]


def run_with_probe(
    folder: Path,
    script: str,
    changed: dict[str, str | None] | None = None,
    environment: dict[str, str] | None = None,
    own: dict[str, str] | None = None,
) -> Ended:
    """A process that imports the fake and runs this script, in which `register` is the plugin's call. `own`: the variables besides."""
    write_package(folder, changed or {})
    events = folder / "events"
    events.mkdir(exist_ok=True)
    asked = {"BENCH_PROBE": "1", "BENCH_PROBE_DIR": str(events)} if environment is None else environment
    own = {name: value for name, value in (own or os.environ).items() if not name.startswith("BENCH_")}
    path = folder / "script.py"
    path.write_text(f"from bench_probe import register\n{script}")
    ended = subprocess.run(
        [sys.executable, str(path)],
        env=own | asked | {"PYTHONPATH": f"{PROBE}{os.pathsep}{folder}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout.strip(), ended.stderr, read_events(events, 0.0))
