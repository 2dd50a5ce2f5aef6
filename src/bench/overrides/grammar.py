"""A word of a command line in Hydra's grammar; what is not in it is answered with what is typed instead."""

import re
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.grammar.gen.OverrideLexer import CommonTokenStream, InputStream, OverrideLexer  # type: ignore[attr-defined]  # of antlr4
from hydra.grammar.gen.OverrideParser import OverrideParser

from bench.errors import SettingError
from bench.masking import masked_value
from bench.overrides.setting_names import cut, shown
from bench.system.program import MODULES

QUOTED_KEY = re.compile(r"""\{\s*["']""")
PLAIN_KEYS = (
    "A value in braces has no quotes around its keys, as in {method:ngram,num_speculative_tokens:5}, or is whole JSON."
)
NAME = re.compile(r"~?[^\W\d][\w-]*([./@:][^\W\d][\w-]*)*")
QUOTABLE = re.compile(r"""[^"'{}\\$]{1,80}""")  # stands between two quotes as it is


def parsed(word: str) -> Override:
    """
    Raises:
        SettingError: the word is not in Hydra's grammar, or has a key twice in one pair of braces.
    """
    try:
        (override,) = OverridesParser.create().parse_overrides([word])
    except (HydraException, ValueError, RecursionError) as error:
        key, equals, value = word.lstrip("+").partition("=")
        if not equals or not all(key.split(".")):
            command = f" The command is  python -m {MODULES[word]}" if word in MODULES else ""
            raise SettingError(f"{shown(word)!r}: a setting is typed as NAME=VALUE.{command}") from error
        if not NAME.fullmatch(key):
            raise SettingError(
                f"{shown(word)}: between its points a name has letters, digits, _ and -, and no digit first."
            ) from error
        if QUOTED_KEY.search(word):
            raise SettingError(f"{shown(word)}: {PLAIN_KEYS}") from error
        if value.startswith("~/"):
            raise SettingError(
                f"{shown(word)}: a shell does not expand ~ there. Type {shown(f'{key}=$HOME{value[1:]}')}."
            ) from error
        quoted = value if QUOTABLE.fullmatch(value) and masked_value(key, value) == value else "VALUE"
        raise SettingError(
            f"{shown(word)}: a value with quotes, brackets, colons, commas, blanks or = in it is typed in quotes, and the whole word"
            f" in others for the shell: '{key}=\"{quoted}\"'."
        ) from error
    if twice := _key_twice(word):
        raise SettingError(
            f"{shown(word)}: {cut(twice)} stands in it twice, and only one of them could count. Type it once."
        )
    return override


def _key_twice(word: str) -> str | None:
    """A key that stands twice in one pair of braces: Hydra makes a dict of them, with the last. None: there is none."""
    if "{" not in word:
        return None
    trees: list[Any] = [OverrideParser(CommonTokenStream(OverrideLexer(InputStream(word)))).override()]  # type: ignore[no-untyped-call]  # antlr4 has no types
    while trees:
        tree = trees.pop()
        if isinstance(tree, OverrideParser.DictContainerContext):
            keys = [pair.dictKey().getText() for pair in tree.dictKeyValuePair()]
            if twice := next((key for key in keys if keys.count(key) > 1), None):
                return str(twice)
        trees += [tree.getChild(number) for number in range(tree.getChildCount())]
    return None
