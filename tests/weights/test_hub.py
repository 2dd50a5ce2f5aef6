"""A hub id, resolved to the files that vLLM will read, in a cache that lies here; and which of its files are there."""

import json
import re
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.config import Settings
from bench.errors import CheckpointError
from bench.host.host import Device, Host, Needs
from bench.host.state import judge, state_doubts
from bench.log.start_log import StartLog
from bench.start.prepare import measured_state, prepare_state
from bench.sweep.plan import Point
from bench.sweep.prepare import describe_elsewhere
from bench.sweep.prime import describe_untimed, downloads
from bench.vllm.probe_report import ProbeReport
from bench.weights.checkpoint import is_here, paths_read, place_of, size_gib, sizes
from bench.weights.fingerprint_store import files_of
from bench.weights.hub import could_be_hub_id, quantisation_of, snapshot_of
from bench.weights.loaded import weights_of

COMMITS = {"main": "a" * 40, "v2": "b" * 40, "refs/pr/1": "c" * 40}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def downloaded(cache: Path, *names: str, revision: str = "main") -> Path:
    """A snapshot in a hub's cache, of links to blobs of 1000 bytes. Returns it."""
    folder = cache / "models--acme--tiny"
    snapshot, ref = folder / "snapshots" / COMMITS[revision], folder / "refs" / revision
    for place in (snapshot, folder / "blobs", ref.parent):
        place.mkdir(parents=True, exist_ok=True)
    ref.write_text(COMMITS[revision])
    for name in names or SHARDS:
        blob = folder / "blobs" / f"{revision.replace('/', '-')}-{name}"
        blob.write_bytes(bytes(1000))
        (snapshot / name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No hub's variables but HOME, and nothing in the current folder. Returns the home."""
    for name in (
        "HF_HOME",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "XDG_CACHE_HOME",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings_of(*words: str) -> Settings:
    path = [] if any(word.startswith("model.path=") for word in words) else ["model.path=acme/tiny"]
    (settings,) = compose_settings(["model=hf", *path, "rig.wait_s=0", *words])
    return settings


@pytest.mark.parametrize(
    ("words", "cache"),
    [
        ((), ".cache/huggingface/hub"),
        (("vllm.env.XDG_CACHE_HOME=x",), "x/huggingface/hub"),
        (("vllm.env.HF_HOME=hf",), "hf/hub"),
        (("vllm.env.HF_HOME='~/hf'",), "hf/hub"),
        (("vllm.env.HF_HOME=hf", "vllm.env.HUGGINGFACE_HUB_CACHE=old"), "old"),
        (("vllm.env.HUGGINGFACE_HUB_CACHE=old", "vllm.env.HF_HUB_CACHE=new"), "new"),
        (("load_format.env.HF_HUB_CACHE=new",), "new"),
        (("load_format.env.HF_HUB_CACHE=theirs", "vllm.env.HF_HUB_CACHE=new"), "new"),
        (("vllm.env.HF_HOME=hf", "vllm.args.download_dir=own"), "own"),
        (("vllm.env.HF_HOME=hf", "vllm.args.download-dir=own", "vllm.env.HF_HUB_OFFLINE=1"), "hf/hub"),
    ],
)
def test_a_hub_id_is_the_snapshot_in_the_cache_that_vllm_looks_in(tmp_path, words, cache):
    """By the environment of vLLM's processes, in huggingface_hub's order; its files are read, sized and fingerprinted there."""
    snapshot, settings = downloaded(tmp_path / cache), settings_of(*words)

    assert snapshot_of(settings).resolve() == snapshot
    assert sizes(paths_read(settings)) == dict.fromkeys(SHARDS, 1000)
    assert size_gib(settings) == 2000 / 1024**3
    assert files_of(settings).path == str(snapshot)
    assert place_of(settings).parent.name == "blobs"


def test_this_processes_environment_counts_where_the_settings_say_nothing(tmp_path, monkeypatch):
    """vLLM inherits it."""
    monkeypatch.setenv("HF_HOME", "$HOME/mine")

    assert downloaded(tmp_path / "mine/hub") == snapshot_of(settings_of()).resolve()


@pytest.mark.parametrize("revision", [*COMMITS, COMMITS["v2"]])
def test_a_revision_is_a_ref_or_a_commit(tmp_path, revision):
    """A branch or a tag is looked up; a commit is the snapshot's name."""
    found = {name: downloaded(tmp_path / "own", revision=name) for name in COMMITS}
    found[COMMITS["v2"]] = found["v2"]
    settings = settings_of("vllm.args.download_dir=own", f"vllm.args.revision={revision}")

    assert snapshot_of(settings).resolve() == found[revision]


def test_a_folder_of_that_name_goes_first(tmp_path):
    """As for vLLM."""
    downloaded(tmp_path / ".cache/huggingface/hub")
    (tmp_path / "acme/tiny").mkdir(parents=True)
    (tmp_path / "acme/tiny/model.safetensors").write_bytes(b"1")

    assert sizes(paths_read(settings_of())) == {"model.safetensors": 1}


def test_a_snapshot_is_what_is_evicted_and_measured(tmp_path):
    """Its blobs, each once; page_cache=cold is not said of files that nobody looked at."""
    downloaded(tmp_path / "own")
    before = prepare_state(settings_of("vllm.args.download_dir=own"))

    assert sorted(path.parent.name for path in before.paths) == ["blobs", "blobs"]
    assert measured_state(before, StartLog(), {}).must_read == 2000


def test_what_is_not_known_is_unverified_and_said(tmp_path):
    """Neither the cache's state nor its files: the start does not pass for a cold one."""
    state = measured_state(prepare_state(settings_of("vllm.env.HF_HUB_OFFLINE=1")), StartLog(), {})

    assert judge(state).page_cache == "unverified"
    assert state_doubts(state)[0].startswith(
        "page_cache=cold was asked, but which files this start read is not known: nothing was evicted"
    )


def some(*each: tuple[str, ...]) -> list[Point]:
    return [Point(" ".join(words), words, settings_of(*words)) for words in each]


@pytest.mark.parametrize(
    ("names", "words", "count"),
    [
        (None, (), 1),
        (("config.json",), (), 1),
        (SHARDS[:1], (), 1),  # the download was interrupted
        (SHARDS, (), 0),
        (("model.safetensors",), (), 0),
        (None, ("vllm.env.HF_HUB_OFFLINE=1",), 0),  # nothing can be downloaded: the start fails, in vLLM's words
        (None, ("load_format=dummy",), 0),  # nothing of it is read
    ],
)
def test_what_is_missing_of_a_hub_is_downloaded_by_a_start_of_its_own(tmp_path, names, words, count):
    """Which does not count: a download is no time to ready."""
    if names:
        downloaded(tmp_path / ".cache/huggingface/hub", *names)
    starts = downloads(some(words, words))

    assert len(starts) == count
    assert is_here(settings_of(*words)) is (names in {SHARDS, ("model.safetensors",)})
    if starts:
        assert describe_untimed(starts) == "1 start that does not count (to download: 1)"
        assert "page_cache=as_is" in starts[0].overrides()


def test_a_download_that_was_interrupted_is_no_checkpoint(tmp_path):
    """Its index names what is not there: nothing of it is read, and the start that goes on with it is not refused."""
    snapshot = downloaded(tmp_path / "own", SHARDS[0])
    (snapshot / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict(zip("ab", SHARDS, strict=True))})
    )
    settings = settings_of("vllm.args.download_dir=own")

    assert (sizes(paths_read(settings)), files_of(settings), is_here(settings)) == ({}, None, False)


def test_each_checkpoint_is_downloaded_once():
    """Load formats that read the same files share it; another revision, and PyTorch's files, are others."""
    formats = [(f"load_format={name}",) for name in ("auto", "runai_streamer", "safetensors")]
    others = [("vllm.args.revision=v2",), ("load_format.name=pt",)]

    assert len(downloads(some(*formats, *others))) == 3


def test_a_start_that_downloaded_meanwhile_does_not_count(tmp_path):
    """Its time holds the download."""
    settings = settings_of()
    host = Host(Device("cpu"), "python", {"vllm": "0.32.0"}, Needs({}, {}))
    downloaded(tmp_path / ".cache/huggingface/hub")
    (problem,) = weights_of(settings, host, None, ProbeReport()).exchanged

    assert problem == "acme/tiny came to this host while this start ran: its time holds a download"


def test_a_quantisation_of_a_repository_is_its_gguf_files(tmp_path):
    """As vLLM names them, `repository:quantisation`; the others of the repository are not read."""
    hub = tmp_path / ".cache" / "huggingface" / "hub"
    downloaded(hub, "tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf", "tiny-Q4_K_M-00001-of-00002.gguf", "config.json")
    settings = settings_of("model.path=acme/tiny:Q4_K_M")

    assert settings.model.name == "tiny-Q4_K_M"
    assert sizes(paths_read(settings)) == {"tiny-Q4_K_M.gguf": 1000, "tiny-Q4_K_M-00001-of-00002.gguf": 1000}
    assert len(downloads([Point("auto", (), settings_of("model.path=acme/other:Q4_K_M"))])) == 1


@pytest.mark.parametrize(
    ("path", "quantised"),
    [
        ("acme/tiny:Q4_K_M", "Q4_K_M"),
        ("acme/tiny:BF16", "BF16"),
        ("acme/tiny:IQ2_XXS", "IQ2_XXS"),
        ("acme/tiny:TQ1_0", "TQ1_0"),
        ("acme/tiny:MXFP4", "MXFP4"),
        ("acme/tiny:UD-Q4_K_XL", "UD-Q4_K_XL"),
        ("acme/tiny:Custom-UD-Q8_0", "Custom-UD-Q8_0"),
        ("acme/tiny:nonsense", None),
        ("acme/tiny:UD-nonsense", None),
        ("acme/tiny:q4_k_m", None),
        ("acme/tiny:Q4_K_M.gguf", None),
    ],
)
def test_a_hub_id_names_a_quantisation_as_vllm_does(path, quantised):
    """What stands behind the last dash is a type of GGUF's. Else vLLM finds no model of this name."""
    assert could_be_hub_id(path) == (quantised is not None)
    assert quantisation_of(path) == quantised


@pytest.mark.parametrize(
    ("names", "path", "read"),
    [
        (["x.gguf", "y.gguf"], "x.gguf", ["x.gguf"]),
        (["x-00001-of-00002.gguf", "x-00002-of-00002.gguf", "y-00001-of-00002.gguf"], "x-00001-of-00002.gguf", ["x-00001-of-00002.gguf", "x-00002-of-00002.gguf"]),
    ],
)  # fmt: skip
def test_a_file_of_gguf_is_evicted_and_counted(tmp_path, names, path, read):
    """With its other parts, where its name has a number."""
    for name in names:
        (tmp_path / name).write_bytes(bytes(100_000))
    settings = settings_of(f"model.path={path}", "load_format.name=gguf")
    before = prepare_state(settings)

    assert sizes(paths_read(settings)) == dict.fromkeys(read, 100_000)
    assert before.bytes == 100_000 * len(read)
    files = files_of(settings)
    assert files is not None
    assert sorted(files.stamps) == read


@pytest.mark.parametrize(
    "path", ["s3://models/small-8b/", "gs://models/small-8b", "az://models/small-8b", "S3://models/small-8b"]
)
@pytest.mark.parametrize("load_format", ["runai_streamer", "runai_streamer_sharded"])
def test_an_object_stores_address_goes_to_vllm_as_it_is(path, load_format):
    """Nothing on this host is looked at: no size, no storage, no download; and nothing is cut from it."""
    settings = settings_of(f"model.path={path}", f"load_format={load_format}")

    assert (settings.checkpoint_path, settings.model.name) == (path, "small-8b")
    assert (size_gib(settings), place_of(settings), files_of(settings)) == (None, None, None)
    assert downloads([Point("x", (), settings)]) == []


@pytest.mark.parametrize(
    ("names", "words", "described"),
    [
        (SHARDS, (), r"^acme/tiny is a hub id, and lies in .*/snapshots/a{40}$"),
        (SHARDS[:1], (), "is not on this host: vLLM downloads it to .*/hub/models--acme--tiny in its first start, which in a sweep does not count"),
        ((), ("load_format=sharded_state",), "is not on this host: vLLM downloads it to .* while it is cut$"),
        (SHARDS, ("load_format=dummy",), "lies in"),
        (SHARDS, ("model.path=/data/tiny",), None),
        (SHARDS, ("model.path=s3://models/tiny", "load_format=runai_streamer"), "there is nothing to prepare$"),
    ],
)  # fmt: skip
def test_preparing_says_where_a_hub_id_is_and_who_downloads_it(tmp_path, names, words, described):
    """bench itself never does; "ready" would be a lie of what is not here."""
    if names:
        downloaded(tmp_path / ".cache/huggingface/hub", *names)
    found = describe_elsewhere(settings_of(*words))

    assert found is None if described is None else re.search(described, found)


def test_preparing_refuses_a_hub_id_that_may_not_be_downloaded():
    """The start would end with the same, minutes later."""
    with pytest.raises(
        CheckpointError, match=r"^model.path=acme/tiny is a hub id that is not whole in .*HF_HUB_OFFLINE"
    ):
        describe_elsewhere(settings_of("vllm.env.HF_HUB_OFFLINE=1"))


@pytest.mark.parametrize("path", ["./tiny", "../tiny", ".tiny", "acme/.tiny", "-x"])
def test_a_path_that_begins_as_no_repository_does_is_no_hub_id(path):
    """A misspelt folder would be downloaded otherwise."""
    assert could_be_hub_id("acme/tiny-1.0")
    assert not could_be_hub_id(path)
