"""A loader's settings in a sweep over load formats: each counts for the formats whose loader has it, and is left out of the others' points.

So `load_format=auto,runai_streamer load_format.extra.concurrency=4,16` is auto once, and the streamer with 4 and with 16 threads.
"""

from collections.abc import Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser

from bench.config import Settings
from bench.system.output import print_message
from bench.vllm.loader_settings import settings_of

EXTRA = "load_format.extra"

Words = tuple[str, ...]  # the overrides of a point


def own_settings_only(points: Sequence[Words], settings: Sequence[Settings]) -> list[Words]:
    """The points without what another load format of this sweep has and theirs has not, each once. Prints what is left out, and of which.

    A setting that no format of the sweep has stays, and is refused later. `settings`: of each point, as composed from all of its words.
    """
    taken = {name for each in settings for name in settings_of(each.load_format.name) or {}}
    foreign = [_foreign(each, taken) for each in settings]
    left_out = {
        (name, each.load_format.name): None
        for each, names in zip(settings, foreign, strict=True)
        for name in sorted(names)
    }
    reduced = [tuple(_without(point, names)) for point, names in zip(points, foreign, strict=True)]
    found = list(dict.fromkeys(reduced))
    for name, load_format in left_out:
        print_message(f"{EXTRA}.{name}: {load_format} has no such setting, so it is left out there")
    if len(found) < len(points):
        print_message(f"so {len(points)} points are {len(found)}: those that are equal without it are one")
    return found


def _foreign(settings: Settings, taken: set[str]) -> set[str]:
    """Names that another loader of the sweep has, and this point's has not."""
    own = settings_of(settings.load_format.name)
    given = {name for name, value in settings.load_format.extra.items() if value is not None}
    return set() if own is None else (given & taken) - own.keys()


def _without(point: Words, names: set[str]) -> Iterator[str]:
    """The words of a point without these settings. What a config sets, and no word, a word more unsets."""
    left = set(names)
    for word in point:
        given = _names_in(word)
        left -= given if given <= names else set()
        if not given or not given <= names:
            yield word
    yield from (f"++{EXTRA}.{name}=null" for name in sorted(left))


def _names_in(word: str) -> set[str]:
    """The loader's settings that a word sets."""
    name = word.partition("=")[0].lstrip("+")
    if name.startswith(f"{EXTRA}."):
        return {name.removeprefix(f"{EXTRA}.").partition(".")[0]}
    if name != EXTRA:
        return set()
    value = OverridesParser.create().parse_override(word).value()
    return {str(each) for each in value} if isinstance(value, dict) else set()
