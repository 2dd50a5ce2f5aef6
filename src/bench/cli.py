"""What every command has: help, a message instead of a traceback for a mistake of the user's, and an exit code."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps

from bench import __version__
from bench.errors import BenchError, SettingError
from bench.host.output_folders import refuse_current_folder
from bench.start.steps import ENVIRONMENT_ERRORS, describe_error
from bench.system.interrupts import handled
from bench.system.output import exit_where_lost, guard_output, print_message, print_result
from bench.system.program import version_line
from bench.vllm.forsaken import end_forsaken

TAKES = ("tracking", "cache_dir", "caches_dir", "experiment")  # settings that have an effect where nothing is started


def command(usage: str | None) -> Callable[[Callable[[list[str]], None]], Callable[[], None]]:
    """Decorator: a function of the command line's arguments becomes an entry point. `usage` is what --help prints.

    Exits with 2 and a message on standard error where the user's input or the environment is at fault; with 128 + signal
    where it was interrupted.
    """

    def decorate(main: Callable[[list[str]], None]) -> Callable[[], None]:
        @wraps(main)
        def run() -> None:
            guard_output()
            arguments = sys.argv[1:]
            if {"-h", "--help", "--version"} & set(arguments):
                print_result(version_line(__version__) if "--version" in arguments else (usage or "").strip())
                exit_where_lost()
                return
            with handled():
                try:
                    refuse_current_folder()
                    end_forsaken()
                    main(arguments)
                except (BenchError, *ENVIRONMENT_ERRORS) as error:
                    print_message(describe_error(error))
                    sys.exit(2)

        return run

    return decorate


def split_arguments(
    arguments: Sequence[str], own: Mapping[str, str], prefix: str = "\0"
) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Returns the command's own settings over their defaults, those whose names begin with `prefix`, without it, and the
    remaining arguments, which are overrides of conf/.

    Raises:
        SettingError: one of them is typed twice, with two values, or without a value: a variable of the shell that is not set would
            leave out in silence what it stands for, as a gate.
    """
    mine, below, rest = dict(own), dict[str, str](), list[str]()
    typed: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals and (name in own or name.startswith(prefix)) and typed.setdefault(name, argument) != argument:
            raise SettingError(
                f"{typed[name]} and {argument} both set {name}, and only one of them could count. Type it once."
            )
        if equals and name in own:
            if not value.strip():
                raise SettingError(
                    f"{name}=: must have a value; it is empty, as a variable that is not set is. Type one, or leave {name}= out."
                )
            mine[name] = value
        elif equals and name.startswith(prefix):
            below[name.removeprefix(prefix)] = value
        else:
            rest.append(argument)
    return mine, below, rest
