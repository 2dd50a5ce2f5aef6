"""The probe in processes of a fake vLLM: it sees every loader, and vLLM does not notice it."""

import ast
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fake_package import LOADING, PROBE, Ended, run_with_probe

Run = Callable[..., Ended]

LOAD = """
from vllm.v1.worker.gpu_worker import Worker
worker = Worker(0, 1)
worker.init_device()
model = worker.load_model()
print(model.loaded, model.processed)
"""
LOADED = "['model.layer.0', 'model.layer.1', 'model.layer.2'] True"

# How a loader may come about that the probe has never heard of; each delivers 7 bytes.
UNKNOWN = {
    "a subclass": """
class Loader(BaseModelLoader):
    def read(self):
        yield "w", Tensor(7)
    def load_weights(self, model, model_config):
        model.load_weights(self.read())
""",
    "one that does not call its parent's __init__": """
class Loader(BaseModelLoader):
    def __init__(self, load_config):
        pass
    def read(self):
        yield "w", Tensor(7)
    def load_weights(self, model, model_config):
        for name, tensor in self.read():
            model.loaded.append(name)
""",
    "one that has its methods from a mixin": """
class Reads:
    @staticmethod
    def read():
        yield "w", Tensor(7)
    def load_weights(self, model, model_config):
        for name, tensor in self.read():
            model.loaded.append(name)
class Loader(Reads, BaseModelLoader):
    pass
""",
    "one with a generator that is nobody's method": """
class Loader(BaseModelLoader):
    def load_weights(self, model, model_config):
        model.load_weights(weights=(("w", Tensor(size)) for size in [3, 4]))
""",
    "one that takes vLLM's iterator for itself": """
from vllm.model_executor.model_loader.weight_utils import safetensors_weights_iterator
class Loader(BaseModelLoader):
    def load_weights(self, model, model_config):
        for name, tensor in safetensors_weights_iterator([3, 4]):
            model.loaded.append("w")
""",
    "one with a load_model of its own": """
class Loader(BaseModelLoader):
    def read(self):
        return map(lambda size: ("w", Tensor(size)), [3, 4])
    def load_model(self, model):
        return super().load_model(model)
    def load_weights(self, model, model_config):
        model.load_weights(self.read())
""",
}
IMPORTS = """
from vllm.model_executor.model_loader import BaseModelLoader
from vllm.model_executor.model_loader.weight_utils import Tensor
from vllm.v1.worker.gpu_worker import Model
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a script with the fake vLLM and the probe."""
    return lambda *arguments, **options: run_with_probe(tmp_path, *arguments, **options)


@pytest.mark.parametrize("environment", [{}, {"BENCH_PROBE": "1"}, {"BENCH_PROBE_DIR": "events"}])
def test_a_process_that_bench_did_not_start_is_left_alone(run, environment):
    """The plugin may be found by others, through a PYTHONPATH that was passed on."""
    found = run(
        f"import sys; before = list(sys.meta_path); register(); assert sys.meta_path == before\n{LOAD}",
        environment=environment,
    )

    assert found.out == LOADED, found.err
    assert found.report.processes == ()


def test_the_plugin_imports_nothing_of_vllm(run):
    """A process that does not load a model shall not pay for what loads one."""
    found = run("import sys; register(); print([name for name in sys.modules if name.startswith(('vllm', 'torch'))])")

    assert found.out == "[]", found.err


@pytest.mark.parametrize(("value", "how"), [("", "written"), ("1", "missing")])
def test_a_process_reports_the_modules_that_it_compiled(run, value, how):
    """Those of a vLLM that was never imported before, kept for the next process where it may write."""
    script = f"register()\n{LOAD}\nworker.compile_or_warm_up_model()"
    found = run(script, own=os.environ | {"PYTHONDONTWRITEBYTECODE": value}).process.byte_code

    assert getattr(found, how) == found.compiled > len(found.named) > 0
    assert all(name.startswith("vllm") for name in found.named)
    assert found.writes == (value == "")


@pytest.mark.parametrize("script", [f"register()\n{LOAD}", f"import vllm.v1.worker.gpu_worker\nregister()\n{LOAD}"])
def test_a_rank_reports_each_phase_once(run, script):
    """Whether vLLM had imported its loaders before it called its plugins, or imports them after."""
    found = run(script)

    assert found.out == LOADED, found.err
    assert [span.name for span in found.process.spans] == [
        "init_device",
        "load_model",
        "load_weights",
        "process_weights",
    ]
    assert found.process.rank == "TP0"
    assert found.process.warnings == ()


def test_a_call_of_the_plugin_again_changes_nothing(run):
    """By its own word, vLLM may call them more than once."""
    found = run(f"register()\nregister()\n{LOAD}\nregister()")

    assert [span.name for span in found.process.spans] == [
        "init_device",
        "load_model",
        "load_weights",
        "process_weights",
    ]


def test_times_are_in_the_order_in_which_things_happened(run):
    """On one clock: the process starts, the plugin is called, phases begin and end inside each other."""
    process = run(f"register()\n{LOAD}").process
    (init_device, load_model, load_weights, processing) = process.spans

    assert process.started_s - 0.02 <= process.imported_s <= init_device.start_s  # the kernel counts in steps of 10 ms
    assert init_device.end_s <= load_model.start_s <= load_weights.start_s <= load_weights.end_s
    assert load_weights.end_s <= processing.start_s <= processing.end_s <= load_model.end_s


def test_storage_and_memory_are_read_at_both_ends(run):
    """A process has memory, and may have read nothing from storage."""
    (span,) = run(f"register()\n{LOAD}").spans("load_weights")

    assert span.facts.read_bytes is not None
    assert span.facts.before.rss_anon_gib > 0
    assert span.facts.after.rss_file_gib > 0
    assert span.facts.after.gpu_used_gib is None  # there is none


@pytest.mark.parametrize("kind", UNKNOWN)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_loader_that_nobody_knew_is_measured(run, kind, when):
    """Whatever is below BaseModelLoader, defined before the plugin was called or after."""
    define, load = f"{IMPORTS}{UNKNOWN[kind]}", "print(Loader(None).load_model(Model()).loaded)"
    found = run(f"{define}\nregister()\n{load}" if when == "before" else f"register()\n{define}\n{load}")
    (load_model,), (load_weights,) = found.spans("load_model"), found.spans("load_weights")

    assert found.out in {"['w']", "['w', 'w']"}, found.err
    assert load_model.facts.of == load_weights.facts.of == "Loader"
    assert load_weights.facts.delivered_bytes == 7
    assert load_weights.facts.delivered_tensors == found.out.count("w")


def test_iterators_inside_iterators_count_once(run):
    """Four of them carry each tensor of the default loader."""
    (span,) = run(f"register()\n{LOAD}").spans("load_weights")

    assert (span.facts.delivered_bytes, span.facts.delivered_tensors) == (123, 3)


def test_a_loader_that_delivers_nothing_reports_no_bytes(run):
    """A dummy's weights come from nowhere: None, not 0."""
    script = LOAD.replace("load_model()", "load_model('DummyModelLoader')")
    (span,) = run(f"register()\n{script}").spans("load_weights")

    assert (span.facts.delivered_bytes, span.facts.delivered_tensors, span.facts.blocked_s) == (None, None, None)


SLOW = f"""
import time
{IMPORTS}
class Loader(BaseModelLoader):
    def read(self):
        time.sleep(WAIT_S)
        yield "w", Tensor(7)
    def load_weights(self, model, model_config):
        for name, tensor in self.read():
            time.sleep(WORK_S)
register()
Loader(None).load_model(Model())
"""


@pytest.mark.parametrize(("wait_s", "work_s", "low", "high"), [(0.3, 0.0, 0.3, 1e9), (0.0, 0.3, 0.0, 0.2)])
def test_only_the_time_that_a_tensor_is_waited_for_is_blocked(run, wait_s, work_s, low, high):
    """Copying it to where it belongs is not."""
    (span,) = run(SLOW.replace("WAIT_S", str(wait_s)).replace("WORK_S", str(work_s))).spans("load_weights")

    assert low <= span.facts.blocked_s < high
    assert span.end_s - span.start_s >= 0.3


THREADS = f"""
import queue, threading
{IMPORTS}
class Loader(BaseModelLoader):
    def read(self):
        yield "a", Tensor(3)
        yield "b", Tensor(4)
    def ahead(self):
        ready = queue.Queue()
        def fill():
            for item in self.read():
                ready.put(item)
            ready.put(None)
        threading.Thread(target=fill).start()
        while (item := ready.get()) is not None:
            yield item
    def load_weights(self, model, model_config):
        model.load_weights(self.ahead())
register()
Loader(None).load_model(Model())
"""


def test_what_a_thread_reads_ahead_is_not_counted_twice(run):
    """The iterator of the thread that loads has it all."""
    (span,) = run(THREADS).spans("load_weights")

    assert (span.facts.delivered_bytes, span.facts.delivered_tensors) == (7, 2)


FAILING = f"""
{IMPORTS}
class Loader(BaseModelLoader):
    def read(self):
        yield "a", Tensor(7)
        raise OSError("the disk is gone")
    def load_weights(self, model, model_config):
        model.load_weights(self.read())
register()
try:
    Loader(None).load_model(Model())
except OSError as error:
    print(repr(error))
"""


def test_an_exception_of_a_loader_passes_through(run):
    """With what had been delivered until then."""
    found = run(FAILING)
    (span,) = found.spans("load_weights")

    assert found.out == "OSError('the disk is gone')", found.err
    assert span.facts.failed == "OSError"
    assert (span.facts.delivered_bytes, span.facts.delivered_tensors) == (7, 1)


def test_a_process_that_is_killed_leaves_what_came_before(run):
    """The span that it was in has no end; what was delivered is on disk to the second."""
    killed = FAILING.replace(
        'raise OSError("the disk is gone")', "time.sleep(1.1); yield 'b', Tensor(1); os.kill(os.getpid(), 9)"
    )
    found = run(f"import os, time\n{killed}")
    (span,) = found.spans("load_weights")

    assert found.code == -9
    assert (span.end_s, span.facts.after) == (None, None)
    assert span.facts.delivered_bytes == 8


GENERATORS = {
    "runs out": "print(list(loader.read()))",
    "returns a value": "g = loader.read(); print(value_of(g))",
    "is left early": "for item in loader.read(): break\nprint('left')",
    "is closed": "g = loader.read(); next(g); g.close(); print('closed', list(g))",
    "is never begun": "g = loader.read(); del g; print('never')",
    "is sent to": "g = loader.read(); next(g); print(g.send('hello'))",
    "is thrown at": "g = loader.read(); next(g); print(g.throw(KeyError('k')))",
    "is thrown at with what it does not handle": "g = loader.read(); next(g)\ntry: g.throw(OSError('o'))\nexcept OSError as e: print(repr(e))",
    "is a generator": "import inspect; g = loader.read(); print(inspect.isgenerator(g), g.__name__)",
}
GENERATOR = f"""
{IMPORTS}
class Loader(BaseModelLoader):
    def read(self):
        try:
            for number in range(3):
                try:
                    sent = yield number
                    if sent:
                        print("was sent", sent)
                except KeyError as error:
                    print("was thrown", error)
            return "done"
        finally:
            print("cleaned up")
    def load_weights(self, model, model_config): ...
def value_of(g):
    value = yield_from(g)
    try:
        while True: next(value)
    except StopIteration as stop: return stop.value
def yield_from(g):
    return (yield from g)
loader = Loader(None)
"""


@pytest.mark.parametrize("use", GENERATORS)
def test_a_generator_is_used_as_it_would_be_without_the_probe(run, use):
    """Word for word, and its own clean-up runs when it would have run."""
    bare = run(f"{GENERATOR}{GENERATORS[use]}")
    probed = run(f"register()\n{GENERATOR}{GENERATORS[use]}")

    assert bare.out
    assert probed.out == bare.out, probed.err


def test_a_tensor_lives_no_longer_than_without_the_probe(run):
    """A reader that reuses one buffer, or a host that has room for one tensor more, would notice."""
    keeping = """
import weakref
class Loader(BaseModelLoader):
    def read(self):
        first = Tensor(7)
        alive = weakref.ref(first)
        yield [first]
        del first
        print(alive())
    def load_weights(self, model, model_config):
        iterator = self.read()
        item = next(iterator)
        del item
        next(iterator, None)
"""
    found = run(f"register()\n{IMPORTS}{keeping}\nLoader(None).load_model(Model())")

    assert found.out == "None", found.err


def test_a_release_that_moved_its_loaders_loads_as_ever(run):
    """The probe says that it has seen no loader."""
    moved = {
        f"{LOADING}/{name}": None
        for name in ("utils.py", "weight_utils.py", "base_loader.py", "loaders.py", "__init__.py")
    }
    elsewhere = {
        "vllm/model_executor/model_loader.py": "class DefaultModelLoader:\n    def __init__(self, sizes): ...\n    def load_model(self, model): return model\n"
    }
    found = run(f"register()\n{LOAD}", changed=moved | elsewhere)

    assert found.out == "[] False", found.err
    assert [span.name for span in found.process.spans] == ["init_device"]
    assert found.process.warnings == (
        "a model was loaded and no loader was seen: this vLLM keeps its loaders where the probe does not look",
    )


def test_a_base_class_that_moved_is_found_where_the_package_exports_it(run):
    """It is the name that loaders outside of vLLM are built on."""
    found = run(
        f"register()\n{LOAD}",
        changed={
            f"{LOADING}/elsewhere.py": "from abc import ABC\nclass BaseModelLoader(ABC):\n    def __init__(self, load_config): self.load_config = load_config\n"
            "    def load_model(self, model):\n        self.load_weights(model, None)\n        return model\n",
            f"{LOADING}/base_loader.py": "from vllm.model_executor.model_loader.elsewhere import *\n__all__ = []\n_Base = BaseModelLoader\ndel BaseModelLoader\n"
            "def __getattr__(name):\n    if name == 'BaseModelLoader': return _Base\n    raise AttributeError(name)\n",
        },
    )

    assert len(found.spans("load_weights")) == 1, found.err
    assert found.process.warnings == (
        "no BaseModelLoader in vllm.model_executor.model_loader.base_loader: no loader is measured from there",
    )


def test_a_name_that_is_gone_is_a_warning(run):
    """And the rest is measured."""
    found = run(
        f"register()\n{LOAD}",
        changed={
            f"{LOADING}/utils.py": "",
            f"{LOADING}/base_loader.py": "import vllm.model_executor.model_loader.utils\nclass BaseModelLoader:\n    def __init__(self, load_config): self.load_config = load_config\n"
            "    def load_model(self, model):\n        self.load_weights(model, None)\n        return model\n",
            "vllm/v1/engine/core.py": "",
        },
    )

    assert found.out == LOADED.replace("True", "False"), found.err
    assert found.process.warnings == (
        "no process_weights_after_loading in vllm.model_executor.model_loader.utils: post-processing is not measured",
    )
    assert len(found.spans("load_weights")) == 1


BROKEN = {
    "counters.host": "bytes and memory were not read",
    "counters.synchronize": "the GPU was not waited for",
    "workers.write_rank": "at init_device",
    "iterators.Count.enter": "get_all_weights was not counted",
    "iterators.Count.add": "an item of weights was not counted",
    "loaders._shadow": "what the model is given is not counted",
    "loaders.measure_loader": "vllm.model_executor.model_loader.base_loader is not measured",
    "hooks.adapt_family": "vllm.model_executor.model_loader.base_loader is not measured",
    "hooks.after_import": "the probe was not set up",
}


@pytest.mark.parametrize("part", BROKEN)
def test_a_step_of_the_probe_that_raises_is_a_warning_and_no_more(run, part):
    """Loading goes on as if it were not there."""
    breaking = f"""
from bench_probe import counters, hooks, iterators, loaders, spans, workers
def broken(*arguments):
    raise RuntimeError("a bug of ours")
{part} = broken
"""
    found = run(f"{breaking}register()\n{LOAD}")

    assert found.out == LOADED, found.err
    assert found.code == 0
    assert any("a bug of ours" in warning for warning in found.process.warnings)


def test_a_tensor_that_cannot_be_sized_is_delivered_all_the_same(run):
    """What it is is the model's to judge."""
    strange = """
class Strange:
    @property
    def nbytes(self):
        raise RuntimeError("no size")
class Loader(BaseModelLoader):
    def load_weights(self, model, model_config):
        model.load_weights(("w", tensor) for tensor in [Strange(), Tensor(7), Strange()])
"""
    found = run(f"register()\n{IMPORTS}{strange}print(Loader(None).load_model(Model()).loaded)")

    assert found.out == "['w', 'w', 'w']", found.err
    assert found.spans("load_weights")[0].facts.delivered_bytes == 7
    assert found.process.warnings == ("an item of weights was not counted: RuntimeError: no size",)  # once


@pytest.mark.parametrize("folder", ["/nowhere/at/all", "/dev/null"])
def test_a_folder_that_cannot_be_written_to_disturbs_nobody(run, folder):
    """Who did not report is the driver's to see."""
    found = run(f"register()\n{LOAD}", environment={"BENCH_PROBE": "1", "BENCH_PROBE_DIR": folder})

    assert (found.out, found.err) == (LOADED, "")


FORKED = """
import multiprocessing
from vllm.v1.engine.core import EngineCore
from vllm.v1.worker.gpu_worker import Worker
register()
def work():
    worker = Worker(1, 2)
    worker.init_device()
    worker.load_model()
def core():
    EngineCore()
    worker = multiprocessing.get_context("fork").Process(target=work, name="VllmWorker-1")
    worker.start()
    worker.join()
core_process = multiprocessing.get_context("fork").Process(target=core, name="EngineCore")
core_process.start()
core_process.join()
"""


def test_processes_that_are_forked_off_report_too(run):
    """No plugin is called in them: it was called in their parent."""
    report = run(FORKED).report
    api_server, engine_core, worker = report.processes

    assert [each.kind for each in report.processes] == ["api_server", "engine_core", "worker"]
    assert [engine_core.parent, worker.parent] == [api_server.pid, engine_core.pid]
    assert (worker.rank, engine_core.rank) == ("TP1", None)
    assert api_server.started_s < engine_core.started_s + 0.01 < worker.started_s + 0.02  # in steps of 10 ms
    assert len(worker.spans) == 4


SERVE = """
from vllm.engine.arg_utils import AsyncEngineArgs
register()
from vllm.v1.engine.async_llm import AsyncLLM
config = AsyncEngineArgs().create_engine_config()
print(AsyncLLM(config).config)
"""


def test_the_api_server_reports_its_config_and_its_wait_for_the_engine(run):
    """Also where the class was there before the plugin's turn came."""
    found = run(SERVE)

    assert found.out == "config", found.err
    assert [(span.name, span.facts.of) for span in found.process.spans] == [
        ("config", "AsyncEngineArgs"),
        ("engine_client", "AsyncLLM"),
    ]


def test_the_engine_core_reports_when_it_is_made(run):
    """From the plugin's turn, which comes within its __init__, to its loop over requests; that may begin again."""
    found = run(
        "register()\nfrom vllm.v1.engine.core import EngineCoreProc\ncore = EngineCoreProc()\n"
        "print(core.run_busy_loop(), core.run_busy_loop())"
    )
    (init,) = found.process.spans

    assert found.out == "served served", found.err
    assert (init.name, init.facts.of) == ("engine_core_init", "EngineCoreProc")
    assert init.start_s == found.process.imported_s < init.end_s


def test_a_rank_reports_what_comes_after_its_weights(run):
    """Each with what goes on inside it."""
    found = run(
        "register()\nfrom vllm.v1.worker.gpu_worker import Worker\nworker = Worker(0, 1)\n"
        "print(worker.determine_available_memory(), worker.initialize_from_config(7), worker.compile_or_warm_up_model())"
    )

    assert found.out == f"{2**30} None 0.5", found.err
    assert [span.name for span in found.process.spans] == ["profile", "kv_cache", "warm_up", "capture"]
    warm_up, capture = found.spans("warm_up")[0], found.spans("capture")[0]
    assert warm_up.start_s <= capture.start_s <= capture.end_s <= warm_up.end_s


COMPILED = """
register()
from vllm.compilation.decorators import run
try:
    run("config", fails=True)
except OSError as error:
    print(error)
run("config", is_encoder=False)
run("config", "torch.compile and initial profiling/warmup run together took %.2f s in total")
"""


def test_every_rank_reports_what_it_compiled(run):
    """Where vLLM's own clock of it holds a forward pass besides, that is no time of compiling. What fails in it still does."""
    found = run(COMPILED)
    failed, compiled = found.spans("compile")

    assert found.out.split() == ["damaged", "compiled", "compiled"], found.err
    assert (failed.facts.failed, compiled.facts.failed) == ("OSError", None)
    assert failed.end_s <= compiled.start_s < compiled.end_s
    assert found.process.warnings == ()


@pytest.mark.parametrize(
    ("module", "script", "warning"),
    [
        ("vllm/engine/arg_utils.py", "import vllm.engine.arg_utils", "no EngineArgs.create_engine_config"),
        ("vllm/v1/engine/async_llm.py", "import vllm.v1.engine.async_llm", "no AsyncLLM.__init__"),
        ("vllm/v1/engine/core.py", "import vllm.v1.engine.core", "no EngineCore"),
    ],
)
def test_what_a_release_has_no_more_is_said_and_disturbs_nobody(run, module, script, warning):
    """Its phase will be unattributed."""
    found = run(f"register()\n{script}\nprint('alive')", {module: "class SomethingElse: pass"})

    assert found.out == "alive", found.err
    assert [text for text in found.process.warnings if text.startswith(warning)] == [*found.process.warnings]
    assert found.process.warnings


FORKING = """
import multiprocessing
class AsyncLLM:
    def __init__(self, work):
        process = multiprocessing.get_context("fork").Process(target=work, name="EngineCore")
        process.start()
        process.join()
"""
READING = """
register()
from vllm.model_executor.model_loader.weight_utils import safetensors_weights_iterator
from vllm.v1.engine.async_llm import AsyncLLM
AsyncLLM(lambda: list(safetensors_weights_iterator([3, 4])))
"""


def test_a_process_that_is_forked_off_is_in_no_call_of_its_parent(run):
    """What it delivers is its own: it would be lost in a span that its file does not have."""
    report = run(READING, changed={"vllm/v1/engine/async_llm.py": FORKING}).report
    api_server, engine_core = report.processes

    assert [(span.name, span.facts.delivered_bytes) for span in api_server.spans] == [("engine_client", None)]
    assert [(span.name, span.facts.delivered_bytes) for span in engine_core.spans] == [("weights_iterator", 7)]


@pytest.mark.parametrize(
    ("rank", "sizes", "names", "expected"),
    [
        (0, (1, 1), ("EngineCore", "MainProcess"), "TP0"),
        (1, (2, 1), ("VllmWorker-1", "EngineCore"), "TP1"),
        (2, (2, 2), ("VllmWorker-2", "EngineCore"), "PP1_TP0"),
        (3, (2, 2), ("VllmWorker-3", "EngineCore_DP1"), "DP1_PP1_TP1"),
    ],
)
def test_a_rank_is_named_before_its_process_groups_are_there(run, rank, sizes, names, expected):
    """So that a device that cannot be initialised has one."""
    found = run(f"""
from bench_probe import events
events.process_names = lambda: {names}
register()
from vllm.v1.worker.gpu_worker import Worker
Worker({rank}, *{sizes}).init_device()
""")

    assert found.process.rank == expected, found.err


def test_a_gpu_is_waited_for_before_a_phase_ends(run):
    """What it was told to do in the phase belongs to the phase. A GPU that is not in use is not touched."""
    found = run(f"""
import sys, time, types
torch = sys.modules["torch"] = types.ModuleType("torch")
torch.cuda = types.SimpleNamespace(
    is_initialized=lambda: in_use,
    synchronize=lambda: time.sleep(0.2),
    mem_get_info=lambda: (3 * 2**30, 8 * 2**30),
    memory_allocated=lambda: 2**30,
    memory_reserved=lambda: 2 * 2**30,
)
in_use = False
register()
{LOAD.replace("model = ", "in_use = True; model = ")}
""")
    (init_device,), (processing,) = found.spans("init_device"), found.spans("process_weights")

    assert init_device.facts.after.gpu_used_gib is None
    assert init_device.end_s - init_device.start_s < 0.2
    assert processing.end_s - processing.start_s >= 0.2
    assert (processing.facts.after.gpu_allocated_gib, processing.facts.after.gpu_reserved_gib) == (1.0, 2.0)
    assert processing.facts.after.gpu_used_gib == 5.0


@pytest.mark.parametrize("path", sorted((PROBE / "bench_probe").glob("*.py")), ids=lambda path: path.name)
def test_the_probe_is_written_for_python_3_9(path):
    """It runs in vLLM's environment, which may be older than ours."""
    ast.parse(path.read_text(), feature_version=(3, 9))
