"""What each loader takes is typed, and what conf/ shows of it is part of that."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bench.compose import compose_settings
from bench.config import conf_dir
from bench.errors import CheckpointError, SettingError
from bench.host.vllm_arguments import ANSWER
from bench.vllm.loader_settings import LOADERS
from bench.weights.checkpoint import serialized_files
from bench.weights.make import refuse_part
from conftest import FAKE

FILES = sorted((Path(conf_dir()) / "load_format").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_conf_shows_what_the_loader_takes(path):
    """No file offers a setting that its loader would refuse."""
    assert set(OmegaConf.load(path).extra) <= LOADERS[path.stem].keys()


def test_the_loaders_of_a_release_know_these_names():
    """As recorded of vLLM 0.32.0; two formats are gone there."""
    loaders = ANSWER.validate_json(FAKE.with_name("arguments.json").read_bytes()).loaders

    assert LOADERS.keys() - loaders.keys() == {"bitsandbytes", "gguf"}
    for name, words in loaders.items():
        assert LOADERS.get(name, {}).keys() <= set(words), name


@pytest.mark.parametrize(
    ("load_format", "setting", "words"),
    [
        ("runai_streamer", "concurrency=0", "concurrency=0: must be greater than or equal to 1"),
        ("runai_streamer", "concurrency=many", "concurrency='many': must be a whole number"),
        ("runai_streamer", "concurrency=true", "concurrency=True: must be a whole number"),
        ("runai_streamer", "memory_limit=-2", "memory_limit=-2: must be greater than or equal to -1"),
        ("runai_streamer", "distributed=1", "distributed=1: must be true or false"),
        ("auto", "enable_multithread_load=yes", "enable_multithread_load='yes': must be true or false"),
        ("safetensors", "num_threads=1.5", "num_threads=1.5: must be a whole number"),
        ("sharded_state", "pattern=''", "pattern='': must"),
    ],
)
def test_a_value_that_its_loader_would_refuse_is_refused(load_format, setting, words):
    """By type, before anything is started."""
    with pytest.raises(SettingError) as refused:
        compose_settings([f"load_format={load_format}", f"load_format.extra.{setting}"])

    assert f"load_format.extra.{words}" in str(refused.value)


def test_tensorizer_reads_a_file_a_rank():
    """As its loader requires; without an address of its own the model's place has it."""
    words = ["load_format=tensorizer", "model=hf", "model.path=s3://models/small/"]
    with pytest.raises(SettingError, match=r"tensorizer_uri=null: 2 ranks need a file each, as in /data/model-%03d"):
        compose_settings([*words, "load_format.extra.tensorizer_uri=null", "tensor_parallel_size=2"])
    (alone,) = compose_settings([*words, "load_format.extra.tensorizer_uri=null"])
    (each,) = compose_settings(
        [*words, "load_format.extra.tensorizer_uri=/data/m-%02d.tensors", "tensor_parallel_size=2"]
    )

    assert serialized_files(alone) == []
    assert [path.name for path in serialized_files(each)] == ["m-00.tensors", "m-01.tensors"]
    with pytest.raises(CheckpointError, match=r"tensorizer_uri: there is no file /data/m-00\.tensors"):
        refuse_part(each)


def test_settings_that_do_not_go_together_are_refused():
    """Each alone is taken."""
    with pytest.raises(SettingError, match="not with safetensors_load_strategy=eager"):
        compose_settings(
            [
                "load_format=safetensors",
                "load_format.extra.enable_multithread_load=true",
                "load_format.args.safetensors_load_strategy=eager",
            ]
        )


def test_a_load_format_of_a_plugin_takes_anything():
    """Its loader is not known here."""
    (settings,) = compose_settings(["load_format.name=own", "load_format.extra={a:1,num_threads:x}"])

    assert settings.load_format.extra["a"] == 1
