"""The schema of conf/: the settings of a start of vLLM, and those of sweeps, tracking and rig.

Hydra composes conf/, pydantic checks it (bench.compose), and what comes out is `Settings`: frozen, complete, the same for
every package.
"""

import re
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from bench.masking import masked_value

Count = Annotated[int, Field(ge=1)]
Blocks = Annotated[int, Field(ge=1, le=10_000)]  # a plan lists every start
Size = Annotated[int, Field(ge=1, le=1 << 24)]  # of a random model in one direction, or of a completion
Layers = Annotated[int, Field(ge=1, le=10_000)]
Seconds = Annotated[float, Field(gt=0, le=10_000_000)]  # waiting has an end, and clocks have a greatest number
Text = Annotated[str, Field(pattern=r"^[^\x00]*\S[^\x00]*$")]  # not empty, and what a path or a name may be
Scalar = str | int | float | bool | None

MULTIPLES = {
    letter: base ** (power + 1)
    for letters, base in (("kmgt", 1000), ("KMGT", 1024))
    for power, letter in enumerate(letters)
}


def _tokens(given: Any) -> Any:
    """A length as vLLM reads it: 128k is 128,000, 128K 131,072, -1 and auto what fits into the memory. Anything else as it is.

    Source: human_readable_int_or_auto in vllm/utils/argparse_utils.py
    """
    text = str(given).strip()
    return "auto" if text == "-1" or text.lower() == "auto" else _whole(given)


def _whole(given: Any) -> Any:
    """A text like 8k as a whole number. Anything else as it is. Source: human_readable_int, beside the other."""
    text = str(given).strip()
    found = re.fullmatch(r"(\d{1,15})(\.\d{1,15})?([kKmMgGtT]?)", text) if isinstance(given, str) else None
    if found is None or (found[2] and not found[3].islower()):  # vLLM takes no decimals of 1,024
        return given
    return int(Decimal(found[1] + (found[2] or "")) * MULTIPLES.get(found[3], 1))


# Arguments of vLLM that may be written so.
READABLE = {
    "max_num_batched_tokens", "max_num_scheduled_tokens", "kv_cache_memory_bytes", "safetensors_prefetch_block_size", "max_num_queued_tokens",
}  # fmt: skip


# Names of vLLM's for what has another one. Source: _STR_DTYPE_TO_TORCH_DTYPE in vllm/config/model.py
DTYPES = {"half": "float16", "float": "float32"}


def _arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Arguments of vLLM, equal where what vLLM makes of them is: 8k is 8,000, half is float16."""
    return {name: _argument(underscored(name), value) for name, value in given.items()}


def _argument(name: str, value: Any) -> Any:
    if name == "dtype" and isinstance(value, str):
        return DTYPES.get(value, value)
    return _whole(value) if name in READABLE else value


def underscored(name: str) -> str:
    """An argument's name; below a dot, a key of its JSON, as it is."""
    above, dot, below = name.partition(".")
    return f"{above.replace('-', '_')}{dot}{below}"


def positive(name: str, value: Any) -> tuple[str, Any]:
    """An argument under the one name that it has: `no-x: true` is `x: false`."""
    name = underscored(name)
    return (
        (name.removeprefix("no_"), not value) if name.startswith("no_") and isinstance(value, bool) else (name, value)
    )


Arguments = Annotated[dict[str, Any], AfterValidator(_arguments)]
Tokens = Annotated[Count | Literal["auto"] | None, BeforeValidator(_tokens)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RandomLlama(_Section):
    """The shape of a Llama whose weights are drawn at random; names as in its config.json where they are not shorter."""

    family: Literal["llama"] = "llama"
    seed: Annotated[int, Field(ge=0)]
    hidden_size: Size
    intermediate_size: Size
    layers: Layers
    heads: Size
    kv_heads: Size
    vocab_size: Annotated[int, Field(ge=260, le=1 << 24)]  # 256 bytes and the special tokens
    max_positions: Size
    shard_gib: Annotated[float, Field(gt=0)]  # a file is closed before it grows beyond this


class RandomGptOss(_Section):
    """The shape of a gpt-oss with random weights, its experts in MXFP4: 32 weights share a scale."""

    family: Literal["gpt_oss"] = "gpt_oss"
    seed: Annotated[int, Field(ge=0)]
    hidden_size: Annotated[int, Field(ge=32, le=1 << 24, multiple_of=32)]
    intermediate_size: Annotated[int, Field(ge=32, le=1 << 24, multiple_of=32)]
    layers: Layers
    experts: Layers
    experts_per_token: Layers
    heads: Size
    kv_heads: Size
    head_dim: Size
    vocab_size: Annotated[int, Field(ge=260, le=1 << 24)]
    max_positions: Size
    sliding_window: Size
    shard_gib: Annotated[float, Field(gt=0)]


RandomRecipe = RandomLlama | RandomGptOss


class Model(_Section):
    """Which checkpoint."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    path: Text  # a folder, or a hub id
    sharded_path: (
        Text | None
    )  # where the checkpoint cut for tensor_parallel_size lies, or will lie; None: not yet composed
    random: Annotated[RandomRecipe, Field(discriminator="family")] | None  # None: the user's own, never made here


class LoadFormat(_Section):
    """How the weights get from files into memory."""

    name: Text  # vLLM's --load-format
    checkpoint: Literal["original", "sharded", "serialized", "config_only"]  # which layout of the weights it reads
    direct_io: bool  # reads past the page cache, with O_DIRECT, where the file system allows it
    args: Arguments  # vLLM arguments it needs; None: vLLM's default
    env: dict[str, Scalar]
    extra: dict[str, Any]  # --model-loader-extra-config; None: vLLM's default


class Vllm(_Section):
    """The vLLM that is measured, and its other arguments and environment variables."""

    python: Text | None
    entrypoint: Literal["auto", "serve", "module"]  # auto: `vllm serve` where it can be executed, else the module
    command: Text | None  # a template of the command that it is started behind, as `docker run … IMAGE`
    args: Arguments
    env: dict[str, Scalar]
    ready_timeout_s: Seconds
    stop_timeout_s: Seconds


class Tracking(_Section):
    """Where MLflow is."""

    uri: Text
    experiment: Text


class Completion(_Section):
    """The greedy completion that ends a start. A model without completions is asked for the same prompt's vector, class or score."""

    prompt: Annotated[str, Field(min_length=1)]
    max_tokens: Size
    timeout_s: Seconds


Share = Annotated[float, Field(ge=0, le=1)]


class RigLimits(_Section):
    """How idle the host must be before a start, how long to wait for that, and what may disturb the start. No influence on what is measured.

    The defaults are those of conf/: whoever allows more, there or on the command line, finds it in the report.
    """

    wait_s: Annotated[float, Field(ge=0, le=10_000_000)] = 60  # at most; 0: check once, and do not wait
    busy_cores_at_most: Share = 0.25  # of the cores that we may use; during a start too
    free_memory_at_least_gib: Annotated[float, Field(ge=0)] = 2  # during a start too
    swap_used_at_most_gib: Annotated[float, Field(ge=0)] = 4
    gpu_processes_at_most: Annotated[int, Field(ge=0)] = 0  # on each GPU; during a start on all of them together
    gpu_leftover_at_most_gib: Annotated[float, Field(ge=0)] = 0.5  # on each GPU, above the least in use so far
    gpu_throttled: bool = False  # True: a GPU that is slowed down is taken as it is
    others_io_at_most_gib_per_s: Annotated[float, Field(ge=0)] = (
        0.05  # during a start: read by others, and written by them
    )
    memory_pressure_at_most: Share = 0.05  # of the time
    cpu_throttled_at_most: Share = 0.05  # of the periods of the cgroup's quota
    page_cache_lost_at_most: Share = 0.02  # of the checkpoint's bytes


class Cost(_Section):
    """What a report makes dollars of. No influence on what is measured."""

    usd_per_gpu_hour: Annotated[float, Field(gt=0)] | None  # None: no dollars


class Sweep(_Section):
    """A start's place in its sweep. Set by the sweeper; all None and zero for a start on its own."""

    id: str | None
    parent_run_id: str | None
    point: str | None
    kind: Literal["start", "prime"]
    repeat: Annotated[int, Field(ge=0)]
    position: Count  # in the order of the whole sweep, from 1
    starts: Count  # of the whole sweep


# Arguments of vLLM that have a setting of their own here, or that belong to bench.
TAKEN = {
    "model": "model.path", "load_format": "load_format", "model_loader_extra_config": "load_format.extra",
    "tensor_parallel_size": "tensor_parallel_size", "gpu_memory_utilization": "gpu_memory_utilization",
    "max_model_len": "max_model_len", "host": None, "port": None, "api_key": None, "uds": None,
    "ssl_keyfile": None, "ssl_certfile": None,
}  # fmt: skip
# Arguments of vLLM with which it answers no HTTP: a start is measured up to /health.
UNANSWERED = {"headless", "grpc"}
TAKEN_VARIABLES = {"VLLM_API_KEY"}  # of vLLM's environment; bench makes a key of its own, see bench.vllm.api_key


# Arguments of vLLM that decide what a checkpoint cut for a tensor-parallel size holds.
CUT_ARGUMENTS = (
    "dtype", "quantization", "quantization_config", "hf_overrides", "hf_config_path", "config_format", "trust_remote_code",
    "revision", "code_revision", "model_impl", "runner", "convert", "task", "kv_cache_dtype", "enable_expert_parallel",
    "enable_eplb", "num_redundant_experts", "enable_lora", "max_lora_rank", "lora_extra_vocab_size", "language_model_only",
)  # fmt: skip


# Settings that decide how often and in which order starts are made, not what one start is.
SWEEP_SETTINGS = {
    "repeats", "repeats_of", "precision", "min_blocks", "max_blocks", "time_budget_s", "aa", "resume", "dry_run", "seed", "verify",
}  # fmt: skip


# Settings of which a whole sweep has one value: those, and where it is kept and how quiet its host must be.
OF_THE_SWEEP = {*SWEEP_SETTINGS, "tracking", "rig", "cost", "caches_dir"}


class Settings(_Section):
    """Everything that defines one start."""

    model: Model
    load_format: LoadFormat
    tracking: Tracking
    tensor_parallel_size: Annotated[int, Field(ge=1, le=1024)]
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None
    max_model_len: Tokens  # None: what the model allows; auto: what the memory allows
    page_cache: Literal["cold", "warm", "as_is"]
    compile_cache: Literal["primed", "fresh", "as_is"]
    caches_dir: Text
    verify: bool | None  # verification starts; None: in a sweep, where there is something to compare
    probe: bool  # False: nothing of bench runs inside vLLM's processes
    repeats: Blocks
    repeats_of: dict[str, Blocks]  # by load format; never more than `repeats` or `max_blocks`
    precision: Annotated[float, Field(gt=0, lt=1)] | None
    min_blocks: Annotated[int, Field(ge=2, le=10_000)]
    max_blocks: Blocks
    time_budget_s: Seconds | None
    aa: bool
    resume: bool
    dry_run: bool
    seed: int | None  # None: from the sweep's id
    models_dir: Text
    vllm: Vllm
    completion: Completion | None  # None: a start ends when vLLM is ready
    rig: RigLimits
    cost: Cost
    sweep: Sweep

    @property
    def checkpoint_path(self) -> str:
        """The folder, or hub id, that this load format reads."""
        path = self.model.path
        if self.load_format.checkpoint == "sharded":
            assert self.model.sharded_path is not None, "bench.compose places it"
            path = self.model.sharded_path
        is_folder = path != self.model.path or self.model.random or Path(path).exists()
        # What runs behind a command may be in another folder.
        return str(Path(path).absolute()) if self.vllm.command and is_folder else path

    @property
    def cut_arguments(self) -> dict[str, Any]:
        """Of vLLM's arguments those that decide which weights a rank holds and how; what is vLLM's default is left out."""
        given = {name: self.arguments.get(name) for name in CUT_ARGUMENTS}
        return {name: value for name, value in given.items() if value not in (None, False, "auto", {})}

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments given to vLLM beyond the settings of bench: name, with underscores, -> value; the user's override the load format's."""
        chosen = [*self.load_format.args.items(), *self.vllm.args.items()]
        return dict(positive(name, value) for name, value in chosen)

    def flat(self) -> dict[str, str]:
        """Every setting by its dotted name, as MLflow's params hold it: the group's choice under the group's own name,
        secrets masked, without the settings that only decide where results go or what is waited for.
        """
        return {name: masked_value(name, value) for name, value in self.unmasked().items()}

    def unmasked(self) -> dict[str, Any]:
        """The same with secrets unmasked: for comparing settings, never for output."""
        tree = self.model_dump(exclude={"tracking", "rig", "cost", "sweep", *SWEEP_SETTINGS})
        flat = flattened(tree)
        for group in ("model", "load_format"):
            flat[group] = flat.pop(f"{group}.name")
        return dict(sorted(flat.items()))


def flattened(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of a tree by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= flattened(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def conf_dir() -> str:
    """The absolute path of conf/: the checkout's own, else the copy inside the installed package."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "conf" / "config.yaml").is_file():
        return str(checkout / "conf")
    return str(files("bench") / "conf")


def blocks_at_most(settings: Settings) -> int:
    """How often a point is started: `repeats`, or up to `max_blocks` where `precision` decides; fewer where
    `repeats_of` has a number for its load format.
    """
    blocks = settings.repeats if settings.precision is None else settings.max_blocks
    return min(blocks, settings.repeats_of.get(settings.load_format.name, blocks))
