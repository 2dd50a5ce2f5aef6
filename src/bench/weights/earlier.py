"""What an earlier bench has left in the current folder, where it kept checkpoints and caches."""

from collections.abc import Iterable
from pathlib import Path

from bench.config import Settings
from bench.host.claims import LOCK
from bench.weights.manifest import MANIFEST

MODELS, CACHES = Path("models"), Path("caches")


def describe_earlier(every: Iterable[Settings]) -> str | None:
    """That checkpoints or caches lie here which these settings do not use, in a sentence, and what to type for them. None: none do."""
    used = {Path(place).resolve() for each in every for place in (each.models_dir, each.caches_dir)}
    left = {MODELS: any(MODELS.glob(f"*/{MANIFEST}")), CACHES: (CACHES / LOCK).exists()}
    found = [f"{place}/" for place, is_there in left.items() if is_there and place.resolve() not in used]
    if not found:
        return None
    places = " and ".join(sorted({str(place.parent) for place in used}))
    return (
        f"{' and '.join(found)} in this folder {'are' if len(found) > 1 else 'is'} not used: an earlier bench kept checkpoints and caches here,"
        f" this one keeps them in {places}. cache_dir=. goes on with those here."
    )
