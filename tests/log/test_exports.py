"""Logs as exports, shells and terminals leave them: each is read like the log that it was made of."""

import csv
import gzip
import io
import json
import textwrap
from pathlib import Path

import pytest

from bench.log import exports
from bench.log.exports import readable
from bench.log.literals import lines_in_strings
from bench.log.recordings import Recording, log_file, recordings_in
from bench.log.server_info import info_params
from bench.log.unwrap import TRACEBACK
from bench.start.log_metrics import summarise

LOGS = sorted((Path(__file__).parents[1] / "logs").rglob("*.log"))

SERVER, CORE = "(APIServer pid=41) ", "(EngineCore_DP0 pid=77) "
TP0, TP1 = "(Worker_TP0 pid=90) ", "(Worker_TP1 pid=91) "
PRINTED = [
    (SERVER, "INFO 03-11 09:15:02 [api_server.py:1896] vLLM API server version 0.12.0"),
    (SERVER, "INFO 03-11 09:15:02 [utils.py:328] non-default args: {'model_tag': 'acme/7b', 'model': 'acme/7b', 'load_format': 'runai_streamer', 'tensor_parallel_size': 2, 'gpu_memory_utilization': 0.85}"),
    (CORE, "INFO 03-11 09:15:20 [core.py:77] Initializing a V1 LLM engine (v0.12.0) with config: model='acme/7b', speculative_config=None, dtype=torch.bfloat16, max_seq_len=8192, load_format=runai_streamer, tensor_parallel_size=2, pipeline_parallel_size=1, data_parallel_size=1, enforce_eager=False, device_config=cuda"),
    (TP0, "INFO 03-11 09:15:24 [gpu_model_runner.py:2602] Starting to load model acme/7b..."),
    (TP1, "INFO 03-11 09:15:25 [gpu_model_runner.py:2602] Starting to load model acme/7b..."),
    (TP0, "INFO 03-11 09:15:52 [default_loader.py:267] Loading weights took 5.25 seconds"),
    (TP1, "INFO 03-11 09:15:53 [default_loader.py:267] Loading weights took 15.75 seconds"),
    (TP0, "INFO 03-11 09:15:54 [gpu_model_runner.py:2653] Model loading took 13.4100 GiB memory and 28.750000 seconds"),
    (TP1, "INFO 03-11 09:15:55 [gpu_model_runner.py:2653] Model loading took 13.4300 GiB memory and 131.250000 seconds"),
    (TP0, "INFO 03-11 09:16:01 [backends.py:559] Dynamo bytecode transform time: 6.10 s"),
    (TP0, "INFO 03-11 09:16:30 [monitor.py:34] torch.compile takes 31.40 s in total"),
    (TP0, "INFO 03-11 09:16:32 [gpu_worker.py:298] Available KV cache memory: 50.20 GiB"),
    (CORE, "INFO 03-11 09:16:33 [kv_cache_utils.py:1087] GPU KV cache size: 411,200 tokens"),
    (CORE, "INFO 03-11 09:16:33 [kv_cache_utils.py:1091] Maximum concurrency for 8,192 tokens per request: 50.20x"),
    (TP0, "INFO 03-11 09:16:41 [gpu_model_runner.py:3480] Graph capturing finished in 8 secs, took 0.55 GiB"),
    (CORE, "INFO 03-11 09:16:42 [core.py:210] init engine (profile, create kv cache, warmup model) took 47.05 seconds"),
    (SERVER, "INFO 03-11 09:16:43 [api_server.py:1971] Starting vLLM API server 0 on http://0.0.0.0:8000"),
    (SERVER, "INFO:     Started server process [41]"),
    (SERVER, "INFO:     Application startup complete."),
]  # fmt: skip
LINES = [who + text for who, text in PRINTED]
TEXT = "".join(line + "\n" for line in LINES)
RIGHT = {
    "phase/load_weights_s": 15.75, "phase/load_model_s": 131.25, "memory/load_model_gib": 13.43, "phase/dynamo_s": 6.1,
    "phase/torch_compile_s": 31.4, "memory/kv_cache_gib": 50.2, "kv_cache/tokens": 411200, "kv_cache/max_concurrency": 50.2,
    "phase/graph_capture_s": 8, "memory/graph_capture_gib": 0.55, "phase/init_engine_s": 47.05,
}  # fmt: skip


def read(content: bytes, place: Path) -> Recording:
    """The one start in a file with these bytes."""
    path = place / "a.log"
    path.write_bytes(content)
    (recording,) = recordings_in(log_file(str(path), place), None)
    return recording


def is_right(recording: Recording) -> None:
    """All that the whole log holds, and nothing else."""
    log = recording.log
    metrics = {name: value for name, value in summarise(log.readings).items() if not name.startswith("rank/")}
    assert metrics == RIGHT
    assert {reading.rank for reading in log.readings if reading.phase == "load_model"} == {"TP0", "TP1"}
    assert log.ending.outcome == "ready"
    assert (log.info.version, log.info.tensor_parallel_size, log.info.gpu_memory_utilization) == ("0.12.0", 2, 0.85)
    assert (log.info.model, log.info.load_format) == ("acme/7b", "runai_streamer")


def test_the_log_itself_is_right(tmp_path):
    """And is read as it lies there."""
    recording = read(TEXT.encode(), tmp_path)

    is_right(recording)
    assert recording.file.changes == ()


# What a shell's redirect writes.


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32", "utf-32-le", "utf-32-be", "latin-1"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_any_encoding_of_a_shell_s_redirect_is_read(encoding, end, pack, tmp_path):
    """With and without a mark, behind a prompt with letters that are not ASCII, packed or not."""
    text = "Größe: 8 µs\n" + TEXT

    is_right(read(pack(text.replace("\n", end).encode(encoding)), tmp_path))


def test_letters_of_latin_1_are_letters(tmp_path):
    """A month of journald's, say."""
    content = "".join(f"Mär 11 09:15:02 host vllm[9]: {line}\n" for line in LINES).encode("latin-1")

    recording = read(content, tmp_path)
    is_right(recording)
    assert recording.log.source == "host vllm"


def test_a_file_that_was_emptied_while_it_was_written_begins_with_zeros(tmp_path):
    """logrotate's copytruncate leaves a hole."""
    is_right(read(bytes(100_000) + TEXT.encode(), tmp_path))


# Records of collectors.

DAY = "2026-03-11T09:"
TIMES = [f"{DAY}{15 + number // 12:02}:{number % 12 * 5:02}.{number}Z" for number in range(len(LINES))]
RECORDS = list(zip(TIMES, LINES, strict=True))


def lines_of(records: list[dict[str, object]], **how: object) -> str:
    return "".join(json.dumps(each, **how) + "\n" for each in records)  # type: ignore[arg-type]  # whatever json.dumps takes


def table(header: list[str], rows: list[list[str]], **how: object) -> str:
    file = io.StringIO()
    csv.writer(file, **how).writerows([*filter(None, [header]), *rows])  # type: ignore[arg-type]  # whatever csv.writer takes
    return file.getvalue()


GCLOUD: list[dict[str, object]] = [
    {"insertId": str(number), "severity": "INFO", "textPayload": line, "timestamp": time, "resource": {"labels": {"pod_name": "llm-0"}}}
    for number, (time, line) in enumerate(RECORDS)
]  # fmt: skip
EPOCH_MS = [1773220500000 + 5000 * number for number in range(len(LINES))]
OF_LOKI = [[f"{each}000000", line] for each, line in zip(EPOCH_MS, LINES, strict=True)]
LOGFMT = "".join(f'ts={time} level=info stream=stderr msg="{line}"\n' for time, line in RECORDS)

EXPORTS: dict[str, str] = {
    "gcloud, a list": json.dumps(GCLOUD, indent=2),
    "gcloud, a list on one line": json.dumps(GCLOUD),
    "gcloud, newest first": json.dumps(GCLOUD[::-1], indent=2),
    "gcloud, jsonPayload": json.dumps([{"jsonPayload": {"message": line}, "timestamp": time} for time, line in RECORDS[::-1]], indent=4),
    "objects one behind another": lines_of(GCLOUD, indent=4),
    "a line each": lines_of(GCLOUD),
    "a line each, newest first": lines_of(GCLOUD[::-1]),
    "aws logs filter-log-events": json.dumps({"events": [{"timestamp": at, "message": line, "ingestionTime": at} for at, line in zip(EPOCH_MS, LINES, strict=True)], "searchedLogStreams": []}, indent=4),
    "CloudWatch Insights": json.dumps([{"@timestamp": time.replace("T", " ").rstrip("Z"), "@message": line, "@ptr": "x"} for time, line in RECORDS[::-1]]),
    "aws logs get-query-results": json.dumps({"results": [[{"field": "@timestamp", "value": at[:-1].replace("T", " ")}, {"field": "@message", "value": line}, {"field": "@ptr", "value": "Cq8B"}] for at, line in RECORDS[::-1]], "statistics": {"recordsMatched": 9.0}, "status": "Complete"}),
    "Loki's API": json.dumps({"status": "success", "data": {"resultType": "streams", "result": [{"stream": {"app": "vllm"}, "values": OF_LOKI[::-1]}]}}),
    "logcli": lines_of([{"labels": {"app": "vllm"}, "line": line, "timestamp": time} for time, line in RECORDS]),
    "Elastic": json.dumps({"hits": {"total": 3, "hits": [{"_id": "a", "_source": {"@timestamp": time, "message": line}} for time, line in RECORDS[::-1]]}}),
    "Splunk": lines_of([{"preview": False, "result": {"_raw": line, "_time": time}} for time, line in RECORDS[::-1]]),
    "Datadog": json.dumps({"data": [{"id": "a", "attributes": {"message": line, "timestamp": time, "tags": ["a:b"]}} for time, line in RECORDS[::-1]]}),
    "OpenTelemetry": json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": f"{at}000000", "body": {"stringValue": line}, "attributes": [{"key": "a", "value": {"stringValue": "b"}}]} for at, line in zip(EPOCH_MS, LINES, strict=True)]}]}]}),
    "journalctl -o json-pretty": lines_of([{"MESSAGE": line, "__REALTIME_TIMESTAMP": f"{at}000", "_PID": "3"} for at, line in zip(EPOCH_MS, LINES, strict=True)], indent="\t"),
    "journalctl -r -o json, with colours": lines_of([{"MESSAGE": [*f"\x1b[36m{line}\x1b[0m".encode()], "__REALTIME_TIMESTAMP": f"{at}000"} for at, line in zip(EPOCH_MS, LINES, strict=True)][::-1]),
    "fluent-bit": lines_of([{"log": line, "stream": "stderr", "time": time, "kubernetes": {"pod_name": "llm-0"}} for time, line in RECORDS]),
    "docker": lines_of([{"log": line + "\n", "stream": "stderr", "time": time} for time, line in RECORDS]),
    "CSV, newest first": table(["timestamp", "severity", "textPayload"], [[time, "INFO", line] for time, line in RECORDS[::-1]]),
    "CSV of Datadog": table(["Date", "Host", "Service", "Message"], [[time, "h", "vllm", line] for time, line in RECORDS[::-1]], quoting=csv.QUOTE_ALL),
    "CSV of CloudWatch": table(["timestamp", "message"], [[str(at), line] for at, line in zip(EPOCH_MS, LINES, strict=True)]),
    "CSV of CloudWatch, a part of it": table([], [[str(at), line] for at, line in zip(EPOCH_MS, LINES, strict=True)]),
    "CSV, control characters as numbers": table(["timestamp", "message"], [[str(at), f"#033[1;36m{line[:12]}#033[0;0m{line[12:]}#015"] for at, line in zip(EPOCH_MS, LINES, strict=True)]),
    "CSV with semicolons": table(["Time", "Line"], [[time, line] for time, line in RECORDS], delimiter=";"),
    "Azure": json.dumps({"tables": [{"columns": [{"name": "TimeGenerated"}, {"name": "LogMessage"}], "rows": [[time, line] for time, line in RECORDS[::-1]]}]}),
    "several lines a record": json.dumps([{"timestamp": TIMES[at], "message": "\n".join(LINES[at : at + 7])} for at in (14, 7, 0)]),
    "a notebook": json.dumps({"cells": [{"cell_type": "code", "source": ["!vllm serve"], "outputs": [{"name": "stdout", "text": [*(line + "\n" for line in LINES[:-1]), LINES[-1]]}]}]}, indent=1),
    "a tool's answer": json.dumps({"exit_code": 0, "stdout": "".join(line + "\r\n" for line in LINES)}),
    "a string": json.dumps("\n".join(f"\x1b[36m{line}\x1b[0m" for line in LINES)),
    "behind a command": "$ gcloud logging read --format=json\n" + json.dumps(GCLOUD, indent=2),
    "CSV without quotes": "time,stream,message\n" + "".join(f"{time},stderr,{line}\n" for time, line in RECORDS),
    "logfmt": LOGFMT,
    "logfmt, newest first": "".join(LOGFMT.splitlines(keepends=True)[::-1]),
    "plain, newest first": "".join(line + "\n" for line in LINES[::-1]),
    "plain, newest first, without a last end": "\n".join(LINES[::-1]),
    "docker --timestamps, newest first": "".join(f"{time} {line}\n" for time, line in RECORDS[::-1]),
}  # fmt: skip


def test_a_table_of_records_is_a_table(tmp_path):
    """Its cells are strings, but not JSON's: quotes in them are doubled."""
    rows = [[time, json.dumps({"log": line + "\n", "stream": "stderr"})] for time, line in RECORDS]

    recording = read(table(["timestamp", "message"], rows, quoting=csv.QUOTE_ALL).encode(), tmp_path)
    is_right(recording)
    assert recording.file.changes == ("a table",)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_strings_of_json_are_read_block_by_block(size):
    """Whatever is divided: an escape, a letter, a field's name."""
    text = 'INFO 11-24 02:47:31 [a.py:1] "tiny" \\ ▀\x1b\n\tError'
    content = json.dumps({"name": "stdout", "text": [text, "end of it"]}).encode()
    blocks = [content[at : at + size] for at in range(0, len(content), size)]

    lines = b"".join(lines_in_strings(blocks)).decode()
    assert f"{text}\nend of it\n" in lines


@pytest.mark.parametrize("content", EXPORTS.values(), ids=EXPORTS)
def test_an_export_of_a_collector_is_read(content, tmp_path):
    """Of its records, in the order of their times."""
    is_right(read(content.encode(), tmp_path))


def test_a_comma_in_front_of_milliseconds_makes_no_table(tmp_path):
    """As Python's logging writes its times."""
    before = "".join(f"2026-03-11 09:15:0{second},120\tINFO worker.py:1654 -- hello\n" for second in range(3))
    recording = read((before + TEXT).encode(), tmp_path)

    is_right(recording)
    assert recording.file.changes == ()


def test_an_export_says_what_it_was(tmp_path):
    """For `--explain`, whose lines are counted in what it was made to."""
    assert read(EXPORTS["CSV, newest first"].encode(), tmp_path).file.changes == ("a table", "newest first")


@pytest.mark.parametrize("name", ["gcloud, newest first", "CSV, newest first", "plain, newest first"])
def test_a_long_export_is_turned_in_pieces(name, tmp_path, monkeypatch):
    """Longer than what is looked at first, and than what is kept in memory."""
    monkeypatch.setattr(exports, "SAMPLE_BYTES", 1000)
    monkeypatch.setattr(exports, "CHUNK_BYTES", 500)
    monkeypatch.setattr("bench.log.files.BLOCK_BYTES", 300)

    is_right(read(EXPORTS[name].encode(), tmp_path))


def test_what_comes_before_the_times_of_an_export_may_be_long(tmp_path, monkeypatch):
    """The answers of a server that ran for days have none."""
    monkeypatch.setattr(exports, "SAMPLE_BYTES", 1000)
    answers = 'INFO:     10.0.0.1:5 - "GET /health HTTP/1.1" 200 OK\n' * 50_000

    is_right(read((answers + EXPORTS["plain, newest first"]).encode(), tmp_path))


def test_a_traceback_in_an_export_that_is_newest_first_is_in_its_order(tmp_path):
    """An entry of several lines is turned as one."""
    entries = [
        *LINES[:5],
        "(Worker_TP0 pid=90) ERROR 03-11 09:15:58 [multiproc_executor.py:750] WorkerProc failed to start.",
        f'{TP0}ERROR 03-11 09:15:59 [a.py:750] {TRACEBACK}\n  File "a.py", line 1, in <module>\nValueError: no such thing',
    ]
    recording = read("".join(each + "\n" for each in entries[::-1]).encode(), tmp_path)

    assert recording.file.changes == ("newest first",)
    assert recording.log.ending.reason == "ValueError: no such thing"


@pytest.mark.parametrize("path", LOGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recorded_log_is_read_as_it_lies_there(path, tmp_path):
    """None of them looks like an export."""
    assert readable(path, path.name, tmp_path) == (path, ())


# Terminals.


def coloured(who: str, text: str) -> str:
    return f"\x1b[1;36m{who.strip()}\x1b[0;0m {text}"


def divided(text: str, width: int) -> str:
    """At a column, whatever stands there."""
    return "".join(
        line[at : at + width] + "\n" for line in text.splitlines() for at in range(0, max(1, len(line)), width)
    )


def boxed(lines: list[str], width: int, *, title: str = " vLLM logs ") -> str:
    inside = [f"│ {line:<{width}} │\n" for line in lines]
    return f"╭{title:─<{width + 2}}╮\n{''.join(inside)}╰{'─' * (width + 2)}╯\n"


COLOURED = "".join(coloured(who, text) + "\n" for who, text in PRINTED)
WIDTHS = (60, 79, 80, 97, 100, 120, 132)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("text", [TEXT, COLOURED], ids=["plain", "coloured"])
def test_records_divided_at_a_column_are_whole(text, width, tmp_path):
    """Where colours are text too, the column is none of what is seen; one may be divided itself."""
    is_right(read(divided(text, width).encode(), tmp_path))


@pytest.mark.parametrize("width", WIDTHS)
def test_records_divided_at_a_column_of_what_is_seen_are_whole(width, tmp_path):
    """As a terminal shows them; the colours were kept."""
    lines = []
    for who, text in PRINTED:
        pieces = divided(who + text, width).splitlines()
        pieces[0] = pieces[0].replace(who.strip(), f"\x1b[1;36m{who.strip()}\x1b[0;0m")
        lines += pieces

    is_right(read("\n".join(lines).encode(), tmp_path))


@pytest.mark.parametrize("width", [100, 118, 147])
@pytest.mark.parametrize("escape", ["", "\x1b"], ids=["without its escape", "with it"])
def test_records_whose_colours_went_after_they_were_divided_are_whole(escape, width, tmp_path):
    """Lines behind a name are narrower then, by what colours it."""
    colours = (f"{escape}[1;36m", f"{escape}[0;0m")
    text = divided(COLOURED.replace("\x1b", escape), width)
    for colour in colours:
        text = text.replace(colour, "")

    is_right(read(text.encode(), tmp_path))


def test_arguments_may_fill_a_narrow_terminal(tmp_path):
    """Before release 0.9 a server printed them all."""
    every = ", ".join(f"an_option_{number:03}=None" for number in range(120))
    asked = (
        f"{SERVER}INFO 03-11 09:15:02 [api_server.py:981] args: Namespace({every}, gpu_memory_utilization=0.85, port=1)"
    )

    is_right(read(divided("\n".join([LINES[0], asked, *LINES[2:]]), 80).encode(), tmp_path))


def test_a_piece_of_another_record_is_not_what_was_cut_off(tmp_path):
    """`Loading mode`, `l from scratch...` at an unknown width."""
    started = f"{TP1}INFO 03-11 09:15:25 [gpu_model_runner.py:2607] Loading mode\nl from scratch...\n"

    is_right(read((started + TEXT).encode(), tmp_path))


@pytest.mark.parametrize("width", [80, 100, 118, 160])
def test_a_box_is_no_text(width, tmp_path):
    """Its lines are divided at blanks, and padded."""
    lines = [
        piece for line in LINES for piece in textwrap.wrap(line, width, break_long_words=True, break_on_hyphens=False)
    ]

    is_right(read(boxed(lines, width).encode(), tmp_path))


@pytest.mark.parametrize("width", [80, 120])
def test_a_box_may_divide_at_a_column(width, tmp_path):
    """As tmux's panes do."""
    is_right(read(boxed(divided(TEXT, width).splitlines(), width).encode(), tmp_path))


def test_a_wide_box_is_taken_off_too(tmp_path):
    """Nothing is divided in it."""
    is_right(read(boxed(LINES, 400, title="").encode(), tmp_path))


def framed(lines: list[str], width: int) -> str:
    rule = f"+{'-' * (width + 2)}+\n"
    return rule + "".join(f"| {line:<{width}} |\n" for line in lines) + rule


SPLIT = divided(TEXT, 100).splitlines()
INDENTED = [textwrap.fill(line, 100, subsequent_indent="    ") for line in LINES]
QUOTED = str.maketrans({"'": "&#39;", '"': "&quot;", "<": "&lt;"})
SEEN: dict[str, str] = {
    "a frame of plain characters": framed(LINES, 400),
    "one that divides": framed(SPLIT, 100),
    "beside another pane": "".join(f"{line:<100}│ GPU 0: 37C 80W\n" for line in SPLIT),
    "between two panes": "".join(f"{'top':<12}│{line:<100}│ GPU 0\n" for line in SPLIT),
    "a bar at the left alone": "".join(f"│ {line}\n" for line in LINES),
    "a coloured box": "".join(f"\x1b[34m║\x1b[0m {line:<300}\x1b[34m║\x1b[0m\n" for line in LINES),
    "a box, newest first": "".join(f"│ {line:<300} │\n" for line in LINES[::-1]),
    "divided, newest first": "".join(divided(line, 100) for line in LINES[::-1]),
    "divided behind Docker's times": divided("".join(f"{time} {line}\n" for time, line in RECORDS), 90),
    "divided behind a service's name": divided("".join(f"vllm-1  | {line}\n" for line in LINES), 110),
    "divided at blanks": "".join(textwrap.fill(line, 100) + "\n" for line in LINES),
    "divided at blanks, and indented": "\n".join(INDENTED),
    "typographic blanks and quotes": TEXT.translate({0x20: "\u00a0", 0x27: "\u2019"}),
    "a web page's source": f"<pre>\n{TEXT.translate(QUOTED)}</pre>\n",
    "each line twice, the second one later": "".join(
        f"{line}\n{f'(ServeReplica:app pid=9, ip=10.0.0.1) {before}'}\n"
        for line, before in zip([*LINES, ""], ["", *LINES], strict=True)
    ),
    "each line twice": "".join(f"{line}\n{line}\n" for line in LINES),
    "a quotation": "".join(f"> {line}\n" for line in LINES),
    "srun -l": "".join(f"0: {line}\n" for line in LINES),
    "aws logs tail": "".join(f"{time[:-1]}+00:00 vllm/llm/abc123 {line}\n" for time, line in RECORDS),
}


@pytest.mark.parametrize("content", SEEN.values(), ids=SEEN)
def test_what_a_terminal_or_a_page_shows_is_read(content, tmp_path):
    """Whatever stands beside the lines, and however they were divided."""
    is_right(read(content.encode(), tmp_path))


def test_the_name_of_a_service_is_no_pane(tmp_path):
    """Docker Compose's bars stand in one column too."""
    recording = read("".join(f"vllm-1  | {line}\n" for line in LINES).encode(), tmp_path)

    assert (recording.file.changes, recording.log.source) == ((), "vllm-1")


@pytest.mark.parametrize("width", range(84, 132, 3))
def test_a_maximum_over_ranks_of_which_one_was_cut_off_is_absent(width, tmp_path):
    """A terminal that does not go on in the next line, `cut -c`: the other rank's number is not that of the start."""
    log = read("".join(line[:width] + "\n" for line in LINES).encode(), tmp_path).log
    metrics = summarise(log.readings)

    assert all(RIGHT.get(name, value) == value for name, value in metrics.items())


@pytest.mark.parametrize("mark", ["", "…"])
@pytest.mark.parametrize("name", ["auto-tp2", "server-runai_streamer-tp1"])
def test_what_a_start_prints_of_itself_is_right_or_absent_wherever_lines_are_cut_off(name, mark, tmp_path):
    """`Using max model len 512` at 80 columns ends in 5; each width at which one of its digits is lost, and one beside."""
    text = (Path(__file__).parents[1] / "logs" / "cpu-vllm0.32.0" / f"{name}.log").read_text()
    whole = info_params(read(text.encode(), tmp_path).log.info)
    end = next(len(line) for line in text.splitlines() if "Using max model len 512" in line)
    for width in range(end - 4, end + 2):
        lines = (line[:width] + mark * (len(line) > width) for line in text.splitlines())
        found = info_params(read("".join(line + "\n" for line in lines).encode(), tmp_path).log.info)

        assert found.items() <= whole.items(), width


# Each line twice.

STREAMED = "[RunAI Streamer] Overall time to stream 15.0 GiB of all files to cpu: {0}s, 3.6 GiB/s"
STAMPED = "[2026-03-11 09:15:52] INFO file_streamer.py:66: " + STREAMED
REPLICA = "(ServeReplica:llm:LLMServer:tiny pid=28488) "


@pytest.mark.parametrize("text", [STREAMED, STAMPED, f"INFO 03-11 09:15:52 [a.py:66] {STREAMED}"])
@pytest.mark.parametrize(
    "ways",
    [
        ["", REPLICA],
        [REPLICA, REPLICA],
        [f"{REPLICA}(EngineCore pid=29087) ", "(EngineCore pid=29087) "],
        [REPLICA + "(RayWorkerProc pid={1}) ", ""],
    ],
)
def test_a_line_that_ray_shows_twice_counts_once(text, ways, tmp_path):
    """Told by its text and its process, whether or not it has a level and a time."""
    lines = [*LINES[:5]]
    for rank, took in ((0, "4.21"), (1, "5.33")):
        lines += [f"{way}(Worker_TP{rank} pid={9 + rank}) {text}".format(took, 9 + rank) for way in ways]
    metrics = summarise(read("".join(line + "\n" for line in lines).encode(), tmp_path).log.readings)

    assert (metrics["phase/stream_s"], metrics["stream/size_gib"]) == (5.33, 15.0)
    assert (metrics["rank/TP0/phase/stream_s"], metrics["rank/TP0/stream/size_gib"]) == (4.21, 15.0)
