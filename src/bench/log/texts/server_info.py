"""What a start prints of itself outside of its arguments, and what it prints once, by which several starts in one log are separated."""

import re

from bench.log.texts import ELSEWHERE, Text
from bench.log.texts.phases import ARGUMENTS, BEGINS_ENGINE, CONFIG_TEXT, LOADING_MODEL, VERSION

# fmt: off
ARGUMENTS_TEXT = Text("args: ", "INFO 11-24 02:47:12 [api_utils.py:273] non-default args: {'max_model_len': 4096, 'disable_log_stats': True, 'model': 'models/base'}", "recorded 0.8.5 - 0.32.0")

# What the model can do, by the API server before it serves.
TASKS_TEXTS = (
    Text("Supported tasks: [", "(APIServer pid=24351) INFO 11-24 16:19:12 [entry.py:136] Supported tasks: ['generate']", "recorded 0.11.2 - 0.32.0"),
    Text("Supported_tasks: [", "(APIServer pid=29862) INFO 11-24 16:35:04 [api_server.py:1611] Supported_tasks: ['generate']", "recorded 0.10.1.1 - 0.11.0"),
)

# Arguments in each of the three forms that log/arguments.py reads.
ASKED = re.compile(rf"{ARGUMENTS.text}: \{{")
NAMESPACE = re.compile(r"\bargs: Namespace\(")
ENGINE = re.compile(BEGINS_ENGINE + re.escape(CONFIG_TEXT.text))
# Behind "Dumping input data", until 0.9.2 in a record of its own, stands that of an engine that failed while it answered.
CONFIG = re.compile(
    r"(?:(?:Initializing an?|Dumping input data for) )?(?:(?P<engine>V\d) )?"
    rf"{re.escape(CONFIG_TEXT.text)}(?P<version>[^)\s]+)\) with config: "
)

REPLICA = re.compile(r"EngineCore_(?:DP)?[1-9]|Worker_DP[1-9]")


def _row(name: str, text: Text, behind: str = "", before: str = "") -> tuple[str, Text, re.Pattern[str]]:
    """What it is, a text of its line, and the pattern: the text between two regular expressions. The value is the group of this name; of
    a pattern without it only counts that there is such a line.
    """
    return name, text, re.compile(before + re.escape(text.text) + behind)


ADVICE = r"(?P<share>0\.\d{4}|1\.0000) (?:is equivalent|to )"
DESIRED, SHARE = r"[Dd]esired (?:\w+ )?", r"(?P<share>0?\.\d+|1\.0), "
# The source of a record, of which there is a worker for one kind of device only.
SOURCE = r" ?(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) (?:[\d-]{5,10} [\d:.]{8,15} )?\[?(?:[\w./-]{1,200}/)?(?=(?P<source>[ctxh]pu|neuron))"

# What the platforms of plugins call their devices, by a part of the plugin's name.
DEVICES_OF_PLUGINS = {"ascend": "npu", "gaudi": "hpu", "habana": "hpu", "hpu": "hpu", "neuron": "neuron", "tpu": "tpu", "xpu": "xpu", "metal": "mps"}

INFO_ROWS = (
    # It ends at what cannot be of a version, and where somebody left out the rest of it there is none.
    _row("version", VERSION, r"(?P<version>v?\d+\.\d+\.(?:dev)?\d+(?:[.+_-]?[A-Za-z\d]+)*+)(?!…|\.\.)", r"(?:vLLM (?:API server|server|gRPC server|batch processing API) |█ {1,4})"),
    _row("kind", Text("detected platform", "INFO 11-24 16:38:01 [__init__.py:235] Automatically detected platform cpu.", "recorded 0.8.5 - 0.11.0"), r" (?P<kind>\w+)\.", "Automatically "),
    _row("plugin", Text("Platform plugin ", "INFO 11-24 02:56:46 [__init__.py:45] Platform plugin ascend is activated", ELSEWHERE), r"(?P<plugin>[\w.-]{1,60}) is activated"),
    # What vLLM prints on an AMD GPU only, which its config calls cuda: its platform's source, its own attention, its NCCL.
    _row("rocm", Text("rocm.py:", "INFO 02-11 09:00:00 rocm.py:131] Using Triton backend.", ELSEWHERE), r"\d", r"[ \[/]"),
    _row("rocm", Text("ROCmFlashAttention", "INFO 01-07 09:00:00 selector.py:120] Using ROCmFlashAttention backend.", ELSEWHERE), " backend", "Using "),
    _row("rocm", Text("librccl.so", "INFO 01-07 09:00:00 pynccl.py:59] Loading nccl from library librccl.so.1", ELSEWHERE), "", r"(?:Found|Loading) nccl from library \S{0,200}"),
    _row("rocm", Text("supported on AMD GPUs", "INFO 01-07 09:00:00 config.py:9] Disabled the custom all-reduce kernel because it is not supported on AMD GPUs.", ELSEWHERE), "", "custom all-reduce kernel because it is not "),
    _row("model", LOADING_MODEL, r" (?P<model>[^\s,]+?)\.\.\."),
    _row("length", Text("max model len ", "INFO 11-24 16:38:14 [config.py:1604] Using max model len 512", "recorded 0.10.0 - 0.32.0"), r"(?P<length>\d{1,9})(?!\d)", "Using "),
    # The model_config's max_model_len, in V0 and V1, also where it was fitted to the memory.
    _row("cache_length", Text(" tokens per request: ", "INFO 11-24 16:26:01 [executor_base.py:117] Maximum concurrency for 512 tokens per request: 512.00x", "recorded 0.8.5 - 0.32.0"), "", r"Maximum concurrency for (?P<cache_length>\d[\d,]{0,12})"),
    _row("share", Text("memory utilization is (", "Free memory on device (78.66/79.18 GiB) on startup. Desired GPU memory utilization is (0.92, 72.84 GiB).", "recorded 0.26.0"), SHARE, DESIRED),
    _row("share", Text("memory utilization (", "ode 0 (20.79/23.54 GiB) on startup is less than desired CPU memory utilization (1.0, 23.54 GiB). On the CPU backend, the", "recorded 0.32.0"), SHARE, DESIRED),
    _row("share", Text("current --gpu-memory-utilization=", "The current --gpu-memory-utilization=0.9000 is equivalent to --gpu-memory-utilization=0.8971 without CUDA graph", ELSEWHERE), ADVICE, "The "),
    _row("share", Text("increase --gpu-memory-utilization from ", "To try it now, set X=1 and increase --gpu-memory-utilization from 0.6000 to 0.6042 to maintain the same effective size", ELSEWHERE), ADVICE),
    # The V0 engine's, in hundredths.
    _row("share", Text("gpu_memory_utilization", "api_utils.py:286] non-default args: {'max_model_len': 512, 'gpu_memory_utilization': 0.4, 'disable_log_stats': True, 'model': 'tiny'", "recorded 0.8.5 - 0.32.0"), r"[ =]\(?(?P<share>0\.\d\d|1\.00)(?!\d)", r"GiB(?:\) x|,?) "),
    # A drafter's config has the enforce_eager of its model. The same to 0.13, with other words behind the comma.
    _row("eager", Text("Enforce eager set, ", "(APIServer pid=411) WARNING 11-24 16:42:46 [vllm.py:665] Enforce eager set, overriding optimization level to -O0", "recorded 0.12.0 - 0.32.0")),
    # The V0 engine's executor of a single process, to 0.6; those of several have longer names.
    _row("alone", Text("gpu_executor.py:", "INFO 07-24 03:57:34 gpu_executor.py:86] # GPU blocks: 22839, # CPU blocks: 2048", ELSEWHERE), r"\d", r"[ \[]"),
    _row("source", Text("xpu.py:", "INFO 11-24 02:56:46 [xpu.py:91] hello", ELSEWHERE), r"\d+\]", SOURCE),
    _row("source", Text("xpu_worker.py:", "(Worker pid=7) INFO 11-24 02:56:46 [xpu_worker.py:80] hello", ELSEWHERE), r"\d+\]", SOURCE),
    _row("source", Text("xpu_model_runner.py:", "INFO 11-24 02:56:46 [xpu_model_runner.py:427] hello", ELSEWHERE), r"\d+\]", SOURCE),
    _row("source", Text("tpu_worker.py:", "INFO 11-24 02:56:46 [tpu_worker.py:80] hello", ELSEWHERE), r"\d+\]", SOURCE),
    _row("source", Text("tpu_model_runner.py:", "INFO 11-24 02:56:46 [v1/worker/tpu_model_runner.py:12] hello", ELSEWHERE), r"\d+\]", SOURCE),
    _row("source", Text("hpu_worker.py:", "INFO 11-24 02:56:46 [hpu_worker.py:80] hello", ELSEWHERE), r"\d+\]", SOURCE),
    _row("source", Text("hpu_model_runner.py:", "INFO 11-24 02:56:46 [hpu_model_runner.py:12] hello", ELSEWHERE), r"\d+\]", SOURCE),
    _row("source", Text("neuron_worker.py:", "INFO 11-24 02:56:46 [neuron_worker.py:80] hello", ELSEWHERE), r"\d+\]", SOURCE),
    _row("source", Text("neuron_model_runner.py:", "INFO 11-24 02:56:46 [neuron_model_runner.py:12] hello", ELSEWHERE), r"\d+\]", SOURCE),
    _row("source", Text("neuronx_distributed_model_runner.py:", "INFO 11-24 02:56:46 [neuronx_distributed_model_runner.py:12] hello", ELSEWHERE), r"\d+\]", SOURCE),
    _row("source", Text("cpu_worker.py:", "INFO 11-24 16:36:01 [cpu_worker.py:145] auto thread-binding list: 0,1", "recorded 0.8.5 - 0.32.0"), r"\d+\]", SOURCE),
    _row("source", Text("cpu_model_runner.py:", "INFO 11-24 16:38:26 [cpu_model_runner.py:54] Starting to load model /models/tiny_llama...", "recorded 0.9.1 - 0.32.0"), r"\d+\]", SOURCE),
)

# The front of a start first. A picture with the version is the banner of newer releases; how it is called, all that a start with a
# wrong argument prints.
FRONT = (
    ("usage", re.compile(r"^usage: (?:\S+ -m )?\S*(?:api_server|vllm|\bmain\.py)\b")),
    ("banner", re.compile(r"vLLM (?:\w+ ){0,3}version |█ {1,4}version ")),
    ("arguments", ASKED),
    ("namespace", NAMESPACE),
)
# Printed before the beginning of a start, by every process.
PREFACE = re.compile(
    r"(?:(?:DEBUG|INFO|WARNING) [\d-]+ [\d:]+ \[?\w+\.py:\d+\]? )?(?:Automatically detected platform |Triton )"
)
# One is in each line that one of the patterns above can match.
OPENINGS = (
    VERSION,
    ARGUMENTS_TEXT,
    CONFIG_TEXT,
    Text("Triton ", "Triton is installed, but doesn't include CPU backend. Disabling Triton.", "recorded 0.10.0 - 0.32.0"),
    Text("Automatically ", "INFO 11-24 16:38:01 [__init__.py:235] Automatically detected platform cpu.", "recorded 0.8.5 - 0.11.0"),
    Text("usage: vllm", "usage: vllm serve [model_tag] [options]", ELSEWHERE),
    Text("usage: api_server", "usage: api_server.py [-h] [--host HOST] [--port PORT]", "recorded 0.8.5 - 0.32.0"),
    Text("usage: main.py", "usage: main.py [-h] [-v]", ELSEWHERE),
    Text("usage: python", "usage: python -m vllm.entrypoints.openai.api_server [-h]", ELSEWHERE),
)


def begins_front(text: str) -> bool:
    """Whether a line is of the front of a start, or of what is printed before it."""
    return PREFACE.match(text) is not None or any(pattern.search(text) for _, pattern in FRONT)
