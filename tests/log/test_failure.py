"""Why a start failed, in vLLM's own words."""

from pathlib import Path

import pytest

from bench.log.failure import reason_in
from bench.log.lines import read_log

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


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[rank0]: ValueError: no weights", "ValueError: no weights"),
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


def test_an_exception_that_its_process_survived_is_not_the_reason():
    """It goes on, and dies of the next one."""
    found = reason(
        f"{WORKER}ImportError: no module named aiter",
        "(Worker_TP0 pid=7) INFO 11-24 02:15:51 [cpu_model_runner.py:68] Starting to load model tiny...",
        f"{WORKER}ValueError: no such file",
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
