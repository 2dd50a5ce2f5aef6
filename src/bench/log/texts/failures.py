"""What vLLM, Python and argparse print of an accident."""

import re

from bench.log.texts import ELSEWHERE, Text

EXCEPTION = re.compile(
    r"^(?P<kind>(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Failure)|Exception"
    r"|(?:[A-Za-z_]\w*\.)+(?:\w*Failed|\w*Timeout|\w*NotFound|Unsupported|OutOfResources))(?:: ?(?P<message>.*))?$"
)
USAGE = re.compile(r"^(?:\S+ -m )?\S*(?:api_server|vllm|\bmain\.py)\S*(?: \w+)?: error: (?P<message>.+)$")
# clap, the Rust frontend's: the value is a JSON of all arguments, some of which are secret. What is wrong stands behind it, or in a list.
# fmt: off
BAD_VALUE = Text("error: invalid value '", "error: invalid value '{\"model\": \"tiny\"}' for '--args-json <JSON>': unknown field", ELSEWHERE)
CLAP = re.compile(r".*' for '(?P<option>--[\w-]{1,100}(?: [^']{1,100})?)': ?(?P<why>.*)$")
OF_RUST = (  # one is in what it prints
    Text("'--args-json", "error: invalid value '{\"model\": \"tiny\"}' for '--args-json <JSON>': unknown field", ELSEWHERE),
    Text("in Rust frontend yet", "The following arguments are not implemented in Rust frontend yet:", ELSEWHERE),
)
VALIDATION = re.compile(r"^\d+ validation errors? for \S+$")  # pydantic: the indented lines after it say what
REPLACED = Text("During handling of the above exception, another exception occurred", "During handling of the above exception, another exception occurred:", ELSEWHERE)

# Of the endings' tables too.
DIED = Text("died unexpectedly", ":56:02 [multiproc_executor.py:315] Worker proc VllmWorker-0 died unexpectedly (exit code: None), shutting down executor.", "recorded 0.32.0")
ENGINE_FAILS = Text("EngineCore encountered a fatal error", "ERROR 11-24 16:38:27 [core.py:634] EngineCore encountered a fatal error.", "recorded 0.9.1 - 0.32.0")  # in its loop: it was up
API_SERVERS_FAIL = Text("Exception occurred while running API servers", "Exception occurred while running API servers: Process RustFrontend (PID: 353) died with exit code 2", ELSEWHERE)

TRACEBACK_BEGINS = Text("Traceback (most recent call last)", "(EngineCore pid=2052) ERROR 11-24 16:46:33 [core.py:1099] Traceback (most recent call last):", "recorded 0.8.5 - 0.32.0")

# What a process prints of another that is gone.
GONE = (
    Text("Engine core initialization failed", '(APIServer pid=25090)     raise RuntimeError("Engine core initialization failed. "', "recorded 0.10.1.1 - 0.32.0"),
    Text("Frontend process failed during engine core initialization", "RuntimeError: Frontend process failed during engine core initialization. See root cause above.", ELSEWHERE),
    Text("WorkerProc initialization failed", "(EngineCore pid=5420) ERROR 11-24 16:54:51 [core.py:1510] Exception: WorkerProc initialization failed due to an exception in a bac", "recorded 0.11.2 - 0.32.0"),
    Text("Engine process failed to start", "RuntimeError: Engine process failed to start. See stack trace for the root cause.", "recorded 0.8.5"),
    Text("EngineCore encountered an issue", "sync_llm.py:416] vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.", "recorded 0.9.1 - 0.32.0"),
    DIED,
    Text("died with exit code", "RuntimeError: Process RustFrontend (PID: 353) died with exit code 2", ELSEWHERE),
    Text("Connection closed by peer", "RuntimeError: Connection closed by peer", ELSEWHERE),
    Text("Connection reset by peer", "RuntimeError: [gloo/transport/tcp/pair.cc:547] Connection reset by peer", ELSEWHERE),
    Text("remote process exited", "DistBackendError: NCCL error: remote process exited or there was a network error", ELSEWHERE),
)
# The same, and what it prints when it has to go itself: not of an accident of its own.
ECHOES = (
    *GONE,
    Text("EngineDeadError", "ERROR 11-24 16:38:27 [async_llm.py:416] vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trac", "recorded 0.9.1 - 0.32.0"),
    Text("See root cause above", "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}", "recorded 0.10.1.1 - 0.32.0"),
    Text("See stack trace", "RuntimeError: Engine process failed to start. See stack trace for the root cause.", "recorded 0.8.5 - 0.32.0"),
    Text("please check the stack trace above", "with error 'No module named 'intel_extension_for_pytorch'', please check the stack trace above for the root cause", "recorded 0.9.1 - 0.11.0"),
    Text("RuntimeError: cancelled", "RuntimeError: cancelled", ELSEWHERE),
    Text("CancelledError", "asyncio.exceptions.CancelledError", ELSEWHERE),
    Text("The Inner error is reported as above", "RuntimeError: The Inner error is reported as above. The process exits for this inner error", ELSEWHERE),
    Text("KeyboardInterrupt", "KeyboardInterrupt: terminated", ELSEWHERE),
    Text("SystemExit", "(EngineCore_DP0 pid=28549)     raise SystemExit()", "recorded 0.11.0"),
    Text("EOFError", "EOFError: ran out of input", ELSEWHERE),
)

# The same of one that did not come up.
NOT_UP = (
    Text("EngineCore failed to st", "(EngineCore pid=2052) ERROR 11-24 16:46:33 [core.py:1099] EngineCore failed to start.", "recorded 0.10.1.1 - 0.32.0"),
    Text("WorkerProc failed to st", "ERROR 11-24 16:40:52 [multiproc_executor.py:743] WorkerProc failed to start.", "recorded 0.11.2 - 0.32.0"),
)
# What vLLM prints above the traceback that ends a process; a log may end in the word. Exceptions before it may have been survived.
ANCHORS = (
    *NOT_UP,
    Text("EngineCore hit an exception", "ERROR 11-24 02:54:00 [core.py:1] EngineCore hit an exception: Traceback (most recent call last):", ELSEWHERE),
    ENGINE_FAILS,
    Text("WorkerProc hit an exception", "(Worker_TP1 pid=28000) ERROR 11-24 16:29:32 [multiproc_executor.py:671] WorkerProc hit an exception.", "recorded 0.9.1 - 0.11.0"),
    Text("WorkerProc failed.", "ERROR 11-24 02:54:00 [multiproc_executor.py:1] WorkerProc failed.", ELSEWHERE),
    API_SERVERS_FAIL,
    Text("Exception in worker VllmWorkerProcess while processing method", "27454) ERROR 11-24 16:27:04 [multiproc_worker_utils.py:238] Exception in worker VllmWorkerProcess while processing method init_device.", "recorded 0.8.5"),
    Text("Error executing method", "Error executing method 'load_model'. This might cause deadlock in distributed execution.", ELSEWHERE),
)

# What a process prints above the traceback of an exception that it goes on after. Source: the logger.exception calls of vllm 0.26.0 that a
# start gets past, where the words are no other's.
SURVIVED = (
    Text("Chat template warmup failed", "(APIServer pid=2632) ERROR 11-24 16:48:20 [serving.py:214] Chat template warmup failed", "recorded 0.14.1 - 0.17.1"),
    Text("Failed to collect processor kwargs", "ERROR 11-24 02:54:00 [processor.py:1] Failed to collect processor kwargs", ELSEWHERE),
    Text("Failed to collect TPU information", "ERROR 11-24 02:54:00 [usage_lib.py:1] Failed to collect TPU information", ELSEWHERE),
    Text("ST projector loading failed", "ERROR 11-24 02:54:00 [adapters.py:1] ST projector loading failed", ELSEWHERE),
    Text("Error saving model info cache", "ERROR 11-24 02:54:00 [registry.py:1] Error saving model info cache.", ELSEWHERE),
    Text("Error during atomic write", "ERROR 11-24 02:54:00 [registry.py:1] Error during atomic write", ELSEWHERE),
)
# A program that runs has none of its own: it is of another cell of a notebook.
OF_A_CELL = {"SyntaxError", "IndentationError", "TabError"}

# One is in each line that any of the above can match, or that a traceback has: how wide its lines are.
SUSPECT = (
    Text("rror", "OSError: [Errno 98] Address already in use", "recorded 0.8.5 - 0.32.0"),
    Text("Exception", "(EngineCore_DP0 pid=28549) Exception ignored in atexit callback: <bound method finalize._exitfunc of <class 'weakref.finalize'>>", "recorded 0.8.5 - 0.32.0"),
    Text("exception", "The above exception was the direct cause of the following exception:", "recorded 0.8.5 - 0.32.0"),
    Text("Exit", "(EngineCore_DP0 pid=28549)     raise SystemExit()", "recorded 0.11.0"),
    Text("Interrupt", "KeyboardInterrupt: terminated", ELSEWHERE),
    Text("Failure", "torch.distributed.elastic.multiprocessing.errors.ChildFailure", ELSEWHERE),
    Text("Failed", 'WARNING 11-24 16:20:26 [_custom_ops.py:20] Failed to import from vllm._C with ImportError("/lib/x86_64-linux-gnu/libstdc++.so.6: version `GL', "recorded 0.10.1.1 - 0.32.0"),
    Text("failed", "(Worker pid=5051) ERROR 11-24 02:15:51 [multiproc_executor.py:953] WorkerProc failed to start.", "recorded 0.8.5 - 0.32.0"),
    Text("Timeout", "TimeoutError: Timed out waiting for engine core processes to start.", ELSEWHERE),
    Text("NotFound", "ERROR 11-24 16:38:27 [core.py:634] ModuleNotFoundError: No module named 'intel_extension_for_pytorch'", "recorded 0.9.1 - 0.32.0"),
    Text("Unsupported", "torch._dynamo.exc.Unsupported: call_function", ELSEWHERE),
    Text("OutOf", "torch.OutOfMemoryError: CUDA out of memory.", ELSEWHERE),
    Text('  File "', '  File "<frozen runpy>", line 198, in _run_module_as_main', "recorded 0.8.5 - 0.32.0"),
)
