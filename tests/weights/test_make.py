"""What a load format needs is made where it is missing, by the fake vLLM, and only believed where it is right."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.errors import CheckpointError, StartError
from bench.host.host import look_at_host
from bench.weights.make import Made, ensure_checkpoint
from bench.weights.manifest import MANIFEST
from bench.weights.sharded import LOG
from conftest import FAKE

Ensure = Callable[..., list[Made]]


def ensured(*overrides: str, remake: bool = False) -> list[Made]:
    """What had to be made for these settings, below models/."""
    (settings,) = compose_settings([f"vllm.python={FAKE}", *overrides])
    return ensure_checkpoint(settings, look_at_host(settings), Path(), lambda *_: None, remake=remake)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/tiny_llama, made once."""
    folder = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert names(ensured()) == ["tiny_llama"]
    return folder / "models"


@pytest.fixture
def ensure(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ensure:
    """`ensured` in a place where the original is there already."""
    shutil.copytree(original, tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    return ensured


def names(made: list[Made]) -> list[str]:
    """Without the digest of what they were cut from."""
    return [re.sub(r"-[0-9a-f]{8}-tp", "-tp", each.folder.name) for each in made]


def cut_folder(place: Path) -> Path:
    """The only cut checkpoint there."""
    (folder,) = place.glob("models/*-tp*")
    return folder


def test_what_is_missing_is_made_once(tmp_path, monkeypatch):
    """First the original, then what is cut from it; then nothing more."""
    monkeypatch.chdir(tmp_path)
    first, second = ensured("load_format=sharded_state"), ensured("load_format=sharded_state")

    assert names(first) == ["tiny_llama", "tiny_llama-tp1"]
    assert second == []


def test_load_formats_share_what_they_read(ensure):
    """The checkpoint is cut for a tensor-parallel size, and not for a load format."""
    ensure("load_format=sharded_state")

    assert ensure("load_format=runai_streamer_sharded") == []


def test_a_sharded_checkpoint_has_the_rest_of_the_original_too(ensure, tmp_path):
    """Config and tokenizer, so that it can be loaded from its folder alone; not the manifest and the index of the other."""
    ensure("load_format=sharded_state")
    folders = (tmp_path / "models" / "tiny_llama", cut_folder(tmp_path))
    original, sharded = ({path.name for path in folder.iterdir()} for folder in folders)
    rest = {name for name in original if not name.endswith((".safetensors", ".index.json"))}

    assert {"config.json", "tokenizer.json", MANIFEST} <= rest
    assert sharded == rest | {"model-rank-0-part-0.safetensors", "bench_tensors-rank-0.json"}


def test_a_cut_that_fails_is_told_in_the_words_of_vllm(ensure, tmp_path, monkeypatch):
    """It leaves its log, and no checkpoint."""
    monkeypatch.setenv("FAKE_SHARD", "fail")

    with pytest.raises(
        StartError, match=r"^vLLM could not cut models/tiny_llama \(exit code 1\): RuntimeError: no room"
    ):
        ensure("load_format=sharded_state")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["tiny_llama"]
    assert "no room for the weights" in (tmp_path / LOG).read_text()


def test_a_cut_that_lacks_a_tensor_is_no_checkpoint(ensure, tmp_path, monkeypatch):
    """Each rank lists what a fresh model has: what its files lack is named, with the rank."""
    monkeypatch.setenv("FAKE_SHARD", "part")

    with pytest.raises(CheckpointError, match=r"of rank 1's 2 tensors 1 .* model\.layers\.0\.mlp.*: nothing where U8"):
        ensure("load_format=sharded_state", "tensor_parallel_size=2")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["tiny_llama"]


def rewritten(folder: Path, **changed: object) -> None:
    """Its manifest, with other values."""
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changed))


def zeros(folder: Path) -> None:
    """A shard of the same size."""
    path = folder / "model-rank-0-part-0.safetensors"
    path.write_bytes(bytes(path.stat().st_size))


def of_before(folder: Path) -> None:
    """As bench wrote manifests when it cut after processing."""
    kept = json.loads((folder / MANIFEST).read_text())
    for name in ("cut", "format", "content", "source_path"):
        del kept[name]
    (folder / MANIFEST).write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (zeros, "what its files contain changed since they were written, at equal sizes"),
        (of_before, "cut it after its weights were processed"),
        (lambda folder: rewritten(folder, format=3), "format 3"),
        (
            lambda folder: rewritten(folder, made_from={"content": "00", "arguments": {"dtype": "float16"}}),
            "content: '00' where",
        ),
        (lambda folder: (folder / "bench_manifest.json").unlink(), "has no bench_manifest.json"),
    ],
    ids=["zeros", "old", "newer", "of another content", "unfinished"],
)
def test_what_is_not_the_cut_that_was_made_is_refused(ensure, tmp_path, plant, words):
    """With the command that makes it anew."""
    ensure("load_format=sharded_state", "vllm.args.dtype=float16")
    plant(cut_folder(tmp_path))
    with pytest.raises(CheckpointError, match=words) as refused:
        ensure("load_format=sharded_state", "vllm.args.dtype=float16")
    (command,) = [line for line in str(refused.value).splitlines() if line.startswith("Make it:")]

    assert "load_format=sharded_state tensor_parallel_size=1" in command
    assert "dtype" in command


def test_a_manifest_copied_to_another_checkpoint_is_refused(ensure, tmp_path):
    """Equal shapes from another seed, with the right one's manifest: its content is another."""
    ensure("load_format=sharded_state")
    wanted = cut_folder(tmp_path)
    path = wanted / "model-rank-0-part-0.safetensors"
    path.write_bytes(path.read_bytes().replace(b"\x01", b"\x02"))

    with pytest.raises(CheckpointError, match="changed since they were written, at equal sizes"):
        ensure("load_format=sharded_state")


def test_models_of_one_name_have_cuts_of_their_own(ensure, tmp_path):
    """/v1/llama and /v2/llama: the digest of what a cut is made from is in its name. A copy shares the cut."""
    original = tmp_path / "models" / "tiny_llama"
    for place in ("v1", "v2", "copy"):
        shutil.copytree(original, tmp_path / place / "llama")
    with (tmp_path / "v2" / "llama" / "model-00001-of-00002.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")

    def made(place: str) -> list[str]:
        return [
            each.folder.name for each in ensure("model=hf", f"model.path={place}/llama", "load_format=sharded_state")
        ]

    assert made("v1") + made("v2") == sorted(
        (path.name for path in tmp_path.glob("models/llama-*-tp1")),
        key=lambda name: (tmp_path / "models" / name).stat().st_mtime,
    )
    assert made("copy") == []


def test_a_cut_is_made_again_for_other_arguments_of_the_weights(ensure):
    """Another dtype is another cut; what does not decide the weights is not."""
    ensure("load_format=sharded_state")

    assert names(ensure("load_format=sharded_state", "vllm.args.dtype=float16")) == ["tiny_llama-tp1"]
    assert ensure("load_format=sharded_state", "vllm.args.enforce_eager=true", "vllm.args.dtype=auto") == []


def test_an_original_that_changed_at_equal_size_is_refused(ensure, tmp_path):
    """A random checkpoint is what its recipe makes; somebody exchanged a file."""
    path = tmp_path / "models" / "tiny_llama" / "model-00002-of-00002.safetensors"
    path.write_bytes(bytes(path.stat().st_size))

    with pytest.raises(CheckpointError, match="at equal sizes"):
        ensure("load_format=auto")


def test_a_checkpoint_that_another_vllm_has_cut_is_refused(ensure, tmp_path):
    """Versions name and cut the weights differently; the message has the command that makes it again."""
    ensure("load_format=sharded_state")
    manifest = cut_folder(tmp_path) / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"made_by": {"vllm": "0.26.0"}}))

    with pytest.raises(
        CheckpointError, match=r"(?s)made_by.*'0.26.0' where '0.32.0' is needed.*python -m bench.prepare"
    ):
        ensure("load_format=sharded_state")


def test_remaking_cuts_it_again(ensure, tmp_path):
    """What the message's command does: a changed file is as it should be."""
    ensure("load_format=sharded_state")
    weights = cut_folder(tmp_path) / "model-rank-0-part-0.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(b"")

    assert names(ensure("load_format=sharded_state", remake=True)) == ["tiny_llama-tp1"]
    assert weights.read_bytes() == before


def test_a_folder_that_bench_has_not_made_is_not_overwritten(ensure, tmp_path):
    """Somebody's weights may lie there."""
    folder = tmp_path / "models" / "precious-tp1"
    folder.mkdir(parents=True)
    (folder / "precious.safetensors").write_bytes(b"weights")

    with pytest.raises(CheckpointError, match="was not made by bench, so it is not overwritten"):
        ensure("load_format=sharded_state", f"model.sharded_path={folder}", remake=True)
    assert [path.name for path in folder.iterdir()] == ["precious.safetensors"]


def test_a_checkpoint_of_the_user_is_never_made(ensure):
    """A path that cannot be a hub's id is wrong; bench would not know what to put there."""
    with pytest.raises(CheckpointError, match=r"model\.path=/nowhere/llama: there is no such file or folder"):
        ensure("model=hf", "model.path=/nowhere/llama")


@pytest.mark.parametrize(
    ("path", "is_made"),
    [
        ("org/a-model", False),  # a hub's, as which it would be found afterwards
        ("/data/llama", False),
        ("mine", False),
        ("models/../elsewhere", False),
        ("models", False),
        ("models/shapes/two", True),
        ("made", True),  # by bench, and moved
    ],
)
def test_random_weights_are_made_where_they_are_believed_to_be_nobodys(ensure, path, is_made):
    """Below models_dir, or where they are already. Whoever means a model of their own reads how that is typed."""
    Path("mine").mkdir()
    shutil.copytree("models/tiny_llama", "made")
    asked = f"model.path={path}"
    if is_made:
        assert [each.folder for each in ensure(asked)] == ([] if path == "made" else [Path(path)])
        return
    with pytest.raises(CheckpointError, match=re.escape(f"a hub id, type model=hf {asked}") + "$"):
        ensure(asked)

    assert not Path("org").exists()


def test_the_command_that_makes_a_random_model_anew_names_its_place(ensure):
    """And all of its recipe that is not the file's, whatever the one that lies there has."""
    words = ("model.path=models/two", "model.random.layers=2", "model.random.seed=3")
    ensure(*words[:2])
    with pytest.raises(CheckpointError) as refused:
        ensure(*words)

    assert all(word in str(refused.value) for word in words)
