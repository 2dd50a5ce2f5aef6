"""What a server is asked when its start is timed: the first requests until it is steady, then load. What fails here is no failed start."""

from collections.abc import Iterator
from dataclasses import replace

from bench.errors import BenchError, StartError
from bench.start.execution import Execution, PreparedStart
from bench.system.interrupts import interruptible
from bench.vllm.command import served_name
from bench.vllm.load import generate_load
from bench.vllm.server import Server
from bench.vllm.steady import SHORT, Request, send_requests, steady_s, write_requests
from bench.weights.fingerprint_store import verifies


def after_ready(prepared: PreparedStart, vllm: Server, execution: Execution) -> Iterator[Execution]:
    """The same start after each of the two that its settings ask for. Starts that do not count are asked for neither."""
    settings, answer = prepared.settings, execution.answer
    wanted = [
        name
        for name, number in (("steady", settings.steady.requests), ("serve_bench", settings.serve_bench.num_prompts))
        if number
    ]
    if not wanted or settings.sweep.kind != "start" or verifies(settings):
        return
    reached = replace(execution, asked_until_s=vllm.process.elapsed_s())
    if answer is None or execution.ready_s is None:
        yield replace(reached, not_served=[f"{name}: this model completes no texts" for name in wanted])
        return
    for name in wanted:
        try:
            with interruptible():
                if name == "steady":
                    first = Request(SHORT, execution.ready_s, answer.ended_s - execution.ready_s)
                    reached = replace(
                        reached, requests=tuple(send_requests(vllm, served_name(settings), settings, first))
                    )
                    write_requests(reached.requests, prepared.folder)
                    if steady_s(reached.requests, settings.steady.within) is None:
                        raise StartError(
                            f"service was not steady within {settings.steady.requests} requests, by steady.within={settings.steady.within:g}"
                        )
                else:
                    reached = replace(reached, load=generate_load(settings, prepared.host, vllm, prepared.folder))
        except (BenchError, OSError) as error:
            reached = replace(reached, not_served=[*reached.not_served, f"{name}: {error}"])
        yield reached
