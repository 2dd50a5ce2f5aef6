"""How a start ended, read from its log alone: recorded ones, and made-up ones in the words of vLLM's source."""

from pathlib import Path

import pytest

from bench.log.outcome import Ending
from bench.start.tags import outcome_tags
from read_lines import ending_of, read_log

TESTS = Path(__file__).parents[1]
LOGS = TESTS / "logs"

SERVER = "(APIServer pid=4) "
MAIN = "(MainProcess pid=4) "
CORE = "(EngineCore pid=5) "
WORKER = "(Worker_TP0 pid=7) "
OTHER_WORKER = "(Worker_TP1 pid=8) "
ASKED = f"{SERVER}INFO 11-24 02:56:27 [api_utils.py:286] non-default args: {{'model': 'tiny'}}"
INITIALIZING = (
    f"{CORE}INFO 11-24 02:56:36 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='tiny', "
)
LOADING = f"{WORKER}INFO 11-24 02:56:46 [gpu_model_runner.py:68] Starting to load model tiny..."
LOADED = f"{WORKER}INFO 11-24 02:56:46 [gpu_model_runner.py:99] Model loading took 1.0 GiB memory and 2.000000 seconds"
DONE = f"{CORE}INFO 11-24 02:56:47 [core.py:402] init engine (profile, create kv cache, warmup model) took 0.58 s"
LISTENING = f"{SERVER}INFO 11-24 02:56:48 [entry.py:140] Starting vLLM server on http://127.0.0.1:8123"
READY = "INFO:     Application startup complete."
SIGTERM = f"{CORE}INFO 11-24 02:56:49 [core.py:1454] [shutdown] EngineCore: trigger received signal=SIGTERM"
ECHO = f"{CORE}Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root cause."


def ending(*lines: str) -> Ending:
    return ending_of(read_log(line.encode() for line in lines))


def error(prefix: str, words: str) -> str:
    return f"{prefix}ERROR 11-24 02:56:46 [multiproc_executor.py:953] {words}"


@pytest.mark.parametrize("path", sorted((TESTS / "starts").rglob("vllm.log")), ids=lambda path: path.parent.name)
def test_the_outcome_of_a_start_that_bench_made(path):
    """They are servers, and all were ended by force afterwards."""
    with path.open("rb") as log:
        assert ending_of(read_log(log)) == Ending("ready")


@pytest.mark.parametrize("path", sorted(LOGS.rglob("*-tp1*.log")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_log_that_is_cut_is_never_ready_before_the_whole_one_is(path):
    """Cut at any line, a start is not yet ready, or as ready as it ever was; none has failed that did not."""
    lines = read_log(path.read_bytes().splitlines(keepends=True))
    whole = ending_of(lines).outcome
    found = [ending_of(lines[:end]).outcome for end in range(0, len(lines), 7)]

    assert set(found) <= {"incomplete", "server_starting", "ready_offline", whole}
    assert "failed" not in found or whole == "failed"


# How far it came.


@pytest.mark.parametrize("line", ["", "hello", ASKED, INITIALIZING, LOADING])
def test_a_log_that_just_ends_is_incomplete(line):
    """Nobody said that anything was wrong."""
    assert ending(line).outcome == "incomplete"


def test_an_incomplete_start_tells_what_it_was_doing():
    """The last stage that any of its processes opened."""
    assert ending(ASKED, INITIALIZING, LOADING) == Ending("incomplete", stage="loading weights")


def test_an_engine_without_a_server_is_ready_offline():
    """LLM() prints nothing more than its engine."""
    assert ending(INITIALIZING, LOADING, DONE) == Ending("ready_offline")


@pytest.mark.parametrize(
    "line",
    [
        "INFO 08-25 20:15:25 [llm.py:298] Supported_tasks: ['generate']",
        "INFO 10-28 13:27:51 [llm.py:337] Supported tasks: ['generate']",
        "Adding requests:   0%|          | 0/1 [00:00<?, ?it/s]",
        "Rendering prompts:   0%|          | 0/1 [00:00<?, ?it/s]",
    ],
)
def test_a_request_that_fails_is_not_the_start_of_llm(line):
    """The script's own exception ends the log."""
    assert ending(INITIALIZING, LOADING, DONE, line, "ValueError: no such image") == Ending("ready_offline")


def test_what_a_server_can_do_is_not_llm_s_last_word():
    """The API server says the same, before it opens its port."""
    line = f"{SERVER}INFO 09-25 13:40:51 [api_server.py:1618] Supported_tasks: ['generate']"

    assert ending(ASKED, DONE, line).outcome == "server_starting"


def test_a_server_whose_engine_is_up_is_still_starting():
    """Its log ends a moment too early."""
    assert ending(ASKED, INITIALIZING, DONE).outcome == "server_starting"
    assert ending(LISTENING).outcome == "server_starting"


@pytest.mark.parametrize(
    "line",
    [
        "INFO 04-01 10:00:00 [api_server.py:268] Started engine process with PID 128",
        "INFO 04-01 10:00:00 [serving_chat.py:117] Using default chat sampling params from model: {'top_p': 0.95}",
        "INFO 04-01 10:00:00 [serving_responses.py:89] Using default chat sampling params from model: {'top_p': 0.95}",
    ],
)
def test_a_server_is_known_by_any_line_of_its_own(line):
    """Up to 0.10.0 its process has no name, and an excerpt may lack its first and last words."""
    assert ending(line, DONE).outcome == "server_starting"
    assert ending(DONE, line).outcome == "server_starting"


@pytest.mark.parametrize(
    "line",
    [
        "INFO 11-24 02:56:27 [utils.py:233] non-default args: {'model_tag': 'tiny', 'model': 'tiny', 'max_model_len': 512}",
        "INFO 11-24 02:56:27 [utils.py:233] non-default args: {'api_server_count': 2, 'model': 'tiny'}",
        "INFO 11-24 02:56:27 [utils.py:370] Launching Rust frontend: /vllm/vllm-rs frontend --listen-fd 15",
        "INFO 11-24 02:56:27 [utils.py:261] Started 4 API server processes",
        "INFO 11-24 02:56:27 [utils.py:502] Waiting for API servers to complete ...",
        "(RustFrontend pid=9) INFO 11-24 02:56:27 [hf.rs:200] loading tokenizer",
        '  File "/lib/vllm/entrypoints/openai/api_server.py", line 88, in run_server',
        '  File "/lib/vllm/entrypoints/cli/serve.py", line 36, in run_multi_api_server',
    ],
)
def test_a_server_of_several_processes_or_in_rust_is_a_server(line):
    """Only what LLM() never prints tells it. Its end before it was ready is a failure, as any server's is."""
    gone = "RuntimeError: Process RustFrontend (PID: 353) died with exit code 2"

    assert ending(DONE, line).outcome == "server_starting"
    assert ending(line, DONE, gone) == Ending("failed", gone, "worker_died", "starting the server")
    assert ending(DONE, gone).outcome == "ready_offline"


def test_a_frontend_that_is_gone_is_a_failure_before_the_traceback_comes():
    """The log may end there."""
    words = "Exception occurred while running API servers: Process RustFrontend (PID: 353) died with exit code 2"

    assert ending(DONE, error("", words)) == Ending("failed", words, "worker_died", "starting the server")
    assert ending(DONE, error("", words), "ValueError: no").reason == "ValueError: no"


@pytest.mark.parametrize(
    "line", ["[lib.rs:9] OpenAI server is ready to accept requests", "[log_stats.rs:2] Avg prompt tput: 1.0 toks/s"]
)
def test_a_frontend_in_rust_is_ready_when_it_says_so_or_answers(line):
    """It has no uvicorn."""
    assert ending(INITIALIZING, DONE, f"(RustFrontend pid=9) INFO 11-24 02:57:01 {line}") == Ending("ready")


def test_a_server_s_file_in_a_traceback_makes_no_server():
    """A script's own may have that name."""
    assert ending('  File "/app/api_server.py", line 12, in <module>', DONE).outcome == "ready_offline"


@pytest.mark.parametrize(
    "line",
    [
        READY,
        'INFO:     127.0.0.1:57796 - "GET /health HTTP/1.1" 200 OK',
        f"{SERVER}INFO 11-24 02:57:48 [loggers.py:257] Engine 000: Avg prompt throughput: 1.0 tokens/s",
    ],
)
def test_a_server_is_ready_when_it_says_so_or_answers(line):
    """uvicorn's line can be missing, where its log level was raised."""
    assert ending(ASKED, INITIALIZING, DONE, LISTENING, line) == Ending("ready")


def test_an_llm_that_prints_statistics_is_no_server():
    """It was asked for them."""
    line = "INFO 11-24 02:57:48 [loggers.py:257] Engine 000: Avg prompt throughput: 1.0 tokens/s"

    assert ending(INITIALIZING, DONE, line) == Ending("ready_offline")
    assert ending(line) == Ending("ready")  # of a server, which prints them unasked: the log's beginning is not there


def test_another_server_that_was_ready_before_vllm_loaded_is_not_vllm():
    """A router or a supervisor in the same file says the same words as vLLM's server."""
    failed = [error(CORE, "EngineCore failed to start."), error(CORE, "ValueError: no weights")]

    assert ending(READY, ASKED, INITIALIZING, LOADING) == Ending("incomplete", stage="loading weights")
    assert ending(READY, ASKED, INITIALIZING, LOADING, *failed).outcome == "failed"
    assert ending(READY, INITIALIZING, LOADING, DONE, READY) == Ending("ready")


def test_a_server_that_is_ready_before_its_engine_is_heard_is_ready():
    """uvicorn writes to the other pipe, which may come first."""
    assert ending(ASKED, READY, INITIALIZING, LOADING, DONE) == Ending("ready")
    assert ending(READY, error(CORE, "ValueError: of a request")) == Ending("ready")
    dumped = error(CORE, "Dumping input data for V1 LLM engine (v0.10.2) with config: model='tiny'")
    assert ending(READY, dumped, error(CORE, "ValueError: of a request")) == Ending("ready")


def test_a_request_that_vllm_makes_itself_is_no_answer():
    """httpx logs the hub's answers in words like uvicorn's."""
    line = 'INFO:httpx:HTTP Request: HEAD https://huggingface.co/tiny/resolve/main/config.json "HTTP/1.1 200 OK"'

    assert ending(ASKED, line).outcome == "incomplete"


# What is no failure.


@pytest.mark.parametrize(
    "line",
    [
        SIGTERM,
        error(CORE, "RuntimeError: cancelled"),
        error(MAIN, "Engine core proc EngineCore_DP0 died unexpectedly, shutting down client."),
        f"{MAIN}WARNING 11-24 02:56:49 [utils.py:648] [shutdown] Process manager: force killing remaining processes count=1",
        "KeyboardInterrupt",
        "Killed",
    ],
)
@pytest.mark.parametrize("begun", [[ASKED, INITIALIZING, DONE, READY], [INITIALIZING, DONE]], ids=["server", "offline"])
def test_what_a_good_start_prints_when_it_is_ended_is_no_failure(begun, line):
    """It was up by then."""
    assert ending(*begun, line) in {Ending("ready"), Ending("ready_offline")}


def test_a_failure_after_a_server_was_ready_is_not_the_starts():
    """What a request did to it is another matter."""
    assert (
        ending(ASKED, DONE, READY, error(CORE, "RuntimeError: CUDA error: an illegal memory access")).outcome == "ready"
    )


def test_an_exception_that_its_process_survives_is_no_failure():
    """It goes on to load, so it did not die of a package that it has looked for."""
    lines = [INITIALIZING, error(WORKER, "ImportError: no module named aiter"), LOADING]

    assert ending(*lines) == Ending("incomplete", stage="loading weights")


@pytest.mark.parametrize(
    "line",
    [
        "lib/python3.11/multiprocessing/resource_tracker.py:1: UserWarning: resource_tracker: process died unexpectedly, relaunching.",
        "(Worker pid=7) WARNING 11-24 02:56:46 [utils.py:597] ValueError: no oneDNN, falling back",
        "Killed by the clock: a title",
        "Loading safetensors checkpoint shards:   0% Completed | 0/4 [00:00<?, ?it/s]",
    ],
)
def test_a_line_that_only_sounds_like_an_end_is_no_failure(line):
    """Python starts another tracker, and vLLM warns of what it can do without."""
    assert ending(ASKED, INITIALIZING, line).outcome == "incomplete"


def test_free_memory_on_startup_is_no_failure_where_it_is_only_told():
    """A good start ends with a sentence that begins like the worst one."""
    line = f"{CORE}INFO 11-24 02:48:13 [gpu_worker.py:857] Free memory on device (78.66/79.18 GiB) on startup. Desired GPU memory"

    assert ending(INITIALIZING, line).outcome == "incomplete"


# What is one.


def test_a_failure_has_its_class_and_where_it_was():
    """The words are the worker's that met it."""
    words = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. GPU 0 has a total capacity of 79.18 GiB"
    found = ending(
        ASKED, INITIALIZING, LOADING, error(WORKER, "WorkerProc failed to start."), error(WORKER, words), ECHO
    )

    assert found == Ending("failed", words.removeprefix("torch."), "out_of_gpu_memory", "loading weights")


def test_the_stage_of_a_failure_is_the_furthest_that_any_rank_printed():
    """Most lines come from one rank alone, so that what the others do is seen in its lines."""
    found = ending(INITIALIZING, LOADING, LOADED, error(OTHER_WORKER, "ValueError: a shard"))
    behind = ending(
        INITIALIZING, LOADED, LOADING.replace(WORKER, OTHER_WORKER), error(OTHER_WORKER, "ValueError: a shard")
    )

    assert (found.stage, behind.stage) == ("profiling", "profiling")


def test_the_engine_core_fails_in_the_stage_of_its_workers():
    """It says nothing of its own while they work."""
    words = "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`."
    found = ending(INITIALIZING, LOADING, LOADED, error(CORE, "EngineCore failed to start."), error(CORE, words))

    assert (found.reason_class, found.stage) == ("kv_cache_too_small", "profiling")


def test_a_shape_that_does_not_fit_is_judged_by_when_it_did_not():
    """While weights are loaded it is the checkpoint's."""
    words = error(
        WORKER, "RuntimeError: The size of tensor a (4096) must match the size of tensor b (2048) at dimension 0"
    )

    assert ending(INITIALIZING, LOADING, words).reason_class == "weights_mismatched"
    assert ending(INITIALIZING, LOADING, LOADED, words).reason_class == "unknown"


def test_what_a_process_met_before_it_began_to_die_is_not_the_reason():
    """The traceback below `failed to start` is; one above it was survived, by a process that opens no stages."""
    found = ending(
        error(CORE, "ImportError: no module named aiter"),
        error(WORKER, "WorkerProc failed to start."),
        error(WORKER, "ValueError: a shard"),
    )

    assert found.reason == "ValueError: a shard"


# Of hosts of an engine that have no server of vLLM's.
REPLICA = "(ServeReplica:llm:LLMServer:tiny pid=3) "
OF_A_REQUEST = f"{REPLICA}ValueError: This model's maximum context length is 4096 tokens."


@pytest.mark.parametrize(
    "lines",
    [
        [error(CORE, "EngineCore encountered a fatal error."), error(CORE, "ValueError: no")],
        [OF_A_REQUEST],
        [f"{REPLICA}Traceback (most recent call last):", f'{REPLICA}  File "a.py", line 1', OF_A_REQUEST],
        [OF_A_REQUEST, f"{REPLICA}INFO 2026-11-24 02:57:01,123 llm_LLMServer x1 -- POST /v1/completions 500 12.3ms"],
        ["INFO 11-24 02:57:01 [logger.py:51] Received request cmpl-1: params: SamplingParams(n=1)", OF_A_REQUEST],
        [error(CORE, "Dumping input data for V1 LLM engine (v0.32.0) with config: model='tiny', "), OF_A_REQUEST],
    ],
)
def test_what_a_request_meets_is_no_failed_start(lines):
    """The engine was up, and Ray Serve, Triton or a program of one's own has no uvicorn that prints so."""
    assert ending(INITIALIZING, LOADING, DONE, *lines) == Ending("ready_offline")


@pytest.mark.parametrize(
    "line",
    [
        'INFO:     127.0.0.1:5 - "POST /v1/completions HTTP/1.1" 500 Internal Server Error',
        "INFO 11-24 02:57:01 [logger.py:51] Received request cmpl-1: params: SamplingParams(n=1)",
    ],
)
def test_a_server_that_answers_a_request_with_an_error_was_ready(line):
    """Where its own lines of the start were left out."""
    assert ending(ASKED, INITIALIZING, DONE, LISTENING, error(SERVER, "ValueError: no"), line) == Ending("ready")


TOO_LONG = "ValueError: The decoder prompt is too long"


@pytest.mark.parametrize(
    "lines",
    [
        [f"{REPLICA}INFO 2026-11-24 02:57:00,100 llm x1 -- Started vLLM engine.", f"{REPLICA}{TOO_LONG}"],
        [
            f"{REPLICA}ERROR 2026-11-24 02:58:00,123 llm x1 9f -- Request failed.",
            "torch.OutOfMemoryError: CUDA out of memory.",
        ],
        ['  File "/lib/vllm/entrypoints/llm.py", line 441, in generate', TOO_LONG],
        ['  File "/lib/vllm/v1/engine/async_llm.py", line 400, in add_request', TOO_LONG],
        ['  File "/lib/vllm/entrypoints/openai/serving_chat.py", line 300, in create_chat_completion', TOO_LONG],
        ['I1124 02:57:00.1 1 server.cc:700] "Started HTTPService at 0.0.0.0:8000"', TOO_LONG],
        ['  File "/opt/tritonserver/backends/vllm/model.py", line 400, in _generate', TOO_LONG],
    ],
    ids=lambda lines: lines[0][-40:],
)
def test_an_engine_that_is_asked_for_something_had_come_up_whoever_is_its_host(lines):
    """Of a log that also has a server's lines of its start, and uvicorn's not."""
    assert ending(ASKED, INITIALIZING, LOADING, DONE, *lines) == Ending("ready")
    assert ending(ASKED, INITIALIZING, LOADING, *lines).outcome == "failed"


def test_a_compiler_that_generates_code_is_asked_for_nothing():
    """Of another rank, which is still compiling."""
    frame = '  File "/lib/torch/_inductor/codegen/wrapper.py", line 9, in generate'

    assert ending(ASKED, INITIALIZING, DONE, frame, "RuntimeError: no kernel").outcome == "failed"


def test_what_comes_behind_a_server_s_routes_is_a_request_s():
    """Where uvicorn prints nothing: its level was raised. Its port, and its certificates, are its own."""
    begun = [ASKED, INITIALIZING, LOADING, DONE, LISTENING]
    too_long = "ValueError: This model's maximum context length is 4096 tokens."

    assert ending(*begun, error(SERVER, too_long)) == Ending("ready")
    assert ending(*begun, error(SERVER, "vllm.v1.engine.exceptions.EngineDeadError: EngineCore is gone")) == Ending(
        "ready"
    )
    assert ending(*begun, f"{SERVER}OSError: [Errno 98] Address already in use").reason_class == "port_in_use"
    assert ending(*begun, f"{SERVER}FileNotFoundError: [Errno 2] No such file or directory").outcome == "failed"
    assert ending(*begun[:-1], error(SERVER, too_long)).outcome == "failed"


def test_a_request_is_no_sign_of_an_engine_that_is_not_up():
    """A proxy in front of it answers from its own start on."""
    proxy = "(ProxyActor pid=9) INFO 2026-11-24 02:57:01,123 proxy x1 -- POST /v1/completions 404 1.2ms"
    failed = [error(CORE, "EngineCore failed to start."), error(CORE, "ValueError: no")]

    assert ending(INITIALIZING, LOADING, proxy).outcome == "incomplete"
    assert ending(INITIALIZING, LOADING, proxy, *failed).outcome == "failed"


def test_another_engine_that_did_not_come_up_is_a_failure():
    """Of several replicas in one program."""
    failed = [error(OTHER_WORKER, "EngineCore failed to start."), error(OTHER_WORKER, "ValueError: no")]

    assert ending(INITIALIZING, DONE, *failed).reason == "ValueError: no"


STOPS = [
    SIGTERM,
    f"{SERVER}KeyboardInterrupt: terminated",
    "Terminated",
    "slurmstepd: error: *** JOB 353 ON gpu-1 CANCELLED AT 2026-11-24T02:56:48 DUE TO TIME LIMIT ***",
    "command terminated with exit code 137",
]


@pytest.mark.parametrize("stop", STOPS)
def test_a_server_that_was_stopped_after_it_began_to_serve_did_start(stop):
    """Also where uvicorn prints nothing: its level was raised."""
    assert ending(ASKED, INITIALIZING, LOADING, DONE, LISTENING, stop) == Ending("ready")
    assert ending(ASKED, INITIALIZING, LOADING, DONE, stop).outcome == "failed"
    assert ending(ASKED, INITIALIZING, LOADING, stop).outcome == "failed"


def test_a_server_that_shuts_down_in_order_had_started():
    """uvicorn waits for the application that it has started."""
    lines = ["INFO:     Shutting down", "INFO:     Waiting for application shutdown."]

    assert ending(ASKED, INITIALIZING, DONE, LISTENING, *lines) == Ending("ready")


WAITS = f"{CORE}INFO 11-24 02:56:48 [ray_utils.py:336] Waiting for creating a placement group of specs for 80 seconds."


@pytest.mark.parametrize("stop", STOPS)
def test_what_a_start_waited_for_when_it_was_stopped_is_the_reason(stop):
    """Kubernetes ends what is not ready in time: its word explains nothing."""
    found = ending(ASKED, INITIALIZING, WAITS.replace("80", "10"), WAITS, stop)

    assert (found.outcome, found.reason_class, found.stage) == ("failed", "resources_missing", "starting the engine")
    assert found.reason == "Waiting for creating a placement group of specs for 80 seconds."


def test_what_a_start_no_longer_waits_for_is_not():
    """It went on. And what it failed of is what it failed of."""
    assert ending(ASKED, WAITS, LOADING, "Terminated").reason == "Terminated"
    assert ending(ASKED, WAITS, "ValueError: no").reason == "ValueError: no"


def test_a_worker_that_died_without_a_word_is_told_by_its_parent():
    """Somebody killed it: there is no exception but the echo."""
    found = ending(
        ASKED, INITIALIZING, LOADING, ECHO, f"{SERVER}RuntimeError: Engine core initialization failed. See root cause"
    )

    assert found.outcome == "failed"
    assert found.reason_class == "worker_died"
    assert found.reason is not None
    assert found.reason.startswith("Exception: WorkerProc initialization failed")


def test_a_worker_that_died_while_the_engine_warmed_up():
    """The executor's monitor says which, and its exit code from 0.26 on."""
    line = error(CORE, "Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor.")
    found = ending(ASKED, INITIALIZING, LOADED, line, error(CORE, "RuntimeError: cancelled"))

    assert found == Ending(
        "failed",
        "Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor.",
        "worker_died",
        "profiling",
    )


@pytest.mark.parametrize(
    ("line", "reason_class"),
    [
        (SIGTERM, "killed"),
        ("Killed", "killed"),
        ("./serve.sh: line 3: 12345 Killed                  vllm serve tiny", "killed"),
        ("[1]+  Killed                  vllm serve tiny", "killed"),
        ("command terminated with exit code 137", "killed"),
        (
            "slurmstepd: error: Detected 1 oom_kill event in StepId=123.0. Some of the step tasks have been OOM Killed.",
            "killed",
        ),
        ("srun: error: gpu-1: task 0: Out Of Memory", "killed"),
        ("srun: error: gpu-1: tasks 0-3: Killed", "killed"),
        ("TERM_MEMLIMIT: job killed after reaching LSF memory usage limit.", "killed"),
        (f"{SERVER}KeyboardInterrupt: terminated", "killed"),
        ("Fatal Python error: Segmentation fault", "crashed"),
        ("(RayWorkerWrapper pid=9) *** SIGSEGV received at time=1762945937 on cpu 6 ***", "crashed"),
        ("terminate called after throwing an instance of 'c10::Error'", "crashed"),
        (
            "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use",
            "port_in_use",
        ),
        (error(CORE, "EngineCore failed to start."), "unknown"),
        # V1's to 0.8, in multiproc_executor.py and core_client.py: vLLM's own spelling.
        (
            "CRITICAL 11-24 17:24:18 [x.py:48] MulitprocExecutor got fatal signal from worker processes, shutting down.",
            "worker_died",
        ),
        ("CRITICAL 11-24 17:24:18 [x.py:269] Got fatal signal from worker processes, shutting down.", "worker_died"),
        (
            "[70] [2026-11-24 13:22:36:099] torch.distributed: [ERROR] [49] Find exception when f, query:x.ts:59 NPU function error: g, error code is 507",
            "device_failure",
        ),
        # The V0 engine's, in multiproc_worker_utils.py and worker_base.py.
        (error("", "Worker VllmWorkerProcess pid 4711 died, exit code: -15"), "worker_died"),
        (
            error(
                "(VllmWorkerProcess pid=9) ",
                "Exception in worker VllmWorkerProcess while processing method init_device: NCCL error: invalid usage, Traceback",
            ),
            "communication_failure",
        ),
        (
            error(
                "(RayWorkerWrapper pid=9, ip=10.0.0.2) ",
                "Error executing method 'load_model'. This might cause deadlock in distributed execution.",
            ),
            "unknown",
        ),
    ],
)
def test_an_end_without_an_exception_is_a_failure_too(line, reason_class):
    """Of a start that was not ready. A log that ends below `failed to start` lacks the traceback, not the failure."""
    found = ending(ASKED, INITIALIZING, line)

    assert (found.outcome, found.reason_class) == ("failed", reason_class)
    assert found.reason


def test_a_watchdog_of_an_npu_knows_what_its_processes_only_point_at():
    """Their exception says that the error is above, which counts where nobody says which."""
    echo = error(WORKER, "RuntimeError: The Inner error is reported as above. The process exits for this inner error")
    watchdog = "[70] torch.distributed: [ERROR] [49] Find exception in f, query:x.ts:59 NPU function error: g(), error code is 507"
    warning = "[W1124 compiler_depend.ts:137] Warning: NPU function error: g(), error code is 507 (function f)"

    assert ending(INITIALIZING, LOADING, watchdog, echo) == Ending(
        "failed", "NPU function error: g(), error code is 507", "device_failure", "loading weights"
    )
    assert ending(INITIALIZING, LOADING, warning, echo).reason_class == "unknown"
    assert ending(INITIALIZING, LOADING, warning).outcome == "incomplete"


def test_an_exception_explains_a_signal():
    """A server that dies ends its engine first, and prints why only then."""
    found = ending(ASKED, INITIALIZING, DONE, SIGTERM, f"{SERVER}ValueError: no chat template")

    assert found.reason == "ValueError: no chat template"


def test_a_wrong_argument_ends_a_start_before_it_begins():
    """argparse knows no stages."""
    found = ending("usage: api_server.py [-h]", "api_server.py: error: unrecognized arguments: --foo")

    assert found == Ending("failed", "unrecognized arguments: --foo", "bad_argument")


def test_whatever_argparse_does_not_like_is_an_argument():
    """Its words are free: vLLM gives it checks of its own."""
    assert ending("vllm serve: error: this cannot be read as JSON").reason_class == "bad_argument"


# As tags.


def test_a_failed_start_has_its_class_and_stage_as_tags():
    """Its words are `bench.reason`, which every failed run gets from its record."""
    assert outcome_tags(Ending("failed", "ValueError: x", "unknown", "profiling")) == {
        "bench.outcome": "failed",
        "bench.reason_class": "unknown",
        "bench.stopped_in": "profiling",
    }


def test_a_good_start_has_an_outcome_and_nothing_else():
    """No tag says None."""
    assert outcome_tags(Ending("ready")) == {"bench.outcome": "ready"}
