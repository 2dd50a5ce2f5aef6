"""What vLLM, Python and argparse print of an accident: the texts and patterns that log/failure.py looks for. Pure."""

import re

EXCEPTION = re.compile(
    r"^(?P<kind>(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Failure)|Exception"
    r"|(?:[A-Za-z_]\w*\.)+(?:\w*Failed|\w*Timeout|\w*NotFound|Unsupported|OutOfResources))(?:: ?(?P<message>.*))?$"
)
USAGE = re.compile(r"^(?:\S+ -m )?\S*(?:api_server|vllm)\S*(?: \w+)?: error: (?P<message>.+)$")
# clap, the Rust frontend's: the value is a JSON of all arguments, some of which are secret. It says what is wrong behind it, or in a list.
BAD_VALUE = "error: invalid value '"
CLAP = re.compile(r".*' for '(?P<option>--[\w-]{1,100}(?: [^']{1,100})?)': ?(?P<why>.*)$")
OF_RUST = ("'--args-json", "in Rust frontend yet")  # one is in what it says
VALIDATION = re.compile(r"^\d+ validation errors? for \S+$")  # pydantic: the indented lines after it say what
REPLACED = "During handling of the above exception, another exception occurred"

# What a process says of another that is gone, or when it is told to go: not of an accident of its own.
ECHOES = (
    "Engine core initialization failed",
    "Frontend process failed during engine core initialization",
    "WorkerProc initialization failed",
    "Engine process failed to start",
    "EngineCore encountered an issue",
    "EngineDeadError",
    "died unexpectedly",
    "died with exit code",
    "See root cause above",
    "See stack trace",
    "please check the stack trace above",
    "Connection closed by peer",
    "Connection reset by peer",
    "remote process exited",
    "RuntimeError: cancelled",
    "CancelledError",
    "The Inner error is reported as above",  # torch_npu's: of a call that another thread told of
    "KeyboardInterrupt",
    "SystemExit",
    "EOFError",
)

# What vLLM prints above the traceback that ends a process. Exceptions before it may have been survived.
ANCHORS = (
    "EngineCore failed to st",  # to start: a log may end in the word
    "EngineCore hit an exception",
    "EngineCore encountered a fatal error",
    "WorkerProc failed to st",
    "WorkerProc hit an exception",
    "WorkerProc failed.",
    "Exception occurred while running API servers",
    "Exception in worker VllmWorkerProcess while processing method",  # the V0 engine's, as is the next
    "Error executing method",
)

# What a process says above the traceback of an exception that it goes on after. Source: the logger.exception calls of vllm 0.26.0 that a
# start gets past, where the words are no other's.
SURVIVED = (
    "Chat template warmup failed",  # 0.14 to 0.17, of a model without a template
    "Failed to collect processor kwargs",
    "Failed to collect TPU information",
    "ST projector loading failed",
    "Error saving model info cache",
    "Error during atomic write",
)
# A program that runs has none of its own: it is of another cell of a notebook.
OF_A_CELL = {"SyntaxError", "IndentationError", "TabError"}

SUSPECT = (
    "rror",
    "Exception",
    "exception",
    "Exit",
    "Interrupt",
    "Failure",
    "Failed",
    "failed",
    "Timeout",
    "NotFound",
    "Unsupported",
    "OutOf",
    '  File "',  # of a traceback: how wide its lines are
)
