"""The shape of a line that is like none before -> whether anybody can want it, told without reading it. Pure.

A log of days is what a server says of its requests, and their ids make each line one of a kind: but for the letters of ids, too, lines
are alike.
"""

from functools import lru_cache

from bench.log.interest import ALL_TEXTS, ANY, ENDS, EVERYTHING, RANKED, SERVES, TEXTS_OF_A_START, of_speaker
from bench.log.prefixes import PROCESSES, speaker_of
from bench.log.shapes import HEX, SHAPE_BYTES
from bench.log.sought import Sought

OF_A_START = Sought(TEXTS_OF_A_START)
OF_A_START_IN_HEX, ANY_IN_HEX = Sought(TEXTS_OF_A_START, HEX), Sought(ALL_TEXTS, HEX)

# Nothing stands around a line that begins so, but for a stamp of bench's own: it is vLLM's.
BEGINNINGS = (b"(", b"INFO 0", b"INFO 1", b"INFO:  ")
STAMP = b" 0."
# One is in each line that shows what stands around lines here, is JSON, or goes on in the next one.
SIGNS = (b"pid=", b"INFO", b"WARNING", b"ERROR", b"DEBUG", b"CRITICAL", b"{", b" P ", b"Traceback")
OF_A_TERMINAL = (b"\x1b", b"^[", b"[0", b"\\u")


SERVERS = (b"erver", b"RustFrontend")
# In a record of JSON: of a rank, or escaped and not to be read as it stands.
NOT_IN_JSON = (b"Worker", b"TP0", b"rank", b"\\u")


def chatter_bits(shape: bytes, wanted: int) -> int | None:
    """RANKED or 0 where a line of this shape is of none of these interests; None where it may be, or is not plain enough to say."""
    if shape.startswith(b'{"'):
        return _bits_of_json(shape, wanted)
    if shape.startswith(BEGINNINGS) and len(shape) <= SHAPE_BYTES and b"[0" not in shape:
        end = shape.find(b")") + 1 if shape.startswith(b"(") else 0
        bits = _bits_in_hex(
            shape[:end], shape[max(0, end - 1) :].translate(HEX), wanted
        )  # a text may begin with the bracket
        if bits is not None:
            return bits
    begun = shape.lstrip(STAMP)
    is_of_vllm = begun.startswith(BEGINNINGS)
    if wanted == EVERYTHING or _may_tell(shape, wanted):
        return None
    if _has_any(OF_A_TERMINAL, shape) or not (is_of_vllm or not _has_any(SIGNS, shape)):
        return None
    if not _is_one_line(shape) or shape.count(b"pid=") > 1:
        return None
    return _bits_of(begun[: begun.find(b")") + 1], wanted) if begun.startswith(b"(") else 0


@lru_cache(2000)
def _bits_in_hex(process: bytes, rest: bytes, wanted: int) -> int | None:
    """The same of all lines of vLLM's that differ in the letters of ids only: a text that none of them has as HEX makes it, none has. None
    says nothing of any of them.
    """
    if wanted == EVERYTHING or (ANY_IN_HEX if wanted & ENDS else OF_A_START_IN_HEX).is_in(rest):
        return None
    if process and not PROCESSES.fullmatch(process.decode(errors="replace")):
        return None
    if b"\x1b" in rest or b"^[" in rest or b"\\u" in rest or b"pi0=" in rest or not _is_one_line(rest):
        return None
    return _bits_of(process, wanted)


def _is_one_line(shape: bytes) -> bool:
    return shape.endswith((b"\n", b"\r")) and b"\r" not in shape[:-2]


def _bits_of_json(shape: bytes, wanted: int) -> int | None:
    """The same of a record. One of Docker's that does not end its line goes on in the next."""
    if wanted == EVERYTHING or _may_tell(shape.replace(b'\\"', b'"'), wanted) or _has_any(NOT_IN_JSON, shape):
        return None
    if wanted & SERVES and _has_any(SERVERS, shape):
        return None
    is_whole = shape.endswith(b"}\n") and (b'"log":' not in shape or b'\\n",' in shape)
    return 0 if is_whole else None


def _may_tell(shape: bytes, wanted: int) -> bool:
    return (ANY if wanted & ENDS else OF_A_START).is_in(shape)


def _has_any(texts: tuple[bytes, ...], shape: bytes) -> bool:
    for text in texts:  # noqa: SIM110 - twice as quick as any() with a generator
        if text in shape:
            return True
    return False


@lru_cache(1000)
def _bits_of(process: bytes, wanted: int) -> int | None:
    speaks = of_speaker(speaker_of(process.decode(errors="replace"))[0])
    return None if speaks & wanted else speaks & RANKED
