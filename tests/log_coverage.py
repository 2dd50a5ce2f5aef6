"""docs/log_coverage.md, made of the rules and the facts: which rule reads what in which release, or why none does."""

from collections.abc import Iterator

from bench.log.texts import Rule
from bench.log.texts.phases import RULES
from log_facts import READ, Fact, filled, read_facts, release_key, why_unread

# Of a group of columns: title, the rules' phases and the field that they must have.
Column = tuple[str, str, str | None]
TABLES: tuple[tuple[str, tuple[Column, ...]], ...] = (
    (
        "Weights",
        (
            ("download", "download", None),
            ("prefetch", "prefetch", None),
            ("deserialize", "deserialize", None),
            ("load weights", "load_weights", None),
            ("online quantization", "online_quantization", None),
            ("load model", "load_model", None),
            ("stream", "stream", None),
            ("drafter", "drafter", None),
            ("n-grams", "ngram", None),
        ),
    ),
    (
        "Compiling and capturing",
        (
            ("dynamo", "dynamo", None),
            ("torch.compile", "torch_compile", None),
            ("profiling run", "profiling_run", None),
            ("compile and run together", "compile_and_profiling_run", None),
            ("graph capture", "graph_capture", None),
            ("encoder graph capture", "encoder_graph_capture", None),
        ),
    ),
    (
        "KV cache, engine, outcome",
        (
            ("KV cache, GiB", "kv_cache", "memory_gib"),
            ("KV cache, tokens", "kv_cache", "tokens"),
            ("max. concurrency", "kv_cache", "max_concurrency"),
            ("init engine", "init_engine", None),
            ("version", "version", None),
            ("server starting", "server_starting", None),
            ("failed", "failed", None),
            ("ready", "ready", None),
        ),
    ),
)

# Where no format string of a release tells of a column: letter, column, last release of the hole, reason.
HOLES = (
    ("a", "prefetch", "0.17.1", "there was no prefetch before 0.18.0"),
    ("b", "online quantization", "0.31.0", "its time is printed from 0.32.0"),
    ("c", "stream", "0.33.0", "not vLLM's line but Run:ai Model Streamer's, whose version decides: the rule for it is {stream}"),
    ("d", "profiling run", "0.17.1", "not printed before 0.18.0; it is in init engine"),
    ("e", "compile and run together", "0.17.1", "torch.compile's own total was always printed before 0.18.0"),
    ("f", "encoder graph capture", "0.30.0", "not printed before 0.31.0"),
    ("g", "KV cache, GiB", "0.9.0.1", "the V1 engine does not print it before 0.9.1; the V0 engine does (worker.py): rule {v0}"),
    ("h", "ready", "0.33.0", "vLLM does not time it: bench does; logs of the script that made the seed have it, by rule {ready}"),
    ("i", "n-grams", "0.33.0", "told by the arguments and the engine's config, of whose text the list has only that it is printed"),
)  # fmt: skip

HEAD = """# What is read in vLLM's log, release by release

Made by `tests/log/test_log_coverage.py` from `log/texts/` and the format strings of 37 releases of vLLM
(`tests/facts/vllm_log_formats.tsv`). Not to be edited: `BENCH_WRITE_DOCS=1 python -m pytest tests/log/test_log_coverage.py`
writes it anew.

A number is a rule's, in the list below; a letter is a reason why there is none. No cell is empty. "Printed" means that the
release has the text: whether a start prints it depends on its device, load format and settings too (a CPU prints no load model
and no graph capture; runai_streamer, tensorizer, dummy, bitsandbytes and gguf no load weights).
"""


def reads(rule: Rule, fact: Fact) -> bool:
    """Whether the rule finds something in this format, filled in."""
    return fact.text in READ and rule.pattern.search(filled(fact.text, READ[fact.text][0])) is not None


def releases_of(rule: Rule, facts: list[Fact]) -> list[str]:
    """Those that have a format which the rule reads, in order."""
    return sorted({release for fact in facts if reads(rule, fact) for release in fact.releases}, key=release_key)


def render() -> str:
    """The whole file."""
    facts = read_facts()
    releases = sorted({release for fact in facts for release in fact.releases}, key=release_key)
    return "\n".join([HEAD, *_tables(facts, releases), *_reasons(), *_rules(), *_formats(facts)]) + "\n"


def _tables(facts: list[Fact], releases: list[str]) -> Iterator[str]:
    for title, columns in TABLES:
        read = {column: _read_by(column, facts) for column in columns}
        yield f"## {title}\n"
        yield f"| vLLM | {' | '.join(name for name, *_ in columns)} |"
        yield f"|---|{'---|' * len(columns)}"
        for release in releases:
            yield f"| {release} | {' | '.join(_cell(column, release, read[column]) for column in columns)} |"
        yield ""


def _read_by(column: Column, facts: list[Fact]) -> dict[str, list[int]]:
    """Rules of this column by release."""
    _, phase, field = column
    found: dict[str, list[int]] = {}
    for number, rule in enumerate(RULES, 1):
        if rule.phase == phase and (field is None or field in rule.pattern.groupindex):
            for release in releases_of(rule, facts):
                found.setdefault(release, []).append(number)
    return found


def _cell(column: Column, release: str, read: dict[str, list[int]]) -> str:
    title, *_ = column
    reasons = [letter for letter, name, last, _ in HOLES if name == title and release_key(release) <= release_key(last)]
    numbers = [str(number) for number in read.get(release, [])]
    assert bool(numbers) != bool(reasons), f"{title} in {release}: {numbers or 'no rule'}, {reasons or 'no reason'}"
    return ", ".join(numbers or reasons)


def _reasons() -> Iterator[str]:
    numbers = {
        "stream": _number("stream", "Overall time to stream"),
        "v0": _number("kv_cache", "the rest of the memory reserved"),
        "ready": _number("ready", "BENCHMARK_READY"),
    }
    yield "## Why there is no rule\n"
    for letter, column, _, reason in HOLES:
        yield f"- **{letter}** ({column}) {reason.format(**numbers)}."
    yield ""


def _number(phase: str, words: str) -> int:
    (found,) = (at for at, rule in enumerate(RULES, 1) if rule.phase == phase and words in rule.example)
    return found


def _rules() -> Iterator[str]:
    yield "## The rules\n"
    yield "| rule | phase | what it reads | vLLM | example |"
    yield "|---:|---|---|---|---|"
    for number, rule in enumerate(RULES, 1):
        fields = ", ".join(rule.pattern.groupindex) or "that it was said"
        yield f"| {number} | {rule.phase} | {fields} | {rule.vllm} | `{rule.example}` |"
    yield ""


def _formats(facts: list[Fact]) -> Iterator[str]:
    yield "## Every format string\n"
    yield "| text | level | vLLM | read by |"
    yield "|---|---|---|---|"
    for fact in facts:
        numbers = ", ".join(f"rule {number}" for number, rule in enumerate(RULES, 1) if reads(rule, fact))
        quote = "``" if "`" in fact.text else "`"
        yield f"| {quote}{fact.text}{quote} | {fact.level} | {fact.ranges} | {numbers or why_unread(fact)} |"
