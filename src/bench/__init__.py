"""How long does vLLM take from exec to the first token, by load format, and can the number be trusted?"""

import sys

from bench.system import interrupts

__version__ = "0.1.0"

if sys.argv[:1] == ["-m"]:  # `python -m bench…` is importing a command, which takes a second
    interrupts.exit_at_once()
