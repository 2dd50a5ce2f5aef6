"""The schema of conf/: the settings of a start of vLLM, and those of sweeps, tracking and rig.

Hydra composes conf/, pydantic checks it (bench.compose), and what comes out is `Settings`: frozen, complete, the same for
every package. A module a group of settings, each made of `values`; `settings` puts them together.
"""

from bench.config.arguments import DTYPES, TAKEN, TAKEN_VARIABLES, UNANSWERED, positive, underscored
from bench.config.model import RandomGptOss, RandomLlama, RandomRecipe
from bench.config.rig import RigLimits
from bench.config.settings import Settings, blocks_at_most, conf_dir, flattened
from bench.config.storage import AS_IS, Storage
from bench.config.sweep import OF_THE_SWEEP, Sweep, Tracking
from bench.config.vllm import SWITCHES, Completion, ServeBench, Steady, Vllm

__all__ = [
    "AS_IS", "DTYPES", "OF_THE_SWEEP", "SWITCHES", "TAKEN", "TAKEN_VARIABLES", "UNANSWERED",
    "Completion", "RandomGptOss", "RandomLlama", "RandomRecipe", "RigLimits", "ServeBench", "Settings", "Steady", "Storage", "Sweep", "Tracking", "Vllm",
    "blocks_at_most", "conf_dir", "flattened", "positive", "underscored",
]  # fmt: skip
