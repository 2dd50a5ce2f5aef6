"""Which vLLM, how long its engine took, and what became of it."""

from bench.log.texts.rule import NUMBER, rule

ENGINE = (
    rule(
        "version",
        r"Initializing an? (?:V\d )?LLM engine \(v(?P<version>[^)\s]{1,80})\)",
        "INFO 11-24 02:53:47 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='tiny-tp2'",
        "0.8.0 -",
    ),
    rule(
        "version",
        r"vLLM (?:(?:API|gRPC) server|batch processing API) version (?P<version>\d[^\s^]{0,80})",
        "INFO 11-24 02:53:40 [api_server.py:1351] vLLM API server version 0.11.0",
        "0.8.0 -",
    ),
    rule(
        "version",
        r"[▄█▀] {1,4}version (?P<version>\d[^\s^]{0,80})",
        "INFO 11-24 02:56:27 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.31.0",
        "any",  # beside the logo, where the API server's line was; in 0.26.0 and 0.32.0
    ),
    rule(
        "init_engine",
        rf"init engine \(profile, create kv cache, warmup model\) took (?P<duration_s>{NUMBER}) s",
        "INFO 02-15 05:15:49 [core.py:254] init engine (profile, create kv cache, warmup model) took 22.52 seconds",
        "0.8.0 -",
    ),
    rule(
        "server_starting",
        r"Starting vLLM (?:API )?server (?:\d{1,6} )?on (?P<address>\S{1,200})",
        "INFO 11-24 02:56:48 [entry.py:140] Starting vLLM server on http://127.0.0.1:8123",
        "0.8.0 -",
    ),
    rule(
        "failed",
        r"EngineCore (?:hit an exception|failed to start|encountered a fatal error)",
        "ERROR 11-24 02:54:00 [core.py:1163] EngineCore failed to start.",
        "0.8.0 -",
    ),
    rule(
        "failed",
        r"WorkerProc (?:hit an exception|failed to start)",
        "ERROR 11-24 02:54:00 [multiproc_executor.py:870] WorkerProc failed to start.",
        "0.8.0 -",
    ),
    rule(
        "failed",
        r"(?:Worker proc|Engine core proc|RayWorkerProc) (?P<process>\S{1,80}) died unexpectedly"
        r"(?: \(exit code: (?P<exit_code>-?\d{1,9})\))?, shutting down",
        "ERROR 11-24 02:54:00 [multiproc_executor.py:285] Worker proc VllmWorker-1 died unexpectedly (exit code: -9), "
        "shutting down executor.",
        "0.8.5 -",  # the exit code from 0.26.0
    ),
    rule(
        "ready",
        rf"BENCHMARK_READY_SECONDS[= ](?P<duration_s>{NUMBER})",
        "BENCHMARK_READY_SECONDS=421.8885",
        "any",  # the line of the script that made the seed, and of logs recorded like it
    ),
)
