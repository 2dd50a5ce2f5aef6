"""What is a secret, and how much of a text is hidden with it."""

import json

import pytest

from bench.masking import (
    collect_environment,
    collect_settings,
    collect_words,
    is_secret_name,
    mask_bytes,
    masked,
    masked_json,
    seal,
)
from bench.masking.files import mask_file


@pytest.mark.parametrize(
    "name",
    [
        "hf_token",
        "HF_TOKENS",
        "AWS_SECRET_ACCESS_KEY_2",
        "clientSecret",
        "x-api-key",
        "DB_PASS",
        "DBPASS",
        "PGPASSWORD",
        "MYSQL_PWD",
        "PASSWD",
        "passphrase",
        "AZURE_SAS",
        "GITHUB_PAT2",
        "SENTRY_DSN",
        "JWT",
        "cookieJar",
        "X-Amz-Credential",
        "S3_ACCESS_KEY_ID",
        "privateKey",
        "CONNECTION_STRING",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "Authorization",
        "authToken",
        "APIKEY",
        "API_KEYS",
        "TOKEN1",
        "sig",
        "signature",
        "REDIS_AUTH",
        "vllm.args.hf_token",
        "load_format.extra.credentials.user",
        "NEW_API_KEY",
    ],
)
def test_these_are_names_of_secrets(name):
    """A part of a name says so, in any spelling, in the plural and with a number."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer",
        "max_tokens",
        "completion.max_tokens",
        "num_key_value_heads",
        "token_embed",
        "token_classify",
        "monkey",
        "compilation_config.pass_config",
        "inductor_passes",
        "PWD",
        "OLDPWD",
        "skip_tokenizer_init",
        "max_num_batched_tokens",
        "long_prefill_token_threshold",
        "VLLM_USE_FASTOKENS",
        "VLLM_ENABLE_PREGRAD_PASSES",
        "VLLM_MAX_TOKENS_PER_EXPERT_FP4_MOE",
        "VLLM_SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD",
        "spec_tokens",
        "tokens_only",
        "allow_credentials",
        "author",
        "KeyError",
        "stop_token_ids",
        "encoder_cudagraph_token_budgets",
        "return_tokens_as_token_ids",
        "trust_remote_code",
        "disaster",
        "first_token_s",
        "TOKENIZERS_PARALLELISM",
        "KEYBOARD",
    ],
)
def test_these_are_not(name):
    """A comparison needs the settings of a model, whose tokens and keys are none."""
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tracking.uri=http://u:p@ss@w@host:5000/x", "tracking.uri=http://***@host:5000/x"),
        ("http://mlflow:5000/a?x=a@b", "http://mlflow:5000/a?x=a@b"),
        ("https://b/k?X-Amz-Signature=abc&x=1&token=abcdefgh", "https://b/k?X-Amz-Signature=***&x=1&token=***"),
        ("{'api_key': ['abc', 'def'], 'tokenizer': 'foo'}", "{'api_key': [***], 'tokenizer': 'foo'}"),
        (r"{\"api_key\": \"abc\", \"x\": 1}", r"{\"api_key\": \"***\", \"x\": 1}"),
        ("Name=x;AccountKey=abc==;E=1", "Name=x;AccountKey=***;E=1"),
        ("host=db password='my pass' user=x", "host=db password='***' user=x"),
        ("['--api-key', 'abc', '--model', 'x']", "['--api-key', '***', '--model', 'x']"),
        ("Namespace(api_key=None, hf_overrides={})", "Namespace(api_key=None, hf_overrides={})"),
        ("credentials:\n  user: x", "credentials:\n  user: x"),
        ("x.NoCredentialsError: Unable to locate it", "x.NoCredentialsError: Unable to locate it"),
        ("AuthenticationError: abc123 is no key", "AuthenticationError: *** is no key"),
        ("basic authentication failed", "basic authentication failed"),
        ("GPU KV cache size: 524,288 tokens: 524288", "GPU KV cache size: 524,288 tokens: 524288"),
        ("KeyError: 'model.x'", "KeyError: 'model.x'"),
        ("\x1b[36mtoken\x1b[0m=\x1b[1mabc123\x1b[0m 3 s", "\x1b[36mtoken\x1b[0m=\x1b[1m***\x1b[0m 3 s"),
        ("\x1b[1mhf_abcd\x1b[0mEFGH1234 x", "\x1b[1m*** x"),
        (r"'\x1b[1mhf_abcdEFGH1234\x1b[0m'", r"'\x1b[1m***\x1b[0m'"),
        ("to=https%3A%2F%2Fme%3Aabc123%40host", "to=https%3A%2F%2F***%40host"),
        ("next=%252Fx%253Ftoken%253Dabc123%2526y", "next=%252Fx%253Ftoken%253D***%2526y"),
        ("me:abc123@db:3306", "me:***@db:3306"),
        ("vllm/vllm:latest@sha256:0a1b", "vllm/vllm:latest@sha256:0a1b"),
        ("curl -u me:abc123 https://x", "curl -u me:*** https://x"),
        ("<password>abc123</password>", "<password>***</password>"),
        ("FAILED  A_TOKEN=#2: no room", "FAILED  A_TOKEN=#2: no room"),
        ("100%|##| a%20b %s \x1b[1mloaded\x1b[0m", "100%|##| a%20b %s \x1b[1mloaded\x1b[0m"),
    ],
)
def test_a_secret_is_recognised_by_what_surrounds_it(text, shown):
    """And nothing else is taken. Masked twice is masked once."""
    assert masked(text) == shown
    assert masked(masked(text)) == shown


def test_a_known_value_is_masked_wherever_it_stands():
    """Also in bytes; and where the command line cannot be parsed, too."""
    collect_environment({"MY_TOKEN": "s3cr3t-of-mine", "HOME": "/nowhere"})
    collect_settings({"a": {"credentials": {"id": "another-value"}}})
    collect_words(["vllm.env.SOME_PASSWORD='third one',fourth-one"])

    assert masked("x s3cr3t-of-mine another-value third one fourth-one y") == "x *** *** *** *** y"
    assert mask_bytes(b"\xff s3cr3t-of-mine") == b"\xff ***"


def test_a_known_value_is_masked_with_colours_in_it():
    """In what vLLM prints now, too; and colours that have nothing to do with it stay."""
    collect_settings({"API_KEY": "s3cr3t-of-mine"})
    text = "\x1b[36mcore\x1b[0m s3cr\x1b[1m3t-of\x1b[0m-mine end"

    assert masked(text) == "\x1b[36mcore\x1b[0m *** end"
    assert mask_bytes(b"\xff" + text.encode()) == b"\xff\x1b[36mcore\x1b[0m *** end"


@pytest.mark.parametrize("value", ["1", "true", "dummy", "auto", "EMPTY", "2048"])
def test_a_common_value_stays_where_no_name_makes_it_a_secret(value):
    """Else every `true` of a log would be one."""
    collect_settings({"API_KEY": value})

    assert masked(f"load_format={value}") == f"load_format={value}"
    assert masked_json({"API_KEY": value}) == {"API_KEY": "***"}


def test_a_short_secret_is_masked_as_a_word():
    """It may be a part of many."""
    collect_settings({"API_KEY": "tin9"})

    assert masked("tin9 tin99 xtin9 (tin9)") == "*** tin99 xtin9 (***)"


def test_a_file_of_ours_becomes_private_and_keeps_its_bytes(tmp_path):
    """Only lines with a secret change; a private key over several lines is hidden as a whole."""
    collect_settings({"API_KEY": "s3cr3t-of-mine"})
    path = tmp_path / "vllm.log"
    path.write_bytes(
        b"\xff\x00 one\r\ns3cr3t-of-mine\n-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----\nlast"
    )
    seal([path, tmp_path / "missing", tmp_path])

    assert path.read_bytes() == b"\xff\x00 one\r\n***\n***\n***\n***\nlast"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_json_file_of_any_size_is_read_whole(tmp_path):
    """Nobody has bounded it yet: keys at any depth, over lines."""
    path = tmp_path / "fingerprint.json"
    path.write_text(json.dumps([{"api_key": "hidden-from-all-4711"}], indent=2))
    seal([path])

    assert "hidden-from-all-4711" not in path.read_text()
    assert "api_key" in path.read_text()


def test_json_stays_json(tmp_path):
    """Numbers behind a secret's name too: a probe's counts are needed."""
    path = tmp_path / "events.jsonl"
    path.write_text('{"token": "abcdefg1", "tokens": 12345678}\n{"a": 1}\nnot json: password=abc\n')
    mask_file(path)

    lines = path.read_text().splitlines()
    assert json.loads(lines[0]) == {"token": "***", "tokens": 12345678}
    assert lines[1:] == ['{"a": 1}', "not json: password=***"]


@pytest.mark.parametrize("name", ["7.jsonl", "7.json", "7"])
def test_files_of_others_are_cut_where_they_are_too_many_bytes_in_all(tmp_path, name):
    """A sparse file of a terabyte is neither read to its end nor kept. Another name of the same file keeps its bytes."""
    first, big, last = tmp_path / "a", tmp_path / name, tmp_path / "b"
    first.write_bytes(b"12345\n")
    with big.open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "other").hardlink_to(big)
    last.write_bytes(b"12345\n")
    seal([first, big, last], bytes_at_most=1000)

    assert [path.stat().st_size for path in (first, big, last)] == [6, 994, 0]
    assert (tmp_path / "other").stat().st_size == 1 << 40


def test_a_private_key_is_hidden_as_a_whole_among_lines_of_json(tmp_path):
    """Where something else than the probe has written into its file."""
    path = tmp_path / "1.jsonl"
    path.write_text('{"a": 1}\n-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----\n{"b": 2}\n')
    mask_file(path)

    assert path.read_text() == '{"a": 1}\n***\n***\n***\n{"b": 2}\n'
