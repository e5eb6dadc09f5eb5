"""Runtime tokens: HS256 JWTs, with the standard library alone.

Owns the encoding and the signature. It refuses to know what the claims mean, or the
time: whether a token has expired is a rule, and rules live in `state`.
"""

import base64
import hashlib
import hmac
import json
from typing import Any

Claims = dict[str, Any]

_HEADER = {"alg": "HS256", "typ": "JWT"}


class BadTokenError(ValueError):
    """The text is not a token signed with this secret."""


def is_token(bearer: str) -> bool:
    """Tell a runtime token from a key: the server's rule is exactly two dots."""
    return bearer.count(".") == 2


def issue(claims: Claims, secret: bytes) -> str:
    """Sign `claims`; the answer is three base64url segments joined by dots."""
    signed = f"{_encode_json(_HEADER)}.{_encode_json(claims)}"
    return f"{signed}.{_encode(_signature(signed, secret))}"


def read(token: str, secret: bytes) -> Claims:
    """Return the claims of a token signed with `secret`, else raise BadTokenError."""
    signed, _, signature = token.rpartition(".")
    try:
        given = _decode(signature)
        if not hmac.compare_digest(given, _signature(signed, secret)):
            raise BadTokenError
        header, claims = (json.loads(_decode(part)) for part in signed.split("."))
    except ValueError as error:  # not ASCII, not base64, not JSON, not three parts
        raise BadTokenError from error
    if header != _HEADER or not isinstance(claims, dict):
        raise BadTokenError
    return claims


def _signature(signed: str, secret: bytes) -> bytes:
    return hmac.digest(secret, signed.encode(), hashlib.sha256)


def _encode_json(value: object) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_")
