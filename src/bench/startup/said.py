"""What a start's log says of the start itself: version, arguments, sizes, device. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bench.startup.arguments import CONFIG, LONGEST, Value, Values, asked_in, config_in
from bench.startup.log import LogLine

VERSION = re.compile(
    r"(?:vLLM (?:API server|server|gRPC server|batch processing API) |█  )version (?P<version>v?\d+\.\d+\.\d+[^\s,]*)"
)
PLATFORM = re.compile(r"Automatically detected platform (?P<kind>\w+)\.")
ROCM = "[rocm.py:"  # the source of a line that only an AMD GPU's platform prints
# A line that says something has one of these.
TEXTS = ("args: ", "LLM engine (v", "version ", "detected platform", ROCM, "memory utilization is (")
SHARE = re.compile(r"[Dd]esired GPU memory utilization is \((?P<share>0?\.\d+|1\.0), ")
LOAD_FORMAT = re.compile(r"[a-z][a-z\d_]*")
# Of the engine's config, which holds it as JSON in old releases and as a dict in new ones.
NOT_COMPILED = re.compile(r"['\"](?:level|mode)['\"]: ?(?:0\b|<\w+\.NONE\b|['\"]?NONE\b|<\w+\.NO_COMPILATION\b)")
NOT_CAPTURED = re.compile(r"['\"]cudagraph_mode['\"]: ?(?:<\w+\.NONE\b|['\"]?NONE\b|0\b)")


@dataclass(frozen=True)
class Said:
    """None is what the log does not say. Nothing is filled in with vLLM's defaults, which change."""

    version: str | None = None
    engine: str | None = None  # V0 or V1
    model: str | None = None
    load_format: str | None = None
    tensor_parallel_size: int | None = None
    pipeline_parallel_size: int | None = None
    data_parallel_size: int | None = None
    device: str | None = None  # cuda, rocm, cpu, xpu, tpu …
    dtype: str | None = None
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    enforce_eager: bool | None = None
    compiles: bool | None = None  # False: it says that it does not
    captures: bool | None = None


def said_in(lines: Iterable[LogLine]) -> Said:
    """What these lines of one start say."""
    listener = Listener()
    for line in lines:
        listener.see(line)
    return listener.said()


def params_said(said: Said) -> dict[str, str]:
    """Under the names that the params of a measured start have."""
    named = {
        "load_format": said.load_format,
        "tensor_parallel_size": said.tensor_parallel_size,
        "max_model_len": said.max_model_len,
        "gpu_memory_utilization": said.gpu_memory_utilization,
        "vllm.args.pipeline_parallel_size": said.pipeline_parallel_size,
        "vllm.args.data_parallel_size": said.data_parallel_size,
        "vllm.args.dtype": said.dtype,
        "vllm.args.enforce_eager": said.enforce_eager,
    }
    return {name: str(value) for name, value in named.items() if value is not None}


def tags_said(said: Said) -> dict[str, str]:
    """Of the rest. The model is a tag: a checkpoint that was cut for its ranks lies at another path, and is the same model."""
    named = {"version.vllm": said.version, "host.device": said.device, "bench.model": said.model}
    return {name: value for name, value in named.items() if value is not None}


class Listener:
    """Takes a log line by line, and keeps the first line of each kind."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []  # that something was taken from
        self._asked: Values | None = None
        self._config: Values | None = None
        self._printed = ""  # the config, as it stands there
        self._engine: str | None = None
        self._version: str | None = None  # the engine's own
        self._servers: str | None = None  # its server's
        self._lines_since = 0  # the server's version: it ends its line, so a log that ends there may have cut it
        self._platform: str | None = None
        self._share: float | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether any line matters that comes next: it shows that the one before was not cut."""
        return self._servers is not None and not self._lines_since

    def see(self, line: LogLine) -> None:
        """The next line."""
        text = line.text
        self._lines_since += 1
        if self._takes(text):
            self.lines.append(line)

    def _takes(self, text: str) -> bool:
        if "args: " in text and self._asked is None:
            self._asked = asked_in(text)
            return self._asked is not None
        if "LLM engine (v" in text and self._config is None:
            return self._takes_config(text[:LONGEST])
        if "version " in text and not self._servers and (found := VERSION.search(text[:LONGEST])):
            self._servers, self._lines_since = found["version"], 0
        elif "detected platform" in text and not self._platform and (found := PLATFORM.search(text[:LONGEST])):
            self._platform = found["kind"]
        elif ROCM in text and self._platform != "rocm":
            self._platform = "rocm"
        elif "memory utilization is (" in text and not self._share and (found := SHARE.search(text[:LONGEST])):
            self._share = float(found["share"])
        else:
            return False
        return True

    def _takes_config(self, text: str) -> bool:
        found = CONFIG.search(text)
        if found:
            self._config, self._printed = config_in(text), text
            self._engine = found["engine"] or "V0"  # there was no other when it had no number
            self._version = found["version"]
        return found is not None

    def said(self) -> Said:
        """As far as the lines went. The engine's word goes before what was asked: it has resolved `auto`."""
        asked, config = self._asked or {}, self._config or {}
        both = asked | config
        load_format = _text(both.get("load_format"))
        version = self._version or (self._servers if self._lines_since else None)
        return Said(
            version=version.removeprefix("v") if version else None,
            engine=self._engine,
            model=_text(config.get("model")) or _text(asked.get("model")) or _text(asked.get("model_tag")),
            load_format=load_format if load_format and LOAD_FORMAT.fullmatch(load_format) else None,
            tensor_parallel_size=_count(both.get("tensor_parallel_size")),
            pipeline_parallel_size=_count(both.get("pipeline_parallel_size")),
            data_parallel_size=_count(both.get("data_parallel_size")),
            device=_device(self._platform, _text(config.get("device_config"))),
            dtype=_dtype(_text(both.get("dtype"))),
            max_model_len=_count(config.get("max_seq_len")) or _count(asked.get("max_model_len")),
            gpu_memory_utilization=_share(asked.get("gpu_memory_utilization")) or self._share,
            enforce_eager=_flag(both.get("enforce_eager")),
            compiles=False if self._engine == "V0" or NOT_COMPILED.search(self._printed) else None,
            captures=False if NOT_CAPTURED.search(self._printed) else None,
        )


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Value) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _share(value: Value) -> float | None:
    """Of memory: above 0, at most 1."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and 0 < float(value) <= 1 else None  # type: ignore[arg-type] # a number by now


def _flag(value: Value) -> bool | None:
    return value if isinstance(value, bool) else None


def _dtype(text: str | None) -> str | None:
    """`auto` says nothing of what it became."""
    return None if text in {None, "auto"} else str(text).removeprefix("torch.")


def _device(platform: str | None, config: str | None) -> str | None:
    """The platform's word first: PyTorch calls an AMD GPU cuda too."""
    return platform or (config.partition(":")[0] if config else None)
