"""Which line begins a start. Pure."""

import re
from typing import NamedTuple

from bench.log.lines import LogLine
from bench.log.texts.server_info import ENGINE, FRONT, PREFACE

VLLM_PROCESS = re.compile(r"(?:API|Api)Server|EngineCore|Worker|VllmWorker|MainProcess|DPSupervisor|DPCoordinator")
NUMBERED = re.compile(r"_(?:DP)?\d+$")


class Opening(NamedTuple):
    """A text that a start prints once, and which of several processes printed it: `who` distinguishes them."""

    kind: str
    who: str


def opening_of(line: LogLine) -> Opening | None:
    """What of a start's beginning this line is."""
    text = line.text
    kind = "engine" if ENGINE.search(text) else next((name for name, each in FRONT if each.search(text)), None)
    return Opening(kind, _who(line)) if kind else None


def is_preface(line: LogLine) -> bool:
    """Whether it is printed before the beginning of a start, by every process."""
    return line.pid is None and PREFACE.match(line.text) is not None


def _who(line: LogLine) -> str:
    """Replicas have a number. A name that is not vLLM's is an actor's of Ray, several of which may hold engines at the same time."""
    if line.pid is None or (line.node is None and line.process and VLLM_PROCESS.match(line.process)):
        return line.process if line.process and NUMBERED.search(line.process) else ""
    return f"{line.process} {line.node} {line.pid}"


def begins(opening: Opening, opened: set[Opening], *, has_numbers: bool) -> bool:
    """Something that a start prints once comes again, or the front of one behind what comes later in a start: another start. Behind
    numbers, too, where the log begins in the middle of one.
    """
    kinds = {each.kind for each in opened}
    if has_numbers and not kinds and not opening.who:
        return True
    behind = "usage" in kinds or ("engine" in kinds and opening.kind != "engine") or (kinds and opening.kind == "usage")
    return opening in opened or bool(behind and not opening.who)
