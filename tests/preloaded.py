"""Commands of bench without the seconds that their imports take: a process that has them imported forks one for each.

    {"run": [MODULE, WORD...], "cwd", "environment", "stdin", "stdout", "stderr", "hook"}    ->  {"pid"}
    {"poll": PID}                                                                             ->  {"code"}, null while it runs

JSON lines on standard input and output. A forked command is as `python -m MODULE WORD...` from its first line on: what
happens before, while it is imported, is not seen here. Its output goes to files, so that nothing here can stall it.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from hooks import stop_at

MODULES = (
    "bench.__main__", "bench.compare", "bench.predict", "bench.prepare", "bench.replay", "bench.sweep.run", "bench.sweep.job",
    "bench.report.start_figures", "jinja2",
    "hydra_plugins.bench_sweeper.sweeper", "hydra._internal.core_plugins.basic_launcher",
    "mlflow.tracking.client", "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.db.utils", "alembic.command",
    "mlflow.store.artifact.local_artifact_repo", "sqlalchemy.dialects.sqlite", "matplotlib.figure",
    "matplotlib.backends.backend_agg", "scipy.stats", "requests", "detect_secrets.settings", "detect_secrets.core.scan",
    "PIL.BmpImagePlugin", "PIL.GifImagePlugin", "PIL.JpegImagePlugin", "PIL.PpmImagePlugin", "alembic.config",
)  # fmt: skip


def main() -> None:
    """Fork a command for each request; a child leaves the loop, and is that command."""
    for name in MODULES:
        import_module(name)
    warm_up()
    gc.freeze()  # else a child copies every page that it looks at for garbage
    reply(ready=True)
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        if "poll" in request:
            reply(code=exit_code(request["poll"]))
        elif pid := os.fork():
            reply(pid=pid)
        else:
            end_as(request)


def warm_up() -> None:
    """Fills what a process fills once, as Hydra's grammar. Figures are made and not rendered, which would be half of a command's time:
    what matplotlib renders is looked at in tests/report and where a command is executed.
    """
    from matplotlib.figure import Figure

    from bench.compose import compose_settings
    from bench.masking import register

    compose_settings(["load_format=auto,dummy"])
    register.forget_all()
    Figure.savefig = lambda _, path: Path(path).touch()


def reply(**facts: Any) -> None:
    sys.stdout.buffer.write(json.dumps(facts).encode() + b"\n")
    sys.stdout.buffer.flush()


def exit_code(pid: int) -> int | None:
    """As subprocess has it: negative for the signal that ended it."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def end_as(request: dict[str, Any]) -> None:
    """As Python ends a program, but for taking apart the modules that it has imported, which takes a second."""
    code: Any = 1
    try:
        become(request)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # as Python's own main does
        sys.excepthook(*sys.exc_info())
    threading._shutdown()  # noqa: SLF001  # the two steps that a program of its own sees
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)


def become(request: dict[str, Any]) -> None:
    """The command that was asked for, as if it had just been executed."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if number in request["ignored"] else signal.SIG_DFL)
    if signal.SIGINT not in request["ignored"]:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    connect(request)
    if request["hook"]:
        stop_at(**request["hook"])
    module, *words = request["run"]
    sys.argv = [module, *words]
    import_module("bench.system.interrupts").exit_at_once()  # as `bench` itself does when it is imported
    for known in {module, f"{module}.__main__"} & set(sys.modules) - {"bench"}:
        del sys.modules[known]  # it is to be run, not found
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def connect(request: dict[str, Any]) -> None:
    """Standard streams: files by their paths; None for one that is closed."""
    flags = {"stdin": os.O_RDONLY, "stdout": os.O_WRONLY | os.O_CREAT, "stderr": os.O_WRONLY | os.O_CREAT}
    for number, (name, how) in enumerate(flags.items()):
        if request[name] is None:
            os.close(number)
            setattr(sys, name, None)  # as Python has it where there is none
            continue
        opened = os.open(request[name], how, 0o600)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        stream = os.fdopen(number, "r" if number == 0 else "w", buffering=-1, closefd=False)
        with suppress(Exception):
            stream.reconfigure(line_buffering=number == 2, errors="backslashreplace" if number == 2 else "strict")
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
