"""What is started and asked: the groups `load_format` and `vllm`, the completion that ends a start, and what follows it where that is asked for."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from bench.config.arguments import Arguments
from bench.config.values import Scalar, Seconds, Section, Size, Text


def _as_text(given: dict[str, Any]) -> dict[str, str | None]:
    """Variables as vLLM's processes have them, equal where their text is. A boolean of a file of settings is 1 or 0; None is not set."""
    return {
        name: None if value is None else str(int(value)) if isinstance(value, bool) else str(value)
        for name, value in given.items()
    }


Variables = Annotated[dict[str, Scalar], AfterValidator(_as_text)]


class LoadFormat(Section):
    """How the weights get from files into memory."""

    name: Text  # vLLM's --load-format
    checkpoint: Literal["original", "sharded", "serialized", "config_only"]  # which layout of the weights it reads
    direct_io: bool  # reads past the page cache, with O_DIRECT, where the file system allows it
    args: Arguments  # vLLM arguments it needs; None: vLLM's default
    env: Variables
    extra: dict[str, Any]  # --model-loader-extra-config; None: vLLM's default


class Vllm(Section):
    """The vLLM that is measured, and its other arguments and environment variables."""

    python: Text | None
    entrypoint: Literal["auto", "serve", "module"]  # auto: `vllm serve` where it can be executed, else the module
    command: Text | None  # a template of the command that it is started behind, as `docker run … IMAGE`
    args: Arguments
    env: Variables
    ready_timeout_s: Seconds
    stop_timeout_s: Seconds


class Completion(Section):
    """The greedy completion that ends a start. A model without completions is asked for the same prompt's vector, class or score."""

    prompt: Annotated[str, Field(min_length=1)]
    max_tokens: Size
    timeout_s: Seconds


# What `serve_bench=true` and `steady=true` stand for: a setting below each, and its number. false is none.
SWITCHES = {"serve_bench": ("num_prompts", 32), "steady": ("requests", 40)}


def _switch(section: str) -> BeforeValidator:
    """For a file of settings, as an experiment's, that has the one word."""
    name, number = SWITCHES[section]
    return BeforeValidator(lambda given: {name: number if given else None} if isinstance(given, bool) else given)


class ServeBench(Section):
    """Load on the server when its start is timed, by vLLM's own generator: random prompts. The defaults are those of conf/."""

    num_prompts: Size | None = None  # None: no load
    input_len: Size = 128  # tokens
    output_len: Size = 32
    request_rate: Annotated[float, Field(gt=0)] | None = None  # a second; None: all at once
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0  # what NumPy takes
    timeout_s: Seconds = 600


class Steady(Section):
    """The first requests, one after the other, until the server answers as fast as it will. The defaults are those of conf/."""

    requests: Annotated[int, Field(ge=8, le=10_000)] | None = None  # the completion among them; None: only that
    within: Annotated[float, Field(gt=0, le=10)] = 0.25  # of the median of the last half, above it
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    timeout_s: Seconds = 600


ServeBenchSetting = Annotated[ServeBench, _switch("serve_bench")]
SteadySetting = Annotated[Steady, _switch("steady")]
