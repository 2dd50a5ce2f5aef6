"""Runs inside vLLM's processes, as a general plugin; standard library only, and without effect unless bench started them.

    events.py     what happened, on disk as it happens: one line of JSON an event, one file a process
    counters.py   what the kernel and the GPU count: process start, bytes read from storage, memory
    hooks.py      how a module, a class or a function is changed as soon as it exists
    spans.py      a call with its begin and its end
    iterators.py  what a weights iterator delivers, and how long it lets its consumer wait
    loaders.py    what is measured of every model loader
    checksums.py  what a rank has loaded, in a verification start
    engine.py     what is measured of the API server and the engine core
    workers.py    what is measured of every worker, and which rank it is
    effective.py  what vLLM decided in this process: dtype, attention backend, the model's class
    byte_code.py  whether its modules had to be compiled from source
    surroundings.py, cgroup.py   arguments, environment, packages, CPUs and limits of this process

Nothing here may disturb vLLM: a measured call returns, raises and yields what it would without the probe, and what
fails inside the probe is an event of its own, a warning. bench.vllm.probe_events reads what is written here. It runs
in vLLM's own environment, on Python 3.9 and later.

Source: vllm/plugins/__init__.py; vLLM calls the entry points of `vllm.general_plugins` in every process that it spawns,
and after that imports most of what is measured here. Names were checked against 0.26.0 and 0.32.0.
"""

import os


def register() -> None:
    """Called by vLLM once in the API server, the engine core and each worker; another call changes nothing."""
    if os.environ.get("BENCH_PROBE") != "1":
        return
    name_streamer_lines()
    if folder := os.environ.get("BENCH_PROBE_DIR"):
        from . import events

        if events.open_in(folder):
            with events.guarded("the probe was not set up"):
                measure()


def name_streamer_lines() -> None:
    """Let Run:ai Model Streamer's own lines reach the log, with the process that they come from.

    To 0.15.0 it prints them; 0.15.1 to 0.16.1 log them to a logger without a handler; 0.17 shows them without a pid, so
    that the ranks cannot be distinguished. It takes a handler with this mark for its own and adds none (its
    `__init__.py`). Nothing is imported: the logger is only named.
    """
    import logging

    handler = logging.StreamHandler()
    handler._runai_stderr_handler = True  # type: ignore[attr-defined]  # noqa: SLF001  # the mark that it looks for
    handler.setFormatter(logging.Formatter("(%(processName)s pid=%(process)d) %(asctime)s [%(levelname)s] %(message)s"))
    logger = logging.getLogger("runai_model_streamer")
    if not logger.handlers:
        logger.addHandler(handler)
        logger.propagate = False


def measure() -> None:
    """Each row: a module of vLLM's, and what is done to it once it is imported."""
    from . import effective, engine, events, hooks, loaders, workers

    if events.process_kind() == "model_inspection":  # looks at the model's class in a process of its own, and ends
        return
    effective.write()
    loading = "vllm.model_executor.model_loader"
    hooks.after_import(f"{loading}.utils", loaders.measure_processing)
    hooks.after_import(f"{loading}.weight_utils", loaders.measure_iterators)
    hooks.after_import(f"{loading}.base_loader", loaders.measure_loaders)
    hooks.after_import(loading, loaders.measure_exported)
    hooks.after_import("vllm.v1.worker.worker_base", workers.measure_workers)
    hooks.after_import("vllm.v1.worker.gpu_model_runner", workers.measure_capture)
    hooks.after_import("vllm.v1.worker.gpu.model_runner", workers.measure_capture)  # the second version
    hooks.after_import("vllm.compilation.monitor", workers.measure_compile)
    hooks.after_import("vllm.engine.arg_utils", engine.measure_config)
    hooks.after_import("vllm.v1.engine.async_llm", engine.measure_client)
    hooks.after_import("vllm.v1.engine.core", engine.measure_engine_core)
