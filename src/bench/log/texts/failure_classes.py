"""The words of a failure -> its class, from a closed list. Pure.

Source of the texts: vLLM's, PyTorch's, Hugging Face's and the kernel's own messages. The first row that is found counts,
so what is special stands before what is general.
"""

import re

from bench.log.texts import Stage, Text
from bench.log.texts.endings import ACCESS_FAULT, CRASHED, HUNG, OF_WORKERS, OUT_OF_MEMORY, STOPPED
from bench.log.texts.failures import GONE

UNKNOWN = "unknown"

# Class, and its texts: those of other tables, and regular expressions. Each is searched for anywhere in the reason; ^ is where its words begin.
ROWS: tuple[tuple[str, *tuple[str | Text, ...]], ...] = (
    ("free_memory_below_share", r"is less than desired \w+ memory utilization", r"is less than the engine's budget"),
    ("memory_changed", r"Error in memory profiling"),  # another process gave memory back meanwhile
    (
        "kv_cache_too_small",
        r"No available memory for the cache blocks",
        r"larger than the available KV cache memory",
        r"To serve at least one request with the models?'s max seq len",  # the same where the line was wrapped
        r"larger than the maximum number of tokens that can be stored in KV cache",
    ),
    (
        "out_of_host_memory",
        r"^MemoryError",
        r"Cannot allocate memory",
        r"DefaultCPUAllocator: (?:can't|not enough)",
        r"node running low on memory",  # Ray's OutOfMemoryError
    ),
    (
        "out_of_gpu_memory",
        r"OutOfMemoryError",
        r"(?:CUDA|HIP|XPU|NPU)(?: (?:driver )?error)?:? out of memory",
        r"Triton Error \[\w+\]: out of memory",
        r"cudaErrorMemoryAllocation",
        r"CUBLAS_STATUS_ALLOC_FAILED",
        r"not enough GPU memory",
        r"Ran out of memory in memory space|RESOURCE_EXHAUSTED: (?:(?:Error|Failed) (?:to )?alloca|Attempting to )",  # XLA's, of a TPU
        r"nrt_tensor_allocate status=\d+ message=\"Allocation Failure\"",  # Neuron's runtime
    ),
    ("port_in_use", r"[Aa]ddress already in use", r"EADDRINUSE", r"\[Errno 98\]"),
    ("disk_full", r"No space left on device", r"\[Errno 28\]", r"Disk quota exceeded", r"\[Errno 122\]"),
    (
        "weights_missing",
        r"Cannot find any (?:safetensors )?model weights",
        r"Could not find checkpoint files",
        r"Weight files referenced in index but missing",
        r"weights were not initialized from checkpoint",
        r"Missing keys .* in loaded state",
        r"not found in the checkpoint",
        r"No such file or directory: .*\.(?:safetensors|bin|pt|pth|gguf)\b",
    ),
    (
        "weights_mismatched",
        r"^SafetensorError",
        r"deserializing header",
        r"There is no module or parameter named",
        r"Attempted to load (?:nested )?weight",
        r"Tried to load weights of size",
        r"size mismatch for",
        r"PytorchStreamReader failed",
        r"^UnpicklingError",
        r"^KeyError: '(?:\w+\.)*layers\.\d+\.",
        r"^KeyError: '(?:\w+\.)+(?:q?weight|bias)\b",
    ),
    (
        "model_not_found",
        r"Invalid repository ID or local directory",
        r"not a valid model identifier",
        r"^RepositoryNotFoundError",
        r"^GatedRepoError",
        r"trying to access a gated repo",
        r"^(?:No|Partial|Default)CredentialsError",  # of S3 and of Google
        r"^ClientError: An error occurred \((?:40[0134]|AccessDenied|NoSuch\w+|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken)\)",
        r"^HFValidationError",
        r"Repo id must be",
        r"No supported config format found",
        r"Could not detect config format",
        r"does not appear to have a file named config\.json",
        r"^FileNotFoundError: .*/config\.json'",
        r"Can't load the configuration of",
        r"40[134] Client Error.*huggingface\.co",
        r"Client error '40[134].*huggingface\.co",
    ),
    (
        "hub_unreachable",
        r"^LocalEntryNotFoundError",
        r"^OfflineModeIsEnabled",
        r"couldn't connect to 'https://huggingface",
        r"^(?:NameResolutionError|MaxRetryError|NewConnectionError|ConnectTimeout|ProxyError)\b",
        r"Max retries exceeded",
        r"[Nn]ame resolution",
    ),
    (
        "unsupported_model",
        r"Model architectures? .*(?:not supported|failed to be inspected)",
        r"has no vLLM implementation",
        r"Transformers does not (?:know|recognize)",
        r"^ValueError: Unrecognized (?:model in|configuration class)",
    ),
    (
        "import_failure",
        r"^(?:ModuleNotFoundError|ImportError)\b",
        r"cannot import name",
        r"undefined symbol",
        r"'_OpNamespace' '\w+' object has no attribute",  # vLLM goes on without its extension, until it calls it
    ),
    (
        "compile_failure",
        r"^(?:InductorError|BackendCompilerFailed|CompilationError|CompileError|TorchRuntimeError|PTXASError)\b",
        r"^(?:Unsupported|OutOfResources)\b",  # Dynamo's, Triton's
        r"Failed to find C compiler",
        r"No such file or directory: '(?:[\w./-]+/)?(?:ninja|nvcc|gcc|g\+\+|ptxas|hipcc)'",
        r"Could not find nvcc",
        r"Error building extension",
        r"Ninja build failed",
        r"failed to compile \w+ kernel",  # Mosaic's, of a TPU
        r"^CalledProcessError: .*\b(?:gcc|g\+\+|nvcc|ninja|ptxas|hipcc)\b",
    ),
    (
        "bad_argument",
        r"unrecognized arguments",
        r"not implemented in Rust frontend yet",
        r"^argument ",
        r"arguments are required",
        r"^ValidationError",
        r"divisible by (?:the )?(?:tensor|pipeline|data|expert|world|context|TP|PP|tp_size|world_size)",
        r"divisible by (?:weight quantization block|min_thread|block_size|BLOCK_SIZE)",
        r"^AssertionError: \d+ is not divisible by \d+$",  # what is shared among ranks
        r"Unexpected extra config keys for load format",
        r"Unexpected (?:keys|arguments?) in .*extra.config",
        r"model_loader_extra_config",
        r"^TypeError: .*\bload[_ ]?config\b",
        r"(?:for|by|with) load[_ ]format\b",
        r"[Ii]nvalid load format",
        r"is smaller than max_model_len",
        r"set the option `trust_remote_code=True`",
        r"does not match the quantization method",
        r"quantization method \S+ is not supported for the current GPU",
        r"exceeds the total number of available GPUs",
        r"Unknown load_format",
        r"Load format `?\w+`? is not supported",
        r"larger than the number of available GPUs",
        r"greater than the derived max_model_len",
        r"only supported on GPUs with compute capability",
        r"Failed to find a kernel that can implement the",  # of a quantization, on this GPU
    ),
    (
        "communication_failure",
        r"^DistBackendError",
        r"NCCL (?:error|ERROR)",
        r"HCCL function error",
        r"^RuntimeError: oneCCL: ",
        r"^DistNetworkError",
    ),
    (
        "resources_missing",
        r"(?:creating|removing|provide) a placement group",
        r"No available node types can fulfill",
    ),
    ("timeout", r"^TimeoutError", r"^\w+Timeout\b", r"[Tt]imed out", HUNG),
    (
        "illegal_memory_access",
        r"illegal memory access",
        ACCESS_FAULT,
        r"cudaErrorIllegalAddress|CUDA_ERROR_ILLEGAL_ADDRESS|hipErrorIllegalAddress",
        r"(?:CUDA|HIP) error: misaligned address",
        r"MTE DDR address out of range|aicore exception",  # an NPU's
    ),
    (
        "device_failure",
        r"Invalid device string",
        r"Found no NVIDIA driver",
        r"No (?:CUDA|HIP|XPU) \w+ are available",
        r"from cudaGetDeviceCount\(\)",
        r"Torch not compiled with CUDA",
        r"Device string must not be empty",
        r"Triton Error \[\w+\]",
        r"Failed to infer device type",
        r"driver version is insufficient",
        r"no kernel image is available",
        r"NVIDIA driver on your system is too old",
        r"(?:CUDA|HIP) (?:unknown )?error",
        r"NPU function error",
        r"Current node has no \w+ available",
    ),
    (
        "crashed",
        *CRASHED,
        r"killed by SIG(?:SEGV|ABRT|BUS|ILL|FPE)",
    ),
    (
        "worker_died",
        *GONE,
        *OF_WORKERS,
        r"pid \d+ died, exit code: ",
        r"^(?:WorkerCrashedError|ActorDiedError)\b",  # Ray's
        r"Frontend process failed",  # the rest of its line may be cut off
        r"^EngineDeadError",
        r"^EOFError",
    ),
    (
        "killed",
        *STOPPED,
        r"\bKilled\b",
        r"\bTerminated\b",
        *OUT_OF_MEMORY,
        r"exit code 137",
        r"^KeyboardInterrupt",
        r"^SystemExit",
        r"killed by SIG",
    ),
)

# Dynamo's, of whatever its compiler met.
COMPILER_MET = re.compile(r"^BackendCompilerFailed: backend=.{1,300}? raised: (?=\S)")
# What means something else at another time.
WHILE_LOADING = ("weights_mismatched", re.compile(r"The size of tensor a .* must match|exceeds dimension size"))


def _pattern(text: str | Text) -> str:
    return re.escape(text.text) if isinstance(text, Text) else text


CLASSES = tuple((name, re.compile("|".join(map(_pattern, texts)))) for name, *texts in ROWS)


def classify(words: str, stage: str | None = None) -> str:
    """The class of a reason, `unknown` where no row knows it. It is never guessed from a similar one.

    `stage` is what vLLM was doing.
    """
    if met := COMPILER_MET.match(words):
        return _known(words[met.end() :]) or _known(words) or UNKNOWN
    name, pattern = WHILE_LOADING
    if stage == Stage.WEIGHTS and pattern.search(words):
        return name
    return _known(words) or UNKNOWN


def _known(words: str) -> str | None:
    return next((name for name, pattern in CLASSES if pattern.search(words)), None)
