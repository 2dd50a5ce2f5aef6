"""THE table of what must agree between the starts of two points, unless it is what the sweep varies: a row a param or tag."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from bench.config import Storage
from bench.host import storage_facts
from bench.start.tags import (
    BYTE_CODE,
    COMPILE_CACHE,
    ENTRYPOINT,
    HOST,
    HOST_NAME,
    PAGE_CACHE,
    RAN,
    STORAGE,
    VLLM_VERSION,
)


@dataclass(frozen=True)
class Fact:
    """A param or tag; starts that differ in it are not one experiment. `decided_by`: settings, by the last part of their names, that decide
    it besides: where one of them is varied, it may differ. `within`: numbers that one host shows a little different from boot to boot, as
    a share.
    """

    name: str
    what: str  # in sentences
    decided_by: AbstractSet[str] = frozenset()
    within: float = 0.0
    of_one_format: bool = False  # a package that some loaders alone import


RANKS = {
    "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "enable_expert_parallel", "distributed_executor_backend",
}  # fmt: skip
COMPILING = {"enforce_eager", "compilation_config", "optimization_level", "O"}
BATCHING = {
    "max_num_seqs",
    "max_num_batched_tokens",
    "max_model_len",
    "enable_chunked_prefill",
    "enable_prefix_caching",
}
TYPES = {"dtype", "quantization", "quantization_config", "hf_overrides", "kv_cache_dtype", "hf_config_path"}
BACKEND = {
    "attention_backend",
    "attention_config",
    "VLLM_ATTENTION_BACKEND",
    "block_size",
    "model_impl",
    "enforce_eager",
}
PYTHON = {"python"}
STORAGES = {"storage", *(Storage.model_fields.keys() - {"name"})}
RELEASES = "two releases"  # of vLLM, in two sweeps: no setting, but what is compared on purpose

# fmt: off
FACTS = (
    Fact("model", "the model"),
    Fact(VLLM_VERSION.name, "the vLLM version", decided_by={RELEASES}),
    Fact(ENTRYPOINT.name, "the entry point of vLLM's server", decided_by={"entrypoint"}),
    Fact(HOST.name("gpu"), "the GPU"),
    Fact(HOST_NAME.name, "the host"),
    Fact(HOST.name("gpu_count"), "the number of GPUs"),
    Fact(HOST.name("gpu_driver"), "the GPU's driver"),
    Fact(HOST.name("cpu"), "the CPU"),
    Fact(HOST.name("cpu_cores"), "the number of CPUs"),
    Fact(HOST.name("memory_gib"), "the host's memory in GiB", within=0.02),
    Fact(HOST.name("kernel"), "the kernel"),
    *(Fact(STORAGE.name(each.name), each.must_agree, decided_by=STORAGES) for each in storage_facts.FACTS if each.must_agree),
    Fact(PAGE_CACHE.name, "the page cache's state"),
    Fact(COMPILE_CACHE.name, "the compile cache's state"),
    Fact(BYTE_CODE.name, "the state of Python's byte code", decided_by={"bytecode", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"}),
    Fact(RAN.name("vllm"), "the vLLM that ran", decided_by=PYTHON),
    Fact(RAN.name("torch"), "the torch that ran", decided_by=PYTHON),
    Fact(RAN.name("transformers"), "the transformers that ran", decided_by=PYTHON),
    Fact(RAN.name("safetensors"), "the safetensors that ran", decided_by=PYTHON, of_one_format=True),
    Fact(RAN.name("triton"), "the triton that ran", decided_by=PYTHON, of_one_format=True),
    Fact(RAN.name("runai_model_streamer"), "the runai_model_streamer that ran", decided_by=PYTHON, of_one_format=True),
    Fact(RAN.name("cpus"), "the CPUs that vLLM ran on", decided_by=RANKS | {"VLLM_CPU_OMP_THREADS_BIND"}),
    Fact(RAN.name("niceness"), "vLLM's niceness"),
    Fact(RAN.name("scheduler"), "vLLM's scheduler"),
    Fact(RAN.name("limit_cpus"), "the cgroup's limit on CPUs"),
    Fact(RAN.name("limit_memory_bytes"), "the cgroup's limit on memory"),
    Fact(RAN.name("model_class"), "the model's implementation", decided_by=TYPES | {"model_impl", "runner", "convert", "task"}),
    Fact(RAN.name("dtype"), "the effective dtype", decided_by=TYPES),
    Fact(RAN.name("quantization"), "the effective quantisation", decided_by=TYPES),
    Fact(RAN.name("attention_backend"), "the attention backend", decided_by=TYPES | BACKEND | RANKS),
    Fact(RAN.name("kv_cache_dtype"), "the effective kv_cache_dtype", decided_by=TYPES | BACKEND),
    Fact(RAN.name("block_size"), "the effective block_size", decided_by=TYPES | BACKEND),
    Fact(RAN.name("prefix_caching"), "prefix caching", decided_by=BATCHING),
    Fact(RAN.name("max_model_len"), "the effective max_model_len", decided_by=BATCHING | TYPES),
    Fact(RAN.name("max_num_seqs"), "the effective max_num_seqs", decided_by=BATCHING | RANKS),  # vLLM's defaults on a CPU are multiples of the ranks
    Fact(RAN.name("max_num_batched_tokens"), "the effective max_num_batched_tokens", decided_by=BATCHING | RANKS),
    Fact(RAN.name("enforce_eager"), "the effective enforce_eager", decided_by=COMPILING),
    Fact(RAN.name("compilation"), "the effective compilation mode", decided_by=COMPILING),
    Fact(RAN.name("cuda_graphs"), "the effective CUDA graph mode", decided_by=COMPILING | BACKEND),
    Fact(RAN.name("ranks"), "the number of ranks", decided_by=RANKS),
    Fact(RAN.name("startup_plan"), "whether vLLM's startup plan was applied", decided_by={"VLLM_ENABLE_STARTUP_PLAN"}),
)
# fmt: on
MUST_AGREE = {fact.name: fact for fact in FACTS}
# What is not used has none of these: dummy weights no page cache, an eager start no compile cache.
STATES = {PAGE_CACHE.name, COMPILE_CACHE.name}
# Starts of an earlier bench have none of these.
LATER = {BYTE_CODE.name, *(STORAGE.name(each.name) for each in storage_facts.FACTS if each.is_later)}
