"""torch.compile, and the first run of what it made.

"torch.compile and initial profiling/warmup run together took" holds a forward pass besides, which can be the larger
part, and nothing in the log tells the two apart: it is a phase of its own, never torch.compile's time. Source:
TorchCompileWithNoGuardsWrapper in vllm/compilation/decorators.py, where VLLM_USE_AOT_COMPILE is off.
"""

from bench.log.texts.rule import NUMBER, rule

COMPILING = (
    rule(
        "dynamo",
        rf"Dynamo bytecode transform time: (?P<duration_s>{NUMBER}) s",
        "INFO 11-24 02:47:41 [backends.py:1155] Dynamo bytecode transform time: 7.92 s",
        "0.8.0 -",  # a part of torch.compile's total
    ),
    rule(
        "torch_compile",
        rf"torch\.compile takes (?P<duration_s>{NUMBER}) s in total",
        "INFO 02-15 05:15:37 [monitor.py:34] torch.compile takes 8.94 s in total",
        "0.8.0 - 0.17.1",
        running=True,  # compilation_config.compilation_time, which a drafter shares with its model
    ),
    rule(
        "torch_compile",
        rf"torch\.compile took (?P<duration_s>{NUMBER}) s in total",
        "INFO 11-24 02:47:55 [monitor.py:53] torch.compile took 28.76 s in total",
        "0.18.0 -",
    ),
    rule(
        "compile_and_profiling_run",
        rf"torch\.compile and initial profiling/warmup run together took (?P<duration_s>{NUMBER}) s in total",
        "INFO 11-24 02:47:55 [monitor.py:53] torch.compile and initial profiling/warmup run together took 42.50 s in total",
        "0.18.0 -",
    ),
    rule(
        "profiling_run",
        rf"Initial profiling/warmup run took (?P<duration_s>{NUMBER}) s",
        "INFO 11-24 02:12:17 [monitor.py:91] [backbone] Initial profiling/warmup run took 12.77 s",
        "0.18.0 -",
    ),
)
