"""Texts that are looked for -> a quick test whether a line has any of them. Pure.

Most of them have a word with a blank at both sides. A line's words are looked up in a set of these, one for each text and as few
as can be; only the texts that have no such word are looked for one by one.
"""

from collections import Counter
from collections.abc import Iterable

from bench.log.shapes import DIGITS, shape_of

SHORTEST = 4  # letters of a word: shorter ones are everywhere


class Sought:
    """Texts that are looked for in the shapes of lines."""

    def __init__(self, texts: Iterable[str], alike: bytes = DIGITS) -> None:
        """`alike` is the table that made the shapes: texts are looked for as it makes them."""
        shapes = dict.fromkeys(shape_of(text).translate(alike) for text in texts)
        inner = {shape: _inner_words(shape) for shape in shapes}
        self._words = _fewest([words for words in inner.values() if words])
        self._having = {word: [shape for shape in shapes if word in inner[shape]] for word in self._words}
        without = [shape for shape, words in inner.items() if not words]
        self._texts = tuple(one for one in without if not any(other != one and other in one for other in without))

    def is_in(self, shape: bytes) -> bool:
        """Whether any of the texts is in the line, digits apart."""
        words = shape.split()
        if not self._words.isdisjoint(words) and self._has_one(shape, words):
            return True
        for text in self._texts:  # noqa: SIM110 - twice as quick as any() with a generator
            if text in shape:
                return True
        return False

    def _has_one(self, shape: bytes, words: list[bytes]) -> bool:
        return any(text in shape for word in self._words.intersection(words) for text in self._having[word])


def _inner_words(shape: bytes) -> set[bytes]:
    """The words that have a blank at both sides wherever the text stands."""
    return {word for word in shape.split(b" ")[1:-1] if len(word) >= SHORTEST}


def _fewest(choices: list[set[bytes]]) -> frozenset[bytes]:
    """One of each, the most frequent first."""
    chosen: set[bytes] = set()
    while left := [words for words in choices if not words & chosen]:
        counts = Counter(word for words in left for word in words)
        chosen.add(max(counts, key=lambda word: (counts[word], word)))
    return frozenset(chosen)
