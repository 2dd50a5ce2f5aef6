"""`Settings`: everything that defines one start, from all groups."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bench.config.arguments import CUT_ARGUMENTS, positive
from bench.config.model import Model
from bench.config.rig import RigLimits
from bench.config.storage import Storage
from bench.config.sweep import SWEEP_SETTINGS, Cost, Sweep, Tracking
from bench.config.values import Blocks, Seconds, Section, Text, Tokens
from bench.config.vllm import Completion, LoadFormat, ServeBenchSetting, SteadySetting, Vllm
from bench.masking import masked_value


class Settings(Section):
    """Everything that defines one start."""

    model: Model
    load_format: LoadFormat
    storage: Storage
    tracking: Tracking
    tensor_parallel_size: Annotated[int, Field(ge=1, le=1024)]
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None
    max_model_len: Tokens  # None: what the model allows; auto: what the memory allows
    page_cache: Literal["cold", "warm", "as_is"]
    compile_cache: Literal["primed", "fresh", "as_is"]
    bytecode: Literal["compiled", "as_is"]
    cache_dir: Text | None  # None: the user's cache; see bench.system.user_cache
    caches_dir: Text
    verify: bool | None  # verification starts; None: in a sweep, where there is something to compare
    storage_limit: bool  # measured before the first start and after the last
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
    report: bool  # at the end of a sweep
    seed: int | None  # None: from the sweep's id
    models_dir: Text
    vllm: Vllm
    completion: Completion | None  # None: a start ends when vLLM is ready
    serve_bench: ServeBenchSetting
    steady: SteadySetting
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
        switched = {"serve_bench": self.serve_bench.num_prompts, "steady": self.steady.requests}
        off = {name for name, number in switched.items() if number is None}
        tree = self.model_dump(exclude={"tracking", "rig", "cost", "sweep", "cache_dir", *SWEEP_SETTINGS, *off})
        flat = flattened(tree)
        for group in ("model", "load_format", "storage"):
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
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "conf" / "config.yaml").is_file():
        return str(checkout / "conf")
    return str(files("bench") / "conf")


def blocks_at_most(settings: Settings) -> int:
    """How often a point is started: `repeats`, or up to `max_blocks` where `precision` decides; fewer where
    `repeats_of` has a number for its load format.
    """
    blocks = settings.repeats if settings.precision is None else settings.max_blocks
    return min(blocks, settings.repeats_of.get(settings.load_format.name, blocks))
