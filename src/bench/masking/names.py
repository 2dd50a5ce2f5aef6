"""Which names are those of secrets: of environment variables, of settings at any depth, of keys in a text. Pure."""

import re
from functools import lru_cache

MASK = "***"

# The last names a saved view in MLflow's addresses.
NOT_SECRET = {"PWD", "OLDPWD", "VLLM_USE_FASTOKENS", "viewStateShareKey"}

# Anywhere in a word: DBPASSWORD, x-authorization, clientsecret.
PARTS = re.compile(
    r"passw(or)?d|passwd|passphrase|passcode|secret|cookie|credential|auth(?!or(?!i[sz]))|jwt|bearer|signature"
    r"|privatekey|accesskey|apikey|csrf|xsrf|connectionstring|connstr|webhook"
)
# A whole word: AZURE_SAS, GITHUB_PAT. Numbers and a plural's s behind it do not count.
WORDS = {
    "sas", "dsn", "pwd", "pw", "sig", "private", "pat", "otp", "totp", "cred", "salt", "hmac", "apikey", "authtoken",
}  # fmt: skip
ENDINGS = re.compile(r"(?:token|key|pass|pwd|sas)s?$")
HARMLESS_ENDINGS = {
    "monkey", "donkey", "turkey", "hockey", "jockey", "whiskey", "hotkey", "passes", "bypass", "compass", "encompass", "surpass",
    "trespass", "kansas", "arkansas",
}  # fmt: skip
# Words directly before the tokens and keys of a model or of a table, which are no secrets; and words that mark a count anywhere before.
BEFORE_TOKEN = {
    "spec", "bos", "eos", "pad", "unk", "sep", "cls", "mask", "image", "audio", "video", "special", "stop", "start", "end", "next",
    "first", "last", "per", "new", "added", "prompt", "completion", "output", "input", "batched", "adapter", "placeholder", "truncate", "decode",
}  # fmt: skip
BEFORE_KEY = {"sort", "group", "cache", "primary", "foreign", "partition", "query", "by"}
COUNTING = {"max", "min", "num", "n"}
BEHIND = {
    "ids", "threshold", "budget", "budgets", "type", "count", "limit", "len", "length", "details", "level", "embedding", "only", "per",
    "value", "values", "cache", "head", "heads", "dim", "error", "state", "states", "config", "manager", "through", "context",
    "classifier", "pool", "as", "embed", "classify",
}  # fmt: skip
HARMLESS = {"allow_credentials", "allowed_headers"}


@lru_cache(4096)
def is_secret_name(name: str) -> bool:
    """Whether what stands behind this name is a secret: one of its words marks a secret, in any spelling, with or without a number.

    `hf_token`, `AWS_SECRET_ACCESS_KEY_2`, `clientSecret` and `x-api-key` are; `max_tokens`, `tokenizer`, `num_key_value_heads`,
    `pass_config` and `PWD`, the folder one is in, are not. Of a dotted name one part is enough.
    """
    return name not in NOT_SECRET and any(map(_is_secret_part, name.split(".")))


def _is_secret_part(name: str) -> bool:
    words = words_of(name)
    joined = "_".join(words)
    if joined in HARMLESS:
        return False
    if "connection_string" in joined or "conn_str" in joined or words[-1:] in (["headers"], ["pin"]):
        return True
    return any(_is_secret_word(word, words[:at], words[at + 1 :]) for at, word in enumerate(words))


def _is_secret_word(word: str, before: list[str], behind: list[str]) -> bool:
    if PARTS.search(word) or word in WORDS or word.removesuffix("s") in WORDS:
        return True
    if not ENDINGS.search(word) or word in HARMLESS_ENDINGS or (behind and behind[0] in BEHIND):
        return False
    near = BEFORE_TOKEN if "token" in word else BEFORE_KEY
    return not (COUNTING & set(before)) and before[-1:] not in [[each] for each in near]


def words_of(name: str) -> list[str]:
    """`clientSecret2`, `client-secret` and `CLIENT_SECRET` -> client, secret."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    words = (re.sub(r"\d+$", "", word.lower()) for word in re.split(r"[^A-Za-z0-9]+", apart))
    return [word for word in words if word]
