"""What is started: the groups `load_format` and `vllm`, and the completion that ends a start."""

from typing import Annotated, Any, Literal

from pydantic import Field

from bench.config.arguments import Arguments
from bench.config.values import Scalar, Seconds, Section, Size, Text


class LoadFormat(Section):
    """How the weights get from files into memory."""

    name: Text  # vLLM's --load-format
    checkpoint: Literal["original", "sharded", "serialized", "config_only"]  # which layout of the weights it reads
    direct_io: bool  # reads past the page cache, with O_DIRECT, where the file system allows it
    args: Arguments  # vLLM arguments it needs; None: vLLM's default
    env: dict[str, Scalar]
    extra: dict[str, Any]  # --model-loader-extra-config; None: vLLM's default


class Vllm(Section):
    """The vLLM that is measured, and its other arguments and environment variables."""

    python: Text | None
    entrypoint: Literal["auto", "serve", "module"]  # auto: `vllm serve` where it can be executed, else the module
    command: Text | None  # a template of the command that it is started behind, as `docker run … IMAGE`
    args: Arguments
    env: dict[str, Scalar]
    ready_timeout_s: Seconds
    stop_timeout_s: Seconds


class Completion(Section):
    """The greedy completion that ends a start. A model without completions is asked for the same prompt's vector, class or score."""

    prompt: Annotated[str, Field(min_length=1)]
    max_tokens: Size
    timeout_s: Seconds
