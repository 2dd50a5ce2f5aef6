"""What a checkpoint's files contain, in a few characters: cheap enough for every start, or of every byte.

Two answers to two questions. `content_digest` is the same for equal files wherever they lie and whenever they were
copied: it names and checks checkpoints. `file_stamps` is this host's file system's metadata of each file, and changes
when a file is exchanged or written to, even where no sampled block did.
"""

import hashlib
import os
import random
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
READ_WHOLE = (".json", ".py")  # index, config, tokenizer; code of the model's own, which decides what its weights mean
OURS = "bench_"  # manifests and other notes of bench are not content
BLOCK_BYTES = 4096  # one page
SAMPLED_BLOCKS = 16  # of each file, besides its first and its last
FULL_BLOCK_BYTES = 8 * 1024**2
THREADS = 8  # files at a time
DIGEST_BYTES = 16


def content_digest(folder: Path, *, full: bool = False) -> str:
    """A hexadecimal digest of the checkpoint in `folder`: names, sizes and bytes of its files, whatever their place and age.

    Takes in every weights file, every JSON file (index, config, tokenizer) and the model's own code at the top of the
    folder, but bench's own manifest. JSON and code are read whole. Of each weights file its size, its first and last block and 16 more at offsets that
    follow from its name and size are read, 72 KiB a file without read-ahead: 60 GiB cost milliseconds warm and some
    300 reads cold. A change outside of these blocks is not detected: compare `file_stamps` too, or set `full`, which reads
    every byte (at the disk's speed) and gives another digest than the sample.

    Raises:
        OSError: the folder or one of its files cannot be read.
    """
    return digest_of_files(content_files(folder), full=full)


def digest_of_files(paths: Sequence[Path], *, full: bool = False) -> str:
    """The same of these files alone, by the names that they have."""
    read = _whole if full else _sample
    with ThreadPoolExecutor(THREADS) as pool:
        parts = pool.map(lambda path: _whole(path) if path.suffix in READ_WHOLE else read(path), paths)
        return digest_of(part for path, digest in zip(paths, parts, strict=True) for part in (path.name, digest))


def content_or_path(path: str) -> str:
    """The digest of a folder's content; of a hub id, or of what cannot be read, the text itself."""
    try:
        return content_digest(Path(path))
    except OSError:
        return path


def content_files(folder: Path) -> list[Path]:
    """What counts as content, by name."""
    found = [path for path in folder.iterdir() if path.suffix in (*WEIGHT_SUFFIXES, *READ_WHOLE) and path.is_file()]
    return sorted(path for path in found if not path.name.startswith((OURS, ".")))


def file_stamps(folder: Path) -> dict[str, list[int]]:
    """Of every content file, by name: size, mtime_ns, ctime_ns and inode. Equal stamps on one host are the same, untouched files."""
    return stamps_of(content_files(folder))


def stamps_of(paths: Iterable[Path]) -> dict[str, list[int]]:
    """The same of these files alone."""
    stats = {path.name: path.stat() for path in paths}
    return {name: [each.st_size, each.st_mtime_ns, each.st_ctime_ns, each.st_ino] for name, each in stats.items()}


def ways_to(folder: Path) -> dict[str, list[int]]:
    """What a link that is turned, or a folder that is moved, and put back leaves behind, by path: inode and ctime_ns of each link that leads
    to the folder or to its content; ctime_ns and mtime_ns of the folder, which for what is done within it change together.

    Raises:
        OSError: the folder cannot be read.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  # `resolve` follows the links that are looked for
    lexical = [folder, *folder.parents, *folder.iterdir()]
    links = {str(path): path.lstat() for path in lexical if path.is_symlink()}
    own = folder.stat()
    return {path: [each.st_ino, each.st_ctime_ns] for path, each in links.items()} | {
        f"{folder}{os.sep}": [own.st_ctime_ns, own.st_mtime_ns]
    }


def turned_in(was: dict[str, list[int]], now: dict[str, list[int]]) -> list[str]:
    """Links and folders that were others meanwhile. A folder in which something was written has another mtime too, and is the same."""
    both = was.keys() & now.keys()
    return sorted(
        path for path in both if was[path] != now[path] and (not path.endswith(os.sep) or was[path][1] == now[path][1])
    )


def digest_of(parts: Iterable[str]) -> str:
    """A digest of a list of texts. Their borders count."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(len(part.encode()).to_bytes(8, "little") + part.encode())
    return digest.hexdigest()


def _sample(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=DIGEST_BYTES)
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no read-ahead: the page cache stays as it is
        for offset in sampled_offsets(path.name, size):
            digest.update(os.pread(file.fileno(), BLOCK_BYTES, offset))
    return digest.hexdigest()


def sampled_offsets(name: str, size: int) -> list[int]:
    """Where the blocks of a file begin that are sampled, in bytes: whole pages, the same in every process."""
    blocks = -(-size // BLOCK_BYTES)
    if blocks <= SAMPLED_BLOCKS + 2:
        return [block * BLOCK_BYTES for block in range(blocks)]
    chosen = random.Random(f"{name} {size}").sample(range(1, blocks - 1), SAMPLED_BLOCKS)  # noqa: S311  # no secret
    return [block * BLOCK_BYTES for block in (0, *sorted(chosen), blocks - 1)]


def _whole(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with path.open("rb", buffering=0) as file:
        while block := file.read(FULL_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
