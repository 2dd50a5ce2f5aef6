"""Eighty secrets of every name and form, and where a user may have them."""

import base64
import json
import random
import string
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

_drawn = random.Random(7)  # noqa: S311  # the same in each run
ODD = "/+@:%&=#'\"\\ $é"  # what shells, URLs, JSON and Hydra treat as their own


def _word(length: int = 14) -> str:
    return "".join(_drawn.choices(string.ascii_letters + string.digits, k=length))


def _odd() -> str:
    return f"{_word(8)}{''.join(_drawn.sample(ODD, 6))}{_word(6)}".strip()


NAMES = (
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKENS", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AZURE_SAS", "GITHUB_PAT",
    "DB_PASS", "DBPASSWORD", "MYSQL_PWD", "PGPASSWORD2", "SSH_PASSPHRASE", "SENTRY_DSN", "SESSION_COOKIE", "JWT", "SERVICE_JWTS",
    "OAUTH_BEARER", "MY_CREDENTIALS", "clientSecret", "x-api-key", "API_KEYS", "ACCOUNTKEY", "PRIVATE", "SIGNATURE", "APP_AUTH_3",
    "WEBHOOK_URL", "STORAGE_CONNECTION_STRING", "OTEL_EXPORTER_OTLP_HEADERS", "NEW_API_KEY", "TOTP_SALT",
)  # fmt: skip

# In the environment of bench itself: one for each name, half of them with every odd character.
BY_NAME = {name: _odd() if at % 2 else _word() for at, name in enumerate(NAMES)}
# Known by their form, whatever their variable is called.
PASSWORDS = {"HTTPS_PROXY_": _word(), "MIRROR": f"{_word(6)}@{_word(6)}", "REGISTRY": _odd()}
QUERIES = {
    "X-Amz-Signature": _word(40),
    "X-Amz-Credential": f"AKIA{_word(16).upper()}/20260101",
    "sig": quote(_odd(), safe=""),
    "token": _word(),
}
BY_FORM = {
    "HTTPS_PROXY_": f"http://user:{PASSWORDS['HTTPS_PROXY_']}@proxy:3128",
    "MIRROR": f"https://user:{PASSWORDS['MIRROR']}@mirror/simple",
    "REGISTRY": f"https://user:{quote(PASSWORDS['REGISTRY'], safe='')}@registry/v2",
    **{f"LINK_{at}": f"https://bucket/key?a=1&{name}={value}&b=2" for at, (name, value) in enumerate(QUERIES.items())},
}
SHAPES = (
    f"hf_{_word(34)}", f"sk-proj-{_word(40)}", f"ghp_{_word(36)}", f"github_pat_{_word(40)}", f"glpat-{_word(20)}", f"npm_{_word(36)}",
    f"AKIA{_word(16).upper()}", f"xoxb-{_word(12)}-{_word(24)}", f"AIza{_word(35)}", f"SG.{_word(22)}.{_word(43)}", f"nvapi-{_word(60)}",
    f"dckr_pat_{_word(27)}", f"gsk_{_word(50)}", f"dapi{_drawn.randbytes(16).hex()}", f"sk_live_{_word(24)}", ".".join(["eyJ" + _word(20), "eyJ" + _word(40), _word(43)]),
)  # fmt: skip
PRIVATE_KEY_LINES = tuple(_word(64) for _ in range(3))
PRIVATE_KEY = "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join(PRIVATE_KEY_LINES) + "\n-----END RSA PRIVATE KEY-----"
# Only in what vLLM prints: nobody knows their values, so their place must say it.
PRINTED = {
    "Authorization: Bearer {}": _word(30), "Authorization: Basic {}": _word(28), "api_key='{}'": _word(), "'api_key': ['{}', 'x']": _word(),
    '"hf_token": "{}"': _word(), "postgres://me:{}@db/runs": _word(), "host=db user=me password={}": _word(),
    "Endpoint=x;AccountKey={};E=1": _word(40) + "==", "--hf-token {} --port 1": _word(), "Set-Cookie: session={}; Path=/": _word(),
    "AWS_SECRET_ACCESS_KEY={} vllm serve": _word(40), "https://bucket/x?X-Goog-Signature={}&y": _word(40),
}  # fmt: skip
# Settings. Two accounts in one sweep are two points.
ACCOUNTS = (_word(), _word())
IN_SETTINGS = {
    "vllm.env.MODEL_STORE_PASSWORD": _odd(),
    "vllm.env.PLAIN_VARIABLE": BY_NAME["HF_TOKEN"],  # the same secret behind a harmless name
    "vllm.args.hf_token": _word(),
    "vllm.args.additional_config.s3-secret-key": _word(),
    "load_format.extra.s3_secret_access_key": _word(),
    "load_format.env.STREAMER_AUTH_TOKEN": _word(),
}
IN_NESTED = (_word(), _word(), _word())  # two below a secret's name, one in a URL
TRACKING_PASSWORD = _word()
HUB_TOKEN_FILE = _word(20)

EVERY = (
    *BY_NAME.values(), *PASSWORDS.values(), *QUERIES.values(), *SHAPES, *PRIVATE_KEY_LINES, *PRINTED.values(), *ACCOUNTS,
    *IN_SETTINGS.values(), *IN_NESTED, TRACKING_PASSWORD, HUB_TOKEN_FILE,
)  # fmt: skip


def environment() -> dict[str, str]:
    shapes = {f"SHAPE_{at}": f"see {shape} for more" for at, shape in enumerate(SHAPES)}
    return BY_NAME | BY_FORM | shapes | {"DEPLOYMENT": PRIVATE_KEY}


def overrides() -> list[str]:
    """As Hydra takes them."""
    words = [f"{name}={_hydra(value)}" for name, value in IN_SETTINGS.items()]
    user, number, password = IN_NESTED
    nested = f"{{outer:{{credentials:{{user:{user},id:{number}}}}},endpoint:'https://u:{password}@host/'}}"
    tensorizer = ["load_format=tensorizer", "load_format.extra.tensorizer_uri=s3://bucket/model.tensors"]
    return [*tensorizer, *words, f"vllm.args.kv_transfer_config={{kv_connector_extra_config:{nested}}}"]


def _hydra(value: str) -> str:
    text = value.replace("\\", "\\\\") if value.endswith("\\") else value
    return "'" + text.replace("'", "\\'") + "'"


def spoken(*, settings: bool) -> Iterator[str]:
    """Lines in which vLLM prints all of them, in the spellings that programs have. `settings`: those of its settings too."""
    for name, value in (environment() | (IN_SETTINGS if settings else {})).items():
        yield f"{name}: {value!r}"
        yield f"INFO 01-01 00:00:00 [env.py:1] found {value} here"
        yield json.dumps({"where": [value, json.dumps({"x": value})]})
        yield f"GET /{quote(value, safe='')}?{quote_plus(value)}"
        yield base64.b64encode(value.encode()).decode()
        yield base64.b64encode(f"user:{value}".encode()).decode()
    yield from (form.format(value) for form, value in PRINTED.items())
    yield from PRIVATE_KEY.splitlines()
    yield f"the hub said {HUB_TOKEN_FILE}"
    yield from (f"accounts {ACCOUNTS}", f"nested {IN_NESTED}") if settings else ()


def spellings() -> dict[bytes, str]:
    """What must be nowhere, and whose it is. Written without the code that is tested."""
    found = {}
    for value in EVERY:
        for text in (
            value, json.dumps(value)[1:-1], repr(value)[1:-1], quote(value, safe=""), quote(value), quote_plus(value),
            base64.b64encode(value.encode()).decode().rstrip("=")[:-1], base64.b64encode(b"user:" + value.encode()).decode()[7:-4],
            value.encode().hex(), value.replace("'", "").replace('"', "").replace("\\", ""),
        ):  # fmt: skip
            found[text.encode()] = value
    return found
