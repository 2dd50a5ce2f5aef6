"""What a start prints that shows how far it came, or that one of its processes is gone: the texts that log/outcome.py looks for. Pure."""

import re

ENGINE_DONE = "init engine (profile"
# Somebody uses the engine, or the one who recorded the log waited for it.
IN_USE = ("Processed prompts:", "Adding requests:", "Rendering prompts:", "BENCHMARK_READY_SECONDS")
SERVING = (
    "Application startup complete",
    "Uvicorn running on",
    'HTTP/1.1" 200',
    "Avg prompt throughput:",
    "vLLM gRPC server started on",
    "OpenAI server is ready to accept requests",  # the Rust frontend's, as is the next
    "Avg prompt tput:",
)
STARTING = (
    "Starting vLLM API server",
    "Starting vLLM server",
    "Available routes are",
    "Started server process",
    "Waiting for application startup",
)
# What an engine prints that is not up yet.
LOADING = ("Initializing a V", "Initializing an LLM engine", "Starting to load model")
# What only a server prints. LLM() prints none of it.
OF_A_SERVER = (
    *STARTING,
    "API server version",
    "vLLM server version",
    "gRPC server",
    "Started engine process with PID",
    "api_server.py:",  # where a line comes from; a traceback has a quote before its colon
    "serving_chat.py:",
    "serving_completion.py:",
    'vllm/entrypoints/openai/api_server.py", line',  # a traceback's, as is the next
    'vllm/entrypoints/launchers/api_server/entry.py", line',
    "in run_multi_api_server",
    "'model_tag': ",  # arguments of `vllm serve`, which LLM() does not know
    "'api_server_count': ",
    "Launching Rust frontend",
    "API server processes",
    "Waiting for API servers to complete",
    "Exception occurred while running API servers",
)

# Who died, or was told to, without an exception of its own.
SIGNS = (
    "trigger received signal=SIG",
    "received SIGTERM",
    "Received SIGTERM",
    "Received SIGINT",
    "Fatal Python error:",
    "Segmentation fault",
    "Segfault encountered",
    "*** SIGSEGV received",
    "*** SIGABRT received",
    "*** SIGBUS received",
    "terminate called after throwing",
    "collective operation timeout",
    "got fatal signal from worker processes",  # V1's, to 0.8
    "Got fatal signal from worker processes",
    "oom-kill",
    "OOMKilled",
    "Out of memory: Killed process",
    "terminated with exit code 137",
)
# Not every death: Python warns of its resource tracker's in the same words, and goes on.
DEATH = re.compile(
    r"(?:Worker proc|Engine core proc(?:ess)?|RayWorkerProc) \S+ died unexpectedly|Worker \w+ pid \d+ died, exit code: -?\d"
)
# Alone on its line, or with the job and the command that it was.
OF_THE_SHELL = re.compile(
    r"^(?:Killed|Terminated)(?:: \d+)?\s*$|^(?:\S+: line \d+: +\d+ |\[\d+\][+-]? +(?:\d+ )?)(?:Killed|Terminated)\b"
)
OF_UVICORN = re.compile(r"^ERROR: +(?P<words>\[Errno 98\].*|Application startup failed.*)")


# What torch_npu's watchdog says of the call that failed; the processes only say that somebody did.
OF_AN_NPU = re.compile(r"\[ERROR\].{0,500}\b(?P<words>NPU function error: .*)")

LLM_IS_MADE = re.compile(r"\bllm\.py:\d+\] Supported[_ ]tasks: ")  # the last that LLM() prints, from 0.10.1

MARKERS = (
    *SERVING,
    *IN_USE,
    *LOADING,
    *OF_A_SERVER,
    ENGINE_DONE,
    "Supported",
    *SIGNS,
    "NPU function error: ",
    "died unexpectedly",
    "died, exit",
    "Killed",
    "Terminated",
    "ERROR: ",
)
