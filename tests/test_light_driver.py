"""The driver shares the host with what it measures, so it imports neither torch nor vllm, and nothing before it is needed."""

import re

import pytest

IMPORT_TIME = (
    "-X",
    "importtime",
)  # Python tells every import of the driver, on stderr; the measured vLLM does not inherit it


def imported(err: str) -> set[str]:
    """The top-level names of all modules that were imported."""
    return {found[1] for found in re.finditer(r"^import time:[^|]*\|[^|]*\|\s*([\w]+)", err, re.MULTILINE)}


@pytest.fixture(scope="module")
def helped(new_workplace):
    """What `python -m bench --help` imports."""
    done = new_workplace().bench("--help", python=IMPORT_TIME)
    assert done.code == 0, done.err
    assert "python -m bench" in done.out
    return imported(done.err)


def test_the_imports_are_seen(helped):
    """Else the other tests here would say nothing."""
    assert {"bench", "hydra"} <= helped


@pytest.mark.parametrize("module", ["torch", "vllm", "transformers", "mlflow", "matplotlib", "numpy"])
def test_help_comes_without_what_starts_need(helped, module):
    """Help is read more often than it is waited for."""
    assert module not in helped


def test_a_sweep_imports_neither_torch_nor_vllm(workplace):
    """Both belong to the process that is measured: here they would take memory, seconds and perhaps the GPU."""
    done = workplace.bench("-m", "load_format=auto", python=IMPORT_TIME)

    assert done.code == 0, done.err
    assert "mlflow" in imported(done.err)
    assert imported(done.err).isdisjoint({"torch", "vllm", "transformers"})
