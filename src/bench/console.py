"""bench: how long does vLLM take from exec to the first token, by load format? All commands as one program, beside their `python -m` forms.

bench run                                        one start of vLLM, one MLflow run
bench run -m load_format=auto,runai_streamer     a sweep: every start a run, nested in the sweep's run
bench compare                                    the last sweep -> benchmark_results/<sweep>/: report.md, report.html, figures, JSON, logs
bench predict storage=gp3                        how long each point of the last sweep would load from another storage
bench prepare load_format=sharded_state          makes the checkpoints that load formats need
bench replay LOG...                              logs recorded elsewhere become runs, and compare like any other

bench completion bash|zsh|fish                   what the tab key offers: commands, settings, their values; eval "$(bench completion bash)"
bench COMMAND --help                             its settings
bench --version
"""

import sys
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module

from bench import __version__
from bench.completion.scripts import SCRIPTS, answer
from bench.system.interrupts import exit_at_once
from bench.system.output import exit_where_lost, guard_output, print_message, print_result
from bench.system.program import MODULES, called_by_script, version_line


def main() -> None:
    """The console script: the first word is a command, the others are that command's."""
    exit_at_once()
    if not sys.argv[0].endswith(".py"):  # of python -m bench.console
        called_by_script(sys.argv[0])
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word == "complete":
        with suppress(Exception):  # a shell that waits for the tab key's answer gets none
            sys.stdout.write("\n".join(answer(*sys.argv[2:])))
        return
    if word in MODULES:
        del sys.argv[1]
        module = "bench.__main__" if word == "run" else MODULES[word]
        import_module(module).main()
        return
    guard_output()
    if word in {"-h", "--help", "help"}:
        print_result((__doc__ or "").strip())
    elif word == "completion" and sys.argv[2:3] and sys.argv[2] in SCRIPTS:
        print_result(SCRIPTS[sys.argv[2]].strip())
    elif word == "--version":
        print_result(version_line(__version__))
    else:
        print_message(_no_such_command(word))
        sys.exit(2)
    exit_where_lost()


def _no_such_command(word: str) -> str:
    if word == "completion":
        return f"bench completion: of which shell?  {', '.join(f'bench completion {shell}' for shell in SCRIPTS)}"
    every = ", ".join(MODULES)
    if near := get_close_matches(word, MODULES, 1):
        return f"bench {word}: there is no such command; nearest: {near[0]}; all: {every}."
    if "=" in word or word.startswith("-"):
        return f"{word}: a command comes first, as in  bench run {word}  All: {every}."
    return f"bench {word}: there is no such command; all: {every}."


if __name__ == "__main__":
    main()
