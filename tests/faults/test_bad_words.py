"""Command lines that are wrong: refused in a sentence or two, whatever is wrong and at whichever command, with nothing started or left."""

from functools import cache

import pytest
from omegaconf import DictConfig, OmegaConf

import bad_words
from bench.compose import settings_from
from bench.errors import SettingError
from bench.overrides.grammar import parsed
from bench.overrides.override_checks import check_overrides, normalised
from bench.overrides.points import compose_points
from commands import Preloaded, command
from conftest import Workplace, fake_for

SAMPLE = 12  # of those made of the schema, as whole commands; all of them are refused in this process
EVERY = 2  # of those that are typed wrong at each command, one of so many


@cache
def base(*words: str) -> DictConfig:
    (config,) = compose_points(words)
    return config


def refusal(words: bad_words.Words) -> str:
    """As composing would refuse these words, but with values put into a config that was composed once: a hundred times as fast."""
    with pytest.raises(SettingError) as refused:
        given = normalised(words)
        check_overrides(given)
        config = base(*given[:-1]).copy()
        override = parsed(given[-1])
        OmegaConf.update(config, override.key_or_group, override.value(), force_add=True)
        settings_from(config)
    return str(refused.value)


def test_every_setting_refuses_what_it_cannot_be_in_a_sentence_that_names_it():
    """Another type, nothing, none, too much, a list for one value, and a name that is almost right."""
    rows = bad_words.of_the_schema()
    for words in rows:
        message, name = refusal(words), words[-1].lstrip("~").partition("=")[0].partition("@")[0]

        assert name in message, words
        assert is_short(message), (words, message)
        assert "+" not in message, (words, message)
    assert len(rows) > 400


def is_short(message: str) -> bool:
    """A sentence or two; a line for each of two things that are wrong."""
    return len(message.splitlines()) <= 2 and len(message) < 700


def rows_of_whole_commands() -> list[tuple[str, bad_words.Words]]:
    schema = bad_words.of_the_schema()
    sample = [("bench", words) for words in schema[:: len(schema) // SAMPLE]]
    return [*sample, *[row for row in bad_words.every() if row[1] not in schema][::EVERY]]


def test_no_wrong_command_line_starts_anything_or_leaves_anything(workplace: Workplace, preloaded: Preloaded):
    """Exit code 2, no traceback, no advice of Hydra's, no file, no run, no process: at every command."""
    before = sorted(workplace.folder.rglob("*"))
    rows = rows_of_whole_commands()
    for module, words in rows:
        fake = fake_for(words) if module == "bench" else []
        running = command(preloaded, workplace, module, *words, *fake)
        code, said = running.ended(), (module, words, running.err)

        assert code == 2, said
        assert is_short(running.err), said
        assert not any(text in running.err for text in ("Traceback", "HYDRA_FULL_ERROR", "++", "struct")), said
        left = [path for path in sorted(workplace.folder.rglob("*")) if path.suffix != ".lock"]
        assert left == before, said
    assert workplace.living() == []
    assert len(rows) > 90
