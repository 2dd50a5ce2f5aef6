"""What a start prints of its phases: a rule for each line with a number, from the hub to the first request, and the texts that show what
vLLM is doing from there on.

"torch.compile and initial profiling/warmup run together took" holds a forward pass besides, which can be the larger
part, and nothing in the log separates the two: it is a phase of its own, never torch.compile's time. Source:
TorchCompileWithNoGuardsWrapper in vllm/compilation/decorators.py, where VLLM_USE_AOT_COMPILE is off.
"""

from bench.log.texts import COUNT, DURATION_S, ELSEWHERE, MEMORY_GIB, NUMBER, RATE, SIZE, Stage, Text, rule
from bench.log.texts.failures import DIED

# fmt: off
# Texts that other tables have too.
ARGUMENTS = Text("non-default args", "INFO 11-24 02:47:12 [api_utils.py:273] non-default args: {'max_model_len': 4096, 'disable_log_stats': True, 'model': 'models/base'}", "recorded 0.9.1 - 0.32.0", Stage.CONFIG)
ENGINE_BEGINS = Text("Initializing a V", "INFO 11-24 02:53:47 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='tiny-tp2'", "recorded 0.8.5 - 0.32.0", Stage.ENGINE)
ENGINE_BEGINS_V0 = Text("Initializing an LLM engine", "Initializing an LLM engine (v0.6.3) with config: model='m'", ELSEWHERE, Stage.ENGINE)
LOADING_MODEL = Text("Starting to load model", "INFO 11-24 16:38:26 [cpu_model_runner.py:54] Starting to load model /models/tiny_llama...", "recorded 0.9.1 - 0.32.0", Stage.WEIGHTS)
LOADING_FROM_SCRATCH = Text("Loading model from scratch", "(EngineCore pid=806) INFO 11-24 02:42:49 [model_runner.py:284] Loading model from scratch...", "recorded 0.26.0", Stage.WEIGHTS)
SERVER_STARTS_API = Text("Starting vLLM API server", "INFO 11-24 16:26:02 [api_server.py:1090] Starting vLLM API server on http://127.0.0.1:8117", "recorded 0.8.5 - 0.17.1", Stage.SERVER)
SERVER_STARTS = Text("Starting vLLM server", "(APIServer pid=6760) INFO 11-24 16:58:24 [entry.py:140] Starting vLLM server on http://127.0.0.1:8117", "recorded 0.18.1 - 0.32.0", Stage.SERVER)
READY_SECONDS = Text("BENCHMARK_READY_SECONDS", "BENCHMARK_READY_SECONDS=62.2471", "recorded 0.26.0 - 0.32.0")
ENGINE_DONE = Text("init engine (profile", "INFO 11-24 16:38:26 [core.py:193] init engine (profile, create kv cache, warmup model) took 0.66 seconds", "recorded 0.8.5 - 0.32.0", Stage.SERVER)
CONFIG_TEXT = Text("LLM engine (v", "INFO 11-24 02:53:47 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='tiny-tp2'", "recorded 0.8.5 - 0.32.0")
VERSION = Text("version ", "INFO 11-24 16:33:05 [api_server.py:1043] vLLM API server version 0.8.5", "recorded 0.8.5 - 0.32.0")
# A part of a path.
COMPILED_DRAFTER = Text("/eagle_head for vLLM's torch.compile", "INFO 11-24 02:47:40 [backends.py:1089] Using cache directory: /cache/5c1b/rank_0_0/eagle_head for vLLM's torch.compile", ELSEWHERE)
BEGINS_ENGINE = r"Initializing an? (?:V\d )?"  # in front of CONFIG_TEXT

WEIGHTS = (
    # Only where it took more than half a second.
    rule("download", "Time spent downloading weights for ", rf".{{1,400}}: {DURATION_S} seconds", "INFO 11-24 02:47:18 [weight_utils.py:533] Time spent downloading weights for org/model: 81.204415 seconds", "0.8.0 -"),
    # Beside the loading, in the background.
    rule("prefetch", "Prefetching checkpoint files into page cache finished in ", rf"{DURATION_S}s", "INFO 11-24 02:47:20 [weight_utils.py:1066] Prefetching checkpoint files into page cache finished in 9.75s", "0.18.0 -"),
    # Decimal units: tensorizer's convert_bytes.
    rule("deserialize", "Deserialized ", rf"{SIZE} in {DURATION_S}s, {RATE}", "INFO 11-24 02:47:31 [tensorizer.py:521] Deserialized 16.1 GB in 6.25s, 2.6 GB/s", "0.8.0 -"),
    rule("load_weights", "Loading weights took", rf" {DURATION_S} seconds", "INFO 02-15 05:15:23 [default_loader.py:308] Loading weights took 387.56 seconds", "0.8.0 -", stage=Stage.AFTER_WEIGHTS),
    rule("online_quantization", "Online quantization as part of model loading took ", rf"{DURATION_S} seconds", "INFO 11-24 02:47:33 [base_loader.py:165] Online quantization as part of model loading took 3.20 seconds", "0.32.0 -"),
    # 0.8.0 prints GB and means GiB.
    rule("load_model", "Model loading took", rf" {MEMORY_GIB} Gi?B(?: memory)? and {DURATION_S} seconds", "INFO 02-15 05:15:26 [gpu_model_runner.py:3549] Model loading took 34.3774 GiB memory and 390.373224 seconds", "0.8.0 -", stage=Stage.PROFILING),
    # XPU; every device before 0.8.0, and Ascend's plugin. GB means GiB. 0.7.2 and 0.7.3 print the seconds too.
    rule("load_model", "Loading model weights took", rf" {MEMORY_GIB} Gi?B(?:(?: memory)? and {DURATION_S} seconds|(?! and| memory))", "INFO 11-24 02:47:33 [xpu_model_runner.py:427] Loading model weights took 7.1694 GiB", "0.8.0 - 0.9.2", stage=Stage.PROFILING),
    # The fork for Gaudi. GiB is the least that it prints of a model.
    rule("load_model", "Loading model weights took in total ", rf"{MEMORY_GIB} GiB of device memory", "INFO 02-04 12:35:23 hpu_model_runner.py:794] Loading model weights took in total 15.05 GiB of device memory (15.05 GiB/30.15 GiB used)", "any", stage=Stage.PROFILING),
    # The streamer's own line.
    rule("stream", "[RunAI Streamer] Overall time to stream ", rf"{SIZE}(?: of all files)?(?: to [\w:]{{1,40}})?: {DURATION_S}s, {RATE}", "[2026-02-15 05:16:38] INFO file_streamer.py:66: [RunAI Streamer] Overall time to stream 34.3 GiB of all files to cpu: 28.52s, 1.2 GiB/s", "any"),
    rule("drafter", "Loading drafter model", r"\.\.\.", "INFO 11-24 02:47:33 [gpu_model_runner.py:5120] Loading drafter model...", "0.8.3 -", stage=Stage.WEIGHTS),
    rule("drafter", " speculative_config=SpeculativeConfig(", r"(?!method='ngram')", "INFO 11-24 02:53:47 [core.py:93] Initializing a V1 LLM engine (v0.11.0) with config: model='m', speculative_config=SpeculativeConfig(method='eagle3', model='e', num_spec_tokens=3), tokenizer='m'", "0.8.0 -", before=rf"{BEGINS_ENGINE}LLM engine \(v.{{1,600}}"),
    # Among the arguments, of which the facts have only that they are printed.
    rule("drafter", "'speculative_config': {", r"(?![^}]{0,200}'(?:ngram|suffix)')", "INFO 11-24 02:56:27 [api_utils.py:286] non-default args: {'model': 'm', 'speculative_config': {'method': 'mtp', 'num_speculative_tokens': 3}}", "any", quotes=True),
    rule("drafter", COMPILED_DRAFTER.text, "", COMPILED_DRAFTER.example, "any", before=r"Using cache directory: \S{1,400}"),
    # A model's own line: read in 0.26.0 and 0.32.0.
    rule("drafter", " draft model loaded: ", r"\d", "(Worker_TP0 pid=77) INFO 11-24 02:47:33 [dspark.py:576] DSpark draft model loaded: 97 params", "any", before=r"(?:DSpark|MTP)(?: XPU)?"),
    # The V0 engine's, to 0.10.2.
    rule("drafter", "Configuring SpecDecodeWorker with proposer=", r"(?!.{0,100}NGramWorker)", "INFO 11-24 02:47:33 [spec_decode_worker.py:209] [Speculative Decoding] Configuring SpecDecodeWorker with proposer=<class 'vllm.spec_decode.multi_step_worker.MultiStepWorker'>", "any"),
    # Guesses are looked up in the text so far: `Loading drafter model...` is printed, and nothing is loaded.
    rule("ngram", "'speculative_config': {", r"[^}]{0,200}'(?:ngram|suffix)'", "INFO 11-24 02:56:27 [api_utils.py:286] non-default args: {'model': 'm', 'speculative_config': {'method': 'ngram', 'num_speculative_tokens': 2}}", "any", quotes=True),
    rule("ngram", "speculative_config=SpeculativeConfig(", r"(?:method='(?:ngram|suffix)|draft_model='\[?ngram)", "INFO 11-24 02:53:47 [core.py:93] Initializing a V1 LLM engine with config: model='m', speculative_config=SpeculativeConfig(method='ngram', model=None, num_spec_tokens=2), tokenizer='m'", "any", quotes=True),
)

COMPILING = (
    # A part of torch.compile's total.
    rule("dynamo", "Dynamo bytecode transform time", rf": {DURATION_S} s", "INFO 11-24 02:47:41 [backends.py:1155] Dynamo bytecode transform time: 7.92 s", "0.8.0 -", stage=Stage.COMPILING),
    # compilation_config.compilation_time, which a drafter shares with its model.
    rule("torch_compile", "torch.compile takes", rf" {DURATION_S} s in total", "INFO 02-15 05:15:37 [monitor.py:34] torch.compile takes 8.94 s in total", "0.8.0 - 0.17.1", stage=Stage.MEMORY, running=True),
    rule("torch_compile", "torch.compile took", rf" {DURATION_S} s in total", "INFO 11-24 02:47:55 [monitor.py:53] torch.compile took 28.76 s in total", "0.18.0 -", stage=Stage.MEMORY),
    rule("compile_and_profiling_run", "torch.compile and initial profiling/warmup run together took ", rf"{DURATION_S} s in total", "INFO 11-24 02:47:55 [monitor.py:53] torch.compile and initial profiling/warmup run together took 42.50 s in total", "0.18.0 -"),
    rule("profiling_run", "Initial profiling/warmup run took ", rf"{DURATION_S} s", "INFO 11-24 02:12:17 [monitor.py:91] [backbone] Initial profiling/warmup run took 12.77 s", "0.18.0 -"),
)

# What is set up on the device before the first request.
CACHES = (
    rule("kv_cache", "Available KV cache memory", rf": {MEMORY_GIB} GiB", "INFO 11-24 02:51:08 [gpu_worker.py:560] Available KV cache memory: 55.89 GiB", "0.9.1 -", stage=Stage.KV_CACHE),
    # The V0 engine's worker, to 0.10.2.
    rule("kv_cache", "the rest of the memory reserved for KV Cache is ", rf"{MEMORY_GIB} ?GiB", "INFO 11-24 02:51:08 [worker.py:267] model weights take 14.99GiB; non_torch_memory takes 0.09GiB; PyTorch activation peak memory takes 1.23GiB; the rest of the memory reserved for KV Cache is 19.28GiB.", "any", before=r"model weights take .{1,300}; "),
    # The same of 0.6.4 to 0.6.6.
    rule("kv_cache", "Memory profiling results: ", rf".{{1,400}}\bkv_cache_size={MEMORY_GIB}GiB", "INFO 11-24 02:51:08 worker.py:237] Memory profiling results: duration=6.52 seconds, total_gpu_memory=39.39GiB, initial_memory_usage=15.50GiB, peak_torch_memory=16.22GiB, memory_usage_post_profile=15.61GiB, non_torch_memory=0.12GiB, kv_cache_size=19.11GiB, gpu_memory_utilization=0.90.", "any"),
    # gpu_worker.py, where --kv-cache-memory-bytes is set; in 0.26.0 and 0.32.0.
    rule("kv_cache", "memory for KV Cache as specified by", " kv_cache_memory_bytes", "INFO 11-24 02:51:08 [gpu_worker.py:658] Initial free memory 78.66 GiB, reserved 40.0 GiB memory for KV Cache as specified by kv_cache_memory_bytes config and skipped memory profiling.", "any", before=rf"(?:Initial free memory {NUMBER} GiB, )?reserved {MEMORY_GIB} GiB ", stage=Stage.KV_CACHE),
    # cpu_worker.py; in 0.26.0 and 0.32.0.
    rule("kv_cache", "GiB for KV cache", "", "INFO 11-24 02:54:00 [cpu_worker.py:260] Explicitly set (1.0/14.71) GiB for KV cache on node 0.", "any", before=rf"(?:Explicitly|Auto) set \({MEMORY_GIB}/{NUMBER}\) ", stage=Stage.KV_CACHE),
    # Any device's; one line with the next from 0.28.0.
    rule("kv_cache", "KV cache size: ", rf"(?P<tokens>{COUNT}) tokens", "INFO 11-24 02:51:08 [kv_cache_utils.py:2177] GPU KV cache size: 457,872 tokens", "0.8.0 -", stage=Stage.WARMUP),
    rule("kv_cache", "Maximum concurrency for ", rf"{COUNT} tokens per request: (?P<max_concurrency>{NUMBER})x", "INFO 11-24 02:51:08 [kv_cache_utils.py:2178] Maximum concurrency for 4,096 tokens per request: 111.79x", "0.8.0 -"),
    # Whole seconds; the memory can be negative.
    rule("graph_capture", "raph capturing finished in ", rf"{DURATION_S} secs(?:, took {MEMORY_GIB} GiB)?", "INFO 02-15 05:15:49 [gpu_model_runner.py:4466] Graph capturing finished in 10 secs, took 1.01 GiB", "0.8.0 -", before="(?<!Encoder )[Gg]"),
    # Of a server that only encodes.
    rule("encoder_graph_capture", "Encoder graph capturing finished in ", rf"{DURATION_S} secs, took {MEMORY_GIB} GiB", "INFO 11-24 02:51:20 [mm_encoder_model_runner.py:95] Encoder graph capturing finished in 3 secs, took 0.10 GiB (4 graphs)", "0.31.0 -"),
)

# Which vLLM, how long its engine took, and what became of it.
ENGINE = (
    rule("version", CONFIG_TEXT.text, r"(?P<version>[^)\s]{1,80})\)", "INFO 11-24 02:53:47 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='tiny-tp2'", "0.8.0 -", before=BEGINS_ENGINE),
    rule("version", " version ", r"(?P<version>\d[^\s^]{0,80})", "INFO 11-24 02:53:40 [api_server.py:1351] vLLM API server version 0.11.0", "0.8.0 -", before="vLLM (?:(?:API|gRPC) server|batch processing API)"),
    # Beside the logo, where the API server's line was; in 0.26.0 and 0.32.0.
    rule("version", VERSION.text, r"(?P<version>\d[^\s^]{0,80})", "INFO 11-24 02:56:27 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.31.0", "any", before="[▄█▀] {1,4}"),
    rule("init_engine", ENGINE_DONE.text, rf", create kv cache, warmup model\) took {DURATION_S} s", "INFO 02-15 05:15:49 [core.py:254] init engine (profile, create kv cache, warmup model) took 22.52 seconds", "0.8.0 -"),
    rule("server_starting", "Starting vLLM ", r"(?:API )?server (?:\d{1,6} )?on (?P<address>[^\s\x22\\]{1,200})", "INFO 11-24 02:56:48 [entry.py:140] Starting vLLM server on http://127.0.0.1:8123", "0.8.0 -"),
    rule("failed", "EngineCore ", "(?:hit an exception|failed to start|encountered a fatal error)", "ERROR 11-24 02:54:00 [core.py:1163] EngineCore failed to start.", "0.8.0 -"),
    rule("failed", "WorkerProc ", "(?:hit an exception|failed to start)", "ERROR 11-24 02:54:00 [multiproc_executor.py:870] WorkerProc failed to start.", "0.8.0 -"),
    # The exit code from 0.26.0.
    rule("failed", DIED.text, r"(?: \(exit code: (?P<exit_code>-?\d{1,9})\))?, shutting down", "ERROR 11-24 02:54:00 [multiproc_executor.py:285] Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor.", "0.8.5 -", before=r"(?:Worker proc|Engine core proc|RayWorkerProc) (?P<process>\S{1,80}) "),
    # The line of the script that made the seed, and of logs recorded like it.
    rule("ready", READY_SECONDS.text, rf"[= ]{DURATION_S}", "BENCHMARK_READY_SECONDS=421.8885", "any"),
)

RULES = (*WEIGHTS, *COMPILING, *CACHES, *ENGINE)

# What vLLM prints when it compiles, and when it takes a compiled graph from its cache. Source: vllm/compilation.
COMPILED = (
    Text("Compiling a graph for", "(EngineCore pid=1432) INFO 11-24 02:47:54 [backends.py:393] Compiling a graph for compile range (1, 16384) takes 12.82 s", "recorded 0.26.0"),
    Text("saved AOT compiled function", "(EngineCore pid=4705) INFO 11-24 16:53:15 [decorators.py:627] saved AOT compiled function to /models/cache/0.18.1/torch_compile_cache/torch_", "recorded 0.18.1 - 0.32.0"),
    Text("Cache the graph of", "(EngineCore pid=1432) INFO 11-24 02:47:47 [backends.py:378] Cache the graph of compile range (1, 16384) for later use", "recorded 0.26.0"),
    Text("Cache the graph for", "INFO 11-24 02:47:47 [backends.py:1] Cache the graph for dynamic shape for later use", ELSEWHERE),
)
LOAD_FAILED = Text("Compiling model again due to a load failure", "(Worker pid=4440) WARNING 11-24 02:12:54 [decorators.py:333] [backbone] Compiling model again due to a load failure from ~/.cache/vllm/torch", "recorded 0.32.0")
LOADED = (
    Text("Directly load AOT compilation from path", "(EngineCore pid=1780) INFO 11-24 02:49:30 [decorators.py:311] Directly load AOT compilation from path ~/.cache/vllm/torch_compile_cache/torc", "recorded 0.26.0"),
    Text("Directly load the compiled graph", "(EngineCore pid=1780) INFO 11-24 02:49:30 [backends.py:292] Directly load the compiled graph(s) for compile range (1, 16384) from ", "recorded 0.26.0"),
)

# Which rank a process is: its number in the world, and in its groups.
RANKS = Text("is assigned as", "INFO 11-24 16:32:44 [parallel_state.py:1004] rank 0 in world size 1 is assigned as DP rank 0, PP rank 0, TP rank 0", "recorded 0.8.5 - 0.32.0")

# Those that open a stage and hold no number; the rules that open one are beside them in STAGES.
OPENS_A_STAGE = (
    ARGUMENTS, ENGINE_BEGINS, ENGINE_BEGINS_V0, LOADING_MODEL, LOADING_FROM_SCRATCH, ENGINE_DONE, SERVER_STARTS_API, SERVER_STARTS,
    Text("Warming up model for the compilation", "INFO 11-24 16:38:26 [cpu_model_runner.py:63] Warming up model for the compilation...", "recorded 0.9.1 - 0.32.0", Stage.COMPILING),
    Text("Starting torch.compile", "INFO 11-24 02:47:41 [backends.py:1] Starting torch.compile", ELSEWHERE, Stage.COMPILING),
    Text("# CPU blocks: ", "INFO 11-24 16:26:01 [executor_base.py:112] # cpu blocks: 16384, # CPU blocks: 0", "recorded 0.8.5", Stage.KV_CACHE),
    Text("Capturing CUDA graphs", "Capturing CUDA graphs (PIECEWISE):   0%|          | 0/51 [00:00<?, ?it/s]", "recorded 0.26.0", Stage.GRAPHS),
    Text("Capturing the model for CUDA graphs", "INFO 11-24 02:51:08 [model_runner.py:1] Capturing the model for CUDA graphs. This may lead to unexpected consequences", ELSEWHERE, Stage.GRAPHS),
    Text("Capturing cudagraphs for decoding", "INFO 11-24 02:51:08 [model_runner.py:1442] Capturing cudagraphs for decoding. This may lead to unexpected consequences", ELSEWHERE, Stage.GRAPHS),
)
# fmt: on
# By text, in the order of the stages: the first that is in a line counts.
STAGES = {row.text: stage for stage in Stage for row in (*OPENS_A_STAGE, *RULES) if row.stage is stage}


def stage_of(text: str) -> Stage | None:
    """The stage that a line opens, or None."""
    return next((stage for row, stage in STAGES.items() if row in text), None)


# What opens each of these is the text of another line, since vLLM prints no duration for it.
MILESTONES = (
    ("api_server", (ARGUMENTS,)),
    ("engine_core", (ENGINE_BEGINS,)),
    ("worker", (LOADING_MODEL, LOADING_FROM_SCRATCH)),
)
