"""What an HTTP answer means: a value, or one of our errors.

This module judges statuses, headers and bodies; it opens no connection. Nothing it puts
in an error quotes a header, and what it quotes of a body is scrubbed first.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from rensei_daemon.errors import Failure, RefusedError, TransientError, UnauthorizedError
from rensei_daemon.platform_api import json_fields

Scrub = Callable[[str], str]
"""Returns foreign text without what must not be quoted."""

MAX_DETAIL = 2048
"""Characters of an error body that are kept."""

MAX_QUOTABLE = 32 * 1024
"""Bytes of one that are looked through. What is longer is not quoted at all: a secret that
is cut in two is recognised no more."""

MAX_RETRY_AFTER_SECONDS = 15 * 60.0
"""A longer wait asked for is cut to this: an outage must not outlive itself by hours."""

MAX_PARTS = 250_000
"""Values of one answer, counted by the marks that part them: 5,000 mutations have fewer."""

_PARTS = (b",", b"[", b"{")

MAX_DEPTH = 64
"""Nesting beyond which JSON is cut off; the wire itself needs about ten levels."""

_RETRYABLE = frozenset({408, 425, 429})
_WORD = re.compile(r"[\w.-]{8,}", re.ASCII)
_KEY = re.compile(r"rs[kp]_live_")
_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
# A string that never ends is taken to the end, so that the search stays linear.
_JSON_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*"?|[\[\]{}]', re.DOTALL)
_HINTS = {
    403: "the API key lacks a scope or role, or belongs to another organisation",
    407: "check the *_proxy variables of the service",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformResponse:
    """A successful answer."""

    body: Any = field(repr=False)
    """The JSON it carried, of any shape."""
    date: datetime | None
    """When the platform says it answered, by its own clock."""
    size: int = 0
    """Bytes of the JSON."""


def media_type(headers: Mapping[str, str]) -> str:
    """Return the type an answer claims to be, without its parameters; empty when none.

    Of several, as when a proxy doubles the header, the last one that is a type counts
    (the Fetch standard, "extract a MIME type").
    """
    named = headers.get("content-type", "").lower().split(",")
    types = [part.partition(";")[0].strip() for part in named]
    return next((found for found in reversed(types) if _TYPE.fullmatch(found)), "")


def unscrubbed(text: str) -> str:
    """Return the text, for who knows no secrets by sight."""
    return text


def scrub(text: str, secrets: tuple[str, ...] = (), known: Scrub = unscrubbed) -> str:
    """Return foreign text on one line, without these secrets or any like ours.

    `known` takes out those that the caller does not name but the daemon knows.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "…")
    # First of all: a value may have lines, and look like anything.
    return _UNPRINTABLE.sub(" ", _WORD.sub(_without_token, known(text))).strip()


def _without_token(word: re.Match[str]) -> str:
    """Cut a word where a key of the platform or a JWT begins in it.

    Word by word, since a pattern for a JWT would look at each of its beginnings anew.
    """
    text = word[0].rstrip(".")
    end = word[0][len(text) :]
    if key := _KEY.search(text):
        return f"{text[: key.start()]}…{end}"
    head, begin, token = text.partition("eyJ")
    return f"{head}…{end}" if begin and token.count(".") >= 2 else word[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawResponse:
    """An answer as it came in."""

    host: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    redirects_to: str = ""
    """The host that a redirect names, if it names one."""
    is_of_stream: bool = False
    """Whether it was a stream that was asked for."""
    scrub: Scrub = field(default=scrub, repr=False)
    """What its words go through before they are quoted."""

    @property
    def media_type(self) -> str:
        """The type the answer claims to be, without its parameters."""
        return media_type(self.headers)

    @property
    def is_html(self) -> bool:
        """Whether this is a page for people: a login form or a captive portal."""
        start = self.content[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        return self.media_type in {
            "text/html",
            "application/xhtml+xml",
        } or start.startswith((b"<!doctype html", b"<html"))

    @property
    def date(self) -> datetime | None:
        """When the platform says it answered."""
        return http_date(self.headers.get("date", ""))


def read(raw: RawResponse, *, now: datetime) -> PlatformResponse:
    """Return the answer's JSON, or raise what the answer means."""
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
    """Say that an answer has more in it than anybody would wait for."""
    return TransientError(
        f"{host} answered with {what}",
        hint="what it carried is asked for again; cancel waiting mutations of this host "
        "on the platform, or have fewer sent at once",
        failure=Failure.OVERSIZED,
    )


def refuse(raw: RawResponse, *, now: datetime) -> None:
    """Raise the error that a status other than 2xx stands for.

    A redirect counts as a refusal of the bearer: the platform sends a stale one to a
    login page. Something else may redirect too, so only what was seen is said.
    """
    status = raw.status
    if 200 <= status < 300:
        return
    said = f"{raw.host} answered {status}"
    detail = _detail(raw)
    text = f"{said}: {detail}" if detail else said
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
    said = f"{raw.host} answered {raw.status}, a redirect to {where}"
    return UnauthorizedError(said, hint=hint)


def _captive_portal(raw: RawResponse) -> TransientError:
    return TransientError(
        f"{raw.host} answered {raw.status} with an HTML page instead of JSON",
        hint="a captive portal or a proxy stands between this host and the platform",
    )


def _detail(raw: RawResponse) -> str:
    """Return what the platform said of its refusal, scrubbed, on one line."""
    if raw.is_html:
        return "an HTML page, not the platform's own words"
    if len(raw.content) > MAX_QUOTABLE:
        return f"{len(raw.content)} bytes, too many to quote"
    text = raw.content.decode(errors="replace").lstrip("\ufeff \t\r\n")
    # An object within other words is the event of a stream, or what broke off.
    if "{" in text or text.startswith(("[", '"')):
        text = _error_message(raw.content)
    return raw.scrub(text)[:MAX_DETAIL]


def _error_message(content: bytes) -> str:
    """Return what a body says went wrong, if it is JSON.

    Nothing else of it is quoted: a refusal may carry the token or the values of a good
    answer, which nobody has seen yet and so cannot scrub.
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
    """The JSON has too many values to be looked at one by one."""


def parse_json(content: bytes) -> Any:
    """Parse JSON liberally; `ValueError` when it is none.

    Its values are counted before any is made, by what parts and begins them: 16 MiB can
    hold millions, which take seconds and half a gigabyte (`TooManyPartsError`).
    Duplicate keys: the last one counts. NaN and the infinities are floats, and so is a
    number too long for an integer. What is nested deeper than `MAX_DEPTH` is null when
    the nesting is beyond what Python can follow.
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
    """Read a date as HTTP headers spell it; None when it is absent or nonsense."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Return the seconds the platform asks us to wait; None when it does not, or raves.

    A date is measured against the answer's own `Date`, so that a wrong clock on this
    host does not matter; `now` stands in where there is none.
    """
    asked = headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        seconds = float(asked[:9])
    elif until := http_date(asked):
        seconds = (until - (http_date(headers.get("date", "")) or now)).total_seconds()
    else:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
