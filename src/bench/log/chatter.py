"""The shape of a line that is like none before -> whether anybody can want it, told without reading it. Pure.

A log of days is what a server says of its requests, and their ids make each line one of a kind.
"""

from functools import lru_cache

from bench.log.interest import ANY, ENDS, EVERYTHING, OF_A_START, RANKED, SERVES, of_speaker
from bench.log.prefixes import speaker_of

# Nothing stands around a line that begins so, but for a stamp of bench's own: it is vLLM's.
BEGINNINGS = (b"(", b"INFO 0", b"INFO 1", b"INFO:  ")
STAMP = b" 0."
# One is in each line that shows what stands around lines here, is JSON, or goes on in the next one.
SIGNS = (b"pid=", b"INFO", b"WARNING", b"ERROR", b"DEBUG", b"CRITICAL", b"{", b" P ", b"Traceback")
OF_A_TERMINAL = (b"\x1b", b"^[", b"[0", b"\\u")


# In a record of JSON: of a rank, or escaped and not to be read as it stands.
NOT_IN_JSON = (b"Worker", b"TP0", b"rank", b"\\u")


def chatter_bits(shape: bytes, wanted: int) -> int | None:
    """RANKED or 0 where a line of this shape is of none of these interests; None where it may be, or is not plain enough to say."""
    if shape.startswith(b'{"'):
        return _bits_of_json(shape, wanted)
    begun = shape.lstrip(STAMP)
    is_of_vllm = begun.startswith(BEGINNINGS)
    if wanted == EVERYTHING or _may_tell(shape, wanted):
        return None
    if _has_any(OF_A_TERMINAL, shape) or not (is_of_vllm or not _has_any(SIGNS, shape)):
        return None
    if not shape.endswith((b"\n", b"\r")) or b"\r" in shape[:-2] or shape.count(b"pid=") > 1:
        return None
    speaks = _bits_of(begun[: begun.find(b")") + 1]) if begun.startswith(b"(") else 0
    return None if speaks & wanted else speaks & RANKED


def _bits_of_json(shape: bytes, wanted: int) -> int | None:
    """The same of a record. One of Docker's that does not end its line goes on in the next."""
    if wanted == EVERYTHING or _may_tell(shape.replace(b'\\"', b'"'), wanted) or _has_any(NOT_IN_JSON, shape):
        return None
    if wanted & SERVES and b"erver" in shape:
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
def _bits_of(process: bytes) -> int:
    return of_speaker(speaker_of(process.decode(errors="replace"))[0])
