"""The key of vLLM's server: one for all starts that share caches, and never none."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.errors import StartError
from bench.masking import masked
from bench.vllm.api_key import VALID, api_key

GOOD = "0123456789abcdef0123456789abcdef"


def test_all_starts_that_may_share_a_cache_have_one_api_key(tmp_path):
    """vLLM 0.26 has it in the key of its compile cache. It is random all the same, and nobody else can read it."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"

    assert api_key(here) == api_key(here)
    assert api_key(here) != api_key(elsewhere)
    assert (here / "api_key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in here.iterdir()] == ["api_key"]


def empty(path: Path) -> None:
    path.touch(0o600)


def cut_off(path: Path) -> None:
    path.touch(0o600)
    path.write_text(GOOD[:7])


def odd(path: Path) -> None:
    path.touch(0o600)
    path.write_text("a key with blanks in it, and of\nseveral lines")


def endless(path: Path) -> None:
    path.touch(0o600)
    path.write_text(GOOD * 10_000)


def readable_by_all(path: Path) -> None:
    path.write_text(GOOD)
    path.chmod(0o644)


def a_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def a_link(path: Path) -> None:
    cut_off(path.with_name("elsewhere"))
    path.with_name("elsewhere").write_text(GOOD)
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("broken", [empty, cut_off, odd, endless, readable_by_all, a_pipe, a_link])
def test_what_is_no_private_key_of_ours_is_made_anew(tmp_path, broken):
    """With an empty key vLLM asks for none, and serves everybody on the host."""
    broken(tmp_path / "api_key")

    key = api_key(tmp_path)

    assert VALID.fullmatch(key)
    assert key != GOOD
    assert (tmp_path / "api_key").read_text() == key
    assert (tmp_path / "api_key").lstat().st_mode & 0o7777 == 0o600


def test_where_no_key_can_be_kept_nothing_is_started(tmp_path):
    """And it is said which setting leads there."""
    (tmp_path / "api_key").mkdir()
    (tmp_path / "a_file").touch()

    for folder in (tmp_path, tmp_path / "a_file"):
        with pytest.raises(StartError, match=rf"caches_dir={folder}: no key"):
            api_key(folder)


def test_starts_at_once_get_one_key(tmp_path):
    """Also where all of them find a broken one."""
    empty(tmp_path / "api_key")
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: api_key(tmp_path), range(32)))

    assert len(keys) == 1


def test_the_key_is_a_secret(tmp_path):
    """vLLM may print it."""
    assert masked(f"api_key is {api_key(tmp_path)}") == "api_key is ***"
