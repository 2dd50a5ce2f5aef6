"""The store's address: what it is where none is typed, and the word that names it in a command that is printed."""

from pathlib import Path

from omegaconf import OmegaConf

from bench.config import Tracking, conf_dir
from bench.masking import masked
from bench.system.program import is_below_mlflow_run


def default_uri() -> str:
    """`tracking.uri` where nothing is typed: by the environment, else a file in the current folder."""
    return str(OmegaConf.load(Path(conf_dir()) / "tracking" / "local.yaml").uri)


def words_for(tracking: Tracking) -> list[str]:
    """What a later command needs to find this store. Empty: it finds it without; below `mlflow run` it would not, whose variables are gone then."""
    is_found = tracking.uri == default_uri() and not is_below_mlflow_run()
    return [] if is_found else [f"tracking.uri={masked(tracking.uri)}"]
