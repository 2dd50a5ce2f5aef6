"""The folders of the compile and JIT caches: who shares them, what is in them, and what a log says that vLLM did with them."""

import json
import os
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.config import Settings
from bench.host.compile_cache import FOLDERS, Caches, caches_of, empty, key_of, mark_primed, written_elsewhere
from bench.host.device import Device
from bench.host.host import Host, Needs
from bench.log.start_log import read_start
from bench.system.ownership import MARKER

LOGS = Path(__file__).parents[1] / "logs"
CPU = "cpu-vllm0.32.0"
H100 = "h100-vllm0.26.0"
HOST = Host(Device("cuda", ("NVIDIA H100 80GB HBM3",), "570.0", (0, 1)), "/env/bin/python", {"vllm": "0.32.0"}, Needs({}, {}))  # fmt: skip


@cache
def composed(*overrides: str) -> Settings:
    (settings,) = compose_settings(overrides)
    return settings


def key(*overrides: str, host: Host = HOST) -> str:
    return key_of(composed(*overrides), host)


def lines_of(log: str) -> list[bytes]:
    return (LOGS / log).read_bytes().splitlines(keepends=True)


# Who shares a cache.


@pytest.mark.parametrize(
    "override",
    [
        "load_format=runai_streamer",
        "load_format=fastsafetensors",
        "load_format=dummy",
        "load_format=safetensors",
        "load_format.extra.num_threads=8",
        "gpu_memory_utilization=0.5",
        "page_cache=warm",
        "compile_cache=fresh",
        "caches_dir=elsewhere",
        "repeats=5",
        "seed=5",
        "tracking.experiment=mine",
        "completion.max_tokens=3",
        "vllm.ready_timeout_s=60",
    ],
)
def test_what_vllm_compiles_does_not_depend_on(override):
    """Such starts share a cache, and one of them fills it for all: vLLM's own key has none of this in it."""
    assert key(override) == key()


@pytest.mark.parametrize(
    "override",
    [
        "model=random_llama_8b",  # another path
        "models_dir=/data/models",
        "tensor_parallel_size=2",
        "max_model_len=1024",
        "max_model_len=null",
        "vllm.args.enforce_eager=true",
        "vllm.args.compilation_config.level=3",
        "vllm.env.VLLM_USE_V2_MODEL_RUNNER=1",
    ],
)
def test_what_vllm_compiles_depends_on(override):
    """Such starts have a cache of their own: with a shared one, the first would compile for the others."""
    assert key(override) != key()


@pytest.mark.parametrize(
    "other",
    [
        replace(HOST, python="/other/bin/python"),
        replace(HOST, versions={"vllm": "0.33.0"}),
        replace(HOST, versions={"vllm": "0.32.0", "torch": "2.13.0"}),
        replace(HOST, device=replace(HOST.device, names=("NVIDIA H200",))),
        replace(HOST, device=replace(HOST.device, names=HOST.device.names * 2)),
        replace(HOST, device=Device("cpu")),
    ],
)
def test_another_environment_or_device_has_a_cache_of_its_own(other):
    """A compiled kernel is for one of them."""
    assert key(host=other) != key()


def test_a_sharded_checkpoint_shares_nothing_with_its_original():
    """The model's path is in vLLM's key, and it is another folder; its two loaders share one."""
    original, state, streamer = (
        key(f"load_format={name}") for name in ("auto", "sharded_state", "runai_streamer_sharded")
    )

    assert original != state == streamer


def test_the_order_of_the_settings_makes_no_other_key():
    """Nor does a hyphen where another wrote an underscore."""
    assert key("vllm.args.a=1", "vllm.args.b-c=2") == key("vllm.args.b_c=2", "vllm.args.a=1")


# Folders.


def test_a_primed_cache_and_a_fresh_one_never_share_a_folder():
    """A fresh start would empty what the others are primed with."""
    primed, fresh = (caches_of(composed(f"compile_cache={name}"), HOST) for name in ("primed", "fresh"))

    assert primed.folder != fresh.folder
    assert primed.folder.parent == fresh.folder.parent == Path("caches")


def test_every_cache_is_moved_into_the_folder():
    """vLLM's own, and those of what compiles kernels for it, which lie elsewhere."""
    environment = caches_of(composed("caches_dir=/data/caches"), HOST).environment
    folder = f"/data/caches/{key()}"

    assert environment == {
        "VLLM_CACHE_ROOT": f"{folder}/vllm",
        "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor",
        "TRITON_CACHE_DIR": f"{folder}/triton",
        "FLASHINFER_WORKSPACE_BASE": f"{folder}/flashinfer",
        "CUDA_CACHE_PATH": f"{folder}/cuda",
        "DG_JIT_CACHE_DIR": f"{folder}/deep_gemm",
        "TRTLLM_DG_CACHE_DIR": f"{folder}/trtllm_deep_gemm",
        "TILELANG_CACHE_DIR": f"{folder}/tilelang",
        "CUTE_DSL_CACHE_DIR": f"{folder}/cute_dsl",
        "FLASH_ATTENTION_CUTE_DSL_CACHE_DIR": f"{folder}/flash_attention",
        "QUACK_CACHE_DIR": f"{folder}/quack",
        "TVM_FFI_CACHE_DIR": f"{folder}/tvm_ffi",
        "TORCH_EXTENSIONS_DIR": f"{folder}/torch_extensions",
    }


@pytest.mark.parametrize(("requested", "is_news"), [("primed", True), ("fresh", True), ("as_is", False)])
def test_a_cache_that_was_filled_elsewhere_all_the_same_is_named(tmp_path, monkeypatch, requested, is_news):
    """A release that does not take its variable: the next start would find what this one has compiled. What lay there before is no news."""
    monkeypatch.setenv("HOME", str(tmp_path))
    caches, began_at = caches_of(composed(f"compile_cache={requested}"), HOST), time.time()
    for name, age_s in ((".triton/cache/a/before.so", -60), (".tilelang/cache/b/kernel.so", 60)):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (began_at + age_s, began_at + age_s))
    found = list(written_elsewhere(caches, began_at))

    assert len(found) == is_news
    assert all(
        f"1 files were written to {tmp_path}/.tilelang/cache" in each and "TILELANG_CACHE_DIR" in each for each in found
    )


def test_a_plan_of_memory_is_shared_by_starts_of_one_format_and_share_alone():
    """vLLM's startup plan has neither in its key, and is applied whatever either is."""
    plain, other = "vllm.env.VLLM_ENABLE_STARTUP_PLAN=1", "gpu_memory_utilization=0.5"

    assert key(plain) != key(plain, other) != key(other) == key()
    assert key(plain) != key(plain, "load_format=dummy")


def test_the_variables_hold_absolute_paths(tmp_path, monkeypatch):
    """vLLM's processes may change their folder."""
    monkeypatch.chdir(tmp_path)
    found = caches_of(composed(), HOST).environment.values()

    assert all(Path(path).is_relative_to(tmp_path.resolve()) for path in found)


def test_as_is_moves_nothing():
    """The user's own caches are used as they are, and nothing of them is touched."""
    caches = caches_of(composed("compile_cache=as_is"), HOST)
    empty(caches)
    mark_primed(caches, "a run")

    assert (caches.environment, caches.primed, caches.folder) == ({}, False, None)


def test_asking_for_a_cache_makes_nothing(tmp_path):
    """A plan that is only printed leaves no folder."""
    caches = caches_of(composed(f"caches_dir={tmp_path}/caches"), HOST)

    assert caches.environment.keys() == FOLDERS.keys()
    assert not caches.primed
    assert list(tmp_path.iterdir()) == []


def test_emptying_leaves_an_empty_folder(tmp_path):
    """Whatever a start has left there, and where nothing was. bench's marker is all that is in it."""
    caches = Caches("fresh", tmp_path / "some" / "caches")
    for _ in range(2):
        empty(caches)
        (caches.folder / "vllm" / "torch_compile_cache").mkdir(parents=True)
    mark_primed(caches, "a run")
    empty(caches)

    assert [path.name for path in caches.folder.iterdir()] == [MARKER]
    assert not caches.primed


def test_a_cache_is_primed_once_a_start_has_filled_it(tmp_path):
    """Not before, and by a start that is named. A start that had nothing to keep fills it too."""
    caches = Caches("primed", tmp_path / "caches")
    before = caches.primed
    mark_primed(caches, "auto")

    assert (before, caches.primed) == (False, True)
    assert json.loads((caches.folder / "primed.json").read_text()) == {"filled_by": "auto"}


# What happened, by the log.


@pytest.mark.parametrize(
    ("log", "happened"),
    [
        (f"{CPU}/auto-tp1-compile.log", "compiled"),
        (
            f"{CPU}/runai_streamer-tp1-compile.log",
            "load_failed",
        ),  # a graph was there, and this release could not load it
        (f"{H100}/auto-tp1-coldcache.stamped.log", "compiled"),
        (f"{H100}/runai_streamer-tp1-coldcache.stamped.log", "loaded"),  # as cold as the others, by its name
        (f"{H100}/runai_streamer_sharded-tp1-coldcache.stamped.log", "compiled"),
        (f"{CPU}/auto-tp2.log", "none"),
        (f"{CPU}/dummy-tp1-eager.log", "none"),
        (f"{CPU}/server-runai_streamer-tp1.log", "none"),
        (f"{CPU}/fastsafetensors-tp1-FAILED.log", "none"),
        (f"{H100}/auto_cold-tp1-eager.stamped.log", "none"),
        ("seed/base.log", "none"),
    ],
)
def test_whether_vllm_compiled_or_loaded_is_read_from_its_log(log, happened):
    """Each of these was read by a person."""
    assert read_start(lines_of(log)).compile_cache == happened


def test_a_start_that_compiled_a_part_did_both():
    """Another sequence length than the cache knows, say."""
    logs = [f"{H100}/auto-tp1-coldcache.stamped.log", f"{H100}/runai_streamer-tp1-coldcache.stamped.log"]

    assert read_start(line for log in logs for line in lines_of(log)).compile_cache == "both"


def test_silence_is_neither():
    """An empty log says nothing."""
    assert read_start([]).compile_cache == "none"
