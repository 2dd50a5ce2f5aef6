"""What vLLM is doing, for people who wait."""

SERVING = "starting the server"

# From this text on. The first whose text is in the line counts.
STAGES = (
    ("non-default args", "reading the model's config"),
    ("Initializing a V", "starting the engine"),
    ("Initializing an LLM engine", "starting the engine"),
    ("Starting to load model", "loading weights"),
    ("Loading model from scratch", "loading weights"),
    ("Loading drafter model", "loading weights"),
    ("Loading weights took", "finishing the weights"),
    ("Model loading took", "profiling"),
    ("Loading model weights took", "profiling"),
    ("Warming up model for the compilation", "compiling"),
    ("Starting torch.compile", "compiling"),
    ("Dynamo bytecode transform time", "compiling"),
    ("torch.compile takes", "measuring memory"),
    ("torch.compile took", "measuring memory"),
    ("Available KV cache memory", "setting up the KV cache"),
    ("memory for KV Cache as specified by", "setting up the KV cache"),
    ("GiB for KV cache on node", "setting up the KV cache"),  # a CPU's
    ("# CPU blocks: ", "setting up the KV cache"),  # the V0 engine's
    ("KV cache size: ", "warming up"),
    ("Capturing CUDA graphs", "capturing graphs"),
    ("Capturing the model for CUDA graphs", "capturing graphs"),
    ("Capturing cudagraphs for decoding", "capturing graphs"),
    ("init engine (profile", SERVING),
    ("Starting vLLM API server", SERVING),
    ("Starting vLLM server", SERVING),  # from 0.18
)


def stage_of(text: str) -> str | None:
    """The stage that a line opens, or None."""
    return next((stage for marker, stage in STAGES if marker in text), None)
