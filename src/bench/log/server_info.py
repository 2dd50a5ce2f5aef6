"""What a start's log holds about the start itself: version, arguments, sizes, device. Pure."""

import re
from dataclasses import dataclass, field

from bench.log.arguments import LONGEST, Value, Values, asked_in, begins_arguments, config_in
from bench.log.lines import LogLine, Wrapped
from bench.log.texts import has_any, is_at_head
from bench.log.texts.phases import CONFIG_TEXT
from bench.log.texts.server_info import ARGUMENTS_TEXT, CONFIG, DEVICES_OF_PLUGINS, INFO_ROWS, REPLICA, TASKS_TEXTS

TASK = re.compile(r"'([\w&]{1,40})'")
# Rows that count only at a record's head.
OWN_WORDS = frozenset({"version", "model", "length", "kind", "plugin", "cache_length"})
LOAD_FORMAT = re.compile(r"[a-z][a-z\d_]*")
# Of the engine's config, which holds it as JSON in old releases and as a dict in new ones.
NOT_COMPILED = re.compile(r"['\"](?:level|mode)['\"]: ?(?:0\b|<\w+\.NONE\b|['\"]?NONE\b|<\w+\.NO_COMPILATION\b)")
POOLS = re.compile(r"\bpooler_config=PoolerConfig\(")
NOT_CAPTURED = re.compile(r"['\"]cudagraph_mode['\"]: ?(?:<\w+\.NONE\b|['\"]?NONE\b|0\b)")


@dataclass(frozen=True)
class ServerInfo:
    """None is what the log does not have. Nothing is filled in with vLLM's defaults, which change."""

    version: str | None = None
    engine: str | None = None  # V0 or V1
    model: str | None = None
    load_format: str | None = None
    tensor_parallel_size: int | None = None
    pipeline_parallel_size: int | None = None
    data_parallel_size: int | None = None
    device: str | None = None  # cuda, rocm, cpu, xpu, tpu, npu, hpu, neuron …, or the name of a plugin's platform
    dtype: str | None = None
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    enforce_eager: bool | None = None
    compiles: bool | None = None  # False: it does not, by its config
    captures: bool | None = None
    pools: bool | None = None  # True: it answers with vectors and scores instead of text
    is_one_process: bool = False  # True: by its log
    engine_model: str | None = field(default=None, compare=False)  # may be the folder that holds the one that was asked

    @property
    def has_one_rank(self) -> bool:
        """Whether the log shows it. False where it shows nothing."""
        more = {self.pipeline_parallel_size, self.data_parallel_size} - {None, 1}
        return self.is_one_process or (self.tensor_parallel_size == 1 and not more)


def info_params(info: ServerInfo) -> dict[str, str]:
    """Under the names that the params of a measured start have."""
    named = {
        "load_format": info.load_format,
        "tensor_parallel_size": info.tensor_parallel_size,
        "max_model_len": info.max_model_len,
        "gpu_memory_utilization": info.gpu_memory_utilization,
        "vllm.args.pipeline_parallel_size": info.pipeline_parallel_size,
        "vllm.args.data_parallel_size": info.data_parallel_size,
        "vllm.args.dtype": info.dtype,
        "vllm.args.enforce_eager": info.enforce_eager,
    }
    return {name: str(value) for name, value in named.items() if value is not None}


class InfoReader:
    """Takes a log line by line, and keeps the first line of each kind."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []  # that something was taken from
        self._asked: Values | None = None
        self._config: Values | None = None
        self._printed = ""  # the config, as it stands there
        self._engine: str | None = None
        self._version: str | None = None  # the engine's own
        self._first: dict[str, str] = {}  # of each kind of text; the version is the server's
        self._wrapped: Wrapped | None = None  # arguments that may go on in the next line
        self._lines_since = 0  # the server's version: it ends its line, so a log that ends there may have cut it
        self._has_replicas = False

    @property
    def is_waiting(self) -> bool:
        """Whether any line matters that comes next: it may be a piece of the one before, or shows that that was not cut."""
        return self._wrapped is not None or ("version" in self._first and not self._lines_since)

    def see(self, line: LogLine) -> None:
        """The next line."""
        self._lines_since += 1
        if line.process and REPLICA.match(line.process):
            self._has_replicas = True
        if self._wrapped and not begins_arguments(line.text) and self._wrapped.goes_on_in(line):
            return
        self._end_wrapped()
        text = line.text
        if (ARGUMENTS_TEXT.text in text and self._asked is None) or (CONFIG_TEXT.text in text and self._config is None):
            self._wrapped = Wrapped(line)
        elif self._takes(line):
            self.lines.append(line)

    def _takes(self, line: LogLine) -> bool:
        """Whether it holds something for the first time, and whole."""
        is_new, text = False, line.text
        for name, row, pattern in INFO_ROWS:
            if row.text in text and name not in self._first and (found := pattern.search(text[:LONGEST])):
                if name in OWN_WORDS and not is_at_head(text, found.start()):
                    continue  # quoted: a model can be called anything
                if found.groupdict() and not line.is_whole(found.end()):
                    continue
                self._first[name] = found.groupdict().get(name, "")
                self._lines_since = 0 if name == "version" else self._lines_since
                is_new = True
        return is_new

    def _end_wrapped(self) -> None:
        """Reads a line of arguments when all its pieces are there."""
        wrapped, self._wrapped = self._wrapped, None
        if wrapped and self._takes_arguments(wrapped.text):
            self.lines.append(wrapped.line)

    def _takes_arguments(self, text: str) -> bool:
        if CONFIG_TEXT.text in text and self._config is None:
            return self._takes_config(text)
        self._asked = asked_in(text) if self._asked is None else self._asked
        return self._asked is not None

    def _takes_config(self, text: str) -> bool:
        found = CONFIG.search(text)
        if found:
            self._config, self._printed = config_in(text), text
            self._engine = found["engine"] or "V0"  # there was no other when it had no number
            self._version = found["version"]
        return found is not None

    def _data_parallel_size(self, asked: Values, config: Values) -> int | None:
        """What was asked: engines that need nothing of each other have a config in which each is alone."""
        size = _count(config.get("data_parallel_size"))
        return _count(asked.get("data_parallel_size")) or (None if self._has_replicas and size == 1 else size)

    def info(self) -> ServerInfo:
        """As far as the lines went. The engine's word goes before what was asked: it has resolved `auto`. Only a model is called
        what it was asked as: offline or streamed, the engine has a folder of this host in its place.
        """
        self._end_wrapped()
        asked, config = self._asked or {}, self._config or {}
        both = asked | config
        load_format = _text(both.get("load_format"))
        first = self._first
        version = self._version or (first.get("version") if self._lines_since else None)
        return ServerInfo(
            version=version.removeprefix("v") if version else None,
            engine=self._engine,
            model=_text(asked.get("model"))
            or _text(asked.get("model_tag"))
            or _text(config.get("model"))
            or first.get("model"),
            engine_model=_text(config.get("model")),
            load_format=load_format if load_format and LOAD_FORMAT.fullmatch(load_format) else None,
            tensor_parallel_size=_count(both.get("tensor_parallel_size")),
            pipeline_parallel_size=_count(both.get("pipeline_parallel_size")),
            data_parallel_size=self._data_parallel_size(asked, config),
            device=_device(first, _text(config.get("device_config"))),
            dtype=_dtype(_text(both.get("dtype"))),
            max_model_len=_count(config.get("max_seq_len"))
            or _count(asked.get("max_model_len"))
            or _count(int(first.get("length", 0)))
            or _count(int(first.get("cache_length", "0").replace(",", ""))),
            gpu_memory_utilization=_share(asked.get("gpu_memory_utilization")) or _share(float(first.get("share", 0))),
            enforce_eager=_flag(both.get("enforce_eager", "eager" in first or None)),
            compiles=False if self._engine == "V0" or NOT_COMPILED.search(self._printed) else None,
            captures=False if NOT_CAPTURED.search(self._printed) else None,
            pools=True if POOLS.search(self._printed) else None,
            is_one_process="alone" in first,
        )


def tasks_in(text: str) -> list[str]:
    """The model's tasks, of the line that lists them, which may have colours. Empty: it is another line."""
    return TASK.findall(text[:LONGEST]) if has_any(text, TASKS_TEXTS) else []


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
    """`auto` is not what it became."""
    return None if text in {None, "auto"} else str(text).removeprefix("torch.")


def _device(first: dict[str, str], config: str | None) -> str | None:
    """The platform's word first, a plugin's before vLLM's own: PyTorch calls an AMD GPU cuda too. The source of a line last."""
    if plugin := first.get("plugin"):
        return next((device for part, device in DEVICES_OF_PLUGINS.items() if part in plugin.lower()), plugin.lower())
    if "rocm" in first:
        return "rocm"
    source = first.get("source")
    if config == "cpu" and source == "neuron":  # the V0 engine's config: that is where Neuron's inputs are made
        return source
    return first.get("kind") or (config.partition(":")[0] if config else None) or source
