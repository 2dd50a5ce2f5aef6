"""What a start says of itself outside of its arguments: texts that vLLM prints, and what each of them tells. Pure."""

import re

VERSION = re.compile(
    r"(?:vLLM (?:API server|server|gRPC server|batch processing API) |█ {1,4})version (?P<version>v?\d+\.\d+\.(?:dev)?\d+[^\s,^]*)"
)
PLATFORM = re.compile(r"Automatically detected platform (?P<kind>\w+)\.")
ROCM = re.compile(r"[ \[/]rocm\.py:\d")  # the source of a line that only an AMD GPU's platform prints
REPLICA = re.compile(r"EngineCore_(?:DP)?[1-9]|Worker_DP[1-9]")
MODEL = re.compile(r"Starting to load model (?P<model>[^\s,]+?)\.\.\.")
LENGTH = re.compile(r"Using max model len (?P<length>\d{1,9})(?!\d)")
SHARE = re.compile(r"[Dd]esired (?:\w+ )?memory utilization (?:is )?\((?P<share>0?\.\d+|1\.0), ")
SHARE_OF_ADVICE = re.compile(r"The current --gpu-memory-utilization=(?P<share>0\.\d{4}|1\.0000) is equivalent")
SHARE_OF_V0 = re.compile(r"GiB(?:\) x|,?) gpu_memory_utilization[ =]\(?(?P<share>0\.\d\d|1\.00)(?!\d)")  # in hundredths
# What is said outside of arguments: what it is, a text of its line, where it stands there.
HINTS = (
    ("version", "version ", VERSION),
    ("kind", "detected platform", PLATFORM),
    ("model", "Starting to load model ", MODEL),
    ("length", "max model len ", LENGTH),
    ("share", "memory utilization is (", SHARE),
    ("share", "memory utilization (", SHARE),
    ("share", "current --gpu-memory-utilization=", SHARE_OF_ADVICE),
    ("share", "gpu_memory_utilization", SHARE_OF_V0),
)
TEXTS = (
    "args: ",
    "LLM engine (v",
    "rocm.py:",
    *(text for _, text, _ in HINTS),
)  # one is in each line that says something
