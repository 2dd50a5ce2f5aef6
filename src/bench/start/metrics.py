"""THE catalogue: every number that a start can have. Computing, MLflow, tables, figures, JSON and docs/metrics.md come from these rows.

A new metric is one row. One with `FromLog` or `FromProbe` is computed from it alone (log_metrics.py, measured_metrics.py); another gets its
value in measured_metrics.py. Rows stand in the order in which tables and figures show them.
"""

from dataclasses import replace
from functools import lru_cache

from bench.start.metric_types import Family, FromLog, FromProbe, Measured, Metric, last
from bench.vllm.probe_report import GIB
from bench.vllm.span import Span


def _duration_s(span: Span) -> float | None:
    return None if span.end_s is None else span.duration_s


def _delivered_gib(span: Span) -> float | None:
    return None if span.facts.delivered_bytes is None else span.facts.delivered_bytes / GIB


def _read_gib(span: Span) -> float | None:
    return None if span.facts.read_bytes is None else span.facts.read_bytes / GIB


def _blocked_s(span: Span) -> float | None:
    return span.facts.blocked_s


CLOCK = Measured("the driver's clock")
KERNEL = Measured("the kernel")
FILES = Measured("the checkpoint's files")
RESIDENT = Measured("cachestat, mincore or samples")
PROCESS_IO = Measured("`/proc/PID/io`")
STATUS = Measured("`/proc/PID/status` of the whole tree, ten times a second")
NVML = Measured("NVML")
HOST = Measured("`/proc`")
DISK = Measured("`/sys/block/*/stat`")
CGROUP = Measured("`io.stat` or `blkio.throttle.*` of the start's own cgroup")

# fmt: off
# What a start is measured for: the times of the driver, then of the probe, then of vLLM's own log.
READY = Metric("ready_s", "s", "Wall time to model ready", CLOCK, speedup="Wall time to ready", label="ready", is_key=True,
    what="exec to the first 200 of `/health`, asked every 20 ms from the engine's own word that it is up")
FIRST_TOKEN = Metric("first_token_s", "s", "First token", CLOCK, speedup="First token", label="first token", is_key=True,
    what="exec to the first streamed token")
FIRST_ANSWER = Metric("first_answer_s", "s", "First answer", CLOCK, speedup="First answer", label="first answer", is_key=True,
    what="exec to the whole first answer of a model that completes no texts: a vector, a class, a score, a transcription (`bench.endpoint`)")
WALL = Metric("log/wall_s", "s", "Wall time by the log's stamps", Measured("the times that vLLM prints in a replayed log, to a second"), speedup="Wall time by the log's stamps", label="wall, by the log", is_key=True, resolution=1.0,
    what="first stamp of the log to that of the server's first line, or of the engine's last where there is no server; never compared with `ready_s`")
PROBE_LOAD_WEIGHTS = Metric("probe/load_weights_s", "s", "Load weights, by the probe", FromProbe("load_weights", _duration_s), over_ranks=max, speedup="Load weights, by the probe", label="load weights (probe)", is_key=True,
    what="the model's `load_weights`: the same call in every load format, on one clock")
PROBE_WAIT_FOR_BYTES = Metric("probe/wait_for_bytes_s", "s", "Blocked waiting for bytes, by the probe", FromProbe(None, _blocked_s), over_ranks=max, is_key=True,
    what="blocked in iterators of weights")
PROBE_PROCESS_WEIGHTS = Metric("probe/process_weights_s", "s", "Process weights, by the probe", FromProbe("process_weights", _duration_s), over_ranks=max, is_key=True,
    what="quantization and layouts, after loading")
PROBE_DELIVERED = Metric("probe/delivered_gib", "GiB", "Delivered to all ranks, by the probe", FromProbe(None, _delivered_gib), over_ranks=sum, is_key=True,
    what="the tensors that the iterators gave to all ranks together")
PROBE_LOAD_MODEL = Metric("probe/load_model_s", "s", "Load model, by the probe", FromProbe("load_model", _duration_s), over_ranks=max,
    what="building the model, loading and processing its weights")
PROBE_READ = Metric("probe/read_gib", "GiB", "Read from storage while loading, by the probe", FromProbe("load_weights", _read_gib), over_ranks=sum,
    what="what all ranks together read from storage in `load_weights`")
PROBE_SKEW = Metric("probe/load_weights_skew_s", "s", "Slowest minus fastest rank, by the probe", Measured("the probe, inside every rank"),
    what="slowest minus fastest rank's `probe/load_weights_s`, of two ranks or more")
LOAD_WEIGHTS = Metric("phase/load_weights_s", "s", "Weights loading time", FromLog("load_weights"), over_ranks=max, speedup="Weights loading", label="load weights", is_key=True, resolution=0.01,
    what="vLLM's `Loading weights took`, which some loaders print only, each for something else")
LOAD_MODEL = Metric("phase/load_model_s", "s", "Model loading time", FromLog("load_model"), over_ranks=max, speedup="Model loading", label="load model", is_key=True, resolution=0.01,
    what="vLLM's `Model loading took`")
STREAM = Metric("phase/stream_s", "s", "Stream time", FromLog("stream"), over_ranks=max, label="stream",
    what="Run:ai Model Streamer's `Overall time to stream`")
INIT_ENGINE = Metric("phase/init_engine_s", "s", "Engine init time", FromLog("init_engine", within=last), over_ranks=max, label="init engine", is_key=True,
    what="profiling, KV cache and warm-up of the engine")
TORCH_COMPILE = Metric("phase/torch_compile_s", "s", "torch.compile total", FromLog("torch_compile"), over_ranks=max, label="torch.compile", is_key=True,
    what="all of torch.compile")
GRAPH_CAPTURE = Metric("phase/graph_capture_s", "s", "Graph capture time", FromLog("graph_capture"), over_ranks=max, label="graph capture", is_key=True,
    what="capturing the CUDA graphs that are served with")
DOWNLOAD = Metric("phase/download_s", "s", "Download time", FromLog("download"), over_ranks=max,
    what="downloading the weights")
PREFETCH = Metric("phase/prefetch_s", "s", "Prefetch time", FromLog("prefetch"), over_ranks=max,
    what="reading the files into the page cache, beside loading")
DESERIALIZE = Metric("phase/deserialize_s", "s", "Deserialize time", FromLog("deserialize"), over_ranks=max,
    what="tensorizer's deserializing")
QUANTIZATION = Metric("phase/online_quantization_s", "s", "Online quantization time", FromLog("online_quantization"), over_ranks=max,
    what="quantizing the weights while they are loaded")
DYNAMO = Metric("phase/dynamo_s", "s", "Dynamo time", FromLog("dynamo"), over_ranks=max,
    what="tracing by Dynamo, a part of `phase/torch_compile_s`")
PROFILING_RUN = Metric("phase/profiling_run_s", "s", "Profiling run time", FromLog("profiling_run"), over_ranks=max,
    what="the run that measures the memory of a full batch")
COMPILE_AND_PROFILING = Metric("phase/compile_and_profiling_run_s", "s", "Compile and profiling run time", FromLog("compile_and_profiling_run"), over_ranks=max,
    what="both, in releases that print one number for them")
ENCODER_GRAPH_CAPTURE = Metric("phase/encoder_graph_capture_s", "s", "Encoder graph capture time", FromLog("encoder_graph_capture"), over_ranks=max,
    what="capturing the encoder's CUDA graphs")

# Memory, sizes and rates.
LOAD_MODEL_MEMORY = Metric("memory/load_model_gib", "GiB", "Model loading memory", FromLog("load_model", "memory_gib"), over_ranks=max, is_key=True,
    what="GPU memory that the model took")
GRAPH_CAPTURE_MEMORY = Metric("memory/graph_capture_gib", "GiB", "Graph capture memory", FromLog("graph_capture", "memory_gib"), over_ranks=max, is_key=True,
    what="GPU memory that the graphs took; can be below 0, as printed")
ENCODER_GRAPH_MEMORY = Metric("memory/encoder_graph_capture_gib", "GiB", "Encoder graph capture memory", FromLog("encoder_graph_capture", "memory_gib"), over_ranks=max,
    what="GPU memory that the encoder's graphs took")
KV_CACHE_MEMORY = Metric("memory/kv_cache_gib", "GiB", "KV cache memory", FromLog("kv_cache", "memory_gib", min), over_ranks=min, is_key=True,
    what="memory of the KV cache")
KV_CACHE_TOKENS = Metric("kv_cache/tokens", "tokens", "KV cache", FromLog("kv_cache", "tokens", min), over_ranks=min, is_key=True, digits=0,
    what="tokens that the KV cache holds")
MAX_CONCURRENCY = Metric("kv_cache/max_concurrency", "", "Maximum concurrency", FromLog("kv_cache", "max_concurrency", min), over_ranks=min,
    what="requests of the greatest length that fit into the KV cache")
STREAM_SIZE = Metric("stream/size_gib", "GiB", "Streamed size", FromLog("stream", "size_gib", sum), over_ranks=max,
    what="what the streamer read")
DESERIALIZE_SIZE = Metric("deserialize/size_gib", "GiB", "Deserialized size", FromLog("deserialize", "size_gib", sum), over_ranks=max,
    what="what tensorizer read")
STREAM_RATE = Metric("throughput/stream_gib_per_s", "GiB/s", "Stream throughput", FromLog("stream", "rate_gib_per_s", min), over_ranks=min,
    what="the streamer's rate, as printed")
DESERIALIZE_RATE = Metric("throughput/deserialize_gib_per_s", "GiB/s", "Deserialize throughput", FromLog("deserialize", "rate_gib_per_s", min), over_ranks=min,
    what="tensorizer's rate, as printed")
STORAGE_LIMIT = Metric("throughput/storage_limit_gib_per_s", "GiB/s", "Limit of the storage", Measured("direct reads of the checkpoint's files, before and after the sweep"), over_starts=max, is_key=True,
    what="the most that the checkpoint's storage was seen to deliver: the best second, with as many reads under way as it takes")
STORAGE_SHARE = Metric("throughput/share_of_storage_limit", "", "Share of the storage's limit", Measured("`io/read_gib` over the seconds of loading, by that limit"), is_key=True,
    what="`io/read_gib` over the seconds from the first rank's `load_weights` to the end of the last's, as a share of `throughput/storage_limit_gib_per_s`")
LOAD_WEIGHTS_RATE = Metric("throughput/load_weights_gib_per_s", "GiB/s", "Weights loading throughput", Measured("files and log"),
    what="`checkpoint/size_gib` over `phase/load_weights_s`")
CHECKPOINT_SIZE = Metric("checkpoint/size_gib", "GiB", "Checkpoint", FILES, is_key=True, digits=3,
    what="bytes of the weights that this load format reads, each once")
HOST_ANON = Metric("memory/host_anon_peak_gib", "GiB", "Anonymous memory, peak", STATUS,
    what="the most anonymous memory that vLLM's processes had at once")
HOST_FILE = Metric("memory/host_file_peak_gib", "GiB", "Mapped files, peak", STATUS,
    what="the most that they had of mapped files; a page that two of them map counts twice")
HOST_SHMEM = Metric("memory/host_shmem_peak_gib", "GiB", "Shared memory, peak", STATUS,
    what="the most shared memory, counted likewise")
HOST_PSS = Metric("memory/host_pss_peak_gib", "GiB", "PSS, highest read", Measured("`/proc/PID/smaps_rollup`"),
    what="the highest that was read of their memory with each page counted once: a few times a start, and at its end")

# What the server does when its start is timed, where that is asked for.
REQUESTS_ONE_BY_ONE, GENERATOR = Measured("the driver's clock, with `steady`"), Measured("vLLM's load generator, with `serve_bench`")
STEADY = Metric("phase/steady_s", "s", "Steady service", REQUESTS_ONE_BY_ONE, speedup="Steady service", is_key=True,
    what="exec to the first request behind the last slow one: a request is slow if it takes more than `steady.within` above the median of its kind, short or long, in the last half of the requests; absent where more than one in ten of the last half is slow")
FIRST_REQUEST = Metric("latency/first_request_s", "s", "First request", REQUESTS_ONE_BY_ONE, is_key=True, digits=3,
    what="ready to the end of the start's own completion")
STEADY_REQUEST = Metric("latency/steady_request_s", "s", "Steady request", REQUESTS_ONE_BY_ONE, is_key=True, digits=3,
    what="the median over the last half of the requests that are like it")
OUTPUT_TOKENS = Metric("throughput/output_tokens_per_s", "tokens/s", "Output tokens a second", GENERATOR, speedup="Output tokens a second", is_rate=True, is_key=True,
    what="output tokens over the generator's seconds")
REQUESTS = Metric("throughput/requests_per_s", "1/s", "Requests a second", GENERATOR, speedup="Requests a second", is_rate=True, is_key=True,
    what="requests over the same seconds")
TTFT = Metric("latency/ttft_p50_s", "s", "Time to first token under load, median", GENERATOR, speedup="Time to first token under load", is_key=True, digits=3,
    what="the median over the requests")
TPOT = Metric("latency/tpot_p50_s", "s", "Time per output token under load, median", GENERATOR, speedup="Time per output token under load", is_key=True, digits=4,
    what="the median over the requests, without the first token")

# The state in which it was made.
RESIDENT_BEFORE = Metric("page_cache/resident_before", "", "In the page cache before", RESIDENT,
    what="share of the checkpoint's bytes in the page cache before exec, 0 to 1")
RESIDENT_AFTER = Metric("page_cache/resident_after", "", "In the page cache after", RESIDENT,
    what="the same after the last process of vLLM has ended")
PAGE_CACHE_LOST = Metric("page_cache/lost", "", "Taken out of the page cache", Measured("residency and `/proc/PID/io`"),
    what="share of the checkpoint's bytes that the page cache had or was given, and does not hold after the start; not of formats that read past it")
IO_READ = Metric("io/read_gib", "GiB", "Read from storage while loading", PROCESS_IO,
    what="read from storage while loading, by all ranks together")
IO_AMPLIFICATION = Metric("io/read_amplification", "", "Read amplification", PROCESS_IO,
    what="`io/read_gib` over the checkpoint's bytes")
IO_OTHER = Metric("io/other_read_gib", "GiB", "Read from storage for anything else", Measured("`/proc/PID/io` of the whole tree"),
    what="read from storage for anything else: packages, compiled graphs")
BYTE_CODE_COMPILED = Metric("bytecode/compiled_modules", "", "Modules compiled from source", Measured("the `.pyc` of the modules that each process of vLLM has imported"), digits=0,
    what="modules for which a process found no byte code that fits, over all processes; one imports about 6,000")
CGROUP_READS = Metric("io/cgroup_reads", "", "Requests to an emulated storage", CGROUP, digits=0,
    what="requests that vLLM's processes made of the device of an emulated storage, from exec to the end")
CGROUP_READ = Metric("io/cgroup_read_gib", "GiB", "Read from an emulated storage", CGROUP,
    what="what they read of it")
LOAD_READS = Metric("io/load_reads_per_s", "1/s", "Requests while loading", CGROUP, is_key=True, digits=0,
    what="requests a second to an emulated storage, from the first rank's `load_weights` to the end of the last's")
LOAD_READ_RATE = Metric("throughput/load_read_gib_per_s", "GiB/s", "Read while loading", CGROUP, is_key=True,
    what="what was read of it a second meanwhile")
DISK_READS = Metric("io/disk_reads_per_s", "1/s", "Requests to the disk while loading", DISK, digits=0,
    what="reads a second of the checkpoint's disk, everybody's, from the first rank's `load_weights` to the end of the last's")
DISK_REQUEST = Metric("io/disk_request_kib", "KiB", "Size of a request while loading", DISK, digits=0,
    what="the mean size of such a read")
DISK_IN_FLIGHT = Metric("io/disk_reads_in_flight", "", "Requests under way while loading", DISK, digits=1,
    what="how many of them were under way at once, in the mean")
DISK_BUSY = Metric("io/disk_busy", "", "Disk busy while loading", DISK,
    what="share of those seconds in which the disk had a request under way, of whatever kind")
LONGEST_GAP = Metric("clock/longest_gap_s", "s", "Longest gap of the driver", Measured("the driver's clock, ten times a second"),
    what="how long bench itself was stopped or got no processor before the first token or answer; 0: less than 0.25 s")
CPU_VLLM = Metric("cpu/vllm_s", "s", "Processor time of vLLM", KERNEL,
    what="processor seconds of vLLM's process tree, with those of `steady` and `serve_bench` where they are asked for")
CPU_BENCH = Metric("cpu/bench_s", "s", "Processor time of bench", KERNEL,
    what="processor seconds of bench beside it")
RIG_LOAD = Metric("rig/load_average", "", "Load average before", HOST,
    what="load average of the minute before the start")
RIG_BUSY_CORES = Metric("rig/busy_cores", "", "Busy cores before", HOST,
    what="cores that something else kept busy before the start")
RIG_FREE_MEMORY = Metric("rig/free_memory_gib", "GiB", "Free memory before", HOST,
    what="memory that could be had without swapping")
RIG_SWAP = Metric("rig/swap_used_gib", "GiB", "Swap used before", HOST,
    what="swapped out before the start")
RIG_GPU_MEMORY = Metric("rig/gpu_memory_used_gib", "GiB", "GPU memory used before", NVML,
    what="in use before the start, on all GPUs of the start together")
RIG_GPU_PROCESSES = Metric("rig/gpu_processes", "", "GPU processes before", NVML,
    what="processes that used these GPUs before the start")
RIG_GPU_CLOCK = Metric("rig/gpu_sm_clock_mhz", "MHz", "SM clock before", NVML,
    what="SM clock of the slowest of these GPUs")
PREPARE = Metric("prepare_s", "s", "Making the checkpoint", CLOCK,
    what="a checkpoint written and checked, in the run of a preparation (`bench.prepare`): no start has it")
COVERAGE = Metric("log/coverage", "", "Coverage of the log", Measured("a replayed log"),
    what="share of the phases that a start like this one prints of which the log has a number, 0 to 1")
# fmt: on

# In the order in which they stand here.
CATALOGUE: tuple[Metric, ...] = tuple(row for row in list(globals().values()) if isinstance(row, Metric))
KEY_METRICS = tuple(metric for metric in CATALOGUE if metric.is_key)
DRAWN = tuple(metric for metric in CATALOGUE if metric.label)
SPEEDUPS = tuple(metric for metric in CATALOGUE if metric.speedup)

# fmt: off
GPU_PEAK = Family(Metric("memory/gpu{}_peak_gib", "GiB", "GPU memory, peak", NVML,
    what="the most in use on each GPU of this start"), r"\d+", "N")
GPU_OWN_PEAK = Family(Metric("memory/gpu{}_own_peak_gib", "GiB", "vLLM's own GPU memory, peak", NVML,
    what="what vLLM's own processes took of it"), r"\d+", "N")
WATERFALL = Family(Metric("waterfall/{}_s", "s", "Phase of the critical chain", Measured("the probe, and the log where the probe has nothing"),
    what="the phases from exec to the first token, numbered in their order; they add up to `first_token_s` exactly, and to `ready_s` where there was no token"), r"\d+_\w+", "NN_PHASE")
RANK = Family(Metric("rank/{}", "", "Of one rank", Measured("as the metric"),
    what="any metric with a rule for ranks, of one rank: `rank/TP0/phase/load_weights_s`"), r"[^/]+/.+", "RANK/METRIC")


def _noise(name: str, unit: str, title: str, source: str, what: str) -> Family:
    return Family(Metric(f"noise/{{}}/{name}", unit, title, Measured(source), what=what), "start|load", "WHEN")


# By the field of NoiseDuring. WHEN is `start`, exec to the first token or answer, or `load`, from the first rank's load_weights to the end of the last's.
NOISE = {
    "others_cpu": _noise("others_cpu", "", "Processors taken by others", "`/proc/stat`, less `/proc/PID/stat` of bench's and vLLM's processes",
        "share of the processor time of the cores that bench may use: other processes, interrupts, and what a hypervisor took"),
    "others_read_gib_per_s": _noise("others_read_gib_per_s", "GiB/s", "Read by others", "`/sys/block/*/stat`, less `/proc/PID/io` of bench's and vLLM's processes",
        "read from the checkpoint's disk by others; at least, where vLLM reads other disks too"),
    "others_written_gib_per_s": _noise("others_written_gib_per_s", "GiB/s", "Written by others", "the same two",
        "written to that disk by others; what was written before the start can reach it during the start"),
    "cpu_pressure": _noise("cpu_pressure", "", "Waited for a processor", "`/proc/pressure/cpu`",
        "share of the time in which some process of this host, vLLM's among them, waited for a processor"),
    "io_pressure": _noise("io_pressure", "", "Waited for storage", "`/proc/pressure/io`",
        "the same for storage: a cold load waits for it by itself"),
    "memory_pressure": _noise("memory_pressure", "", "Waited for memory", "`/proc/pressure/memory`",
        "the same for memory"),
    "cpu_throttled": _noise("cpu_throttled", "", "Stopped by the CPU quota", "`cpu.stat` of the cgroups above bench",
        "share of the periods of a cgroup's CPU quota in which its processes were stopped"),
    "free_memory_gib": _noise("free_memory_gib", "GiB", "Free memory, least", "`/proc/meminfo`",
        "the least memory that could be had without swapping"),
    "gpu_sm_clock_mhz": _noise("gpu_sm_clock_mhz", "MHz", "SM clock, highest", "NVML",
        "the highest SM clock, of the GPU on which that was lowest"),
    "gpu_throttled": _noise("gpu_throttled", "", "GPU slowed down", "NVML",
        "share of the looks in which power or heat slowed down a GPU of the start"),
    "gpu_other_processes": _noise("gpu_other_processes", "", "GPU processes of others", "NVML, where it lists vLLM's processes by their pids here",
        "the most that computed at once on the GPUs of the start"),
}
# fmt: on
FAMILIES = (GPU_PEAK, GPU_OWN_PEAK, WATERFALL, RANK, *NOISE.values())

_BY_NAME = {metric.name: metric for metric in CATALOGUE}


def name_of_rank(rank: str, metric: Metric) -> str:
    """The name of a metric of one rank alone."""
    return RANK.name(f"{rank}/{metric.name}")


def rank_of(name: str) -> tuple[str, str] | None:
    """The rank, and the metric's own name. None: it is about the whole start."""
    part = RANK.part_of(name)
    if part is None:
        return None
    rank, _, metric = part.partition("/")
    return rank, metric


def of_rank(rank: str, metric: Metric) -> Metric:
    """The same of one rank alone."""
    return replace(metric, name=name_of_rank(rank, metric))


def metric_named(name: str) -> Metric:
    """Of a number that a store has; one that only another release logs is its name alone."""
    return find(name) or Metric(name, "", name, Measured("another release of bench"), what="")


@lru_cache(1000)  # asked for every start
def find(name: str) -> Metric | None:
    """The row behind a name that MLflow has. None: no start logs it."""
    if of_rank := rank_of(name):
        found = _BY_NAME.get(of_rank[1])
        return replace(found, name=name) if found and found.over_ranks else None
    families = (replace(family.like, name=name) for family in FAMILIES if family.part_of(name) is not None)
    return _BY_NAME.get(name) or next(families, None)
