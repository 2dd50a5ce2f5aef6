"""JSON as it is pasted from documentation becomes what Hydra reads, value for value."""

import json

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from bench.compose import compose_settings
from bench.errors import SettingError
from bench.overrides.json_override import PLAIN_KEY, without_json
from bench.overrides.points import points_of

KEYS = st.from_regex(PLAIN_KEY, fullmatch=True)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="$\n\r"))
)
TREES = st.dictionaries(
    KEYS.filter(lambda key: key.strip() == key),
    st.recursive(LEAVES, lambda some: st.lists(some, max_size=3)),
    min_size=1,
    max_size=4,
)


@given(TREES)
def test_every_object_is_read_back_by_hydra(tree):
    """Quotes, backslashes, blanks and brackets in it too."""
    (parsed,) = OverridesParser.create().parse_overrides([without_json(f"key={json.dumps(tree)}")])

    assert as_plain(parsed.value()) == tree


def as_plain(value):
    if isinstance(value, dict):
        return {str(name): as_plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_plain(item) for item in value]
    return getattr(value, "text", value)


@pytest.mark.parametrize(
    ("override", "becomes"),
    [
        ('a={"method":"ngram","n":5}', "a={method:'ngram',n:5}"),
        ('a={"x": {"y": [1, null, true]}}', "a={x:{y:[1,null,true]}}"),
        ('a=[{"name":"a"},{"name":"b"}]', "a=[{name:'a'},{name:'b'}]"),
        ('a={"n":1},{"n":2}', "a={n:1},{n:2}"),
        ('a=null, {"n":2}', "a=null, {n:2}"),
        ('a="{% if x %}{{ \\"y\\" }}"', 'a="{% if x %}{{ \\"y\\" }}"'),
        ("a={method:ngram}", "a={method:ngram}"),
        ('a={method:"ngram"}', 'a={method:"ngram"}'),
        ('a={"method"', 'a={"method"'),
        ("a", "a"),
    ],
)
def test_only_json_objects_are_rewritten(override, becomes):
    """Hydra's own grammar, texts in quotes and what is no JSON stay as they are."""
    assert without_json(override) == becomes


def test_two_pasted_objects_are_two_points():
    """A sweep over them lists them like any other values."""
    assert len(points_of([without_json('++vllm.args.x={"a":"p,q"},{"a":2}')])) == 2


def test_pasted_json_is_the_same_setting_as_hydras_own_form():
    """Equal values are equal points, however they were written."""
    (pasted,) = compose_settings(['vllm.args.speculative_config={"method":"ngram","num_speculative_tokens":5}'])
    (written,) = compose_settings(["vllm.args.speculative_config={method:ngram,num_speculative_tokens:5}"])

    assert pasted == written
    (extra,) = compose_settings(
        ["load_format=runai_streamer", 'load_format.extra={"concurrency":16,"distributed":true}']
    )
    assert extra.load_format.extra == {"concurrency": 16, "distributed": True, "memory_limit": None}


def test_what_is_neither_json_nor_hydras_form_is_answered_with_how_to_write_it():
    """Python's dicts, and JSON that is cut off."""
    with pytest.raises(SettingError, match=r"has no quotes around its keys, as in \{method:ngram"):
        compose_settings(["vllm.args.compilation_config={'level': 3}"])
