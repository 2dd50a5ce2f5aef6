"""What a start prints that shows how far it came, or that one of its processes is gone: the texts that outcome.py looks for. Pure."""

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


LLM_IS_MADE = re.compile(r"\bllm\.py:\d+\] Supported[_ ]tasks: ")  # the last that LLM() prints, from 0.10.1

MARKERS = (
    *SERVING,
    *IN_USE,
    *LOADING,
    *OF_A_SERVER,
    ENGINE_DONE,
    "Supported",
    *SIGNS,
    "died unexpectedly",
    "died, exit",
    "Killed",
    "Terminated",
    "ERROR: ",
)
