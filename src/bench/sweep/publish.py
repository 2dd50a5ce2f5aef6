"""A published result: the report of a sweep as `compare` wrote it, and beside it all of its starts, packed, to make it again from."""

import json
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import TypeAdapter

from bench.analysis.records import SweepRecord
from bench.config import Tracking
from bench.errors import LogError, SettingError
from bench.report.published_table import PUBLISHED_NAME, STARTS
from bench.report.write import file_names
from bench.start.files import STARTUP, TRACE
from bench.start.record import file_problem, load_startup
from bench.start.steps import Steps
from bench.start.tags import KEY
from bench.sweep.job import draw
from bench.tracking.artifacts import download_all
from bench.tracking.bring_in import bring_in
from bench.tracking.query import sweep_if_known
from bench.tracking.sweeps import SweepRun, close_sweep, open_sweep

SWEEP = "sweep.json"
LEVEL = 19  # of zstd: packed once, kept for ever
DRAWN = (".png", TRACE)  # made again from the rest


@dataclass(frozen=True)
class PackedSweep:
    """The sweep of a published result, as sweep.json in its archive holds it."""

    sweep_id: str
    started_at: float  # UNIX time
    ended_by: str | None
    params: dict[str, str]
    tags: dict[str, str]
    compare: list[str]  # the arguments that its report was written with


def refuse_name(name: str) -> None:
    """Checks the name of a result, before anything is read.

    Raises:
        SettingError: this name could be that of a sweep, which git ignores, or is no name of a folder.
    """
    if not PUBLISHED_NAME.fullmatch(name):
        raise SettingError(
            f"publish={name}: a name is a lower-case letter and then letters, digits, '_', '-' and '.', like h100x2-gpt_oss_120b."
        )


def pack_starts(sweep: SweepRecord, uri: str, options: Sequence[str], folder: Path) -> Path:
    """Write every start of this sweep into `folder`/starts.tar.zst: its files as MLflow has them, but for what is drawn from them.

    `options` are the arguments of `compare` besides the sweep (baseline=…, where.…). The same starts give the same bytes.

    Raises:
        SettingError: MLflow lacks the record of a start, so it could not be brought back.
    """
    with TemporaryDirectory() as place:
        root = Path(place)
        packed = PackedSweep(
            sweep.sweep_id, sweep.started_at, sweep.ended_by, sweep.params, sweep.own_tags, list(options)
        )
        (root / SWEEP).write_text(json.dumps(asdict(packed), indent=2, sort_keys=True), encoding="utf-8")
        for run_id, name in file_names(sweep.starts).items():
            start = root / "starts" / name
            start.mkdir(parents=True)
            download_all(uri, run_id, start)
            if not (start / STARTUP).is_file():
                raise SettingError(
                    f"{name}: its run {run_id} has no {STARTUP}, so this sweep cannot be published whole."
                )
        return _pack(root, folder / STARTS)


def _pack(root: Path, target: Path) -> Path:
    import zstandard

    partial = target.with_name(f"{target.name}.partial")
    with (
        partial.open("wb") as file,
        zstandard.ZstdCompressor(level=LEVEL).stream_writer(file) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.name.endswith(DRAWN)):
            archive.add(path, str(path.relative_to(root)), filter=_anonymous)
    return partial.replace(target)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without owner and times of the temporary copies."""
    return member.replace(mtime=0, mode=0o644, uid=0, gid=0, uname="", gname="", deep=False)


def bring_in_result(tracking: Tracking, folder: Path) -> tuple[PackedSweep, int]:
    """Every start of a published result, and the sweep that they belong to, into a store. Existing ones are left as they are.

    Returns the sweep and the number of its starts.

    Raises:
        LogError: the archive is damaged, or is none of bench's.
    """
    with TemporaryDirectory() as place:
        root = Path(place)
        _unpack(folder / STARTS, root)
        try:
            packed = TypeAdapter(PackedSweep).validate_json((root / SWEEP).read_bytes())
            folders = sorted((root / "starts").iterdir())
            _bring_in(tracking, packed, folders)
        except (OSError, ValueError, KeyError) as error:
            raise LogError(
                f"{folder / STARTS}: this is no archive of a published result ({file_problem(error)})."
            ) from error
    return packed, len(folders)


def _unpack(path: Path, target: Path) -> None:
    import zstandard

    try:
        with (
            path.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file) as packed,
            tarfile.open(fileobj=packed, mode="r|") as archive,
        ):
            archive.extractall(target, filter="data")
    except (zstandard.ZstdError, tarfile.TarError) as error:
        raise LogError(f"{path}: the archive is damaged ({error}).") from error


def _bring_in(tracking: Tracking, packed: PackedSweep, folders: list[Path]) -> None:
    known = sweep_if_known(tracking.uri, packed.sweep_id)
    there = {KEY.in_(start.tags) for start in known.starts} if known else set[str | None]()
    if known and len(known.starts) >= len(folders):
        return
    sweep = SweepRun(packed.sweep_id, packed.started_at, packed.params, packed.tags)
    parent, failed = known.run_id if known else open_sweep(tracking, sweep), True
    try:
        for folder in folders:
            startup = load_startup(folder)
            if startup.key not in there:
                below = replace(startup, parent_run_id=parent)
                below.save(folder)
                draw(below, folder, Steps())
                bring_in(tracking, folder)
        failed = False
    finally:
        close_sweep(tracking, parent, failed=failed, ended_by=packed.ended_by)
