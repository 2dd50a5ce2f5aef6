"""What is set up on the device before the first request; which vLLM, how long its engine took, and what became of it."""

from bench.log.texts import COUNT, NUMBER, Text, rule

CACHES = (
    rule(
        "kv_cache",
        "Available KV cache memory: ",
        rf"Available KV cache memory: (?P<memory_gib>{NUMBER}) GiB",
        "INFO 11-24 02:51:08 [gpu_worker.py:560] Available KV cache memory: 55.89 GiB",
        "0.9.1 -",
    ),
    rule(
        "kv_cache",
        "the rest of the memory reserved for KV Cache is ",
        rf"the rest of the memory reserved for KV Cache is (?P<memory_gib>{NUMBER}) ?GiB",
        "INFO 11-24 02:51:08 [worker.py:267] model weights take 14.99GiB; non_torch_memory takes 0.09GiB; PyTorch activation "
        "peak memory takes 1.23GiB; the rest of the memory reserved for KV Cache is 19.28GiB.",
        "any",  # the V0 engine's worker, to 0.10.2
    ),
    rule(
        "kv_cache",
        "Memory profiling results: ",
        rf"Memory profiling results: .{{1,400}}\bkv_cache_size=(?P<memory_gib>{NUMBER})GiB",
        "INFO 11-24 02:51:08 worker.py:237] Memory profiling results: duration=6.52 seconds, total_gpu_memory=39.39GiB, "
        "initial_memory_usage=15.50GiB, peak_torch_memory=16.22GiB, memory_usage_post_profile=15.61GiB, "
        "non_torch_memory=0.12GiB, kv_cache_size=19.11GiB, gpu_memory_utilization=0.90.",
        "any",  # the same of 0.6.4 to 0.6.6
    ),
    rule(
        "kv_cache",
        " GiB memory for KV Cache as specified by kv_cache_memory_bytes",
        rf"reserved (?P<memory_gib>{NUMBER}) GiB memory for KV Cache as specified by kv_cache_memory_bytes",
        "INFO 11-24 02:51:08 [gpu_worker.py:658] Initial free memory 78.66 GiB, reserved 40.0 GiB memory for KV Cache as specified "
        "by kv_cache_memory_bytes config and skipped memory profiling.",
        "any",  # gpu_worker.py, where --kv-cache-memory-bytes is set; in 0.26.0 and 0.32.0
    ),
    rule(
        "kv_cache",
        ") GiB for KV cache",
        rf"(?:Explicitly|Auto) set \((?P<memory_gib>{NUMBER})/{NUMBER}\) GiB for KV cache",
        "INFO 11-24 02:54:00 [cpu_worker.py:260] Explicitly set (1.0/14.71) GiB for KV cache on node 0.",
        "any",  # cpu_worker.py; in 0.26.0 and 0.32.0
    ),
    rule(
        "kv_cache",
        "KV cache size: ",
        rf"KV cache size: (?P<tokens>{COUNT}) tokens",
        "INFO 11-24 02:51:08 [kv_cache_utils.py:2177] GPU KV cache size: 457,872 tokens",
        "0.8.0 -",  # any device's; one line with the next from 0.28.0
    ),
    rule(
        "kv_cache",
        "Maximum concurrency for ",
        rf"Maximum concurrency for {COUNT} tokens per request: (?P<max_concurrency>{NUMBER})x",
        "INFO 11-24 02:51:08 [kv_cache_utils.py:2178] Maximum concurrency for 4,096 tokens per request: 111.79x",
        "0.8.0 -",
    ),
    rule(
        "graph_capture",
        "raph capturing finished in ",
        rf"(?<!Encoder )[Gg]raph capturing finished in (?P<duration_s>{NUMBER}) secs(?:, took (?P<memory_gib>{NUMBER}) GiB)?",
        "INFO 02-15 05:15:49 [gpu_model_runner.py:4466] Graph capturing finished in 10 secs, took 1.01 GiB",
        "0.8.0 -",  # whole seconds; the memory can be negative
    ),
    rule(
        "encoder_graph_capture",
        "Encoder graph capturing finished in ",
        rf"Encoder graph capturing finished in (?P<duration_s>{NUMBER}) secs, took (?P<memory_gib>{NUMBER}) GiB",
        "INFO 11-24 02:51:20 [mm_encoder_model_runner.py:95] Encoder graph capturing finished in 3 secs, took 0.10 GiB (4 graphs)",
        "0.31.0 -",  # of a server that only encodes
    ),
)

ENGINE = (
    rule(
        "version",
        "Initializing a",
        r"Initializing an? (?:V\d )?LLM engine \(v(?P<version>[^)\s]{1,80})\)",
        "INFO 11-24 02:53:47 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='tiny-tp2'",
        "0.8.0 -",
    ),
    rule(
        "version",
        " version ",
        r"vLLM (?:(?:API|gRPC) server|batch processing API) version (?P<version>\d[^\s^]{0,80})",
        "INFO 11-24 02:53:40 [api_server.py:1351] vLLM API server version 0.11.0",
        "0.8.0 -",
    ),
    rule(
        "version",
        "version ",
        r"[▄█▀] {1,4}version (?P<version>\d[^\s^]{0,80})",
        "INFO 11-24 02:56:27 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.31.0",
        "any",  # beside the logo, where the API server's line was; in 0.26.0 and 0.32.0
    ),
    rule(
        "init_engine",
        "init engine (profile, create kv cache, warmup model) took ",
        rf"init engine \(profile, create kv cache, warmup model\) took (?P<duration_s>{NUMBER}) s",
        "INFO 02-15 05:15:49 [core.py:254] init engine (profile, create kv cache, warmup model) took 22.52 seconds",
        "0.8.0 -",
    ),
    rule(
        "server_starting",
        "Starting vLLM ",
        r"Starting vLLM (?:API )?server (?:\d{1,6} )?on (?P<address>\S{1,200})",
        "INFO 11-24 02:56:48 [entry.py:140] Starting vLLM server on http://127.0.0.1:8123",
        "0.8.0 -",
    ),
    rule(
        "failed",
        "EngineCore ",
        r"EngineCore (?:hit an exception|failed to start|encountered a fatal error)",
        "ERROR 11-24 02:54:00 [core.py:1163] EngineCore failed to start.",
        "0.8.0 -",
    ),
    rule(
        "failed",
        "WorkerProc ",
        r"WorkerProc (?:hit an exception|failed to start)",
        "ERROR 11-24 02:54:00 [multiproc_executor.py:870] WorkerProc failed to start.",
        "0.8.0 -",
    ),
    rule(
        "failed",
        " died unexpectedly",
        r"(?:Worker proc|Engine core proc|RayWorkerProc) (?P<process>\S{1,80}) died unexpectedly"
        r"(?: \(exit code: (?P<exit_code>-?\d{1,9})\))?, shutting down",
        "ERROR 11-24 02:54:00 [multiproc_executor.py:285] Worker proc VllmWorker-1 died unexpectedly (exit code: -9), "
        "shutting down executor.",
        "0.8.5 -",  # the exit code from 0.26.0
    ),
    rule(
        "ready",
        "BENCHMARK_READY_SECONDS",
        rf"BENCHMARK_READY_SECONDS[= ](?P<duration_s>{NUMBER})",
        "BENCHMARK_READY_SECONDS=421.8885",
        "any",  # the line of the script that made the seed, and of logs recorded like it
    ),
)

# Which rank a process is: its number in the world, and in its groups.
RANKS = Text(
    "is assigned as",
    "INFO 11-24 16:32:44 [parallel_state.py:1004] rank 0 in world size 1 is assigned as DP rank 0, PP rank 0, TP rank 0",
    "recorded 0.8.5 - 0.32.0",
)
