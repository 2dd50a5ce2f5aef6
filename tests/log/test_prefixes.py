"""Who said a line, from every style of prefix, and which rank that is."""

import pytest

from read_lines import parse_line, read_log


@pytest.mark.parametrize(
    ("prefix", "process", "pid", "node", "rank"),
    [
        ("(VllmWorkerProcess pid=77) ", "VllmWorkerProcess", 77, None, None),  # V0
        ("(VllmWorker PP1_TP0 pid=77) ", "VllmWorker", 77, None, "TP0"),  # 0.10.1, with pipelines
        ("(Worker_DP1_PP0_TP3_EP7 pid=77) ", "Worker_DP1_PP0_TP3_EP7", 77, None, "TP3"),
        (
            "(Worker_DP1_EP1 pid=77) ",
            "Worker_DP1_EP1",
            77,
            None,
            "TP0",
        ),  # one tensor-parallel rank has no part in the name
        ("(Worker_PP1 pid=77) ", "Worker_PP1", 77, None, "TP0"),
        ("(EngineCore_DP3 pid=5) ", "EngineCore_DP3", 5, None, None),
        ("(APIServer_DP3 pid=5) ", "APIServer_DP3", 5, None, None),
        ("(RayWorkerWrapper pid=1234) ", "RayWorkerWrapper", 1234, None, None),
        ("(RayWorkerWrapper pid=1234, ip=10.0.0.2) ", "RayWorkerWrapper", 1234, "10.0.0.2", None),
        ("(EngineCore_DP0 pid=5) (RayWorkerProc pid=77, ip=fe80::1) ", "RayWorkerProc", 77, "fe80::1", None),
        ("(pid=1234, ip=10.0.0.2) ", None, 1234, "10.0.0.2", None),  # Ray, before it knows the actor's name
        ("(pid=1234) ", None, 1234, None, None),
        ("(ServeReplica:app:LLMServer pid=9) ", "ServeReplica:app:LLMServer", 9, None, None),
        ("\x1b[36m(RayWorkerWrapper pid=1)\x1b[0m ", "RayWorkerWrapper", 1, None, None),
        ("[36m(RayWorkerWrapper pid=1)[0m ", "RayWorkerWrapper", 1, None, None),  # copied without its escapes
        ("^[[1;36m(VllmWorker rank=1 pid=1)^[[0;0m ", "VllmWorker", 1, None, "TP1"),  # shown by cat -v
    ],
)
def test_more_prefixes(prefix, process, pid, node, rank):
    """Of replicas, pipelines, expert parallel ranks and Ray."""
    line = parse_line(f"{prefix}INFO 11-24 02:47:31 [a.py:1] hello")

    assert (line.process, line.pid, line.node, line.rank) == (process, pid, node, rank)
    assert line.text == "INFO 11-24 02:47:31 [a.py:1] hello"


@pytest.mark.parametrize(
    ("prefix", "process", "rank"),
    [
        ("(Worker_TP1) ", "Worker_TP1", "TP1"),
        ("(Worker_DP0_PP1_TP3_EP7) ", "Worker_DP0_PP1_TP3_EP7", "TP3"),
        ("(VllmWorker TP1) ", "VllmWorker", "TP1"),
        ("(EngineCore) ", "EngineCore", None),
        ("(EngineCore_DP1)", "EngineCore_DP1", None),
        ("(ApiServer_2) ", "ApiServer_2", None),
    ],
)
def test_a_name_that_one_process_has_is_read_without_its_id(prefix, process, rank):
    """Reports are often printed so. `Worker` can be any of them."""
    line = parse_line(f"{prefix}INFO 11-24 02:47:31 [a.py:1] hello")

    assert (line.process, line.pid, line.rank) == (process, None, rank)
    assert line.text == "INFO 11-24 02:47:31 [a.py:1] hello"
    assert line.who == f"{process} {rank}"


@pytest.mark.parametrize(
    ("prefixes", "process", "rank"),
    [
        ("(VllmWorker rank=0 pid=7) (VllmWorker rank=1 pid=8) ", None, None),
        ("(Worker_TP0 pid=7) (Worker_TP1 pid=8) ", None, None),
        ("(EngineCore_DP0 pid=5) (Worker_DP0_TP0 pid=7) (Worker_DP0_TP1 pid=8) ", None, None),
        ("(Worker pid=7) (Worker_TP0 pid=7) ", "Worker_TP0", "TP0"),  # one process, named twice
        ("(EngineCore_0 pid=5) (VllmWorker TP1 pid=8) ", "VllmWorker", "TP1"),
    ],
)
def test_two_workers_before_one_line_are_nobody(prefixes, process, rank):
    """Each wrote its name before either wrote its line: whose this one is cannot be told."""
    line = parse_line(f"{prefixes}INFO 11-24 02:47:31 [a.py:1] hello")

    assert (line.process, line.rank) == (process, rank)
    assert line.text == "INFO 11-24 02:47:31 [a.py:1] hello"


def test_what_nobody_says_tells_no_rank():
    """The line of two workers assigns the one its rank; the other's numbers stay its own."""
    lines = read_log(
        line.encode()
        for line in (
            "(VllmWorker rank=0 pid=7) (VllmWorker rank=1 pid=8) rank 0 in world size 2 is assigned as DP rank 0, PP rank 0, TP rank 0",
            "rank 1 in world size 2 is assigned as DP rank 0, PP rank 0, TP rank 1",
            "(VllmWorker rank=1 pid=8) hello",
            "(VllmWorker rank=0 pid=7) hello",
        )
    )

    assert [line.rank for line in lines] == [None, None, "TP1", "TP0"]


@pytest.mark.parametrize(
    "text",
    [
        "(see pid=7 for more)",
        "(raylet) hello",
        "(Worker pid=x) hello",
        "(Worker pid=12345678901) hello",
        "()",
        "(Worker) hello",
        "(Engine) hello",
    ],
)
def test_other_brackets_are_text(text):
    """A prefix is a name and a process id, or a name that only one process has, nothing else."""
    line = parse_line(text)

    assert (line.process, line.pid, line.text) == (None, None, text)


def test_pids_of_two_nodes_are_two_processes():
    """A pid is one of its node only."""
    lines = read_log(
        [
            b"(RayWorkerWrapper pid=7) rank 0 in world size 2 is assigned as DP rank 0, PP rank 0, TP rank 0\n",
            b"(RayWorkerWrapper pid=7, ip=10.0.0.2) rank 1 in world size 2 is assigned as DP rank 0, PP rank 0, TP rank 1\n",
            b"(RayWorkerWrapper pid=7) hello\n",
            b"(RayWorkerWrapper pid=7, ip=10.0.0.2) hello\n",
            b"(RayWorkerWrapper pid=7, ip=10.0.0.3) hello\n",
        ]
    )

    assert [line.rank for line in lines[2:]] == ["TP0", "TP1", None]


@pytest.mark.parametrize("advice", ["", " (Ray deduplicates logs by default. Set RAY_DEDUP_LOGS=0 to disable it.)"])
def test_ray_says_how_many_lines_one_stands_for(advice):
    """Which is no part of the text. The others' numbers are not known."""
    line = parse_line(f"(RayWorkerWrapper pid=1) Loading weights took 2.0 seconds [repeated 3x across cluster]{advice}")

    assert (line.text, line.repeated) == ("Loading weights took 2.0 seconds", 3)
    assert parse_line("hello [repeated 3x across cluster] and on").repeated == 1


def test_the_rank_in_the_world_is_not_the_tensor_parallel_one():
    """To 0.10.0 workers are numbered through all pipeline stages; the line that assigns ranks tells both."""
    lines = read_log(
        [
            b"(VllmWorker rank=3 pid=7) early\n",
            b"(VllmWorker rank=3 pid=7) rank 3 in world size 4 is assigned as DP rank 0, PP rank 1, TP rank 1\n",
            b"(VllmWorker rank=2 pid=6) hello\n",
        ]
    )

    assert [line.rank for line in lines] == ["TP1", "TP1", "TP2"]


def test_torchs_mark_of_a_rank_is_no_part_of_the_text():
    """It is the rank in the world: whose it is, only the line that assigns ranks tells, and only where one rank has that number."""
    assigned = b"(Worker pid=%d) rank %d in world size 4 is assigned as DP rank 0, PP rank %d, TP rank %d\n"
    lines = read_log(
        [
            b"[rank3]: ValueError: no\n",
            b"[rank1]: ValueError: no\n",
            assigned % (7, 3, 1, 1),
            assigned % (8, 0, 0, 0),
            b"[rank0]: Traceback\n",
            assigned % (9, 0, 0, 1),  # the first rank of another replica
        ]
    )

    assert [(line.rank, line.text) for line in lines if not line.pid] == [
        ("TP1", "ValueError: no"),
        (None, "ValueError: no"),
        (None, "Traceback"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24 02:16:22,938 [INFO] [RunAI Streamer] Overall time to stream 29.5 MiB of all files to cpu: 0.12s, 250.7 MiB/s",
        "Loading safetensors checkpoint shards: 100% Completed | 1/1 [00:00<00:00, 59.24it/s]",
        "INFO:     Application startup complete.",
    ],
)
def test_a_line_of_nobody_is_nobodys(text):
    """Not even beside a single worker: other processes write to the same place."""
    lines = read_log([b"(Worker_TP0 pid=7) hello\n", text.encode() + b"\n"])

    assert (lines[1].process, lines[1].pid, lines[1].rank) == (None, None, None)
