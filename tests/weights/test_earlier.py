"""Checkpoints and caches that an earlier bench has left where bench is used."""

from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.weights.earlier import describe_earlier


@pytest.mark.parametrize(
    ("left", "words", "found"),
    [
        (("models/tiny_llama/bench_manifest.json", "caches/.bench.lock"), ("cache_dir=/kept",), "models/ and caches/ in this folder are not"),
        (("models/tiny_llama/bench_manifest.json",), ("cache_dir=/kept",), "models/ in this folder is not used: an earlier bench"),
        (("models/tiny_llama/bench_manifest.json", "caches/.bench.lock"), ("cache_dir=.",), None),
        (("models/tiny_llama/bench_manifest.json",), ("cache_dir=/kept", "models_dir=models"), None),
        (("models/mine/config.json", "caches/mine"), ("cache_dir=/kept",), None),
        ((), ("cache_dir=/kept",), None),
    ],
)  # fmt: skip
def test_what_is_not_used_any_more_is_named_with_what_to_type(tmp_path, monkeypatch, left, words, found):
    """Folders of these names that are not of bench are no matter of its own."""
    monkeypatch.chdir(tmp_path)
    for path in map(Path, left):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    said = describe_earlier(compose_settings(words))

    assert said is None if found is None else found in (said or "")
    assert found is None or (said or "").endswith("cache_dir=. goes on with those here.")
