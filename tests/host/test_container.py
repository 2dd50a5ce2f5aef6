"""The template of a command that vLLM is started behind: its placeholders, and what is refused."""

import pytest

from bench.compose import compose_settings
from bench.errors import SettingError
from bench.host.container import EVERYWHERE, HOST, env_file, listens_at, words_of

PLACES = {"port": "8123", "model": "/data/a b"}
VARIABLES = {"VLLM_A": "1", "B": "x y"}


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("docker run -p {port}:{port} image", ["docker", "run", "-p", "8123:8123", "image"]),
        ("docker run -v {model}:{model} image", ["docker", "run", "-v", "/data/a b:/data/a b", "image"]),  # one word
        ("docker run --env={name} image", ["docker", "run", "--env=VLLM_A", "--env=B", "image"]),
        ("docker run -i -e {name} image", ["docker", "run", "-i", "-e", "VLLM_A", "-e", "B", "image"]),
        ("kubectl run x --env {name}={value} --", ["kubectl", "run", "x", "--env", "VLLM_A=1", "--env", "B=x y", "--"]),
        ("env -i {name}={value} python3", ["env", "-i", "VLLM_A=1", "B=x y", "python3"]),
        ("kubectl run x --env={name}={value} --", ["kubectl", "run", "x", "--env=VLLM_A=1", "--env=B=x y", "--"]),
        ("docker run --format '{{.ID}}' --entrypoint= image", ["docker", "run", "--format", "{{.ID}}", "--entrypoint=", "image"]),
        ("""kubectl run --overrides='{"spec": {"a": 1}}'""", ["kubectl", "run", '--overrides={"spec": {"a": 1}}']),
        ("docker run --env-file={env_file} image", ["docker", "run", "--env-file={env_file}", "image"]),  # not known yet
        ("numactl --membind=0", ["numactl", "--membind=0"]),
    ],
)  # fmt: skip
def test_a_placeholder_is_filled_in_within_its_word(template, words):
    """A word that names variables is repeated for each of them; other braces are the template's own."""
    assert words_of(template, PLACES, VARIABLES) == words


def test_a_server_whose_port_is_published_listens_at_every_address():
    """The container has another loopback than the host."""
    assert listens_at("docker run -p {port}:{port} x") == EVERYWHERE
    assert listens_at("docker run --network=host x") == HOST


def test_the_file_of_variables_is_private_and_gone_afterwards(tmp_path):
    """The key of vLLM's server is in it."""
    with env_file("docker run --env-file={env_file} x", {"A": "1", "B": "x y"}, tmp_path) as places:
        (path,) = tmp_path.iterdir()

        assert places == {"env_file": str(path)}
        assert path.read_text() == "A=1\nB=x y\n"
        assert path.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_users_in_that_folder_is_neither_written_nor_removed(tmp_path):
    """Whatever it is called: bench makes one of its own."""
    (tmp_path / "environment").write_text("mine")
    with env_file("{env_file}", {"A": "1"}, tmp_path) as places:
        assert places["env_file"] != str(tmp_path / "environment")

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"environment": "mine"}


def test_a_variable_that_such_a_file_cannot_hold_is_refused(tmp_path):
    """It would end in its middle, and what follows would be another variable."""
    with (
        pytest.raises(SettingError, match=r"vllm\.env\.A: it has a line's end"),
        env_file("{env_file}", {"A": "1\nB=2"}, tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("template", "more", "named"),
    [
        ("docker run -p {ports} x", (), "there is no placeholder {ports}. Those that there are: {port}, {model}"),
        ("docker run 'x", (), "cannot be split into words: No closing quotation"),
        ("docker run --env={value} x", (), "{value} needs {name} in the same word"),
        ("docker run x", ("model=hf", "model.path=some/where", "page_cache=cold"), "where the container keeps it is not known"),
    ],
)  # fmt: skip
def test_a_template_of_no_use_is_refused(template, more, named):
    """Before anything is executed."""
    with pytest.raises(SettingError) as refused:
        compose_settings([f'vllm.command="{template}"', *more])

    assert str(refused.value).startswith("vllm.command")
    assert named in str(refused.value)


def test_a_folder_is_named_from_the_root_where_vllm_is_elsewhere(tmp_path, monkeypatch):
    """A hub id stays what it is."""
    monkeypatch.chdir(tmp_path)
    (made,) = compose_settings(['vllm.command="docker run x"'])
    (cut,) = compose_settings(['vllm.command="docker run x"', "load_format=sharded_state"])
    (hub,) = compose_settings(['vllm.command="docker run x"', "model=hf", "model.path=some/where", "page_cache=as_is"])

    assert made.checkpoint_path == f"{tmp_path}/models/tiny_llama"
    assert cut.checkpoint_path.startswith(f"{tmp_path}/models/tiny_llama-")
    assert hub.checkpoint_path == "some/where"
