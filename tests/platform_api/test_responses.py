"""The meaning of statuses, headers and bodies."""

import json
import math
from datetime import UTC, datetime
from functools import partial

import pytest

from rensei_daemon.errors import RefusedError, TransientError, UnauthorizedError
from rensei_daemon.platform_api import responses
from rensei_daemon.platform_api.responses import RawResponse

NOW = datetime(2026, 6, 2, 12, 0, tzinfo=UTC)
KEY = "rsk_live_" + "c0ffee" * 10 + "beef"


def raw(status: int, content: bytes = b"{}", **headers: str) -> RawResponse:
    """Make a response of the platform."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    scrub = partial(responses.scrub, secrets=(KEY,))
    return RawResponse(
        host="host", status=status, headers=named, content=content, scrub=scrub
    )


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_passes_is_transient(status: int) -> None:
    """Overload and failures of the platform are retried."""
    with pytest.raises(TransientError, match=f"host answered {status}: tired"):
        responses.read(raw(status, b'{"error": "tired"}'), now=NOW)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 401])
def test_redirects_and_401_are_about_the_key(status: int) -> None:
    """Both mean that the key or token is not accepted."""
    with pytest.raises(UnauthorizedError, match=f"host answered {status}"):
        responses.read(raw(status), now=NOW)


@pytest.mark.parametrize("status", [400, 402, 403, 404, 405, 407, 409, 413, 422])
def test_other_refusals_carry_status_and_detail(status: int) -> None:
    """Any other 4xx is a refusal with its status and message."""
    with pytest.raises(RefusedError) as caught:
        responses.read(raw(status, b'{"error": "not yours"}'), now=NOW)
    assert (caught.value.status, caught.value.detail) == (status, "not yours")


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b'{"error": "no", "reason": "other"}', "no"),
        (b'{"cancelled": false, "reason": "already_delivered"}', "already_delivered"),
        (b'{"error": {"code": 1}}', '{"code": 1}'),
        (b'{"error": {}, "message": "no"}', "no"),
        (b'{"runtimeToken": "a.new.one"}', "no error message"),
        (b'\xef\xbb\xbf [{"env": {"TOKEN": "new"}}]', "no error message"),
        (b' {"env": {"TOKEN": "new"', "24 bytes that are not JSON"),
        (b'"new', "4 bytes that are not JSON"),
        (b'data: {"delta": {"TOKEN": "new"}}\n', "34 bytes that are not JSON"),
        (b"[new", "4 bytes that are not JSON"),
        (b"plain words", "plain words"),
        (b"two\r\nlines\x1b[31m", "two lines [31m"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
        (b"<!DOCTYPE html><p>x", "an HTML page, which is not from the platform"),
        (b'{"error": "bad key %s"}' % KEY.encode(), "bad key …"),
        (b"old key rsp_live_abc-1 and eyJhbGc.eyJz.c2ln.", "old key … and …."),
        (b"x" * 5000, "x" * 2048),
        (b"x" * 32769, "32769 bytes, too many to quote"),
    ],
)
def test_the_detail_is_one_scrubbed_line(content: bytes, detail: str) -> None:
    """The platform's message is cut, on one line, and without secrets."""
    with pytest.raises(RefusedError) as caught:
        responses.read(raw(400, content), now=NOW)
    assert caught.value.detail == detail
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        raw(200, b"<html>", content_type="application/json"),
        raw(200, b"{}", content_type="text/html; charset=utf-8"),
        raw(200, b"\n <!doctype HTML>"),
    ],
)
def test_a_page_instead_of_json_names_the_captive_portal(answer: RawResponse) -> None:
    """HTML with 200 is not the platform's, and the hint says so."""
    with pytest.raises(TransientError, match="HTML page") as caught:
        responses.read(answer, now=NOW)
    assert "captive portal" in caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b'{"a": ', b"\xff", b"{]", b'{"a": "' + b"x" * 99]
)
def test_a_broken_body_is_transient_and_not_quoted(content: bytes) -> None:
    """A body that is not JSON is retried, and the error does not quote it."""
    with pytest.raises(
        TransientError, match=r"^host answered 200 with a body that is not JSON$"
    ):
        responses.read(raw(200, content), now=NOW)


@pytest.mark.parametrize(
    ("asked", "date", "seconds"),
    [
        ("7", "", 7),
        (" 7 ", "", 7),
        ("0", "", 0),
        ("86400", "", 900),
        ("9" * 5000, "", 900),
        ("-1", "", None),
        ("1.5", "", None),
        ("soon", "", None),
        ("", "", None),
        ("٣", "", None),
        ("Tue, 02 Jun 2026 12:00:30 GMT", "", 30),
        ("Tue, 02 Jun 2026 12:00:30 GMT", "nonsense", 30),
        ("Tue, 02 Jun 2026 12:00:30 -0000", "", 30),
        ("Tue, 02 Jun 2026 18:00:30 GMT", "Tue, 02 Jun 2026 18:00:00 GMT", 30),
        ("Tue, 02 Jun 2026 11:00:00 GMT", "", 0),
        ("Wed, 03 Jun 2026 12:00:00 GMT", "", 900),
        ("Tue, 99 Jun 2026 12:00:00 GMT", "", None),
        ("Tue, 02 Jun 99999 12:00:00 GMT", "", None),
    ],
)
def test_retry_after_is_understood_and_kept_sane(
    asked: str, date: str, seconds: float | None
) -> None:
    """Seconds, or a date by the response's clock, at most 15 min; else None."""
    with pytest.raises(TransientError) as caught:
        responses.read(raw(503, retry_after=asked, date=date), now=NOW)
    assert caught.value.retry_after == seconds


def test_json_is_read_liberally() -> None:
    """Duplicate keys, NaN, a BOM and very long numbers are accepted."""
    found = responses.read(
        raw(200, b'\xef\xbb\xbf{"a": 1, "a": 2, "n": NaN, "long": %s}' % (b"9" * 5000)),
        now=NOW,
    ).body
    assert (found["a"], math.isnan(found["n"]), found["long"]) == (2, True, math.inf)


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_endless_nesting_costs_only_itself(depth: int) -> None:
    """JSON that is nested too deeply is null, and its neighbours are kept."""
    deep = "[" * depth + '"]"' + "]" * depth
    found = responses.parse_json(
        f'{{"before": 1, "deep": {deep}, "after": "[{{"}}'.encode()
    )
    assert (found["before"], found["after"]) == (1, "[{")


@pytest.mark.parametrize("rest", [b"", b'"' + b'\\"' * 1_000_000, b'"\\'])
def test_unclosed_nesting_is_no_json(rest: bytes) -> None:
    """A hundred thousand unclosed brackets are refused at once."""
    with pytest.raises(ValueError, match="Expecting"):
        responses.parse_json(b"[" * 100_000 + rest)


def test_an_answer_hides_its_body() -> None:
    """The repr of a response does not show its body."""
    found = responses.read(raw(200, json.dumps({"env": "s3cr3t"}).encode()), now=NOW)
    assert "s3cr3t" not in repr(found)
    assert "c0ffee" not in repr(raw(200, KEY.encode()))
