"""What a start's log says of the start itself."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.log.server_info import ServerInfo, info_params, tasks_in
from bench.start.tags import info_tags
from read_lines import info_in, read_log

TESTS = Path(__file__).parents[1]

CPU = ServerInfo(
    "0.32.0",
    "V1",
    "tiny",
    "auto",
    1,
    1,
    1,
    "cpu",
    "bfloat16",
    512,
    0.4,
    enforce_eager=True,
    compiles=False,
    captures=False,
)
GPU = ServerInfo("0.26.0", "V1", "models/base", "auto", 1, 1, 1, "cuda", "bfloat16", 4096, 0.92, enforce_eager=False)

# Read by hand in each of them.
READ = {
    "logs/cpu-vllm0.32.0/fastsafetensors-tp1-FAILED.log": replace(CPU, load_format="fastsafetensors"),
    "logs/cpu-vllm0.32.0/auto-tp2.log": replace(CPU, tensor_parallel_size=2, gpu_memory_utilization=0.2),
    "logs/cpu-vllm0.32.0/runai_streamer_sharded-tp2.log": replace(
        CPU, model="tiny-tp2", load_format="runai_streamer_sharded", tensor_parallel_size=2, gpu_memory_utilization=0.2
    ),
    "logs/h100-vllm0.26.0/auto-tp1-coldcache.stamped.log": GPU,
    "starts/h100-vllm0.26.0-instanttensor-warm/vllm.log": replace(
        GPU, model="models/random_llama_8b", load_format="instanttensor", gpu_memory_utilization=0.9
    ),
    "logs/seed/base.log": ServerInfo(),
}


def said(*lines: str) -> ServerInfo:
    return info_in(read_log(line.encode() for line in lines))


@pytest.mark.parametrize(("file", "expected"), READ.items(), ids=READ)
def test_what_a_recorded_start_says_of_itself(file, expected):
    """The share of memory is in the arguments or in the worker's last sentence; an excerpt says nothing."""
    with (TESTS / file).open("rb") as log:
        assert info_in(read_log(log)) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("(Worker pid=7) INFO Starting to load model org/tiny...", ServerInfo(model="org/tiny")),
        ("(APIServer pid=1) INFO Using max model len 4096", ServerInfo(max_model_len=4096)),
        (
            "the current vLLM instance can use total_gpu_memory (79.25GiB) x gpu_memory_utilization (0.15) = 11.89GiB",
            ServerInfo(gpu_memory_utilization=0.15),
        ),
        (
            "Memory profiling results: total_gpu_memory=7.92GiB kv_cache_size=6.27GiB gpu_memory_utilization=0.90",
            ServerInfo(gpu_memory_utilization=0.9),
        ),
        (
            "The current --gpu-memory-utilization=0.9000 is equivalent to --gpu-memory-utilization=0.8971 without CUDA graph",
            ServerInfo(gpu_memory_utilization=0.9),
        ),
        (
            (
                "ValueError: Free memory on device cuda:0 (3.20/79.18 GiB) on startup is less than desired GPU memory utilization "
                "(0.95, 75.2 GiB)."
            ),
            ServerInfo(gpu_memory_utilization=0.95),
        ),
        (
            "To try it now, set X=1 and increase --gpu-memory-utilization from 0.6000 to 0.6042 to maintain the same effective size",
            ServerInfo(gpu_memory_utilization=0.6),
        ),
        (
            "To maintain the same effective KV cache size as before, increase --gpu-memory-utilization to 0.9139.",
            ServerInfo(),
        ),
        (
            "INFO 11-24 02:51:08 executor_base.py:99] Maximum concurrency for 8192 tokens per request: 7.50x",
            ServerInfo(max_model_len=8192),
        ),
        (
            "(EngineCore pid=5) INFO GPU KV cache size: 61,440 tokens, Maximum concurrency for 1,024 tokens per request: 60.00x",
            ServerInfo(max_model_len=1024),
        ),
        ("Maximum concurrency for 8,192 tokens per request changes from 2.00x to 3.00x", ServerInfo()),
        (
            "(APIServer pid=1) WARNING Enforce eager set, disabling torch.compile and CUDAGraphs. This is",
            ServerInfo(enforce_eager=True),
        ),
        (
            "WARNING 12-01 10:00:00 [vllm.py:501] Enforce eager set, overriding optimization level to -O0",
            ServerInfo(enforce_eager=True),
        ),
        ("consider decreasing `gpu_memory_utilization` or --gpu-memory-utilization=0.8971", ServerInfo()),
        ("RuntimeError: Starting to load model failed", ServerInfo()),
    ],
)
def test_what_is_said_where_no_argument_is(line, expected):
    """Logs that begin in the middle of a start say some of it all the same."""
    assert said(line) == expected


def test_arguments_go_before_what_is_said_elsewhere():
    """A server's own name of a model, a length that it works out: what was asked for is the param."""
    found = said(
        "(APIServer pid=1) INFO non-default args: {'model': 'org/tiny', 'max_model_len': 512, 'enforce_eager': False}",
        "(APIServer pid=1) INFO Using max model len 4096",
        "(APIServer pid=1) WARNING Enforce eager set, disabling torch.compile and CUDAGraphs.",
        "(Worker pid=7) INFO Starting to load model /cache/tiny...",
        "(EngineCore pid=5) INFO Maximum concurrency for 2,048 tokens per request: 60.00x",
    )

    assert (found.model, found.max_model_len, found.enforce_eager) == ("org/tiny", 512, False)


def test_the_length_that_a_server_found_goes_before_that_of_the_cache():
    """Both are whole numbers of the same thing: the cache's is for logs that have lost the other."""
    found = said(
        "(EngineCore pid=5) INFO Maximum concurrency for 2,048 tokens per request: 60.00x",
        "(APIServer pid=1) INFO Using max model len 4096",
    )

    assert found.max_model_len == 4096


@pytest.mark.parametrize(
    ("pooler", "pools"), [("PoolerConfig(pooling_type='CLS', normalize=True)", True), ("None", None)]
)
def test_a_model_that_generates_no_text_has_a_pooler(pooler, pools):
    """In every release, V0's among them: a log of it may lack a KV cache."""
    config = f"model='tiny', served_model_name=tiny, pooler_config={pooler}, compilation_config={{}}"

    assert (
        said(f"INFO 04-01 10:00:09 [core.py:70] Initializing a V1 LLM engine (v0.9.1) with config: {config}").pools
        is pools
    )


@pytest.mark.parametrize(
    ("line", "tasks"),
    [
        ("(APIServer pid=4514) INFO 11-24 02:56:48 [entry.py:136] Supported tasks: ['generate']", ["generate"]),
        ("\x1b[1;36m(APIServer pid=29862)\x1b[0;0m INFO 11-24 16:35:04 [api_server.py:1611] Supported_tasks: ['encode', 'embed']", ["encode", "embed"]),
        ("INFO 11-24 02:56:48 [entry.py:136] Supported tasks: ['embed&token_classify']", ["embed&token_classify"]),
        ("INFO 11-24 02:56:48 [entry.py:136] Supported tasks: []", []),
        ("INFO 11-24 02:56:48 [entry.py:136] tasks: ['generate']", []),
    ],
)  # fmt: skip
def test_the_tasks_of_a_model_are_listed_in_one_line(line, tasks):
    """As two generations of releases print them, with colours or without."""
    assert tasks_in(line) == tasks


def test_a_start_of_an_old_release():
    """V0, its config cut short by us; every argument in a namespace."""
    found = said(
        "INFO 04-01 10:00:00 [__init__.py:239] Automatically detected platform rocm.",
        "INFO 04-01 10:00:01 [api_server.py:1034] vLLM API server version 0.8.5.post1",
        "INFO 04-01 10:00:01 [api_server.py:1035] args: Namespace(model='tiny', gpu_memory_utilization=0.9, load_format='auto')",
        "INFO 04-01 10:00:09 [llm_engine.py:240] Initializing a V0 LLM engine (v0.8.5.post1) with config: model='tiny', "
        "dtype=torch.float16, max_seq_len=2048, load_format=LoadFormat.AUTO, tensor_parallel_size=8, device_config=cuda, "
        "enforce_eager=False, use_cached_outputs=True, ",
    )

    assert found == ServerInfo(
        "0.8.5.post1",
        "V0",
        "tiny",
        "auto",
        8,
        None,
        None,
        "rocm",
        "float16",
        2048,
        0.9,
        enforce_eager=False,
        compiles=False,
    )


def test_an_amd_gpu_is_no_cuda_device():
    """PyTorch calls it cuda, and so does the engine's config. Newer releases name their platform in a line's source only."""
    found = said(
        "Initializing a V1 LLM engine (v0.20.2) with config: model='tiny', device_config=cuda, seed=0",
        "(Worker pid=7) INFO 11-24 02:56:46 [rocm.py:391] Using Aiter backend.",
    )

    assert found.device == "rocm"
    assert said("INFO 02-11 09:00:00 rocm.py:131] Using Triton backend.").device == "rocm"  # before 0.8


@pytest.mark.parametrize(
    "line",
    [
        "INFO 01-07 09:00:00 selector.py:120] Using ROCmFlashAttention backend.",
        "INFO 01-07 09:00:00 pynccl.py:59] Loading nccl from library librccl.so.1",
        "(RayWorkerWrapper pid=77) INFO 01-07 09:00:00 [utils.py:99] Found nccl from library /opt/rocm/lib/librccl.so.1",
        "INFO 01-07 09:00:00 config.py:9] Disabled the custom all-reduce kernel because it is not supported on AMD GPUs.",
    ],
)
def test_what_only_an_amd_gpu_prints_tells_it(line):
    """Releases before 0.7 name no platform."""
    config = "Initializing an LLM engine (v0.6.5) with config: model='tiny', device_config=cuda, seed=0"

    assert said(config, line).device == "rocm"


@pytest.mark.parametrize(
    ("line", "device"),
    [
        ("(Worker pid=7) INFO 11-24 02:56:46 [xpu.py:91] Using Flash Attention backend.", "xpu"),
        ("(Worker pid=7) INFO 11-24 02:56:46 [xpu_worker.py:80] hello", "xpu"),
        ("INFO 11-24 02:56:46 [v1/worker/tpu_model_runner.py:12] hello", "tpu"),
        ("INFO 02-11 09:00:00 cpu_worker.py:131] hello", "cpu"),
        ("(EngineCore pid=5) INFO [cpu_model_runner.py:71] Starting to load model tiny...", "cpu"),
        ("INFO 11-24 02:56:46 [__init__.py:45] Platform plugin ascend is activated", "npu"),
        ("INFO 11-24 02:56:46 [__init__.py:45] Platform plugin other is activated", "other"),
        ("INFO 11-24 02:56:46 [__init__.py:45] Platform plugin neuron is activated", "neuron"),
        ("INFO 11-24 02:56:46 [__init__.py:45] Platform plugin optimum_neuron is activated", "neuron"),
        ("INFO 11-24 02:56:46 [__init__.py:45] Platform plugin hpu is activated", "hpu"),
        ("INFO 11-24 02:56:46 [__init__.py:45] Platform plugin gaudi is activated", "hpu"),
        ("INFO 11-24 02:56:46 [__init__.py:45] Platform plugin tpu is activated", "tpu"),
        ("INFO 11-24 02:56:46 [__init__.py:45] Automatically detected platform neuron.", "neuron"),
        ("INFO 11-24 02:56:46 [hpu_worker.py:80] hello", "hpu"),
        ("INFO 11-24 02:56:46 [gpu_worker.py:80] hello", None),
        ("/usr/lib/other/xpu.py:33: UserWarning: [xpu.py:91] hello", None),
        ('  File "/vllm/v1/worker/cpu_worker.py", line 7, in load_model', None),
    ],
)
def test_a_source_that_one_kind_of_device_has_tells_it(line, device):
    """Newer releases name their platform nowhere else, where the engine's config is not in the log."""
    assert said(line).device == device


def test_the_config_knows_the_device_better_than_a_source():
    """A plugin may call another device's worker."""
    config = "Initializing a V1 LLM engine (v0.20.2) with config: model='tiny', device_config=tpu, seed=0"

    assert said("INFO 11-24 02:56:46 [cpu_worker.py:80] hello", config).device == "tpu"


def test_a_config_that_names_the_device_of_the_inputs_knows_less_than_a_source():
    """Neuron's, in the V0 engine."""
    config = "Initializing an LLM engine (v0.6.6) with config: model='tiny', device_config=cpu, seed=0"

    assert said("INFO 01-26 10:27:28 neuron_worker.py:80] hello", config).device == "neuron"


WRAPPED = (
    "(EngineCore_DP0 pid=7) INFO 09-20 08:00:00 [core.py:77] Initializing a V1 LLM engine (v0.11.0) with co"
    "nfig: model='/models/tiny_llama', tokenizer='/models/tiny_llama', dtype=torch.bfloat16, max_seq_len=81"
    "92, load_format=auto, tensor_parallel_size=16, pipeline_parallel_size=1, enforce_eager=True, seed=0"
)


def wrapped(text: str, width: int) -> list[str]:
    return [text[at : at + width] for at in range(0, len(text), width)]


@pytest.mark.parametrize("width", [97, 100, 104, 131])
def test_a_config_that_was_copied_from_a_terminal_goes_on_in_the_next_lines(width):
    """Each of its pieces but the last is as wide as the terminal."""
    found = said(*wrapped(WRAPPED, width), "(EngineCore_DP0 pid=7) INFO 09-20 08:00:01 [cuda.py:1] model='other'")

    assert (found.model, found.max_model_len, found.load_format) == ("/models/tiny_llama", 8192, "auto")
    assert (found.tensor_parallel_size, found.enforce_eager) == (16, True)


def test_the_arguments_of_a_server_go_on_in_the_next_line_too():
    """Also where the log ends in it."""
    asked = "INFO 11-24 02:56:27 [utils.py:253] non-default args: {'model': 'tiny', 'tensor_parallel_size': 12}"

    assert said(*wrapped(asked, 97)).tensor_parallel_size == 12


@pytest.mark.parametrize(
    "next_line",
    [
        "INFO 09-20 08:00:01 [x.py:1] 6, load_format=dummy, seed=0",
        "(EngineCore_DP0 pid=7) 6, load_format=dummy, seed=0",
        "6, load_format=dummy, seed=0, " + "x" * 300,
    ],
)
def test_a_line_that_is_no_piece_of_the_config_adds_nothing(next_line):
    """Another record, another process's, or a line that is wider than the terminal."""
    cut = WRAPPED[: WRAPPED.index("tensor_parallel_size=16") + len("tensor_parallel_size=1")]
    found = said(cut, next_line)

    assert found.model == "/models/tiny_llama"
    assert found.tensor_parallel_size is None


def test_arguments_that_were_cut_end_where_the_config_begins():
    """Somebody has left out the heads of both: the second is no piece of the first."""
    found = said(
        "non-default args: {'model': 'org/tiny', 'gpu_memory_utilization': 0.4, 'dtype': 'float16', 'tensor_parallel_si",
        "Initializing a V1 LLM engine (v0.29.0) with config: model='/cache/tiny', max_seq_len=1024, tokeni",
    )

    assert (found.gpu_memory_utilization, found.dtype) == (0.4, "float16")
    assert (found.model, found.version, found.max_model_len) == ("org/tiny", "0.29.0", 1024)


def test_a_config_that_was_not_wrapped_ends_with_its_line():
    """No terminal is as wide as that: what follows is another program's."""
    found = said(WRAPPED.replace(", seed=0", f", seed=0, x='{'y' * 400}', data_parallel_size=1"), "6, dtype=float32, ")

    assert found.tensor_parallel_size == 16
    assert found.data_parallel_size is None


def test_an_engine_without_a_number_is_v0():
    """Before 0.7 there was only one."""
    found = said(
        "INFO 10-01 10:00:00 llm_engine.py:237] Initializing an LLM engine (v0.6.3) with config: model='tiny', seed=0, "
    )

    assert (found.version, found.engine, found.model) == ("0.6.3", "V0", "tiny")


@pytest.mark.parametrize(
    ("line", "version"),
    [
        (
            "INFO 04-01 10:00:01 [api_server.py:1034] vLLM API server version 0.11.0rc2.dev9+g1a2b",
            "0.11.0rc2.dev9+g1a2b",
        ),
        (
            "(APIServer pid=4) INFO 11-24 02:56:27 [api_utils.py:325] vLLM server version 0.20.2, serving model tiny",
            "0.20.2",
        ),
        (
            "(APIServer pid=4514) INFO 11-24 02:56:27 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.32.0",
            "0.32.0",
        ),
        (
            "(APIServer pid=4) INFO 11-24 02:56:27 [utils.py:299] ▄▄ ▄█ █ █ █ ▀▄▀ █ version 0.19.0",
            "0.19.0",
        ),  # a web page's
        (
            "INFO 11-24 02:56:27 [api_utils.py:347]  ▄▄ ▄█ █  █  █ ▀▄▀ █  version 0.1.dev7+g1a2b.d20260821^M",
            "0.1.dev7+g1a2b.d20260821",
        ),
        ("<span>INFO 11-24 02:56:27 [x.py:1] █ █  version 0.0.0+g1a2b3c</span></span>", "0.0.0+g1a2b3c"),
        ("INFO 11-24 02:56:27 [x.py:1] vLLM API server version 0.8.5.", "0.8.5"),
        ("INFO 11-24 02:56:27 [x.py:1] vLLM API server version 0.8.5…", None),
        ("INFO 11-24 02:53:47 [flash_attn.py:776] Using FlashAttention version 3", None),
        ("INFO 11-24 02:53:47 [x.py:1] PyTorch version 2.9.0 available.", None),
    ],
)
def test_a_servers_first_lines_tell_the_version(line, version):
    """A start that died of its config never came to its engine."""
    assert said(line, "the next line").version == version


def test_a_version_that_the_log_ends_with_may_be_cut():
    """0.8.5 is not 0.8.5.post1."""
    assert said("INFO 04-01 10:00:01 [api_server.py:1034] vLLM API server version 0.8.5").version is None


def test_the_engine_knows_better_than_what_was_asked():
    """It has resolved `auto`."""
    found = said(
        "non-default args: {'dtype': 'auto', 'load_format': 'auto', 'model': 'tiny'}",
        "Initializing a V1 LLM engine (v0.20.2) with config: model='/tmp/tiny', dtype=torch.bfloat16, load_format=bitsandbytes, seed=0",
    )

    assert (found.dtype, found.load_format) == ("bfloat16", "bitsandbytes")


@pytest.mark.parametrize(
    ("asked", "folder"),
    [("org/tiny", "/cache/hub/models--org--tiny/snapshots/cf98"), ("s3://bucket/tiny", "/assets/3f0a")],
)
def test_a_model_is_called_what_it_was_asked_as(asked, folder):
    """Offline or streamed the engine has a folder in its place: the same model, in another place on every host."""
    config = f"Initializing a V1 LLM engine (v0.20.2) with config: model='{folder}', seed=0"

    assert said(f"non-default args: {{'model': '{asked}'}}", config).model == asked
    assert said(config).model == folder


CONFIG_OF_ONE = "INFO 02-11 09:00:00 [core.py:77] Initializing a V1 LLM engine (v0.15.0) with config: model='tiny', data_parallel_size=1, "


@pytest.mark.parametrize(
    "words", ["Dumping input data for V1", "V1"]
)  # until 0.9.2 the former in a record of their own
def test_an_engine_that_dies_tells_its_config_once_more(words):
    """Where the log begins after its start."""
    dumped = (
        f"(EngineCore_0 pid=9) ERROR 11-14 22:48:02 [dump_input.py:69] {words} LLM engine (v0.10.2) with config: "
        "model='tiny', load_format=auto, tensor_parallel_size=8, "
    )
    found = said(dumped)

    assert (found.version, found.model, found.tensor_parallel_size) == ("0.10.2", "tiny", 8)


def test_an_engine_that_thinks_itself_alone_may_be_one_of_several():
    """Engines of a dense model share nothing, so that each has a config of its own for one."""
    asked = "(APIServer pid=4) INFO 02-11 09:00:00 [utils.py:1] non-default args: {'model': 'tiny', 'data_parallel_size': 4}"

    assert said(asked, f"(EngineCore_DP3 pid=9) {CONFIG_OF_ONE}").data_parallel_size == 4
    assert said(f"(EngineCore_DP3 pid=9) {CONFIG_OF_ONE}").data_parallel_size is None
    assert said(f"(EngineCore_DP0 pid=9) {CONFIG_OF_ONE}").data_parallel_size == 1


def test_auto_is_no_dtype():
    """It was asked, and what became of it is not in this log."""
    assert said("non-default args: {'dtype': 'auto', 'model': 'tiny'}").dtype is None


@pytest.mark.parametrize("value", ["0", "-1", "True", "'2'", "2.0", "None"])
def test_a_size_is_a_whole_number(value):
    """What is not is left out."""
    assert said(f"non-default args: {{'tensor_parallel_size': {value}, 'max_model_len': {value}}}") == ServerInfo()


@pytest.mark.parametrize("value", ["0", "0.0", "1.5", "True", "'0.5'"])
def test_a_share_of_memory_is_a_share(value):
    """Of the whole."""
    assert said(f"non-default args: {{'gpu_memory_utilization': {value}}}") == ServerInfo()


def test_the_first_lines_count():
    """Each engine of a data-parallel start prints its config, all alike but for their own place."""
    line = "Initializing a V1 LLM engine (v0.20.2) with config: model='tiny', tensor_parallel_size={}, seed=0"

    assert said(line.format(2), line.format(4)).tensor_parallel_size == 2


def test_params_have_the_names_that_a_measured_start_gives_them():
    """So that `where.tensor_parallel_size=2` means both."""
    assert info_params(GPU) == {
        "load_format": "auto",
        "tensor_parallel_size": "1",
        "max_model_len": "4096",
        "gpu_memory_utilization": "0.92",
        "vllm.args.pipeline_parallel_size": "1",
        "vllm.args.data_parallel_size": "1",
        "vllm.args.dtype": "bfloat16",
        "vllm.args.enforce_eager": "False",
    }


def test_the_rest_are_tags():
    """And nothing is there of what is not known."""
    assert info_tags(GPU) == {"version.vllm": "0.26.0", "host.device": "cuda", "bench.model": "models/base"}
    assert (info_params(ServerInfo()), info_tags(ServerInfo())) == ({}, {})


def test_a_plugin_s_device_goes_before_the_config_s():
    """Whose platform may still call it cuda or cpu."""
    plugin = "INFO 11-24 02:56:46 [__init__.py:45] Platform plugin neuron is activated"
    config = "INFO 11-24 02:56:47 [core.py:1] Initializing a V1 LLM engine (v0.13.0) with config: model='m', device_config=cpu, "

    assert said(plugin, config).device == "neuron"
    assert said(config).device == "cpu"
