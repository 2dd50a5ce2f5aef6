"""What vLLM is doing, from which text of its log on."""

from enum import StrEnum

from bench.log.texts import ELSEWHERE, Text


class Stage(StrEnum):
    """A stage of a start. The value is for people who wait, and for the tag `bench.stopped_in`."""

    CONFIG = "reading the model's config"
    ENGINE = "starting the engine"
    WEIGHTS = "loading weights"
    AFTER_WEIGHTS = "finishing the weights"
    PROFILING = "profiling"
    COMPILING = "compiling"
    MEMORY = "measuring memory"
    KV_CACHE = "setting up the KV cache"
    WARMUP = "warming up"
    GRAPHS = "capturing graphs"
    SERVER = "starting the server"


# fmt: off
# Texts that other tables have too.
LOADING_MODEL = Text("Starting to load model", "INFO 11-24 16:38:26 [cpu_model_runner.py:54] Starting to load model /models/tiny_llama...", "recorded 0.9.1 - 0.32.0")
ENGINE_BEGINS = Text("Initializing a V", "INFO 11-24 02:53:47 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='tiny-tp2'", "recorded 0.8.5 - 0.32.0")
ENGINE_BEGINS_V0 = Text("Initializing an LLM engine", "Initializing an LLM engine (v0.6.3) with config: model='m'", ELSEWHERE)
ENGINE_DONE = Text("init engine (profile", "INFO 11-24 16:38:26 [core.py:193] init engine (profile, create kv cache, warmup model) took 0.66 seconds", "recorded 0.8.5 - 0.32.0")
SERVER_STARTS_API = Text("Starting vLLM API server", "INFO 11-24 16:26:02 [api_server.py:1090] Starting vLLM API server on http://127.0.0.1:8117", "recorded 0.8.5 - 0.17.1")
SERVER_STARTS = Text("Starting vLLM server", "(APIServer pid=6760) INFO 11-24 16:58:24 [entry.py:140] Starting vLLM server on http://127.0.0.1:8117", "recorded 0.18.1 - 0.32.0")
LOADING_FROM_SCRATCH = Text("Loading model from scratch", "(EngineCore pid=806) INFO 11-24 02:42:49 [model_runner.py:284] Loading model from scratch...", "recorded 0.26.0")
ARGUMENTS = Text("non-default args", "INFO 11-24 02:47:12 [api_utils.py:273] non-default args: {'max_model_len': 4096, 'disable_log_stats': True, 'model': 'models/base'}", "recorded 0.9.1 - 0.32.0")

# The first whose text is in the line counts.
STAGES = (
    (Stage.CONFIG, ARGUMENTS),
    (Stage.ENGINE, ENGINE_BEGINS),
    (Stage.ENGINE, ENGINE_BEGINS_V0),
    (Stage.WEIGHTS, LOADING_MODEL),
    (Stage.WEIGHTS, LOADING_FROM_SCRATCH),
    (Stage.WEIGHTS, Text("Loading drafter model", "(Worker pid=24187) INFO 11-28 04:20:10 [cpu_model_runner.py:75] Loading drafter model...", "recorded 0.32.0")),
    (Stage.AFTER_WEIGHTS, Text("Loading weights took", "INFO 11-24 16:32:44 [loader.py:458] Loading weights took 0.02 seconds", "recorded 0.8.5 - 0.32.0")),
    (Stage.PROFILING, Text("Model loading took", "(EngineCore pid=806) INFO 11-24 02:42:52 [model_runner.py:305] Model loading took 14.96 GiB and 3.082562 seconds", "recorded 0.26.0")),
    (Stage.PROFILING, Text("Loading model weights took", "INFO 11-24 02:47:33 [xpu_model_runner.py:427] Loading model weights took 7.1694 GiB", ELSEWHERE)),
    (Stage.COMPILING, Text("Warming up model for the compilation", "INFO 11-24 16:38:26 [cpu_model_runner.py:63] Warming up model for the compilation...", "recorded 0.9.1 - 0.32.0")),
    (Stage.COMPILING, Text("Starting torch.compile", "INFO 11-24 02:47:41 [backends.py:1] Starting torch.compile", ELSEWHERE)),
    (Stage.COMPILING, Text("Dynamo bytecode transform time", "(EngineCore pid=1432) INFO 11-24 02:47:41 [backends.py:1155] Dynamo bytecode transform time: 7.92 s", "recorded 0.26.0")),
    (Stage.MEMORY, Text("torch.compile takes", "(EngineCore_DP0 pid=19567) (Worker_TP0 pid=19573) INFO 02-15 05:15:37 [monitor.py:34] torch.compile takes 8.94 s in total", ELSEWHERE)),
    (Stage.MEMORY, Text("torch.compile took", "(EngineCore pid=1780) INFO 11-24 02:49:30 [monitor.py:53] torch.compile took 7.81 s in total", "recorded 0.26.0")),
    (Stage.KV_CACHE, Text("Available KV cache memory", "(EngineCore pid=806) INFO 11-24 02:42:56 [gpu_worker.py:560] Available KV cache memory: 22.69 GiB", "recorded 0.26.0")),
    (Stage.KV_CACHE, Text("memory for KV Cache as specified by", "er.py:658] Initial free memory 78.66 GiB, reserved 40.0 GiB memory for KV Cache as specified by kv_cache_memory_bytes config", ELSEWHERE)),
    (Stage.KV_CACHE, Text("GiB for KV cache on node", "(Worker pid=4264) INFO 11-24 02:12:18 [cpu_worker.py:260] Explicitly set (1.0/7.96) GiB for KV cache on node 0.", "recorded 0.20.2 - 0.32.0")),
    (Stage.KV_CACHE, Text("# CPU blocks: ", "INFO 11-24 16:26:01 [executor_base.py:112] # cpu blocks: 16384, # CPU blocks: 0", "recorded 0.8.5")),
    (Stage.WARMUP, Text("KV cache size: ", "INFO 11-24 16:38:26 [kv_cache_utils.py:833] GPU KV cache size: 262,144 tokens", "recorded 0.9.1 - 0.32.0")),
    (Stage.GRAPHS, Text("Capturing CUDA graphs", "Capturing CUDA graphs (PIECEWISE):   0%|          | 0/51 [00:00<?, ?it/s]", "recorded 0.26.0")),
    (Stage.GRAPHS, Text("Capturing the model for CUDA graphs", "INFO 11-24 02:51:08 [model_runner.py:1] Capturing the model for CUDA graphs. This may lead to unexpected consequences", ELSEWHERE)),
    (Stage.GRAPHS, Text("Capturing cudagraphs for decoding", "INFO 11-24 02:51:08 [model_runner.py:1442] Capturing cudagraphs for decoding. This may lead to unexpected consequences", ELSEWHERE)),
    (Stage.SERVER, ENGINE_DONE),
    (Stage.SERVER, SERVER_STARTS_API),
    (Stage.SERVER, SERVER_STARTS),
)

# fmt: on


def stage_of(text: str) -> Stage | None:
    """The stage that a line opens, or None."""
    return next((stage for stage, row in STAGES if row.text in text), None)


# What opens each of these is the text of another line, since vLLM prints no duration for it.
MILESTONES = (
    ("api_server", (ARGUMENTS,)),
    ("engine_core", (ENGINE_BEGINS,)),
    ("worker", (LOADING_MODEL, LOADING_FROM_SCRATCH)),
)
