"""A text of vLLM's inside of what another record quotes: a model's name, a path, an argument. It is nobody's phase."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.log.lines import parsed
from bench.log.pieces import Piece
from bench.log.texts.phases import COMPILED, LOAD_FAILED, LOADED, MILESTONES, RULES
from read_lines import start_log_of

HEAD = "(EngineCore pid=7) INFO 11-24 02:47:33 [core.py:1] "
SAID = [
    rule.example.partition("] ")[2] or rule.example
    for rule in RULES
    if rule.phase not in {"drafter", "ngram", "failed"}
]
SAID += [row.text for row in (*COMPILED, LOAD_FAILED, *LOADED, *(row for _, rows in MILESTONES for row in rows))]
QUOTING = (
    HEAD + "non-default args: {{'model': '{}', 'max_model_len': 512}}",
    HEAD + "Initializing a V1 LLM engine (v0.32.0) with config: model='{}', tokenizer='{}', load_format=auto",
    HEAD + "Starting to load model {}...",
    HEAD + " █     █     █▄   ▄█  model   {}",
    HEAD + "Resolved architecture: {}",
    HEAD + "Using cache directory: /models/{}/cache for vLLM's torch.compile",
    "(APIServer pid=3) [transformers] The tokenizer you are loading from '{}' with an incorrect regex pattern",
    "FileNotFoundError: no such file: '{}'",
)


@pytest.mark.parametrize("quoting", QUOTING)
@given(said=st.sampled_from(SAID), around=st.sampled_from(["{}", "models/{}", "{} - 7B", "x] {}"]))
def test_a_text_that_a_record_quotes_is_not_read(quoting, said, around):
    """Whatever a model is called. The record's own text counts as before."""
    name = around.format(said)
    with_name, without = (start_log_of([parsed(Piece(1, quoting.format(each, each)))]) for each in (name, "tiny"))

    assert [(each.phase, each.values, each.texts) for each in with_name.readings] == [
        (each.phase, each.values, each.texts) for each in without.readings
    ]
    assert with_name.compile_cache == without.compile_cache == "none"
    assert len(with_name.milestones) == len(without.milestones)
