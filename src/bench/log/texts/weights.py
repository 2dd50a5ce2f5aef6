"""From the hub to the device: what is said of the weights."""

from bench.log.texts.rule import NUMBER, UNIT, rule

WEIGHTS = (
    rule(
        "download",
        rf"Time spent downloading weights for .{{1,400}}: (?P<duration_s>{NUMBER}) seconds",
        "INFO 11-24 02:47:18 [weight_utils.py:533] Time spent downloading weights for org/model: 81.204415 seconds",
        "0.8.0 -",  # only where it took more than half a second
    ),
    rule(
        "prefetch",
        rf"Prefetching checkpoint files into page cache finished in (?P<duration_s>{NUMBER})s",
        "INFO 11-24 02:47:20 [weight_utils.py:1066] Prefetching checkpoint files into page cache finished in 9.75s",
        "0.18.0 -",  # beside the loading, in the background
    ),
    rule(
        "deserialize",
        rf"Deserialized (?P<size>{NUMBER}) (?P<size_unit>{UNIT}) in (?P<duration_s>{NUMBER})s, "
        rf"(?P<rate>{NUMBER}) (?P<rate_unit>{UNIT})/s",
        "INFO 11-24 02:47:31 [tensorizer.py:521] Deserialized 16.1 GB in 6.25s, 2.6 GB/s",
        "0.8.0 -",  # decimal units: tensorizer's convert_bytes
    ),
    rule(
        "load_weights",
        rf"Loading weights took (?P<duration_s>{NUMBER}) seconds",
        "INFO 02-15 05:15:23 [default_loader.py:308] Loading weights took 387.56 seconds",
        "0.8.0 -",
    ),
    rule(
        "online_quantization",
        rf"Online quantization as part of model loading took (?P<duration_s>{NUMBER}) seconds",
        "INFO 11-24 02:47:33 [base_loader.py:165] Online quantization as part of model loading took 3.20 seconds",
        "0.32.0 -",
    ),
    rule(
        "load_model",
        rf"(?:Model loading|Loading model weights) took (?P<memory_gib>{NUMBER}) Gi?B(?: memory)? and "
        rf"(?P<duration_s>{NUMBER}) seconds",
        "INFO 02-15 05:15:26 [gpu_model_runner.py:3549] Model loading took 34.3774 GiB memory and 390.373224 seconds",
        "0.8.0 -",  # 0.8.0 prints GB and means GiB
    ),
    rule(
        "load_model",
        rf"Loading model weights took (?P<memory_gib>{NUMBER}) Gi?B(?! and| memory)",
        "INFO 11-24 02:47:33 [xpu_model_runner.py:427] Loading model weights took 7.1694 GiB",
        "0.8.0 - 0.9.2",  # XPU; every device before 0.8.0, and Ascend's plugin. GB means GiB
    ),
    rule(
        "stream",
        rf"\[RunAI Streamer\] Overall time to stream (?P<size>{NUMBER}) (?P<size_unit>{UNIT})(?: of all files)?"
        rf"(?: to [\w:]{{1,40}})?: (?P<duration_s>{NUMBER})s, (?P<rate>{NUMBER}) (?P<rate_unit>{UNIT})/s",
        "[2026-02-15 05:16:38] INFO file_streamer.py:66: [RunAI Streamer] Overall time to stream 34.3 GiB of all files to cpu: "
        "28.52s, 1.2 GiB/s",
        "any",  # the streamer's own line
    ),
    rule(
        "drafter",
        r"Loading drafter model\.\.\.",
        "INFO 11-24 02:47:33 [gpu_model_runner.py:5120] Loading drafter model...",
        "0.8.3 -",
    ),
    rule(
        "drafter",
        r"Initializing an? (?:V\d )?LLM engine \(v.{1,600} speculative_config=SpeculativeConfig\((?!method='ngram')",
        "INFO 11-24 02:53:47 [core.py:93] Initializing a V1 LLM engine (v0.11.0) with config: model='m', "
        "speculative_config=SpeculativeConfig(method='eagle3', model='e', num_spec_tokens=3), tokenizer='m'",
        "0.8.0 -",
    ),
    rule(
        "drafter",
        r"'speculative_config': \{(?![^}]{0,200}'(?:ngram|suffix)')",
        "INFO 11-24 02:56:27 [api_utils.py:286] non-default args: {'model': 'm', 'speculative_config': {'method': 'mtp', "
        "'num_speculative_tokens': 3}}",
        "any",  # among the arguments, of which the facts have only that they are printed
    ),
    rule(
        "drafter",
        r"/eagle_head for vLLM's torch\.compile",
        "INFO 11-24 02:47:40 [backends.py:1089] Using cache directory: /cache/5c1b/rank_0_0/eagle_head for vLLM's torch.compile",
        "any",  # a part of a path
    ),
    rule(
        "drafter",
        r"(?:DSpark|MTP)(?: XPU)? draft model loaded: \d",
        "(Worker_TP0 pid=77) INFO 11-24 02:47:33 [dspark.py:576] DSpark draft model loaded: 97 params",
        "any",  # a model's own line: read in 0.26.0 and 0.32.0
    ),
    rule(
        "drafter",
        r"Configuring SpecDecodeWorker with proposer=(?!.{0,100}NGramWorker)",
        "INFO 11-24 02:47:33 [spec_decode_worker.py:209] [Speculative Decoding] Configuring SpecDecodeWorker with "
        "proposer=<class 'vllm.spec_decode.multi_step_worker.MultiStepWorker'>",
        "any",  # the V0 engine's, to 0.10.2
    ),
    rule(
        "ngram",
        r"'speculative_config': \{[^}]{0,200}'(?:ngram|suffix)'",
        "INFO 11-24 02:56:27 [api_utils.py:286] non-default args: {'model': 'm', 'speculative_config': {'method': 'ngram', "
        "'num_speculative_tokens': 2}}",
        "any",  # guesses are looked up in what was said: `Loading drafter model...` is printed, and nothing is loaded
    ),
    rule(
        "ngram",
        r"speculative_config=SpeculativeConfig\((?:method='(?:ngram|suffix)|draft_model='\[?ngram)",
        "INFO 11-24 02:53:47 [core.py:93] Initializing a V1 LLM engine with config: model='m', "
        "speculative_config=SpeculativeConfig(method='ngram', model=None, num_spec_tokens=2), tokenizer='m'",
        "any",
    ),
)
