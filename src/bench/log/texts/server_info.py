"""What a start says of itself outside of its arguments: texts that vLLM prints, and what each of them tells. Pure."""

import re

# It ends at what cannot be of a version, and where somebody left out the rest of it there is none.
VERSION = re.compile(
    r"(?:vLLM (?:API server|server|gRPC server|batch processing API) |█ {1,4})version "
    r"(?P<version>v?\d+\.\d+\.(?:dev)?\d+(?:[.+_-]?[A-Za-z\d]+)*+)(?!…|\.\.)"
)
REPLICA = re.compile(r"EngineCore_(?:DP)?[1-9]|Worker_DP[1-9]")
MODEL = re.compile(r"Starting to load model (?P<model>[^\s,]+?)\.\.\.")
LENGTH = re.compile(r"Using max model len (?P<length>\d{1,9})(?!\d)")
# The model_config's max_model_len, in V0 and V1, also where it was fitted to the memory.
LENGTH_OF_CACHE = re.compile(r"Maximum concurrency for (?P<cache_length>\d[\d,]{0,12}) tokens per request: ")
SHARE = re.compile(r"[Dd]esired (?:\w+ )?memory utilization (?:is )?\((?P<share>0?\.\d+|1\.0), ")
SHARE_OF_ADVICE = re.compile(
    r"(?:The current --gpu-memory-utilization=|increase --gpu-memory-utilization from )(?P<share>0\.\d{4}|1\.0000) (?:is equivalent|to )"
)
SHARE_OF_V0 = re.compile(r"GiB(?:\) x|,?) gpu_memory_utilization[ =]\(?(?P<share>0\.\d\d|1\.00)(?!\d)")  # in hundredths
# A drafter's config has the enforce_eager of its model. The same to 0.13, with other words behind the comma.
EAGER = re.compile(r"(?P<eager>Enforce eager set), ")

# The V0 engine's executor of a single process, to 0.6; those of several have longer names.
ALONE = re.compile(r"[ \[](?P<alone>gpu_executor)\.py:\d")

PLATFORM = re.compile(r"Automatically detected platform (?P<kind>\w+)\.")
PLUGIN = re.compile(r"Platform plugin (?P<plugin>ascend) is activated")  # vllm-ascend's platform calls its device npu
# What vLLM prints on an AMD GPU only, which its config calls cuda: its platform's source, its own attention, its NCCL.
ROCM_SOURCE = re.compile(r"[ \[/](?P<rocm>rocm)\.py:\d")
ROCM_ATTENTION = re.compile(r"Using (?P<rocm>ROCm)FlashAttention backend")
ROCM_NCCL = re.compile(r"(?:Found|Loading) nccl from library \S{0,200}lib(?P<rocm>rccl)\.so")
ROCM_REDUCE = re.compile(r"custom all-reduce kernel because it is not supported on (?P<rocm>AMD) GPUs")
# The source of a record, of which there is a worker for one kind of device only.
DEVICE_SOURCE = re.compile(
    r" ?(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) (?:[\d-]{5,10} [\d:.]{8,15} )?\[?(?:[\w./-]{1,200}/)?"
    r"(?P<source>xpu(?=\.)|(?:cpu|tpu|xpu)(?=_(?:worker|model_runner)\.))\w*\.py:\d+\]"
)
DEVICE_SOURCES = (
    "xpu.py:",
    "xpu_worker.py:",
    "xpu_model_runner.py:",
    "tpu_worker.py:",
    "tpu_model_runner.py:",
    "cpu_worker.py:",
    "cpu_model_runner.py:",
)

# What is said outside of arguments: what it is, a text of its line, where it stands there.
HINTS = (
    ("version", "version ", VERSION),
    ("kind", "detected platform", PLATFORM),
    ("plugin", "Platform plugin ", PLUGIN),
    ("rocm", "rocm.py:", ROCM_SOURCE),
    ("rocm", "ROCmFlashAttention", ROCM_ATTENTION),
    ("rocm", "librccl.so", ROCM_NCCL),
    ("rocm", "supported on AMD GPUs", ROCM_REDUCE),
    ("model", "Starting to load model ", MODEL),
    ("length", "max model len ", LENGTH),
    ("cache_length", " tokens per request: ", LENGTH_OF_CACHE),
    ("share", "memory utilization is (", SHARE),
    ("share", "memory utilization (", SHARE),
    ("share", "current --gpu-memory-utilization=", SHARE_OF_ADVICE),
    ("share", "increase --gpu-memory-utilization from ", SHARE_OF_ADVICE),
    ("share", "gpu_memory_utilization", SHARE_OF_V0),
    ("eager", "Enforce eager set, ", EAGER),
    ("alone", "gpu_executor.py:", ALONE),
    *(("source", text, DEVICE_SOURCE) for text in DEVICE_SOURCES),
)
TEXTS = ("args: ", "LLM engine (v", *(text for _, text, _ in HINTS))  # one is in each line that says something
