"""HS256 tokens."""

import pytest

from rensei_daemon.local_platform import tokens

SECRET = b"s" * 32


def test_a_known_vector() -> None:
    """The encoding is that of RFC 7515: the parts are base64url without padding."""
    token = tokens.issue({"sub": "wkr_1"}, b"key")
    assert token == (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
        ".eyJzdWIiOiJ3a3JfMSJ9"
        ".Gvjlde7wRUY1UQ7C3woSVis1ZMekvgUHSuHX8xS8KYw"
    )


def test_claims_come_back() -> None:
    """What was signed is what is read."""
    claims = {"sub": "wkr_1", "exp": 1.5, "proj": None}
    assert tokens.read(tokens.issue(claims, SECRET), SECRET) == claims


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "..",
        "é.é.é",
        tokens.issue({"sub": "wkr_1"}, b"another secret"),
        tokens.issue({"sub": "wkr_1"}, SECRET) + "A",
        tokens.issue({"sub": "wkr_1"}, SECRET).replace(".", "..", 1),
    ],
)
def test_anything_else_is_refused(token: str) -> None:
    """A text that is not a token of this secret is a BadTokenError, whatever it is."""
    with pytest.raises(tokens.BadTokenError):
        tokens.read(token, SECRET)


def test_two_dots_make_a_token() -> None:
    """The server tells a token from a key by its two dots alone."""
    assert tokens.is_token("a.b.c")
    assert not tokens.is_token("rsk_live_abc")
    assert not tokens.is_token("a.b.c.d")
