"""What a load format should deliver to each rank, by the headers of the checkpoint's files.

Source: https://github.com/huggingface/safetensors#format: 8 bytes with the length of a JSON header, that header, then the
tensors' bytes.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

LONGEST_HEADER = 100 * 1024**2  # bytes, as the format allows
OF_A_RANK = re.compile(r"model-rank-(\d+)-part-\d+\.safetensors")
RANK = re.compile(r"TP(\d+)")

Delivered = tuple[int, int]  # tensors, bytes


def counts_of(path: Path) -> Delivered | None:
    """Tensors and their bytes in a safetensors file. None: it is not one."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= LONGEST_HEADER:
            return None
        try:
            header = json.loads(file.read(length))
            spans = [each["data_offsets"] for name, each in header.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
    return len(spans), sum(end - begin for begin, end in spans)


def indexed(paths: Iterable[Path], ranks: Iterable[str]) -> dict[str, Delivered] | None:
    """What these files hold for each rank: all of them, or its own where they are cut by rank.

    None: unknown, for files of other kinds, and for ranks that are not numbered by tensor parallelism alone.
    """
    counted = {path.name: counts_of(path) for path in paths}
    if not counted or None in counted.values():
        return None
    owners = {name: OF_A_RANK.fullmatch(name) for name in counted}
    found: dict[str, Delivered] = {}
    for rank in ranks:
        number = RANK.fullmatch(rank)
        if any(owners.values()) and number is None:
            return None
        mine = [
            count
            for name, count in counted.items()
            if count and ((owner := owners[name]) is None or (number and int(owner[1]) == int(number[1])))
        ]
        found[rank] = (sum(tensors for tensors, _ in mine), sum(size for _, size in mine))
    return found


def read_whole(delivered: Mapping[str, Delivered], expected: Mapping[str, Delivered] | None) -> bool | None:
    """Whether every rank was given exactly what the files hold for it. None: not known."""
    if expected is None or not delivered:
        return None
    return dict(delivered) == dict(expected)
