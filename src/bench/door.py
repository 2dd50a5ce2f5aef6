"""What every door has: help, a message instead of a traceback for a mistake of the user's, and an exit code."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps

from bench.errors import BenchError
from bench.interrupts import handled


def door(usage: str | None) -> Callable[[Callable[[list[str]], None]], Callable[[], None]]:
    """Makes a function of the command line's words a door."""

    def decorate(main: Callable[[list[str]], None]) -> Callable[[], None]:
        @wraps(main)
        def run() -> None:
            arguments = sys.argv[1:]
            if {"-h", "--help"} & set(arguments):
                print((usage or "").strip())
                return
            with handled():
                try:
                    main(arguments)
                except BenchError as error:
                    sys.exit(_to_stderr(error))

        return run

    return decorate


def _to_stderr(error: BenchError) -> int:
    print(error, file=sys.stderr)
    return 2


def split_arguments(
    arguments: Sequence[str], own: Mapping[str, str], prefix: str = "\0"
) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """The door's own settings over their defaults, those below `prefix`, and the rest, which is for conf/."""
    mine, below, rest = dict(own), dict[str, str](), list[str]()
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals and name in own:
            mine[name] = value
        elif equals and name.startswith(prefix):
            below[name.removeprefix(prefix)] = value
        else:
            rest.append(argument)
    return mine, below, rest
