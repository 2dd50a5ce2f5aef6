"""A rehearsal of the command that vLLM is started behind: run once before the first start with a script in place of vLLM.

It finds out what is installed there, and what did not arrive of that which vLLM will need: files, the port, variables.
"""

import json
import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.config import Settings
from bench.errors import SettingError
from bench.host.container import HOST, env_file, free_port, listens_at, words_of
from bench.host.short_command import ShortCommandError, run_short
from bench.host.versions import VERSIONS, Installed, installed_in

PROBE = Path(__file__).parents[1] / "vllm" / "probe"
VARIABLES = ("BENCH_REHEARSAL", "BENCH_REHEARSAL_2")  # two: a template may have room for one
REHEARSAL_S = 60.0
ANSWER_AT_MOST = 1 << 16  # bytes
KNOCK_EVERY_S = 0.05
HERE = Path("/proc/sys/kernel/random/boot_id")

# Runs in the container, before VERSIONS. What it prints is one line.
REHEARSAL = f"""
import json, os, socket, sys
asked = json.loads(sys.argv[1])
def readable(path):
    try: return all(os.access(os.path.join(path, name), os.R_OK) for name in os.listdir(path))
    except OSError: return False
def writable(path):
    file = os.path.join(path, asked["nonce"])
    try: open(file, "x").close(); os.remove(file); return True
    except OSError: return False
def identity(path):
    try: return [os.stat(path).st_dev, os.stat(path).st_ino]
    except OSError: return None
def kernel():
    try: return open({str(HERE)!r}).read().strip()
    except OSError: return None
found = {{"unread": [path for path in asked["read"] if not readable(path)], "unwritten": [path for path in asked["write"] if not writable(path)],
         "identity": {{path: identity(path) for path in asked["read"]}}, "nonces": [os.environ.get(name) for name in {VARIABLES!r}], "kernel": kernel(), "is_reached": False}}
try:
    server = socket.create_server((asked["host"], asked["port"]))
    server.settimeout(5)
    while not found["is_reached"]:
        peer = server.accept()[0]
        peer.settimeout(1)
        try:
            peer.sendall(asked["nonce"].encode())
            found["is_reached"] = peer.recv(99) == asked["nonce"].encode()
        except OSError: pass
        finally: peer.close()
except OSError: pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Rehearsal:
    """What is rehearsed. `read`, `write`: folders that must be there too, by the same path; one that is not there yet is left out."""

    template: str
    python: str
    read: tuple[str, ...]
    write: tuple[str, ...]
    places: tuple[tuple[str, str], ...]  # placeholder -> value
    needs_kernel: tuple[str, ...] = ()  # settings that have effect only on the kernel that bench itself runs on


def rehearsal_of(settings: Settings, python: str) -> Rehearsal:
    """What a start with these settings needs of its container."""
    assert settings.vllm.command is not None
    folders = {
        "model": settings.checkpoint_path,
        "caches": str(Path(settings.caches_dir).absolute()),
        "probe": str(PROBE),
    }
    places = {name: path for name, path in folders.items() if Path(path).is_dir()}
    needs_kernel = ["page_cache=as_is"] if settings.page_cache != "as_is" else []
    needs_kernel += ["probe=false"] if settings.probe else []
    reads = [places[name] for name in ("model", *(["probe"] if settings.probe else [])) if name in places]
    writes = ["{folder}"] if settings.probe else []
    writes += [places["caches"]] if settings.compile_cache != "as_is" and "caches" in places else []
    return Rehearsal(
        settings.vllm.command, python, tuple(reads), tuple(writes), tuple(places.items()), tuple(needs_kernel)
    )


def rehearse(asked: Rehearsal) -> Installed:
    """What is installed in the container; nothing is left behind. Two variables stand for those of vLLM.

    Raises:
        SettingError: it cannot be run, has no vLLM, or does not get what vLLM needs.
    """
    nonce, port = secrets.token_hex(8), free_port()
    variables = dict.fromkeys(VARIABLES, nonce)
    with TemporaryDirectory(prefix=".bench-rehearsal-", dir=".") as made:
        folder = str(Path(made).resolve())
        places = {"folder": folder, "caches": folder, "model": folder, **dict(asked.places), "port": str(port)}
        question = {
            "nonce": nonce, "host": listens_at(asked.template), "port": port,
            "read": asked.read, "write": [folder if path == "{folder}" else path for path in asked.write],
        }  # fmt: skip
        with env_file(asked.template, variables, Path(made)) as file, knocking(port, nonce.encode()):
            words = words_of(asked.template, {**places, **file}, variables)
            words += [asked.python, "-c", REHEARSAL + VERSIONS, json.dumps(question)]
            try:
                done = run_short(words, timeout_s=REHEARSAL_S, bytes_at_most=ANSWER_AT_MOST, environment=variables)
            except (OSError, ShortCommandError) as error:
                hint = " An image must be there already: pull it." if isinstance(error, ShortCommandError) else ""
                raise SettingError(f"vllm.command: {words[0]} cannot be run: {error}.{hint}") from error
    *_, first, rest = ["", "", *done.output.strip().splitlines()]  # an image may greet first
    try:
        found = json.loads(first)
        missing = list(missing_in(found, asked, nonce))
    except (ValueError, TypeError, KeyError) as error:
        output = " ".join((done.errors or done.output).split())[-200:]
        hint = " Its words with {name} come once for each variable: an option has its value in the same word, as --env={name}."
        raise SettingError(
            f"vllm.command: {asked.python} did not answer behind it (exit code {done.exit_code}). It printed: {output!r}."
            + hint * ("{name}" in asked.template)
        ) from error
    if missing:
        raise SettingError("\n".join(f"vllm.command: {each}." for each in missing))
    return installed_in(rest, done, f"vllm.command, vllm.python={asked.python}")


def missing_in(found: Mapping[str, Any], asked: Rehearsal, nonce: str) -> Iterator[str]:
    """A sentence for each thing that did not arrive, with what to write."""
    if found["nonces"] != [nonce] * len(VARIABLES):
        yield "vLLM's variables do not arrive in the container. Pass them: --env-file={env_file}, or --env={name}"
    is_our_kernel = found["kernel"] is not None and found["kernel"] == own_kernel()
    wrong = dict.fromkeys(found["unread"], "cannot be read, with all that is in it")
    wrong |= dict.fromkeys(found["unwritten"], "cannot be written to")
    if is_our_kernel:  # a copy, in an image for instance, has a page cache of its own
        others = [path for path in asked.read if found["identity"][path] != identity(path)]
        wrong = dict.fromkeys(others, "is another folder than here") | wrong
    for path, what in wrong.items():
        place = next((f"{{{name}}}" for name, value in asked.places if value == path), "{folder}")
        yield f"{path} {what} in the container. Mount it at the same path: -v {place}:{place}"
    if not found["is_reached"]:
        yield f"what listens in the container is not reached at {HOST}. Publish its port: -p {HOST}:{{port}}:{{port}}, or share the host's network"
    if asked.needs_kernel and not is_our_kernel:
        yield f"the container runs on another kernel than bench, whose page cache and clock are its own. Set {' '.join(asked.needs_kernel)}"


def identity(path: str) -> list[int]:
    """Of a folder, whatever mounts it where."""
    found = Path(path).stat()
    return [found.st_dev, found.st_ino]


def own_kernel() -> str | None:
    """Of this boot."""
    with suppress(OSError):
        return HERE.read_text(encoding="ascii").strip()
    return None


@contextmanager
def knocking(port: int, nonce: bytes) -> Iterator[None]:
    """While the block runs, this port is connected to again and again, and what it sends is sent back where it is the nonce."""
    over = threading.Event()

    def knock() -> None:
        while not over.wait(KNOCK_EVERY_S):
            with suppress(OSError), socket.create_connection((HOST, port), timeout=1) as peer:
                if peer.recv(len(nonce)) == nonce:
                    peer.sendall(nonce)

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
