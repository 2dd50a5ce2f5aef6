"""Load on a server that is ready, by vLLM's own generator: what starts faster may serve slower. After all that a start is timed for."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.config import ServeBench, Settings
from bench.errors import EvidenceError, SettingError, StartError
from bench.host.container import HOST
from bench.host.host import Host, python_variables
from bench.host.short_command import CommandResult, ShortCommandError, run_short
from bench.system.regular_files import read_at_most
from bench.vllm.command import as_environment, served_name
from bench.vllm.completion import short
from bench.vllm.first_answer import pools
from bench.vllm.server import Server

SCRIPT = Path(__file__).with_name("generate_load.py")
FILE = "serve_bench.json"  # in a start's folder: the generator's result
LOOK_TIMEOUT_S = 60.0
OUTPUT_AT_MOST, RESULT_AT_MOST = 1 << 22, 1 << 26  # bytes
MS = 1000.0
PASSED_ON = ("tokenizer_mode", "trust_remote_code")  # arguments of the server that its tokenizer depends on


@dataclass(frozen=True)
class Load:
    """What came of it, over all requests. None: it has no such number, as time per output token of one token."""

    completed: int
    requests_per_s: float
    output_tokens_per_s: float
    ttft_p50_s: float | None
    tpot_p50_s: float | None


def refuse_load(points: Iterable[tuple[Settings, Host]]) -> None:
    """Refuse load that cannot be generated, and requests that nobody would answer, before anything is started.

    Raises:
        SettingError: no completion, a container, lengths that do not fit, or an environment without the generator.
    """
    for settings, host in points:
        if settings.steady.requests and (settings.completion is None or pools(settings)):
            raise SettingError(
                f"steady.requests={settings.steady.requests}: they are completions, and these starts complete no texts. Set steady=false."
            )
        if settings.serve_bench.num_prompts is None:
            continue
        name = f"serve_bench.num_prompts={settings.serve_bench.num_prompts}"
        if settings.completion is None or pools(settings):
            raise SettingError(
                f"{name}: load is completions, and these starts complete no texts. Set serve_bench=false."
            )
        if settings.vllm.command:
            raise SettingError(
                f"{name}: vLLM's load generator is started by vllm.python on this host, and with vllm.command it is in the container. Set serve_bench=false."
            )
        asked, most = settings.serve_bench, settings.max_model_len
        if isinstance(most, int) and asked.input_len + asked.output_len > most:
            raise SettingError(
                f"serve_bench: input_len={asked.input_len} and output_len={asked.output_len} are more than max_model_len={most} together. Set less."
            )
        if missing := _lacking(host.python, python_variables(settings)):
            raise SettingError(
                f"{name}: vLLM's load generator needs {', '.join(missing)}, which vllm.python={host.python} does not have. Install it there "
                "(pip install 'vllm[bench]'), or set serve_bench=false."
            )


@cache
def _lacking(python: str, variables: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    try:
        done = run_short([python, str(SCRIPT), "look"], timeout_s=LOOK_TIMEOUT_S, bytes_at_most=OUTPUT_AT_MOST, environment=dict(variables))  # fmt: skip
        return tuple(json.loads(done.output.strip().rpartition("\n")[2]))
    except (OSError, ShortCommandError, ValueError, TypeError):
        return ()  # the generator will say by itself what it lacks


def generate_load(settings: Settings, host: Host, server: Server, folder: Path) -> Load:
    """The load of `serve_bench`, to its end; the generator's result is then in the folder.

    Raises:
        StartError: it failed or took too long, or not all requests were answered.
    """
    asked = settings.serve_bench
    words = [host.python, str(SCRIPT), *arguments_of(settings, server.port, folder)]
    environment = as_environment(settings.load_format.env | settings.vllm.env)
    environment |= {"OPENAI_API_KEY": server.api_key, "VLLM_NO_USAGE_STATS": "1"}
    try:
        done = run_short(words, timeout_s=asked.timeout_s, bytes_at_most=OUTPUT_AT_MOST, environment=environment)
    except (OSError, ShortCommandError) as error:
        raise StartError(f"vLLM's load generator: {error} (serve_bench.timeout_s={asked.timeout_s:g})") from error
    return read_load(folder / FILE, asked, done)


def arguments_of(settings: Settings, port: int, folder: Path) -> list[str]:
    """Of the generator: those that every release since 0.9 has."""
    asked, given = settings.serve_bench, settings.arguments
    words: dict[str, object] = {
        "base-url": f"http://{HOST}:{port}", "model": served_name(settings), "tokenizer": given.get("tokenizer") or settings.checkpoint_path,
        "dataset-name": "random", "random-input-len": asked.input_len, "random-output-len": asked.output_len, "num-prompts": asked.num_prompts,
        "request-rate": asked.request_rate or "inf", "seed": asked.seed, "result-dir": folder.resolve(), "result-filename": FILE,
    }  # fmt: skip
    flags = ["--ignore-eos", "--save-result", "--disable-tqdm"]
    for name in PASSED_ON:
        if given.get(name) is True:
            flags.append(f"--{name.replace('_', '-')}")
        elif given.get(name):
            words[name.replace("_", "-")] = given[name]
    return [word for name, value in words.items() for word in (f"--{name}", str(value))] + flags


def read_load(path: Path, asked: ServeBench, done: CommandResult) -> Load:
    """The generator's result.

    Raises:
        StartError: there is none, or it is of another number of requests than were asked for.
    """
    try:
        found = json.loads(read_at_most(path, RESULT_AT_MOST)[0])
        load = Load(
            int(found["completed"]), float(found["request_throughput"]), float(found["output_throughput"]),
            _seconds(found, "median_ttft_ms"), _seconds(found, "median_tpot_ms"),
        )  # fmt: skip
    except (OSError, EvidenceError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        last = next((line for line in reversed(done.errors.splitlines()) if line.strip()), repr(error))
        raise StartError(
            f"vLLM's load generator ended with {done.ended} and without a result: {short(last.encode(errors='replace'))}"
        ) from error
    if load.completed != asked.num_prompts:
        raise StartError(
            f"vLLM answered {load.completed} of the {asked.num_prompts} requests of its load generator; see {FILE}"
        )
    return load


def _seconds(found: Mapping[str, Any], name: str) -> float | None:
    value = found.get(name)
    return value / MS if isinstance(value, (int, float)) and math.isfinite(value) and value > 0 else None
