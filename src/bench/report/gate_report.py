"""The outcome of a gate for those who read it: lines for the terminal, a JUnit file, and a summary for a step of GitHub Actions."""

import re
from xml.etree import ElementTree as ET

from bench.analysis.gate import Gate, Judgement, Outcome
from bench.start.metric_types import Metric

WORDS = {Outcome.PASSED: "passed", Outcome.FAILED: "FAILED", Outcome.UNRESOLVED: "NOT RESOLVED"}
NOTHING = "there is no candidate: name two points or two sweeps"
NOT_IN_XML = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def gate_lines(gate: Gate) -> list[str]:
    """For the terminal: the outcome, and a line for each candidate."""
    lines = [f"gate     {_title(gate.limit, gate.metric)}: {WORDS[gate.outcome]}"]
    found = [f"  {WORDS[each.outcome]:12}  {_sentence(each)}" for each in gate.judgements]
    return [*lines, *(found or [f"  {NOTHING}"])]


def _title(limit: float, metric: Metric) -> str:
    return f"{metric.name} at most {limit * 100:.4g} % above the baseline's"


def _sentence(judgement: Judgement) -> str:
    if judgement.time is None:
        against = f" against {judgement.baseline}" if judgement.baseline else ""
        return f"{judgement.candidate}{against}: {judgement.why}"
    how = "" if judgement.time.paired else ", not paired (Welch)"
    time = judgement.time
    n = f"{time.confidence * 100:.4g} % interval, n = {time.n}{how}"
    ratio = f"{time.mean:.3f} [{time.low:.3f}, {time.high:.3f}]"
    return f"{judgement.candidate} takes {ratio} times as long as {judgement.baseline} ({n}): {judgement.why}"


def step_summary(gate: Gate, tables: str) -> str:
    """Markdown: the outcome and the report's own tables."""
    rows = [
        f"| `{_cell(each.candidate)}` | {WORDS[each.outcome]} | {_cell(_sentence(each))} |" for each in gate.judgements
    ]
    head = f"## {WORDS[gate.outcome]}: {_title(gate.limit, gate.metric)}\n"
    table = ["| Candidate | Outcome | Why |", "| --- | --- | --- |", *rows] if rows else [NOTHING]
    return "\n".join([head, *table, "", tables, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def junit(gate: Gate) -> str:
    """A test case for each candidate: a failure where it failed the gate, an error where that could not be resolved."""
    cases = [(f"{each.candidate} against {each.baseline}", each.outcome, _sentence(each)) for each in gate.judgements]
    return _junit(_title(gate.limit, gate.metric), cases or [("gate", Outcome.UNRESOLVED, NOTHING)])


def junit_of_error(message: str) -> str:
    """Where the comparison itself was refused."""
    return _junit("gate", [("gate", Outcome.UNRESOLVED, message)])


def _junit(title: str, cases: list[tuple[str, Outcome, str]]) -> str:
    counts = {
        "tests": len(cases),
        "failures": sum(outcome is Outcome.FAILED for _, outcome, _ in cases),
        "errors": sum(outcome is Outcome.UNRESOLVED for _, outcome, _ in cases),
    }
    numbers = {name: str(number) for name, number in counts.items()}
    root = ET.Element("testsuites", numbers)
    suite = ET.SubElement(root, "testsuite", {"name": f"bench.compare: {title}", **numbers})
    for name, outcome, text in cases:
        case = ET.SubElement(suite, "testcase", {"classname": "bench.compare", "name": _xml(name)})
        element = {Outcome.FAILED: "failure", Outcome.UNRESOLVED: "error"}.get(outcome)
        below = ET.SubElement(case, element, {"message": _xml(text)}) if element else ET.SubElement(case, "system-out")
        below.text = _xml(text)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _xml(text: str) -> str:
    """Without characters that XML cannot hold."""
    return NOT_IN_XML.sub("�", text)
