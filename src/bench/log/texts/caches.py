"""What is set up on the device before the first request: the KV cache and the graphs."""

from bench.log.texts.rule import COUNT, NUMBER, rule

CACHES = (
    rule(
        "kv_cache",
        rf"Available KV cache memory: (?P<memory_gib>{NUMBER}) GiB",
        "INFO 11-24 02:51:08 [gpu_worker.py:560] Available KV cache memory: 55.89 GiB",
        "0.9.1 -",
    ),
    rule(
        "kv_cache",
        rf"the rest of the memory reserved for KV Cache is (?P<memory_gib>{NUMBER}) ?GiB",
        "INFO 11-24 02:51:08 [worker.py:267] model weights take 14.99GiB; non_torch_memory takes 0.09GiB; PyTorch activation "
        "peak memory takes 1.23GiB; the rest of the memory reserved for KV Cache is 19.28GiB.",
        "any",  # the V0 engine's worker, to 0.10.2
    ),
    rule(
        "kv_cache",
        rf"Memory profiling results: .{{1,400}}\bkv_cache_size=(?P<memory_gib>{NUMBER})GiB",
        "INFO 11-24 02:51:08 worker.py:237] Memory profiling results: duration=6.52 seconds, total_gpu_memory=39.39GiB, "
        "initial_memory_usage=15.50GiB, peak_torch_memory=16.22GiB, memory_usage_post_profile=15.61GiB, "
        "non_torch_memory=0.12GiB, kv_cache_size=19.11GiB, gpu_memory_utilization=0.90.",
        "any",  # the same of 0.6.4 to 0.6.6
    ),
    rule(
        "kv_cache",
        rf"reserved (?P<memory_gib>{NUMBER}) GiB memory for KV Cache as specified by kv_cache_memory_bytes",
        "INFO 11-24 02:51:08 [gpu_worker.py:658] Initial free memory 78.66 GiB, reserved 40.0 GiB memory for KV Cache as specified "
        "by kv_cache_memory_bytes config and skipped memory profiling.",
        "any",  # gpu_worker.py, where --kv-cache-memory-bytes is set; in 0.26.0 and 0.32.0
    ),
    rule(
        "kv_cache",
        rf"(?:Explicitly|Auto) set \((?P<memory_gib>{NUMBER})/{NUMBER}\) GiB for KV cache",
        "INFO 11-24 02:54:00 [cpu_worker.py:260] Explicitly set (1.0/14.71) GiB for KV cache on node 0.",
        "any",  # cpu_worker.py; in 0.26.0 and 0.32.0
    ),
    rule(
        "kv_cache",
        rf"KV cache size: (?P<tokens>{COUNT}) tokens",
        "INFO 11-24 02:51:08 [kv_cache_utils.py:2177] GPU KV cache size: 457,872 tokens",
        "0.8.0 -",  # any device's; one line with the next from 0.28.0
    ),
    rule(
        "kv_cache",
        rf"Maximum concurrency for {COUNT} tokens per request: (?P<max_concurrency>{NUMBER})x",
        "INFO 11-24 02:51:08 [kv_cache_utils.py:2178] Maximum concurrency for 4,096 tokens per request: 111.79x",
        "0.8.0 -",
    ),
    rule(
        "graph_capture",
        rf"(?<!Encoder )[Gg]raph capturing finished in (?P<duration_s>{NUMBER}) secs(?:, took (?P<memory_gib>{NUMBER}) GiB)?",
        "INFO 02-15 05:15:49 [gpu_model_runner.py:4466] Graph capturing finished in 10 secs, took 1.01 GiB",
        "0.8.0 -",  # whole seconds; the memory can be negative
    ),
    rule(
        "encoder_graph_capture",
        rf"Encoder graph capturing finished in (?P<duration_s>{NUMBER}) secs, took (?P<memory_gib>{NUMBER}) GiB",
        "INFO 11-24 02:51:20 [mm_encoder_model_runner.py:95] Encoder graph capturing finished in 3 secs, took 0.10 GiB (4 graphs)",
        "0.31.0 -",  # of a server that only encodes
    ),
)
