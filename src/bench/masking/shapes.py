"""What looks like a secret wherever it stands: its place in a text. Pure.

Our own patterns describe the text around a secret, and prefixes of tokens that are often met where models are served;
the shapes of other services' tokens come from detect-secrets, which is imported only for a text that may hold one of them.
"""

import re
from collections.abc import Iterator
from functools import cache, lru_cache

from bench.masking.names import MASK, is_secret_name
from bench.masking.views import Span, hidden, views

TOKENS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"hf_(?=[A-Za-z]*[A-Z0-9])[A-Za-z0-9]{8,}|api_org_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{8,}|[rsp]k_(?:live|test)_[A-Za-z0-9]{8,}|whsec_[A-Za-z0-9+/=]{8,}"
    r"|gh[pousr]_[A-Za-z0-9_]{8,}|github_pat_[A-Za-z0-9_]{8,}|gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-[A-Za-z0-9_.-]{8,}"
    r"|(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{12,}|AIza[A-Za-z0-9_-]{16,}|ya29\.[A-Za-z0-9_-]{8,}|GOCSPX-[A-Za-z0-9_-]{8,}"
    r"|xox[a-z]-[A-Za-z0-9-]{8,}|xapp-[A-Za-z0-9-]{8,}|npm_[A-Za-z0-9]{8,}|pypi-[A-Za-z0-9_-]{16,}|dckr_[a-z]+_[A-Za-z0-9_-]{8,}"
    r"|SG\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}|nvapi-[A-Za-z0-9_-]{8,}|gsk_[A-Za-z0-9]{16,}|r8_[A-Za-z0-9]{16,}|hv[sbr]\.[A-Za-z0-9_-]{8,}"
    r"|dapi[0-9a-f]{24,}|dop_v1_[0-9a-f]{16,}|shp(?:at|ca|pa|ss)_[A-Za-z0-9]{16,}|lin_api_[A-Za-z0-9]{16,}|xai-[A-Za-z0-9]{16,}"
    r"|AGE-SECRET-KEY-1[A-Z0-9]{16,}|eyJ[A-Za-z0-9_=-]{8,}\.[A-Za-z0-9_=-]+(?:\.[A-Za-z0-9_.+/=-]*)?"
    r")"
)
PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
# The user too: a token may stand there alone. A password may hold an @; what begins with a port is none.
IN_URL = re.compile(r"://(?!\d+/)((?:[^\s/'\"<>@:]*:(?!\d{1,5}/)[^\s'\"<>]*)|[^\s/'\"<>?#]+)@")
HEADER = re.compile(
    r"\b(?:authorization['\"]?\s*[:=]\s*['\"]?(?:(?:bearer|basic|digest|token|negotiate|aws4-hmac-sha256)\s+)?([^\s'\"\\,;]+)"
    r"|(?:bearer|basic)\s+(?=[^\s'\",;]*\d|[^\s'\",;]{24})([A-Za-z0-9._~+/=-]{8,}))",
    re.IGNORECASE,
)
COOKIES = re.compile(r"\b(?:set-)?cookie['\"]?\s*[:=]\s*['\"]?([^\r\n'\"]+)", re.IGNORECASE)
HINTS = (
    "pass", "pwd", "pw", "token", "key", "secret", "auth", "cookie", "cred", "sas", "dsn", "jwt", "bearer", "basic", "sig", "priv", "pat",
    "otp", "salt", "hmac", "conn", "webhook", "header", "pin",
)  # fmt: skip
ASSIGNED = re.compile(
    r"(?<![A-Za-z0-9_.-])-{0,2}([A-Za-z_][A-Za-z0-9_.-]{1,80})\\*['\"]?(?:[ \t]*(?:=>|:=|=|:)[ \t]*|(?<=['\"])\s*,\s*(?=\\*['\"]))"
    r"(?:\[([^\]]*)|\\+[\"']([^\"'\\]*)|\"((?:[^\"\\]|\\.)*)|'((?:[^'\\]|\\.)*)|([^\s,;&'\"<>|\\]*[^\s,;&'\"<>|\\)\]}]))"
)
# Without a scheme: `user:password@host`, and as curl takes it.
IN_ADDRESS = re.compile(r"(?<![\w/:.@-])[A-Za-z_][\w.-]*:([^\s/:@'\"<>,;(){}]{4,})@(?!sha\d)[A-Za-z\d]")
USER_FLAG = re.compile(r"(?<!\S)(?:-u|--user)[ =]['\"]?[^\s:'\"]+:([^\s'\"]+)")
IN_TAG = re.compile(r"<([A-Za-z][\w.-]*)>([^<>]+)</\1>")
FLAG = re.compile(r"(?<!\S)['\"]?--([A-Za-z][A-Za-z0-9_.-]+)['\"]?,?\s+(?!-)['\"]?([^\s'\",]+)")
NO_SECRET = re.compile(
    r"true|false|bearer|basic|digest|negotiate|none|null|\*+|-?\d{1,7}(?:\.\d+)?|\$\{?\w+\}?|\.\.\.|…|#\d+",
    re.IGNORECASE,
)
# A sentence stands behind it: NoCredentialsError: Unable to locate credentials.
OF_A_MESSAGE = re.compile(r"(?:error|exception|warning)$", re.IGNORECASE)
# Words of ordinary sentences too.
BARE = {
    "key", "keys", "token", "tokens", "private", "sig", "pass", "auth", "pin", "pat", "salt", "headers", "signature",
}  # fmt: skip
LEAST_BARE = 6
VALUE_AT_MOST, VALUES_KEPT = (
    200,
    4096,
)  # characters of a name or value, and how many: the starts of a sweep have most in common
RUN = re.compile(r"[A-Za-z0-9_.:+/=-]{24,}")  # the least that detect-secrets' tokens have


def masked_by_form(text: str) -> str:
    """The text with `***` for all that looks like a secret, coloured and percent-encoded text among it."""
    return _masked_value(text) if len(text) <= VALUE_AT_MOST else _masked_by_form(text)


def _masked_by_form(text: str) -> str:
    spans = [view.original(span) for view in views(text) for span in spans_in(view.text) if span[0] < span[1]]
    return hidden(text, spans, MASK)


_masked_value = lru_cache(VALUES_KEPT)(_masked_by_form)


def secrets_in(text: str) -> set[str]:
    """All that looks like a secret in this text."""
    found = {text[start:stop] for start, stop in spans_in(text)}
    return found | {password for each in found if (password := each.partition(":")[2]) and f"://{each}@" in text}


def spans_in(text: str) -> Iterator[Span]:
    """From, to; in no order, and they may overlap."""
    yield from (match.span() for match in TOKENS.finditer(text))
    if "PRIVATE KEY" in text:
        yield from (match.span() for match in PRIVATE_KEY.finditer(text))
    if "://" in text and "@" in text:
        yield from (match.span(1) for match in IN_URL.finditer(text))
    if "@" in text:
        yield from (match.span(1) for match in IN_ADDRESS.finditer(text) if not NO_SECRET.fullmatch(match[1]))
    if "-u" in text:
        yield from (match.span(1) for match in USER_FLAG.finditer(text))
    lower = text.lower()
    if any(hint in lower for hint in HINTS):
        yield from _behind_names(text)
    if RUN.search(text):
        yield from (_group(match) for pattern in _of_services() for match in pattern.finditer(text))


def _behind_names(text: str) -> Iterator[Span]:
    for pattern in (HEADER, COOKIES):
        yield from (_group(match) for match in pattern.finditer(text))
    at = 0
    while match := ASSIGNED.search(text, at):
        name, span = match[1], _group(match, first=2)
        in_query = match.start() > 0 and text[match.start() - 1] in "?&;"
        if is_secret_name(name) and _is_secret_value("" if in_query else name, text[slice(*span)]):
            yield span
            at = match.end()
        else:
            at = max(match.start() + 1, match.end(1))  # the value may hold a name of its own
    for match in (*FLAG.finditer(text), *IN_TAG.finditer(text)):
        if is_secret_name(match[1]) and _is_secret_value(match[1], match[2]):
            yield match.span(2)


def _is_secret_value(name: str, value: str) -> bool:
    """Whether the value behind this name is a secret, and not a placeholder or a word of a sentence."""
    if not value or NO_SECRET.fullmatch(value.rstrip(":.")):
        return False
    is_sentence = name.lower() in BARE or OF_A_MESSAGE.search(name)
    return not is_sentence or (len(value) >= LEAST_BARE and any(map(str.isdigit, value)))


def _group(match: re.Match[str], first: int = 1) -> Span:
    """The group that has matched, where there are any."""
    numbers = range(first, match.re.groups + 1)
    return match.span(next((number for number in numbers if match.start(number) >= 0), 0))


@cache
def _of_services() -> tuple[re.Pattern[str], ...]:
    """Those of detect-secrets that mean a token and nothing else: a hash, an address or a path is none of them."""
    from detect_secrets.plugins import (
        aws,
        azure_storage_key,
        discord,
        mailchimp,
        openai,
        sendgrid,
        slack,
        square_oauth,
        stripe,
        telegram_token,
    )

    detectors = (
        aws.AWSKeyDetector, azure_storage_key.AzureStorageKeyDetector, discord.DiscordBotTokenDetector, mailchimp.MailchimpDetector,
        openai.OpenAIDetector, sendgrid.SendGridDetector, slack.SlackDetector, square_oauth.SquareOAuthDetector, stripe.StripeDetector,
        telegram_token.TelegramBotTokenDetector,
    )  # fmt: skip
    return tuple(pattern for detector in detectors for pattern in detector().denylist)
