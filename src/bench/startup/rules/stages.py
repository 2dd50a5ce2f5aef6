"""What vLLM is doing, for people who wait."""

SERVING = "starting the server"

# From this text on. The first whose text is in the line counts.
STAGES = (
    ("non-default args", "reading the model's config"),
    ("Initializing a V", "starting the engine"),
    ("Starting to load model", "loading weights"),
    ("Loading model from scratch", "loading weights"),
    ("Loading weights took", "finishing the weights"),
    ("Model loading took", "profiling"),
    ("Warming up model for the compilation", "compiling"),
    ("Starting torch.compile", "compiling"),
    ("Dynamo bytecode transform time", "compiling"),
    ("Capturing CUDA graphs", "capturing graphs"),
    ("init engine (profile", SERVING),
    ("Starting vLLM API server", SERVING),
    ("Starting vLLM server", SERVING),  # from 0.18
)


def stage_of(text: str) -> str | None:
    """The stage that a line opens, or None."""
    return next((stage for marker, stage in STAGES if marker in text), None)
