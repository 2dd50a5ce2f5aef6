"""The table: which text of vLLM's log tells what, in which releases. Each row carries its own test, an example.

Source of the texts: vLLM's and Run:ai Model Streamer's own format strings, release by release. Which release prints
which, and what is not read and why: docs/log_coverage.md.
"""

from bench.startup.rules.caches import CACHES
from bench.startup.rules.compiling import COMPILING
from bench.startup.rules.engine import ENGINE
from bench.startup.rules.rule import Rule
from bench.startup.rules.stages import SERVING, stage_of
from bench.startup.rules.weights import WEIGHTS

__all__ = ["RULES", "SERVING", "Rule", "stage_of"]

RULES = (*WEIGHTS, *COMPILING, *CACHES, *ENGINE)
