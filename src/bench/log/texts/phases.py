"""The phases of a start: from the hub to the device, and compiling.

"torch.compile and initial profiling/warmup run together took" holds a forward pass besides, which can be the larger
part, and nothing in the log separates the two: it is a phase of its own, never torch.compile's time. Source:
TorchCompileWithNoGuardsWrapper in vllm/compilation/decorators.py, where VLLM_USE_AOT_COMPILE is off.
"""

from bench.log.texts import ELSEWHERE, NUMBER, UNIT, Text, rule

WEIGHTS = (
    rule(
        "download",
        "Time spent downloading weights for ",
        rf"Time spent downloading weights for .{{1,400}}: (?P<duration_s>{NUMBER}) seconds",
        "INFO 11-24 02:47:18 [weight_utils.py:533] Time spent downloading weights for org/model: 81.204415 seconds",
        "0.8.0 -",  # only where it took more than half a second
    ),
    rule(
        "prefetch",
        "Prefetching checkpoint files into page cache finished in ",
        rf"Prefetching checkpoint files into page cache finished in (?P<duration_s>{NUMBER})s",
        "INFO 11-24 02:47:20 [weight_utils.py:1066] Prefetching checkpoint files into page cache finished in 9.75s",
        "0.18.0 -",  # beside the loading, in the background
    ),
    rule(
        "deserialize",
        "Deserialized ",
        rf"Deserialized (?P<size>{NUMBER}) (?P<size_unit>{UNIT}) in (?P<duration_s>{NUMBER})s, "
        rf"(?P<rate>{NUMBER}) (?P<rate_unit>{UNIT})/s",
        "INFO 11-24 02:47:31 [tensorizer.py:521] Deserialized 16.1 GB in 6.25s, 2.6 GB/s",
        "0.8.0 -",  # decimal units: tensorizer's convert_bytes
    ),
    rule(
        "load_weights",
        "Loading weights took ",
        rf"Loading weights took (?P<duration_s>{NUMBER}) seconds",
        "INFO 02-15 05:15:23 [default_loader.py:308] Loading weights took 387.56 seconds",
        "0.8.0 -",
    ),
    rule(
        "online_quantization",
        "Online quantization as part of model loading took ",
        rf"Online quantization as part of model loading took (?P<duration_s>{NUMBER}) seconds",
        "INFO 11-24 02:47:33 [base_loader.py:165] Online quantization as part of model loading took 3.20 seconds",
        "0.32.0 -",
    ),
    rule(
        "load_model",
        " took ",
        rf"(?:Model loading|Loading model weights) took (?P<memory_gib>{NUMBER}) Gi?B(?: memory)? and "
        rf"(?P<duration_s>{NUMBER}) seconds",
        "INFO 02-15 05:15:26 [gpu_model_runner.py:3549] Model loading took 34.3774 GiB memory and 390.373224 seconds",
        "0.8.0 -",  # 0.8.0 prints GB and means GiB
    ),
    rule(
        "load_model",
        "Loading model weights took ",
        rf"Loading model weights took (?P<memory_gib>{NUMBER}) Gi?B(?! and| memory)",
        "INFO 11-24 02:47:33 [xpu_model_runner.py:427] Loading model weights took 7.1694 GiB",
        "0.8.0 - 0.9.2",  # XPU; every device before 0.8.0, and Ascend's plugin. GB means GiB
    ),
    rule(
        "stream",
        "[RunAI Streamer] Overall time to stream ",
        rf"\[RunAI Streamer\] Overall time to stream (?P<size>{NUMBER}) (?P<size_unit>{UNIT})(?: of all files)?"
        rf"(?: to [\w:]{{1,40}})?: (?P<duration_s>{NUMBER})s, (?P<rate>{NUMBER}) (?P<rate_unit>{UNIT})/s",
        "[2026-02-15 05:16:38] INFO file_streamer.py:66: [RunAI Streamer] Overall time to stream 34.3 GiB of all files to cpu: "
        "28.52s, 1.2 GiB/s",
        "any",  # the streamer's own line
    ),
    rule(
        "drafter",
        "Loading drafter model...",
        r"Loading drafter model\.\.\.",
        "INFO 11-24 02:47:33 [gpu_model_runner.py:5120] Loading drafter model...",
        "0.8.3 -",
    ),
    rule(
        "drafter",
        " speculative_config=SpeculativeConfig(",
        r"Initializing an? (?:V\d )?LLM engine \(v.{1,600} speculative_config=SpeculativeConfig\((?!method='ngram')",
        "INFO 11-24 02:53:47 [core.py:93] Initializing a V1 LLM engine (v0.11.0) with config: model='m', "
        "speculative_config=SpeculativeConfig(method='eagle3', model='e', num_spec_tokens=3), tokenizer='m'",
        "0.8.0 -",
    ),
    rule(
        "drafter",
        "'speculative_config': {",
        r"'speculative_config': \{(?![^}]{0,200}'(?:ngram|suffix)')",
        "INFO 11-24 02:56:27 [api_utils.py:286] non-default args: {'model': 'm', 'speculative_config': {'method': 'mtp', "
        "'num_speculative_tokens': 3}}",
        "any",  # among the arguments, of which the facts have only that they are printed
    ),
    rule(
        "drafter",
        "/eagle_head for vLLM's torch.compile",
        r"/eagle_head for vLLM's torch\.compile",
        "INFO 11-24 02:47:40 [backends.py:1089] Using cache directory: /cache/5c1b/rank_0_0/eagle_head for vLLM's torch.compile",
        "any",  # a part of a path
    ),
    rule(
        "drafter",
        " draft model loaded: ",
        r"(?:DSpark|MTP)(?: XPU)? draft model loaded: \d",
        "(Worker_TP0 pid=77) INFO 11-24 02:47:33 [dspark.py:576] DSpark draft model loaded: 97 params",
        "any",  # a model's own line: read in 0.26.0 and 0.32.0
    ),
    rule(
        "drafter",
        "Configuring SpecDecodeWorker with proposer=",
        r"Configuring SpecDecodeWorker with proposer=(?!.{0,100}NGramWorker)",
        "INFO 11-24 02:47:33 [spec_decode_worker.py:209] [Speculative Decoding] Configuring SpecDecodeWorker with "
        "proposer=<class 'vllm.spec_decode.multi_step_worker.MultiStepWorker'>",
        "any",  # the V0 engine's, to 0.10.2
    ),
    rule(
        "ngram",
        "'speculative_config': {",
        r"'speculative_config': \{[^}]{0,200}'(?:ngram|suffix)'",
        "INFO 11-24 02:56:27 [api_utils.py:286] non-default args: {'model': 'm', 'speculative_config': {'method': 'ngram', "
        "'num_speculative_tokens': 2}}",
        "any",  # guesses are looked up in the text so far: `Loading drafter model...` is printed, and nothing is loaded
    ),
    rule(
        "ngram",
        "speculative_config=SpeculativeConfig(",
        r"speculative_config=SpeculativeConfig\((?:method='(?:ngram|suffix)|draft_model='\[?ngram)",
        "INFO 11-24 02:53:47 [core.py:93] Initializing a V1 LLM engine with config: model='m', "
        "speculative_config=SpeculativeConfig(method='ngram', model=None, num_spec_tokens=2), tokenizer='m'",
        "any",
    ),
)

COMPILING = (
    rule(
        "dynamo",
        "Dynamo bytecode transform time: ",
        rf"Dynamo bytecode transform time: (?P<duration_s>{NUMBER}) s",
        "INFO 11-24 02:47:41 [backends.py:1155] Dynamo bytecode transform time: 7.92 s",
        "0.8.0 -",  # a part of torch.compile's total
    ),
    rule(
        "torch_compile",
        "torch.compile takes ",
        rf"torch\.compile takes (?P<duration_s>{NUMBER}) s in total",
        "INFO 02-15 05:15:37 [monitor.py:34] torch.compile takes 8.94 s in total",
        "0.8.0 - 0.17.1",
        running=True,  # compilation_config.compilation_time, which a drafter shares with its model
    ),
    rule(
        "torch_compile",
        "torch.compile took ",
        rf"torch\.compile took (?P<duration_s>{NUMBER}) s in total",
        "INFO 11-24 02:47:55 [monitor.py:53] torch.compile took 28.76 s in total",
        "0.18.0 -",
    ),
    rule(
        "compile_and_profiling_run",
        "torch.compile and initial profiling/warmup run together took ",
        rf"torch\.compile and initial profiling/warmup run together took (?P<duration_s>{NUMBER}) s in total",
        "INFO 11-24 02:47:55 [monitor.py:53] torch.compile and initial profiling/warmup run together took 42.50 s in total",
        "0.18.0 -",
    ),
    rule(
        "profiling_run",
        "Initial profiling/warmup run took ",
        rf"Initial profiling/warmup run took (?P<duration_s>{NUMBER}) s",
        "INFO 11-24 02:12:17 [monitor.py:91] [backbone] Initial profiling/warmup run took 12.77 s",
        "0.18.0 -",
    ),
)

# fmt: off
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
