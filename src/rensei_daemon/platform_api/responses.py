"""Turns an HTTP response into its JSON or into one of our errors.

This module opens no connection. Its errors quote no header, and only scrubbed text of a
body.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from rensei_daemon.errors import Failure, RefusedError, TransientError, UnauthorizedError
from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.platform_api import json_fields

Scrub = Callable[[str], str]
"""Returns foreign text without secrets."""

MAX_DETAIL = 2048
"""Characters kept of an error body."""

MAX_QUOTABLE = 32 * 1024
"""Bytes. A longer error body is not quoted: a truncated secret is not recognised."""

MAX_RETRY_AFTER_SECONDS = 15 * 60.0
"""The longest wait that is accepted, so that an outage is not prolonged by hours."""

MAX_PARTS = 250_000
"""Values of one body, counted by their separators; 5,000 mutations have fewer."""

_PARTS = (b",", b"[", b"{")

MAX_DEPTH = 64
"""Nesting beyond which JSON is cut off; the platform's has about ten levels."""

_RETRYABLE = frozenset({408, 425, 429})
_WORD = re.compile(r"[\w.-]{8,}", re.ASCII)
_KEY = re.compile(r"rs[kp]_live_")
_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
# An unterminated string matches to the end, so that the search stays linear.
_JSON_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*"?|[\[\]{}]', re.DOTALL)
_HINTS = {
    403: "the API key lacks a scope or role, or belongs to another organisation",
    407: "check the *_proxy variables of the service",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformResponse:
    """A successful response."""

    body: Any = field(repr=False)
    """Its JSON, of any shape."""
    date: datetime | None
    """The time of the response by the platform's clock."""
    size: int = 0
    """Bytes of the JSON."""


def media_type(headers: Mapping[str, str]) -> str:
    """Return the media type of a response without parameters; empty if there is none.

    Of several, as when a proxy doubles the header, the last valid one counts (the Fetch
    standard, "extract a MIME type").
    """
    named = headers.get("content-type", "").lower().split(",")
    types = [part.partition(";")[0].strip() for part in named]
    return next((found for found in reversed(types) if _TYPE.fullmatch(found)), "")


def unscrubbed(text: str) -> str:
    """Return the text as it is, where no secrets are known."""
    return text


def scrub(text: str, secrets: tuple[str, ...] = (), known: Scrub = unscrubbed) -> str:
    """Return foreign text on one line without `secrets`, API keys and tokens.

    `known` removes the secrets that the daemon knows.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "…")
    # First, because a secret may contain line breaks.
    return _UNPRINTABLE.sub(" ", _WORD.sub(_without_token, known(text))).strip()


def _without_token(word: re.Match[str]) -> str:
    """Cut a word off where an API key or a JWT begins in it.

    Word by word, because a pattern for JWTs would take quadratic time.
    """
    text = word[0].rstrip(".")
    end = word[0][len(text) :]
    if key := _KEY.search(text):
        return f"{text[: key.start()]}…{end}"
    head, begin, token = text.partition("eyJ")
    return f"{head}…{end}" if begin and token.count(".") >= 2 else word[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawResponse:
    """A response as it was received."""

    host: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    redirects_to: str = ""
    """The host that a redirect names; empty if none."""
    is_of_stream: bool = False
    """Whether a stream was requested."""
    scrub: Scrub = field(default=scrub, repr=False)
    """Applied to text of the response before it is quoted."""

    @property
    def media_type(self) -> str:
        """The media type, without parameters."""
        return media_type(self.headers)

    @property
    def is_html(self) -> bool:
        """Whether this is an HTML page, such as a login form or a captive portal."""
        start = self.content[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        return self.media_type in {
            "text/html",
            "application/xhtml+xml",
        } or start.startswith((b"<!doctype html", b"<html"))

    @property
    def date(self) -> datetime | None:
        """The time of the response by the platform's clock."""
        return http_date(self.headers.get("date", ""))


def read(raw: RawResponse, *, now: datetime) -> PlatformResponse:
    """Return the JSON of a response, or raise the error that it means."""
    refuse(raw, now=now)
    if raw.is_html:
        raise _captive_portal(raw)
    try:
        body = parse_json(raw.content)
    except TooManyPartsError:
        raise oversized(raw.host, f"more than {MAX_PARTS:,} values") from None
    except ValueError:
        # The cause would quote the body.
        message = f"{raw.host} answered {raw.status} with a body that is not JSON"
        raise TransientError(message) from None
    return PlatformResponse(body=body, date=raw.date, size=len(raw.content))


def oversized(host: str, what: str) -> TransientError:
    """Return the error for a response with too many values."""
    return TransientError(
        f"{host} answered with {what}",
        hint="what it carried is asked for again; cancel waiting mutations of this host "
        "on the platform, or have fewer sent at once",
        failure=Failure.OVERSIZED,
    )


def refuse(raw: RawResponse, *, now: datetime) -> None:
    """Raise the error that a status other than 2xx means.

    A redirect counts as a refusal of the bearer, because the platform redirects an expired
    one to a login page. Others may redirect too, so the error only states the redirect.
    """
    status = raw.status
    if 200 <= status < 300:
        return
    text = f"{raw.host} answered {status}"
    detail = _detail(raw)
    text = f"{text}: {detail}" if detail else text
    if status >= 500 or status < 200 or status in _RETRYABLE:
        asked = retry_after(raw.headers, now=now)
        raise TransientError(text, retry_after=asked, failure=Failure.UNAVAILABLE)
    if status < 400:
        raise _redirect(raw)
    if status == 401:
        raise UnauthorizedError(text)
    hint = _HINTS.get(status, "")
    raise RefusedError(text, status=status, detail=detail, hint=hint)


def _redirect(raw: RawResponse) -> UnauthorizedError:
    where = raw.scrub(raw.redirects_to) or "another page"
    hint = "the API key or token is no longer accepted; check platform.url too"
    if raw.is_of_stream:
        hint = "redirects are not followed: does a gateway before the platform send one?"
    text = f"{raw.host} answered {raw.status}, a redirect to {where}"
    return UnauthorizedError(text, hint=hint)


def _captive_portal(raw: RawResponse) -> TransientError:
    return TransientError(
        f"{raw.host} answered {raw.status} with an HTML page instead of JSON",
        hint="a captive portal or a proxy stands between this host and the platform",
    )


def _detail(raw: RawResponse) -> str:
    """Return the platform's error message, scrubbed, on one line."""
    if raw.is_html:
        return "an HTML page, which is not from the platform"
    if len(raw.content) > MAX_QUOTABLE:
        return f"{len(raw.content)} bytes, too many to quote"
    text = raw.content.decode(errors="replace").lstrip("\ufeff \t\r\n")
    # An object within other text is a stream event or a truncated body.
    if "{" in text or text.startswith(("[", '"')):
        text = _error_message(raw.content)
    return raw.scrub(text)[:MAX_DETAIL]


def _error_message(content: bytes) -> str:
    """Return the error message of a JSON body.

    Nothing else of it is quoted: it may hold a token or values that are not known yet, and
    so cannot be scrubbed.
    """
    try:
        body = parse_json(content)
    except ValueError:
        return f"{len(content)} bytes that are not JSON"
    fields = body if isinstance(body, dict) else {}
    found = [fields[key] for key in ("error", "reason", "message") if fields.get(key)]
    words = (word for word in found if isinstance(word, str))
    return next(words, "") or (json_fields.text(found[0]) if found else "no error message")


class TooManyPartsError(ValueError):
    """The JSON has too many values."""


def parse_json(content: bytes) -> Any:
    """Parse JSON liberally; raise `ValueError` for other text.

    Values are counted before parsing, by their separators and brackets: 16 MiB can hold
    millions, which take seconds and half a gigabyte (`TooManyPartsError`). Of duplicate
    keys the last one counts. NaN and the infinities are floats, and so is a number too long
    for an integer. JSON that is nested too deeply for Python is null below `MAX_DEPTH`.
    """
    if sum(map(content.count, _PARTS)) > MAX_PARTS:
        raise TooManyPartsError
    text = content.decode("utf-8-sig")
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        return json.loads(_cut_deep(text), parse_int=_integer)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 400 else float(digits)


def _cut_deep(text: str) -> str:
    kept: list[str] = []
    depth = start = 0
    for token in _JSON_TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += text[start : token.start()], "null"
        elif token[0] in "]}":
            if depth == MAX_DEPTH + 1:
                start = token.end()
            depth -= 1
    return "".join((*kept, text[start:] if depth <= MAX_DEPTH else ""))


def http_date(text: str) -> datetime | None:
    """Read the date of an HTTP header; None if absent or malformed."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Return the seconds of `Retry-After`; None if absent or malformed.

    A date counts from the response's own `Date`, so that a wrong clock of this host does
    not matter, or from `now` if there is none.
    """
    asked = headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        seconds = float(asked[:9])
    elif until := http_date(asked):
        seconds = (until - (http_date(headers.get("date", "")) or now)).total_seconds()
    else:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
