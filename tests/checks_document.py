"""The table of docs/trust.md, made of the checks and of what they say of their planted cases."""

from bench.start.checks import CHECKS, Check
from planted import PLANTED

BEGIN, END = "<!-- checks -->", "<!-- /checks -->"
HEAD = """| source | against | what must hold | else | for example |
|---|---|---|---|---|
"""


def render() -> str:
    """The table, between its marks."""
    return f"{BEGIN}\n{HEAD}{''.join(map(_row, CHECKS))}{END}"


def _row(check: Check) -> str:
    first, second = check.sources
    said = next(iter(check.find(PLANTED[check.name][0]())))
    cells = (first, second, check.what, "warning" if check.warns else "invalid", said.replace("|", "\\|"))
    return f"| {' | '.join(cells)} |\n"
