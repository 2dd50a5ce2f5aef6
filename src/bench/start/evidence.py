"""Everything that was recorded of one start, source by source, as the checks compare it. Frozen; made once the start is over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from bench.config import Settings
from bench.host.emulation.emulate import StorageInUse
from bench.host.host import Host
from bench.host.state import HostState
from bench.log.lines import LogLine
from bench.log.start_log import StartLog
from bench.start.execution import Execution
from bench.start.storage_use import StorageUse
from bench.vllm.command import Command
from bench.vllm.probe_report import ProbeReport
from bench.weights.loaded import StartWeights

NO_DTYPE = (None, "auto")
QUOTED = 100  # characters of a line
PARALLEL = ("pipeline_parallel_size", "data_parallel_size", "prefill_context_parallel_size")
OTHER_NODES = ("nnodes", "distributed_executor_backend", "data_parallel_size_local", "data_parallel_backend", "data_parallel_external_lb", "data_parallel_hybrid_lb", "data_parallel_multi_port_external_lb", "data_parallel_rank", "data_parallel_start_rank")  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What was started, by settings and command. None: left to vLLM, or not known."""

    version: str | None = None  # of vLLM, by its package's metadata
    model: str | None = None  # as `--model`
    load_format: str | None = None
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    prefill_context_parallel_size: int = 1
    api_servers: int = 1  # processes that answer requests, at most
    has_other_nodes: bool = False  # on which processes report to nobody here
    device: str | None = None
    port: int | None = None
    dtype: str | None = None
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    enforce_eager: bool | None = None
    expert_parallel: bool = False
    has_drafter: bool = False
    cores: int | None = None  # that vLLM may use

    @property
    def ranks(self) -> list[str]:
        """As the probe names them."""
        return rank_names(
            tensor=self.tensor_parallel_size,
            pipeline=self.pipeline_parallel_size,
            data=self.data_parallel_size,
            context=self.prefill_context_parallel_size,
        )


def rank_names(*, tensor: int, pipeline: int = 1, data: int = 1, context: int = 1) -> list[str]:
    """As the probe names them, outermost group first: TP0; PP1_TP0 and DP1_PP1_TP0 where there are several of these."""
    sizes = {"DP": data, "PP": pipeline, "PCP": context, "TP": tensor}
    counted = {name: size for name, size in sizes.items() if size > 1 or name == "TP"}
    return [
        "_".join(f"{name}{place}" for name, place in zip(counted, places, strict=True))
        for places in product(*map(range, counted.values()))
    ]


def asked_of(settings: Settings, host: Host, command: Command | None = None) -> Asked:
    """The same for every start of these settings on this host, but for the port."""
    arguments: Mapping[str, Any] = host.needs.arguments | settings.arguments
    return Asked(
        version=host.versions.get("vllm"),
        model=settings.checkpoint_path,
        load_format=settings.load_format.name,
        tensor_parallel_size=settings.tensor_parallel_size,
        **{name: int(arguments.get(name) or 1) for name in PARALLEL},
        api_servers=_api_servers(host, arguments),
        has_other_nodes=any(arguments.get(name) not in (None, False, 1, "mp", "uni") for name in OTHER_NODES),
        device=host.device.kind,
        port=command.port if command else None,
        dtype=None if arguments.get("dtype") in NO_DTYPE else str(arguments["dtype"]),
        max_model_len=settings.max_model_len if isinstance(settings.max_model_len, int) else None,
        gpu_memory_utilization=arguments.get("gpu_memory_utilization"),
        enforce_eager=arguments.get("enforce_eager"),
        expert_parallel=bool(arguments.get("enable_expert_parallel")),
        has_drafter=bool(arguments.get("speculative_config")),
        cores=len(host.device.cores) or None,
    )


def _api_servers(host: Host, arguments: Mapping[str, Any]) -> int:
    """The module is one, whatever it is given; `vllm serve` starts one for each data-parallel rank unless their number is set.

    Source: vllm/entrypoints/cli/serve.py
    """
    if host.entrypoint == "module":
        return 1
    return int(arguments.get("api_server_count") or arguments.get("data_parallel_size") or 1)


@dataclass(frozen=True)
class Evidence:
    """Times are seconds since exec. None: not measured, or not reached."""

    asked: Asked = field(default_factory=Asked)
    log: StartLog = field(default_factory=StartLog)
    probe: ProbeReport = field(default_factory=ProbeReport)
    started_at: float | None = None  # UNIX time of exec
    ready_s: float | None = None
    first_token_s: float | None = None
    first_answer_s: float | None = None  # of a model that completes no texts
    completion_ended_s: float | None = None
    ended_s: float | None = None  # the last process was gone
    cpu_s: float | None = None  # processor time of all that vLLM started
    late_s: float = 0.0  # the longest time for which the driver did not run: what it stamps may be late by so much
    stepped_s: float = 0.0  # by which the host's UNIX time was set meanwhile
    clock_problems: tuple[str, ...] = ()
    state: HostState | None = None
    ran_problems: tuple[str, ...] = ()  # what a process had, by itself, against what was started
    weights: StartWeights = field(default_factory=StartWeights)
    storage: StorageInUse | None = None
    storage_use: StorageUse = field(default_factory=StorageUse)


def evidence_of(asked: Asked, log: StartLog, probe: ProbeReport, execution: Execution) -> Evidence:
    """What driver, log and probe recorded; state and weights come to it where they were reached."""
    answer = execution.answer
    ended_s = None if execution.exec_at_s is None else execution.ended_at() - execution.started_at
    return Evidence(
        asked=asked,
        log=log,
        probe=probe,
        started_at=None if execution.exec_at_s is None else execution.started_at,
        ready_s=execution.ready_s,
        first_token_s=execution.first_token_s,
        first_answer_s=execution.first_answer_s,
        completion_ended_s=answer.ended_s if answer else None,
        cpu_s=execution.cpu.tree_s if execution.cpu else None,
        ended_s=ended_s,
        late_s=execution.clocks.longest_gap_s(None),
        stepped_s=execution.clocks.stepped_s,
        clock_problems=tuple(execution.clock_problems()),
        storage=execution.storage,
    )


def release_of(version: str) -> str:
    """Of vLLM, without what a build adds to it: 0.32.0+cpu is 0.32.0."""
    return version.partition("+")[0].removeprefix("v")


def quoted(line: LogLine) -> str:
    """A line of vLLM's in a sentence."""
    return f"“{line.text if len(line.text) <= QUOTED else line.text[:QUOTED] + '…'}”"
