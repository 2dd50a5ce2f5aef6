"""Why a start failed, in vLLM's own words."""

from pathlib import Path

import pytest

from bench.log.cause import one_line
from bench.log.failure import Causes
from bench.log.filter import found_in
from read_lines import read_log, reason_in

LOGS = Path(__file__).parents[1] / "logs"
FAILED = LOGS / "cpu-vllm0.32.0/fastsafetensors-tp1-FAILED.log"
GOOD = sorted(path for path in LOGS.rglob("*.log") if "FAILED" not in path.name)

WORKER = "(Worker_TP0 pid=7) ERROR 11-24 02:15:51 [multiproc_executor.py:953] "
ENGINE = "(EngineCore pid=5) ERROR 11-24 02:15:53 [core.py:1510] "
SERVER = "(APIServer pid=4) "


def reason(*lines: str) -> str | None:
    return reason_in(read_log(line.encode() for line in lines))


def test_the_worker_that_met_the_accident_gives_the_reason():
    """The recorded failure ends with three exceptions; the engine core and the API server only lost their child."""
    with FAILED.open("rb") as log:
        found = reason_in(read_log(log))

    assert found == "RuntimeError: Invalid device string: 'cuda:cpu'"


@pytest.mark.parametrize("path", GOOD, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_start_that_did_not_fail_has_no_reason(path):
    """Good starts print warnings, errors that were survived, and the word Exception; a log that stops says nothing either. Until it
    was ready: in some releases the first request fails on the host of these logs, or a worker when it is told to end.
    """
    started, _, _ = path.read_bytes().partition(b"Application startup complete")
    found = reason_in(read_log(started.splitlines(keepends=True)))

    assert found is None


def test_silence_has_no_reason():
    """A process that was killed says nothing: None, and the caller says how it ended."""
    assert reason() is None
    assert reason("INFO 11-24 02:47:12 [model.py:623] Resolved architecture: LlamaForCausalLM") is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("api_server.py: error: unrecognized arguments: --foo", "unrecognized arguments: --foo"),
        (f"{SERVER}api_server.py: error: unrecognized arguments: --foo", "unrecognized arguments: --foo"),
        (
            "vllm serve: error: argument --tensor-parallel-size/-tp: invalid int value: 'two'",
            "argument --tensor-parallel-size/-tp: invalid int value: 'two'",
        ),
        ("vllm: error: unrecognized arguments: --foo", "unrecognized arguments: --foo"),
        ("main.py: error: unrecognized arguments: --foo", "unrecognized arguments: --foo"),
        (
            "main.py serve: error: argument --max-model-len: invalid human_readable_int_or_auto value: 'abc'",
            "argument --max-model-len: invalid human_readable_int_or_auto value: 'abc'",
        ),
    ],
)
def test_an_argument_that_vllm_does_not_know_is_the_reason(line, words):
    """argparse says it in one line below its usage, without an exception."""
    usage = "usage: api_server.py [-h] [--headless] [--api-server-count API_SERVER_COUNT]"

    assert reason(usage, "                     [--config CONFIG]", line) == words


@pytest.mark.parametrize(
    "echo",
    [
        "Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root cause.",
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
        "RuntimeError: Engine process failed to start. See stack trace for the root cause.",
        "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.",
    ],
)
def test_what_a_parent_says_of_its_dead_child_is_passed_over(echo):
    """An echo may even be printed first; the cause is what its child met."""
    assert reason(f"{ENGINE}{echo}", f"{WORKER}ValueError: no such file") == "ValueError: no such file"


def test_the_first_of_several_ranks_gives_the_reason():
    """All ranks meet the same accident, or die of the first one's."""
    found = reason(
        f"{WORKER}torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB.",
        "(Worker_TP1 pid=8) ERROR 11-24 02:15:52 [multiproc_executor.py:953] RuntimeError: Connection closed by peer",
    )

    assert found == "OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB."


@pytest.mark.parametrize("prefix", [WORKER, SERVER, ""], ids=["logged", "prefixed", "bare"])
def test_an_exception_that_was_being_handled_is_not_the_reason(prefix):
    """Python prints it first, but the one that came while it was handled is what ended the start."""
    found = reason(
        f"{prefix}Traceback (most recent call last):",
        f"{prefix}KeyError: 'mistral3'",
        f"{prefix}",
        f"{prefix}During handling of the above exception, another exception occurred:",
        f"{prefix}",
        f"{prefix}Traceback (most recent call last):",
        f"{prefix}ValueError: The checkpoint has model type `mistral3` but Transformers does not know it.",
    )

    assert found == "ValueError: The checkpoint has model type `mistral3` but Transformers does not know it."


def test_of_a_chain_of_three_the_last_is_the_reason():
    """Each was handled when the next one came."""
    found = reason(
        "KeyError: 1",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "OSError: 2",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "ValueError: 3",
    )

    assert found == "ValueError: 3"


@pytest.mark.parametrize("again", ["no graph", "ValueError: no graph", "ValueError('no graph')"])
@pytest.mark.parametrize("prefix", ["[rank0]: ", WORKER, ""], ids=["torch", "logged", "bare"])
def test_an_exception_that_only_repeats_the_one_before_it_is_not_the_reason(prefix, again):
    """`except Exception as error: raise RuntimeError(error)` hides what it was."""
    chain = [
        f"{prefix}ValueError: no graph",
        f"{prefix}During handling of the above exception, another exception occurred:",
        f"{prefix}Traceback (most recent call last):",
    ]

    assert reason(*chain, f"{prefix}RuntimeError: {again}") == "ValueError: no graph"
    assert reason(*chain, f"{prefix}RuntimeError: no graph in here") == "RuntimeError: no graph in here"


def test_an_exception_that_was_raised_anew_can_be_replaced_like_any_other():
    """What came while the repetition was handled is what ended the start."""
    handling = "During handling of the above exception, another exception occurred:"

    assert reason("ValueError: 1", handling, "RuntimeError: 1", handling, "OSError: 2") == "OSError: 2"


def test_a_direct_cause_is_the_reason():
    """`raise … from …` wraps an accident; the first one is the accident."""
    found = reason(
        "FileNotFoundError: [Errno 2] No such file or directory: 'model.safetensors'",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "RuntimeError: could not load the model",
    )

    assert found == "FileNotFoundError: [Errno 2] No such file or directory: 'model.safetensors'"


def test_a_validation_error_of_pydantic_says_what_was_wrong():
    """Its first line only counts; what was not allowed is in the next one."""
    found = reason(
        f"{SERVER}pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
        f"{SERVER}  Value error, User-specified max_model_len (99999) is greater than the derived max_model_len (4096).",
        f"{SERVER}    For further information visit https://errors.pydantic.dev/2.12/v/value_error",
    )

    assert found == (
        "ValidationError: 1 validation error for ModelConfig: "
        "Value error, User-specified max_model_len (99999) is greater than the derived max_model_len (4096)."
    )


def test_a_validation_error_that_the_log_ends_with_is_told_as_far_as_it_goes():
    """The log of a killed process stops anywhere."""
    found = reason("pydantic_core._pydantic_core.ValidationError: 2 validation errors for ModelConfig")

    assert found == "ValidationError: 2 validation errors for ModelConfig"


@pytest.mark.parametrize(
    "line",
    [
        "    raise RuntimeError(",
        '  File "site-packages/vllm/engine.py", line 1, in <module>',
        "Exception ignored in: <function Pool.__del__ at 0x7f>",
        "(Worker pid=7) WARNING 11-24 02:11:37 [utils.py:597] Failed to create oneDNN linear. Exception: could not create a primitive",
        "site-packages/x.py:138: FutureWarning: `torch.distributed.reduce_op` is deprecated",
        "the error: a ValueError: inside a sentence",
    ],
)
def test_a_line_that_only_speaks_of_exceptions_is_no_reason(line):
    """An exception's own line begins with its name."""
    assert reason(line) is None


def test_a_long_reason_is_cut():
    """It becomes a tag and a line on the terminal; the whole text is in the log."""
    found = reason(f"ValueError: {'x' * 1000}")

    assert found is not None
    assert found.startswith("ValueError: xxx")
    assert found.endswith("x…")
    assert len(found) == 300


def test_a_reason_of_the_full_length_is_not_cut():
    """The limit is what may be kept, not where cutting begins."""
    words = f"ValueError: {'x' * (300 - len('ValueError: '))}"

    assert reason(words) == words


def test_a_reason_is_one_line():
    """Tabs and runs of blanks would break the tables it stands in."""
    assert reason("ValueError: too  many\tblanks  ") == "ValueError: too many blanks"


@pytest.mark.parametrize("prefix", [WORKER, ""], ids=["logged", "bare"])
@pytest.mark.parametrize("name", ["AssertionError", "NotImplementedError"])
def test_an_exception_without_a_message_is_a_reason_too(prefix, name):
    """Python prints it without a colon. vLLM has hundreds of bare asserts, and what follows them is only echoes."""
    found = reason(
        f"{prefix}    assert self.quant_config is not None",
        f"{prefix}{name}",
        f"{ENGINE}Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace.",
    )

    assert found == name


def test_a_plain_exception_is_a_reason():
    """Libraries raise Exception itself."""
    assert reason("Exception: no tokenizer") == "Exception: no tokenizer"


FRAME = '(EngineCore pid=316)   File "/opt/venv/lib/python3.12/site-packages/vllm/v1/core/kv_cache.py", line 75075, in _check_eno'
CUT = "(EngineCore pid=316) ValueError: To serve one request of 8192 tokens there must be 2.5 GiB, which is larger than the ava"
REST = "ilable KV cache memory (1.2 GiB)."


@pytest.mark.parametrize("width", [60, 77, 120])
def test_a_reason_that_a_terminal_cut_goes_on_in_the_next_lines(width):
    """Other lines end at the same place, and none is longer. The class may be in what follows."""
    assert len(FRAME) == len(CUT) == 120
    words = f"{CUT}{REST}"
    pieces = [words[at : at + width] for at in range(0, len(words), width)]
    found = reason(
        FRAME[:width], "ugh_memory", "(EngineCore pid=316)     raise ValueError(", *pieces, "(EngineCore pid=316) "
    )

    assert found == words.removeprefix("(EngineCore pid=316) ")


@pytest.mark.parametrize(
    "lines",
    [
        [FRAME, CUT, "(EngineCore pid=316) " + REST],  # its process says something else
        [FRAME, CUT, "[rank0]:[W1124 ProcessGroupNCCL.cpp:1] destroy"],
        [FRAME, CUT, "INFO 11-24 02:47:12 [x.py:1] hello"],
        [FRAME, CUT, "Traceback (most recent call last):"],
        [FRAME, CUT, "RuntimeError: Engine core initialization failed."],
        [FRAME, CUT, "", REST],  # a blank line in between
        [FRAME, CUT, REST * 4],  # wider than the terminal
        [FRAME[:-1], CUT, REST],  # nothing else ends there
        [FRAME, f"{FRAME}_more", CUT, REST],  # a line is wider: there is no edge
    ],
)
def test_a_line_that_is_no_piece_of_a_reason_adds_nothing(lines):
    """Ranks and libraries print in between."""
    assert reason(*lines) == CUT.removeprefix("(EngineCore pid=316) ")


def test_the_same_words_of_two_ranks_are_no_edge_of_a_terminal():
    """Equal lines are equally wide, wherever they end."""
    words = [f"(Worker_TP{rank} pid={rank}) ValueError: {'no weights in here ' * 4}." for rank in (1, 2)]

    assert reason(*words, "terminate called without an active exception") == one_line(words[0][18:])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ERROR [core.py:708] ValueError: no weights", "ValueError: no weights"),  # somebody took out the times
        ("ERROR core.py:708] ValueError: no weights", "ValueError: no weights"),
        (
            "[2026-11-24 13:05:18.630086][UC][E] ValueError: no weights [416,434][multiproc_executor.py:295,monitor_workers]",
            "ValueError: no weights",
        ),
        ("KeyError: 'a.b' [416,434][multiproc_executor.py:295,worker_main]", "KeyError: 'a.b'"),  # a record's last line
        ("ValueError: no shape [1,2][3]", "ValueError: no shape [1,2][3]"),
        ("[rank0]: ValueError: no weights", "ValueError: no weights"),
        ("E       ValueError: no weights", "ValueError: no weights"),  # pytest
        ("[multiproc_executor.py:492] ValueError: no weights", "ValueError: no weights"),  # copied from there on
        ("ERROR 01-20 10:00:00 engine.py:366] ValueError: no weights", "ValueError: no weights"),
        (
            "[1;36m(EngineCore_0 pid=260) [0;0m ERROR 09-01 12:21:24 [core.py:1] ValueError: no weights",
            "ValueError: no weights",
        ),
        (
            "torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:",
            "BackendCompilerFailed: backend='inductor' raised:",
        ),
        (
            "triton.runtime.errors.OutOfResources: out of resource: shared memory",
            "OutOfResources: out of resource: shared memory",
        ),
        (
            "huggingface_hub.errors.CacheNotFound: Cache directory not found: /cache",
            "CacheNotFound: Cache directory not found: /cache",
        ),
    ],
)
def test_an_exception_is_known_in_every_form(line, words):
    """torchrun names the rank, releases before 0.8 had no bracket, and not all names end in Error."""
    assert reason(line) == words


def test_what_a_compiler_met_stands_in_the_next_line_of_its_process():
    """Dynamo's exception names its backend only."""
    found = reason(
        f"{WORKER}torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:",
        "(EngineCore pid=5) INFO 11-24 02:15:53 [shm_broadcast.py:1] hello",
        f"{WORKER}RuntimeError: Triton Error [CUDA]: device kernel image is invalid",
        f"{WORKER}",
        f"{WORKER}Set TORCHDYNAMO_VERBOSE=1 for the internal stack trace",
    )

    assert (
        found
        == "BackendCompilerFailed: backend='inductor' raised: RuntimeError: Triton Error [CUDA]: device kernel image is invalid"
    )


def test_an_exception_that_its_process_survived_is_not_the_reason():
    """It goes on, and dies of the next one."""
    found = reason(
        f"{WORKER}ImportError: no module named aiter",
        "(Worker_TP0 pid=7) INFO 11-24 02:15:51 [cpu_model_runner.py:68] Starting to load model tiny...",
        f"{WORKER}ValueError: no such file",
    )

    assert found == "ValueError: no such file"


def test_processes_without_ids_are_told_apart_by_their_names():
    """Somebody has taken the ids out: one that loads on has not survived what another met."""
    found = reason(
        "(Worker_TP0) ERROR [core.py:7] ValueError: no such file",
        "(Worker_TP1) INFO [gpu_model_runner.py:68] Starting to load model tiny...",
        "(EngineCore) ERROR [core.py:708] EngineCore failed to start.",
    )

    assert found == "ValueError: no such file"


def test_what_another_process_does_afterwards_does_not_bring_one_back():
    """Ranks load on while one of them is dying."""
    found = reason(
        f"{WORKER}ValueError: no such file",
        "(Worker_TP1 pid=8) INFO 11-24 02:15:51 [cpu_model_runner.py:68] Starting to load model tiny...",
    )

    assert found == "ValueError: no such file"


def test_an_exception_is_passed_over_if_it_came_before_a_process_began_to_die():
    """The engine core logs one that it has handled; its worker's traceback comes below `failed to start`."""
    found = reason(
        f"{ENGINE}ImportError: no module named aiter",
        f"{WORKER}WorkerProc failed to start.",
        f"{WORKER}ValueError: no such file",
        f"{ENGINE}EngineCore failed to start.",
        f"{ENGINE}Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace",
    )

    assert found == "ValueError: no such file"


def test_what_the_executor_says_of_its_worker_is_an_echo():
    """The worker's own words are the cause, also where its process does not say that it dies."""
    lines = [
        "(VllmWorker rank=0 pid=281) ERROR 07-15 08:54:44 [multiproc_executor.py:522] RuntimeError: no such shape",
        "ERROR 07-15 08:54:44 [core.py:586] EngineCore failed to start.",
        (
            "ERROR 07-15 08:54:44 [core.py:586] RuntimeError: Worker failed with error 'no such shape', please check the "
            "stack trace above for the root cause"
        ),
    ]

    assert reason(*lines) == "RuntimeError: no such shape"
    assert reason(*lines[1:]).startswith("RuntimeError: Worker failed with error 'no such shape'")


def test_an_exception_before_the_first_death_is_better_than_none():
    """The log may end in between."""
    assert (
        reason(f"{WORKER}ValueError: no such file", f"{ENGINE}EngineCore failed to start.")
        == "ValueError: no such file"
    )


def test_what_the_rust_frontend_does_not_like_is_the_reason():
    """clap prints the value, which is a JSON of all arguments and may hold a key: it is left out. What is wrong comes below."""
    value = '{"api_key": ["secret"], "model": "tiny", ' + ", ".join(f'"a{i}": {i}' for i in range(500)) + "}"
    lines = [
        f"error: invalid value '{value}' for '--args-json <JSON>': ",
        "The following arguments are not implemented in Rust frontend yet:",
        "(EngineCore pid=5) INFO 11-24 02:15:51 [x.py:1] hello",
        "- api_key",
        "- uds",
        "",
        "Remove these arguments to continue.",
        "- hello",
        "RuntimeError: Process RustFrontend (PID: 353) died with exit code 2",
    ]

    assert reason(*lines) == (
        "invalid value … for '--args-json <JSON>': The following arguments are not implemented in Rust frontend yet: api_key, uds"
    )
    assert reason(lines[0]) == "invalid value … for '--args-json <JSON>'"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "error: invalid value 'auto' for '--tokenizer-mode <MODE>': argument is not implemented in Rust frontend yet",
            "invalid value … for '--tokenizer-mode <MODE>': argument is not implemented in Rust frontend yet",
        ),
        (
            "error: invalid value '{}' for '--args-json <JSON>': missing field `model`",
            "invalid value … for '--args-json <JSON>': missing field `model`",
        ),
        (
            "error: invalid value '{\"key\": \"a' for '--args-json <X>': secret\"}' for '--args-json <JSON>': missing field `model`",
            "invalid value … for '--args-json <JSON>': missing field `model`",
        ),
        ("error: invalid value '3.99' for '--python <PYTHON>': no such version", None),
    ],
)
def test_what_clap_says_counts_where_vllm_uses_it(line, words):
    """Other programs have it too: uv, cargo."""
    assert reason(line) == words


def test_torch_npu_says_that_the_cause_is_above():
    """Alone it is all that is known."""
    words = "RuntimeError: The Inner error is reported as above. The process exits for this inner error, and the current working"

    assert reason(f"{WORKER}{words}") == words
    assert reason(f"{WORKER}{words}", f"{ENGINE}ValueError: no such file") == "ValueError: no such file"


def test_a_log_that_ends_in_the_word_start_has_failed_too():
    """It was cut, or is still being written."""
    found = Causes()
    for line in read_log([f"{ENGINE}EngineCore failed to star".encode()]):
        found.see(line, found_in(line.text))

    assert found.anchor == "EngineCore failed to star"


@pytest.mark.parametrize(
    "words", ["RuntimeError: Connection closed by peer", "RuntimeError: cancelled", "EOFError", "SystemExit"]
)
def test_what_a_rank_says_when_another_is_gone_is_an_echo(words):
    """It may be quicker than the one that met the accident; alone it is all that is known."""
    assert reason(f"{WORKER}{words}", f"{ENGINE}ValueError: no such file") == "ValueError: no such file"
    assert reason(f"{WORKER}{words}") == words


def test_an_exception_that_vllm_reports_and_goes_on_after_is_no_reason():
    """0.14 to 0.17 try a chat template while they start, and say below which words that did not work. Others above or below it count."""
    record = "(APIServer pid=4) ERROR 11-24 16:42:21 [serving_chat.py:222] "
    survived = [
        f"{record}Chat template warmup failed",
        f"{record}Traceback (most recent call last):",
        f"{record}ValueError: no template",
    ]

    assert reason(*survived) is None
    assert reason(*survived, "(APIServer pid=4) OSError: [Errno 28] No space left on device") is not None
    assert reason(*survived, "(EngineCore pid=5) ValueError: no template") is not None


@pytest.mark.parametrize("words", ["Failed to collect processor kwargs", "ST projector loading failed"])
def test_what_vllm_logs_and_goes_on_after_while_it_loads_is_no_reason(words):
    """In the API server, which says nothing more until the engine is up."""
    record = "(APIServer pid=4) ERROR 11-24 16:42:21 [processor.py:229] "

    assert reason(f"{record}{words}", f"{record}IndexError: tuple index out of range") is None


def test_a_syntax_error_is_of_another_cell_of_a_notebook():
    """A program that has begun to load has none of its own. One that has not may have nothing else."""
    loads = "(EngineCore pid=5) INFO 11-24 16:42:21 [gpu_model_runner.py:1] Starting to load model tiny..."

    assert reason(loads, "SyntaxError: invalid syntax") is None
    assert reason("SyntaxError: invalid syntax") == "SyntaxError: invalid syntax"


def test_a_server_that_starts_to_serve_has_survived_what_its_log_says_before():
    """Whatever it was: it goes on."""
    met = "(APIServer pid=4) ERROR 11-24 16:42:21 [other.py:9] ValueError: no template"

    assert reason(met) == "ValueError: no template"
    for goes_on in (
        "Starting vLLM API server 0 on http://127.0.0.1:8117",
        "Starting vLLM server on http://127.0.0.1:8117",
    ):
        assert reason(met, f"(APIServer pid=4) INFO 11-24 16:42:22 [api_server.py:1346] {goes_on}") is None
