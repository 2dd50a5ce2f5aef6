"""Starts of models that are no folder of this host: in an object store, in a repository's GGUF files, in one file."""

import pytest

from conftest import Workplace


@pytest.mark.parametrize(
    "words",
    [
        ("model.path=s3://models/small-8b/", "load_format=runai_streamer"),
        ("model.path=gs://models/small-8b", "load_format=runai_streamer_sharded"),
        ("model.path=az://models/small-8b", "load_format=tensorizer", "load_format.extra.tensorizer_uri=null"),
        ("model.path=acme/Small-GGUF:Q4_K_M", "vllm.args.tokenizer=acme/Small", "vllm.env.HF_HUB_OFFLINE=1"),
    ],
    ids=["s3", "sharded", "tensorizer", "gguf"],
)
def test_a_model_that_is_no_folder_here_is_started(workplace: Workplace, words):
    """vLLM finds it; what is not known of it is absent."""
    done = workplace.bench("model=hf", "page_cache=as_is", *words)

    assert done.code == 0, done.err
    (run,) = workplace.runs()
    path = words[0].removeprefix("model.path=")
    assert run.data.params["model.path"] == path
    assert "checkpoint/size_gib" not in run.data.metrics
    assert f" --model {path} " in run.data.params["vllm_command"]


def test_two_settings_of_a_streamer_from_an_object_store_are_a_sweep(workplace: Workplace):
    """No point fails for what is not here."""
    done = workplace.bench(
        "-m",
        "model=hf",
        "page_cache=as_is",
        "model.path=s3://models/small-8b/",
        "load_format=runai_streamer",
        "load_format.extra.concurrency=4,16",
    )

    assert done.code == 0, done.err
    assert "2 of 2 starts finished" in done.err


def test_a_file_of_gguf_is_cold_and_measured(workplace: Workplace):
    """Its bytes are this start's, as a folder's are."""
    (workplace.folder / "x.gguf").write_bytes(b"GGUF" + bytes(8_000_000))
    done = workplace.bench("model=hf", "model.path=x.gguf", "load_format.name=auto")

    assert done.code == 0, done.err
    (run,) = workplace.runs()
    assert run.data.metrics["checkpoint/size_gib"] == pytest.approx(8_000_004 / 1024**3)
    assert run.data.params["model"] == "x.gguf"


def test_what_would_have_to_be_cut_from_an_object_store_is_refused(workplace: Workplace):
    """Only files of this host can be cut."""
    done = workplace.bench(
        "model=hf", "model.path=s3://models/small-8b/", "load_format=sharded_state", "model.sharded_path=here"
    )

    assert done.code == 2
    assert "only files of this host can be cut" in done.err
