"""What a start prints that shows how far it came, or that one of its processes is gone."""

import re

from bench.log.texts import ELSEWHERE, Text
from bench.log.texts.failures import API_SERVERS_FAIL, DIED, ENGINE_FAILS
from bench.log.texts.phases import (
    ENGINE_BEGINS,
    ENGINE_BEGINS_V0,
    LOADING_MODEL,
    READY_SECONDS,
    SERVER_STARTS,
    SERVER_STARTS_API,
)

# fmt: off
# A server's, and an LLM()'s that was asked for statistics.
THROUGHPUT = Text("Avg prompt throughput:", "INFO 11-24 16:34:05 [metrics.py:486] Avg prompt throughput: 0.7 tokens/s, Avg generation throughput: 0.1 tokens/s, Running: 1 reqs, Swapped:", "recorded 0.8.5")
# Somebody uses the engine, or the one who recorded the log waited for it.
IN_USE = (
    Text("Processed prompts:", "Processed prompts:   0%|          | 0/1 [00:00<?, ?it/s, est. speed input: 0.00 toks/s, output: 0.00 toks/s]", "recorded 0.26.0 - 0.32.0"),
    Text("Adding requests:", "Adding requests:   0%|          | 0/1 [00:00<?, ?it/s]", ELSEWHERE),
    Text("Rendering prompts:", "Rendering prompts:   0%|          | 0/1 [00:00<?, ?it/s]", "recorded 0.26.0 - 0.32.0"),
    THROUGHPUT,
    READY_SECONDS,
)
# The Rust frontend's texts too. First those of a server that begins to serve.
BEGINS_TO_SERVE = (
    Text("Application startup complete", "INFO:     Application startup complete.", "recorded 0.8.5 - 0.32.0"),
    Text("Uvicorn running on", "INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)", ELSEWHERE),
    Text("vLLM gRPC server started on", "INFO 11-24 02:56:48 [grpc_server.py:1] vLLM gRPC server started on 0.0.0.0:50051", ELSEWHERE),
    Text("OpenAI server is ready to accept requests", "[lib.rs:9] OpenAI server is ready to accept requests", ELSEWHERE),
)
SERVING = (
    *BEGINS_TO_SERVE,
    Text('HTTP/1.1" 200', 'INFO:     127.0.0.1:41322 - "GET /health HTTP/1.1" 200 OK', "recorded 0.8.5 - 0.32.0"),
    # uvicorn's, of a server that has served.
    Text("Waiting for application shutdown", "INFO:     Waiting for application shutdown.", "recorded 0.8.5 - 0.32.0"),
    Text("Application shutdown complete", "INFO:     Application shutdown complete.", "recorded 0.8.5 - 0.32.0"),
    Text("Finished server process", "(APIServer pid=4073) INFO:     Finished server process [4073]", "recorded 0.8.5 - 0.32.0"),
    Text("Avg prompt tput:", "[log_stats.rs:2] Avg prompt tput: 1.0 toks/s", ELSEWHERE),
)
# A request, or that there may be one, where the engine is up: of any host of it, which may have no server of vLLM's. A dump is of a request that failed.
REQUESTS = (
    Text("Received request ", "INFO 11-24 16:38:27 [logger.py:41] Received request cmpl-66f77db8c8834164a2c58b866d231059-0: prompt: 'Hello', param", "recorded 0.8.5 - 0.10.0"),
    Text("Added request ", "INFO 11-24 16:38:27 [async_llm.py:269] Added request cmpl-66f77db8c8834164a2c58b866d231059-0.", "recorded 0.8.5 - 0.10.0"),
    Text("Dumping input data for ", "ERROR 11-24 16:38:27 [dump_input.py:69] Dumping input data for V1 LLM engine (v0.10.0) with config: model='/models/tiny_", "recorded 0.10.0 - 0.11.0"),
    Text("Dumping scheduler output for ", "ERROR 11-24 16:38:27 [dump_input.py:76] Dumping scheduler output for model execution: SchedulerOutput(scheduled_new_reqs", "recorded 0.9.1 - 0.11.0"),
    ENGINE_FAILS,
    Text(" -- POST /", "(ServeReplica:llm:LLMServer pid=9) INFO 2026-11-24 02:57:01,123 llm_LLMServer x1 -- POST /v1/completions 500 12.3ms", ELSEWHERE),
    Text('HTTP/1.1" ', 'INFO:     127.0.0.1:41322 - "GET /health HTTP/1.1" 200 OK', "recorded 0.8.5 - 0.32.0"),
    Text("Request failed.", "(ServeReplica:llm:LLMServer pid=9) ERROR 2026-11-24 02:58:00,123 llm_LLMServer abc 9f21 -- Request failed.", ELSEWHERE),
    # Hosts of an engine, which print it when it is up.
    Text("Started vLLM engine", "(ServeReplica:llm:LLMServer pid=9) INFO 2026-11-24 02:57:00,100 llm_LLMServer x1 -- Started vLLM engine.", ELSEWHERE),
    Text("Started HTTPService at", 'I1124 02:57:00.100000 1 http_server.cc:4755] "Started HTTPService at 0.0.0.0:8000"', ELSEWHERE),
    Text("Started GRPCInferenceService at", 'I1124 02:57:00.100000 1 grpc_server.cc:2463] "Started GRPCInferenceService at 0.0.0.0:8001"', ELSEWHERE),
    # Frames of what an engine is asked for. None is of its start: vLLM warms up below these.
    *(
        Text(f", in {name}", f'  File "/lib/vllm/v1/engine/async_llm.py", line 400, in {name}', ELSEWHERE)
        for name in (
            "generate", "_generate", "add_request", "_add_request", "_validate_and_add_requests", "_render_and_add_requests", "create_chat_completion",
            "create_completion", "create_messages", "create_responses", "create_embedding", "create_pooling", "create_score", "create_transcription",
            "create_translation",
        )
    ),
    Text(" -- CALL ", "(ServeReplica:llm:LLMServer pid=9) INFO 2026-11-24 02:57:01,123 llm_LLMServer x1 -- CALL chat OK 12.3ms", ELSEWHERE),
)
FRAME_OF_ANOTHER = re.compile(r'File "[^"]{0,500}/(?:torch|transformers|triton)/')  # torch's compiler generates code
STARTING = (
    SERVER_STARTS_API,
    SERVER_STARTS,
    Text("Available routes are", "INFO 11-24 16:38:27 [launcher.py:29] Available routes are:", "recorded 0.8.5 - 0.32.0"),
    Text("Started server process", "INFO:     Started server process [6760]", "recorded 0.8.5 - 0.32.0"),
    Text("Waiting for application startup", "INFO:     Waiting for application startup.", "recorded 0.8.5 - 0.32.0"),
)
# What an engine prints that is not up yet.
LOADING = (ENGINE_BEGINS, ENGINE_BEGINS_V0, LOADING_MODEL)
# What only a server prints, in its text or as the source of a line; LLM() does not know the two arguments.
OF_A_SERVER = (
    *STARTING,
    Text("API server version", "INFO 11-24 16:33:05 [api_server.py:1043] vLLM API server version 0.8.5", "recorded 0.8.5 - 0.14.1"),
    Text("vLLM server version", "(APIServer pid=4) INFO 11-24 02:56:27 [api_utils.py:325] vLLM server version 0.20.2, serving model tiny", ELSEWHERE),
    Text("gRPC server", "INFO 11-24 02:56:40 [grpc_server.py:1] vLLM gRPC server version 0.15.0", ELSEWHERE),
    Text("Started engine process with PID", "INFO 11-24 16:32:35 [api_server.py:246] Started engine process with PID 29395", "recorded 0.8.5"),
    Text("api_server.py:", "api_server.py: error: unrecognized arguments: --no-such-flag", "recorded 0.8.5 - 0.32.0"),
    Text("serving_chat.py:", "(APIServer pid=411) INFO 11-24 16:43:25 [serving_chat.py:182] Warming up chat template processing...", "recorded 0.14.1"),
    Text("[serving_", "(APIServer pid=411) INFO 11-24 16:43:25 [serving_chat.py:182] Warming up chat template processing...", "recorded 0.14.1"),
    Text("serving_completion.py:", "INFO 11-24 02:56:48 [serving_completion.py:67] Using default completion sampling params from model: {}", ELSEWHERE),
    Text('vllm/entrypoints/openai/api_server.py", line', '  File "/opt/vllm/0.28.0/lib/python3.11/site-packages/vllm/entrypoints/openai/api_server.py", line 29, in <module>', "recorded 0.8.5 - 0.32.0"),
    Text('vllm/entrypoints/launchers/api_server/entry.py", line', '  File "/opt/vllm/0.32.0/lib/python3.11/site-packages/vllm/entrypoints/launchers/api_server/entry.py", line 232, in main', "recorded 0.32.0"),
    Text("in run_multi_api_server", '  File "/lib/vllm/entrypoints/cli/serve.py", line 36, in run_multi_api_server', ELSEWHERE),
    Text("'model_tag': ", "INFO 11-24 02:56:27 [utils.py:233] non-default args: {'model_tag': 'tiny', 'model': 'tiny', 'max_model_len': 512}", ELSEWHERE),
    Text("'api_server_count': ", "INFO 11-24 02:56:27 [utils.py:233] non-default args: {'api_server_count': 2, 'model': 'tiny'}", ELSEWHERE),
    Text("Launching Rust frontend", "INFO 11-24 02:56:27 [utils.py:370] Launching Rust frontend: /vllm/vllm-rs frontend --listen-fd 15", ELSEWHERE),
    Text("API server processes", "INFO 11-24 02:56:27 [utils.py:261] Started 4 API server processes", ELSEWHERE),
    Text("Waiting for API servers to complete", "INFO 11-24 02:56:27 [utils.py:502] Waiting for API servers to complete ...", ELSEWHERE),
    API_SERVERS_FAIL,
)
SERVER_NAMES = ("APIServer", "ApiServer", "RustFrontend")  # what the names of processes that answer requests begin with
ACCESS_FAULT = Text("Memory access fault by GPU", "Memory access fault by GPU node-2 (Agent handle: 0x55) on address 0x7f. Reason: Page not present or supervisor privilege.", ELSEWHERE)
# Who died, or had to, without an exception of its own.
CRASHED = (
    Text("Fatal Python error:", "Fatal Python error: Segmentation fault", ELSEWHERE),
    Text("Segmentation fault", "Segmentation fault (core dumped)", ELSEWHERE),
    Text("Segfault encountered", "!!!!!!! Segfault encountered !!!!!!!", ELSEWHERE),
    Text("*** SIGSEGV received", "(RayWorkerWrapper pid=9) *** SIGSEGV received at time=1762945937 on cpu 6 ***", ELSEWHERE),
    Text("*** SIGABRT received", "*** SIGABRT received at time=1762945937 on cpu 6 ***", ELSEWHERE),
    Text("*** SIGBUS received", "*** SIGBUS received at time=1762945937 on cpu 6 ***", ELSEWHERE),
    ACCESS_FAULT,
    Text("terminate called after throwing", "terminate called after throwing an instance of 'c10::Error'", ELSEWHERE),
)
OF_WORKERS = (
    Text("got fatal signal from worker processes", "CRITICAL 11-24 17:24:18 [x.py:48] MulitprocExecutor got fatal signal from worker processes, shutting down.", ELSEWHERE),
    Text("Got fatal signal from worker processes", "CRITICAL 11-24 17:24:18 [x.py:269] Got fatal signal from worker processes, shutting down.", ELSEWHERE),
)
OUT_OF_MEMORY = (
    Text("oom-kill", "Nov 24 02:47:32 host kernel: oom-kill:constraint=CONSTRAINT_NONE,task=vllm,pid=41", ELSEWHERE),
    Text("OOMKilled", "    Reason:       OOMKilled", ELSEWHERE),
    Text("oom_kill event", "slurmstepd: error: Detected 1 oom_kill event in StepId=123.0. Some of the step tasks have been OOM Killed.", ELSEWHERE),
    Text(": Out Of Memory", "srun: error: gpu-1: task 0: Out Of Memory", ELSEWHERE),
    Text("killed by the OOM killer", "Nov 24 02:47:32 host systemd[1]: vllm.service: A process of this unit has been killed by the OOM killer.", ELSEWHERE),
    Text("Memory cgroup out of memory: Killed process", "Nov 24 02:47:32 host kernel: Memory cgroup out of memory: Killed process 41 (vllm) total-vm:1kB", ELSEWHERE),
    Text("TERM_MEMLIMIT", "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit.", ELSEWHERE),
)
# Somebody ended it, or a scheduler.
STOPPED = (
    Text("trigger received signal=SIG", "(EngineCore pid=806) INFO 11-24 02:45:15 [core.py:1313] [shutdown] EngineCore: trigger received signal=SIGTERM", "recorded 0.23.0 - 0.32.0"),
    Text("received SIGTERM", "INFO 11-24 02:56:48 [launcher.py:1] Worker received SIGTERM, shutting down", ELSEWHERE),
    Text("Received SIGTERM", "Received SIGTERM, exiting", ELSEWHERE),
    Text("Received SIGINT", "Received SIGINT, exiting", ELSEWHERE),
    Text("SIGTERM received", "SIGTERM received, stopping", ELSEWHERE),
    Text("got SIGTERM", "entrypoint: got SIGTERM", ELSEWHERE),
    Text("was sent SIGKILL", "Worker (pid:353) was sent SIGKILL! Perhaps out of memory?", ELSEWHERE),
    Text("CANCELLED AT ", "slurmstepd: error: *** JOB 353 ON gpu-1 CANCELLED AT 2026-11-24T02:56:48 DUE TO TIME LIMIT ***", ELSEWHERE),
    Text("failed liveness probe", "Container vllm failed liveness probe, will be restarted", ELSEWHERE),
    Text("failed startup probe", "Container vllm failed startup probe, will be restarted", ELSEWHERE),
)
# For what a start waits that nothing may ever end, until somebody ends the start.
WAITING = (
    Text("Waiting for creating a placement group", "INFO 11-24 02:56:48 [ray_utils.py:336] Waiting for creating a placement group of specs for 10 seconds. specs=[{'GPU': 1.0}]. Check `ray status`", ELSEWHERE),
    Text("Waiting for removing a placement group", "INFO 11-24 02:56:48 [ray_utils.py:380] Waiting for removing a placement group of specs for 10 seconds. specs=[{'GPU': 1.0}]", ELSEWHERE),
    Text("Error: No available node types can fulfill resource request", "(autoscaler +1m2s) Error: No available node types can fulfill resource request {'GPU': 1.0}.", ELSEWHERE),
    Text("The client socket has failed to connect to", "[W1124 02:56:48.1 socket.cpp:752] [c10d] The client socket has failed to connect to [node-0]:29500 (errno: 111 - Connection refused).", ELSEWHERE),
    Text("The client socket has timed out", "[W1124 02:56:48.1 socket.cpp:752] [c10d] The client socket has timed out after 600s while trying to connect to (node-0, 29500).", ELSEWHERE),
    Text("No available shared memory broadcast block found", "INFO 11-24 02:56:48 [shm_broadcast.py:466] No available shared memory broadcast block found in 60 second.", ELSEWHERE),
)
HUNG = Text("collective operation timeout", "[rank0]:[E ProcessGroupNCCL.cpp:616] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=1)", ELSEWHERE)
SIGNS = (
    *CRASHED, *OF_WORKERS, *OUT_OF_MEMORY, *STOPPED, HUNG,
    Text("Out of memory: Killed process", "Nov 24 02:47:32 host kernel: Out of memory: Killed process 41 (vllm) total-vm:1kB", ELSEWHERE),
    Text("terminated with exit code 137", "command terminated with exit code 137", ELSEWHERE),
)
# Not every death: Python warns of its resource tracker's in the same words, and goes on.
DEATH = re.compile(
    r"(?:Worker proc|Engine core proc(?:ess)?|RayWorkerProc) \S+ died unexpectedly|Worker \w+ pid \d+ died, exit code: -?\d"
)
# Alone on its line, or with the job and the command that it was, or the task.
OF_THE_SHELL = re.compile(
    r"^(?:Killed|Terminated)(?:: \d+)?\s*$|^srun: error: \S+: tasks? [\d,-]+: (?:Killed|Terminated)\b|^(?:\S+: line \d+: +\d+ |\[\d+\][+-]? +(?:\d+ )?)(?:Killed|Terminated)\b"
)
OF_UVICORN = re.compile(r"^ERROR: +(?P<words>\[Errno 98\].*|Application startup failed.*)")


# What torch_npu's watchdog prints of the call that failed; the processes only print that one did.
OF_AN_NPU = re.compile(r"\[ERROR\].{0,500}\b(?P<words>NPU function error: .*)")

LLM_IS_MADE = re.compile(r"\bllm\.py:\d+\] Supported[_ ]tasks: ")  # the last that LLM() prints, from 0.10.1

# In each line that one of the patterns above can match.
PATTERN_TEXTS = (
    Text("Supported", "(APIServer pid=6760) INFO 11-24 16:58:24 [entry.py:136] Supported tasks: ['generate']", "recorded 0.10.1.1 - 0.32.0"),
    Text("NPU function error: ", "NPU function error: g(), error code is 507", ELSEWHERE),
    DIED,
    Text("died, exit", "ERROR 11-24 16:34:06 [multiproc_worker_utils.py:120] Worker VllmWorkerProcess pid 29680 died, exit code: -9", "recorded 0.8.5"),
    Text("Killed", "bash: line 1:   812 Killed                  vllm serve tiny", ELSEWHERE),
    Text("Terminated", "Terminated", ELSEWHERE),
    Text("ERROR: ", "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use", ELSEWHERE),
)
