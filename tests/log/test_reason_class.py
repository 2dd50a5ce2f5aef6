"""The class of a reason. Most texts are vLLM's own, filled in; the source of each is named where it is not obvious."""

import pytest

from bench.log.texts import Text, endings, failures
from bench.log.texts.failure_classes import CLASSES, ROWS, UNKNOWN, classify

TEXTS = [
    # torch_npu, oneCCL, and vllm's Ray executor
    (
        "communication_failure",
        "RuntimeError: create:ProcessGroupHCCL.cpp:89 HCCL function error: HcclCommInitRootInfo(n)",
    ),
    ("communication_failure", "RuntimeError: oneCCL: comm_selector.cpp:57 create_comm_impl: EXCEPTION: no"),
    (
        "device_failure",
        "RuntimeError: operator():compiler_depend.ts:47 NPU function error: c10_npu::acl::AclrtSynchronize",
    ),
    ("device_failure", "ValueError: Current node has no GPU available. current_node_resource={'CPU': 2}"),
    ("model_not_found", "FileNotFoundError: [Errno 2] No such file or directory: '/models/tiny/config.json'"),
    ("crashed", "*** SIGSEGV received at time=1762945937 on cpu 6 ***"),
    # vllm/v1/worker/utils.py
    (
        "free_memory_below_share",
        (
            "ValueError: Free memory on device cuda:0 (3.20/79.18 GiB) on startup is less than desired GPU memory utilization "
            "(0.9, 71.26 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
        ),
    ),
    # vllm/v1/worker/cpu_worker.py
    (
        "free_memory_below_share",
        (
            "ValueError: Available memory on node 0 (9.20/31.18 GiB) on startup is less than desired CPU memory utilization "
            "(0.92, 28.68 GiB)."
        ),
    ),
    (
        "free_memory_below_share",
        "ValueError: Free memory on device cuda:0 (3.20/79.18 GiB) on startup is less than the engine's budget after excluding",
    ),
    # vllm/v1/worker/gpu_worker.py
    (
        "memory_changed",
        "AssertionError: Error in memory profiling. Initial free memory 70.1 GiB, current free memory 71 GiB.",
    ),
    # vllm/v1/core/kv_cache_utils.py, and the same of 0.6 to 0.8
    (
        "kv_cache_too_small",
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
    ),
    (
        "kv_cache_too_small",
        (
            "ValueError: To serve at least one request with the model's max seq len (131072), (16.0 GiB KV cache is needed, which is "
            "larger than the available KV cache memory (3.1 GiB)."
        ),
    ),
    (
        "kv_cache_too_small",
        (
            "ValueError: The model's max seq len (131072) is larger than the maximum number of tokens that can be stored in KV cache "
            "(20480)."
        ),
    ),
    ("out_of_gpu_memory", "OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB."),
    ("out_of_gpu_memory", "OutOfMemoryError: HIP out of memory. Tried to allocate 224.00 MiB."),
    ("out_of_gpu_memory", "RuntimeError: CUDA error: out of memory"),
    # vllm/v1/worker/gpu_model_runner.py
    (
        "out_of_gpu_memory",
        "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests.",
    ),
    ("out_of_host_memory", "OSError: [Errno 12] Cannot allocate memory"),
    (
        "out_of_host_memory",
        "RuntimeError: [enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory",
    ),
    ("port_in_use", "OSError: [Errno 98] Address already in use"),
    ("port_in_use", "[Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use"),
    (
        "port_in_use",
        "DistNetworkError: The server socket has failed to listen on any local network address. code: -98, EADDRINUSE",
    ),
    # vllm/model_executor/model_loader
    ("weights_missing", "RuntimeError: Cannot find any model weights with `models/tiny`"),
    ("weights_missing", "RuntimeError: Cannot find any safetensors model weights with `models/tiny`"),
    (
        "weights_missing",
        "ValueError: Could not find checkpoint files 'tiny-tp2/model-rank-1-part-*.safetensors', only pre-sharded checkpoints",
    ),
    (
        "weights_missing",
        "FileNotFoundError: Weight files referenced in index but missing: {'tiny/model-00002-of-00002.safetensors'}",
    ),
    ("weights_missing", "ValueError: Following weights were not initialized from checkpoint: {'model.norm.weight'}"),
    ("weights_missing", "ValueError: Missing keys ('model.norm.weight',) in loaded state!"),
    ("weights_missing", "FileNotFoundError: No such file or directory: 'models/tiny/model-00002-of-00004.safetensors'"),
    (
        "weights_mismatched",
        "SafetensorError: Error while deserializing header: incomplete metadata, file not fully covered",
    ),
    ("weights_mismatched", "ValueError: There is no module or parameter named 'lm_head' in LlamaForCausalLM."),
    (
        "weights_mismatched",
        "AssertionError: Attempted to load weight (torch.Size([8])) into parameter (torch.Size([4]))",
    ),
    ("weights_mismatched", "ValueError: Attempted to load nested weight 'a.b' into a single parameter 'a'"),
    ("weights_mismatched", "KeyError: 'layers.0.self_attn.qkv_proj.q_bias'"),
    # vllm/transformers_utils/config.py and Hugging Face's
    (
        "model_not_found",
        "ValidationError: 1 validation error for ModelConfig: Value error, Invalid repository ID or local directory specified: '/x'.",
    ),
    (
        "model_not_found",
        "OSError: /x is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
    ),
    ("model_not_found", "GatedRepoError: 401 Client Error. Access to model x is restricted."),
    ("model_not_found", "ValueError: No supported config format found in /x."),
    (
        "model_not_found",
        "HTTPError: 404 Client Error: Not Found for url: https://huggingface.co/x/resolve/main/config.json",
    ),
    (
        "model_not_found",
        "HTTPStatusError: Client error '401 Unauthorized' for url 'https://huggingface.co/api/models/x'",
    ),
    ("hub_unreachable", "OSError: We couldn't connect to 'https://huggingface.co' to load the files"),
    ("hub_unreachable", "NameResolutionError: HTTPSConnection(host='huggingface.co', port=443): Failed to resolve"),
    (
        "hub_unreachable",
        "LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified revision",
    ),
    ("unsupported_model", "ValueError: Model architectures ['FooForCausalLM'] are not supported for now."),
    (
        "unsupported_model",
        "ValueError: Model architectures ['FooForCausalLM'] failed to be inspected. Please check the logs",
    ),
    ("import_failure", "ModuleNotFoundError: No module named 'fastsafetensors'"),
    ("import_failure", "ImportError: libcudart.so.12: cannot open shared object file: No such file or directory"),
    ("import_failure", "AttributeError: '_OpNamespace' '_C' object has no attribute 'silu_and_mul'"),
    (
        "compile_failure",
        "InductorError: RuntimeError: Failed to find C compiler. Please specify via CC environment variable.",
    ),
    (
        "compile_failure",
        "BackendCompilerFailed: backend='<vllm.compilation.backends.VllmBackend object at 0x7f>' raised:",
    ),
    ("compile_failure", "RuntimeError: Ninja build failed. Ninja output:"),
    (
        "compile_failure",
        "CalledProcessError: Command '['/usr/bin/gcc', 'main.c', '-O3']' returned non-zero exit status 1.",
    ),
    ("compile_failure", "BackendCompilerFailed: backend='inductor' raised: AssertionError: no node"),
    ("device_failure", "BackendCompilerFailed: backend='inductor' raised: RuntimeError: Triton Error [CUDA]: invalid"),
    # XLA's, of a TPU, and Neuron's runtime
    (
        "compile_failure",
        "RuntimeError: Bad StatusOr access: INTERNAL: Mosaic failed to compile TPU kernel: Not Implemented",
    ),
    ("out_of_gpu_memory", "ValueError: Ran out of memory in memory space vmem while allocating on stack for %name.32"),
    (
        "out_of_gpu_memory",
        "XlaRuntimeError: RESOURCE_EXHAUSTED: Error allocating device buffer: Attempting to allocate 1G",
    ),
    ("out_of_gpu_memory", 'RuntimeError: nrt_tensor_allocate status=4 message="Allocation Failure"'),
    ("bad_argument", "ValueError: Failed to find a kernel that can implement the ScaledMM linear layer. Reasons:"),
    ("bad_argument", "unrecognized arguments: --foo"),
    ("bad_argument", "argument --tensor-parallel-size/-tp: invalid int value: 'two'"),
    (
        "bad_argument",
        (
            "ValidationError: 1 validation error for ModelConfig: Value error, User-specified max_model_len (99999) is greater than the "
            "derived max_model_len"
        ),
    ),
    ("bad_argument", "ValueError: Total number of attention heads (32) must be divisible by tensor parallel size (3)."),
    ("communication_failure", "DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3353, unhandled system error"),
    # vllm/v1/engine/core_client.py
    (
        "timeout",
        "TimeoutError: Timed out waiting for engine core processes to start. This is often caused by slow weight loading",
    ),
    ("device_failure", "RuntimeError: Invalid device string: 'cuda:cpu'"),
    ("device_failure", "RuntimeError: No CUDA GPUs are available"),
    ("device_failure", "AcceleratorError: CUDA error: no kernel image is available for execution on the device"),
    ("device_failure", "RuntimeError: No HIP GPUs are available"),
    (
        "device_failure",
        "RuntimeError: Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling",
    ),
    ("device_failure", "AssertionError: Torch not compiled with CUDA enabled"),
    ("device_failure", "RuntimeError: Device string must not be empty"),
    ("device_failure", "RuntimeError: Triton Error [CUDA]: device kernel image is invalid"),
    ("out_of_gpu_memory", "RuntimeError: Triton Error [CUDA]: out of memory"),
    # ray/exceptions.py
    ("out_of_host_memory", "OutOfMemoryError: Task was killed due to the node running low on memory."),
    ("worker_died", "ActorDiedError: The actor died because of an error raised in its creation task"),
    ("weights_mismatched", "KeyError: 'transformer.h.0.mlp.dense_4h_to_h.bias'"),
    # transformers
    ("model_not_found", "OSError: You are trying to access a gated repo."),
    (
        "unsupported_model",
        "ValueError: Unrecognized model in /models/x. Should have a `model_type` key in its config.json",
    ),
    (
        "bad_argument",
        "ValueError: Loading x requires you to execute it. Please set the option `trust_remote_code=True`.",
    ),
    ("compile_failure", "FileNotFoundError: [Errno 2] No such file or directory: 'ninja'"),
    # vllm/config
    ("bad_argument", "ValueError: max_num_batched_tokens (2048) is smaller than max_model_len (4096)."),
    (
        "bad_argument",
        "ValueError: Quantization method specified in the model config (fp8) does not match the quantization method specified",
    ),
    (
        "bad_argument",
        "ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 89.",
    ),
    ("bad_argument", "ValueError: Weight input_size_per_partition = 1184 is not divisible by min_thread_k = 128."),
    (
        "bad_argument",
        "ValueError: The number of required GPUs exceeds the total number of available GPUs in the placement group.",
    ),
    # vllm's loaders, of a setting that is not theirs
    (
        "bad_argument",
        "ValueError: Unexpected extra config keys for load format runai_streamer_sharded: dict_keys(['concurrency'])",
    ),
    ("bad_argument", "ValueError: Model loader extra config is not supported for load format dummy"),
    ("bad_argument", "ValueError: Unexpected keys in model_loader_extra_config: {'threads'}"),
    ("bad_argument", "AssertionError: 25 is not divisible by 2"),  # ensure_divisibility
    (
        "bad_argument",
        "ValueError: The output_size of gate's and up's weight = 192 is not divisible by weight quantization block_n = 128.",
    ),
    ("unknown", "ValueError: Input image size must be divisible by 28"),
    ("unknown", "AssertionError: hidden_size must be divisible by num_heads"),
    ("illegal_memory_access", "AcceleratorError: CUDA error: an illegal memory access was encountered"),
    ("illegal_memory_access", "RuntimeError: Triton Error [CUDA]: an illegal memory access was encountered"),
    (
        "illegal_memory_access",
        "Memory access fault by GPU node-2 (Agent handle: 0x55) on address 0x7f. Reason: Unknown.",
    ),
    ("disk_full", "OSError: [Errno 28] No space left on device"),
    ("disk_full", "SafetensorError: Error while serializing: I/O error: No space left on device (os error 28)"),
    ("model_not_found", "NoCredentialsError: Unable to locate credentials"),
    ("model_not_found", "ClientError: An error occurred (403) when calling the HeadObject operation: Forbidden"),
    ("resources_missing", "Waiting for creating a placement group of specs for 10 seconds. specs=[{'GPU': 1.0}]."),
    (
        "resources_missing",
        "RuntimeError: Cannot provide a placement group of placement_group_specs=[{'GPU': 1.0}] within 1800 seconds.",
    ),
    ("killed", "slurmstepd: error: *** JOB 353 ON gpu-1 CANCELLED AT 2026-11-24T02:56:48 DUE TO TIME LIMIT ***"),
    ("unknown", "KeyError: 'model.type'"),
    ("unknown", "FileNotFoundError: [Errno 2] No such file or directory: '/tmp/ninja.json'"),
    ("crashed", "Fatal Python error: Segmentation fault"),
    ("crashed", "vLLM ended before it was ready: killed by SIGSEGV"),
    ("worker_died", "Worker VllmWorkerProcess pid 4711 died, exit code: -9"),  # the V0 engine's
    ("out_of_gpu_memory", "RuntimeError: CUDA driver error: out of memory"),
    # the terminal's width cut it
    (
        "kv_cache_too_small",
        "ValueError: To serve at least one request with the models's max seq len (40960), (4.38 GiB KV",
    ),
    ("worker_died", "Worker proc VllmWorker-1 died unexpectedly, shutting down executor."),
    ("worker_died", "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"),
    ("killed", "vLLM ended before it was ready: killed by SIGKILL, as when the host is out of memory"),
    ("killed", "KeyboardInterrupt: terminated"),
    ("unknown", "vLLM ended before it was ready: exit code 1"),
    ("unknown", "ValueError: something that nobody has seen before"),
    ("unknown", "AssertionError"),
    (
        "unknown",
        "RuntimeError: The size of tensor a (4096) must match the size of tensor b (2048) at non-singleton dimension 0",
    ),
]


@pytest.mark.parametrize(("expected", "words"), TEXTS, ids=lambda text: text[:60])
def test_words_have_their_class(expected, words):
    """The one that says what to do about it: not what kind of exception it was."""
    assert classify(words) == expected


def test_every_class_has_a_text_that_is_of_it():
    """A class that nothing can have would be a promise."""
    assert {name for name, _ in TEXTS} == {*(name for name, _ in CLASSES), UNKNOWN}


@pytest.mark.parametrize(
    "words",
    [
        "RuntimeError: The size of tensor a (4096) must match the size of tensor b (2048) at non-singleton dimension 0",
        "RuntimeError: start (1024) + length (1024) exceeds dimension size (1024).",
    ],
)
def test_a_shape_that_does_not_fit_is_the_checkpoints_while_weights_are_loaded(words):
    """As of one that was cut for another number of ranks. Later it can be anything."""
    assert classify(words, "loading weights") == "weights_mismatched"
    assert classify(words, "profiling") == "unknown"


def test_a_class_names_the_texts_that_stand_in_another_table():
    """A text is spelled once."""
    values = [*vars(endings).values(), *vars(failures).values()]
    rows = [row for value in values for row in (value if isinstance(value, tuple) else [value])]
    elsewhere = {row.text for row in rows if isinstance(row, Text)}
    spelled = {text for _, *texts in ROWS for text in texts if isinstance(text, str)}

    assert elsewhere & spelled == set()
