"""Record real start-up logs of one vLLM release on a CPU. Standard library only; run by hand, never by the tests.

    python tests/recording install 0.12.0                  # an environment in /opt/vllm/0.12.0, about 6 GB
    python tests/recording start 0.12.0 auto-tp1-eager auto-tp2-eager
    python tests/recording cases                           # their names

Each case is one start of vLLM's own server, both its outputs in one file, kept as they came:
tests/logs/cpu-vllm0.12.0/auto-tp1-eager.log. What is needed besides: tests/logs/README.md.
"""

import argparse
from pathlib import Path

from install import ENVIRONMENTS, install

from cases import CASES
from start import record

LOGS = Path(__file__).parents[1] / "logs"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["install", "start", "cases"])
    parser.add_argument("version", nargs="?")
    parser.add_argument("names", nargs="*", choices=[*CASES, []], metavar="case")
    chosen = parser.parse_args()
    if chosen.action == "cases":
        print("\n".join(CASES))
    elif not chosen.version:
        parser.error(f"{chosen.action} of which release?")
    elif chosen.action == "install":
        install(chosen.version)
    for name in chosen.names:
        log = LOGS / f"cpu-vllm{chosen.version}" / f"{name}.log"
        status = record(ENVIRONMENTS / chosen.version, CASES[name], log)
        print(f"{log}: exit status {status}, {log.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
