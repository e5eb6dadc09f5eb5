"""Runtime tokens of workers: JWTs signed with keys that are derived from the master keys.

The key id of a token is that of the master key, so tokens stay valid while a master key is
replaced. Nothing about them is stored.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rensei_platform.errors import UnauthorizedError
from rensei_platform.master_key import MasterKey
from rensei_platform.sealing import Sealer

_ALGORITHM = "HS256"
_SCOPES = ["worker:register", "worker:poll", "worker:heartbeat", "worker:session"]
_REQUIRED = ["exp", "iat", "sub", "org"]
MOST_REMEMBERED = 20_000
"""Tokens that were found valid; beyond, the one remembered longest is read anew."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid runtime token says."""

    worker_id: str
    org_id: str
    key_id: str
    """The API key that the worker registered with."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A token whose signature is good."""

    claims: Claims
    expires_at: datetime
    key_id: str


def is_token(bearer: str) -> bool:
    """Whether a bearer is a runtime token rather than a key: it has exactly two dots."""
    return bearer.count(".") == 2


class Tokens:
    """Issues and reads runtime tokens."""

    def __init__(self, sealer: Sealer, lifetime: timedelta) -> None:
        self._sealer, self._lifetime = sealer, lifetime
        self._remembered: dict[bytes, _Read] = {}

    def issue(
        self, worker_id: str, org_id: str, key_id: str, token_id: str, now: datetime
    ) -> tuple[str, datetime]:
        """Return a token for a worker, and when it expires."""
        expires_at = now + self._lifetime
        claims = {
            "jti": token_id,
            "sub": worker_id,
            "org": org_id,
            "proj": None,
            "reg": key_id,
            "scope": _SCOPES,
            "iat": now,
            "exp": expires_at,
        }
        key = self._sealer.keys[0]
        headers = {"kid": key.id}
        token = jwt.encode(claims, _signing_key(key), _ALGORITHM, headers=headers)
        return token, expires_at

    def read(self, token: str, now: datetime) -> Claims:
        """Return the claims of a token. Raise UnauthorizedError unless it is valid.

        Reading one is half of a heartbeat's work, so its claims are remembered: under the
        token's digest, and for as long as the key that signed it is valid.
        """
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        found = self._remembered.get(digest)
        if found is None or found.key_id not in {key.id for key in self._sealer.keys}:
            found = self._read(token)
            if len(self._remembered) >= MOST_REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[digest] = found
        if found.expires_at <= now:
            raise UnauthorizedError("Runtime token expired")
        return found.claims

    def _read(self, token: str) -> _Read:
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            key = next(key for key in self._sealer.keys if key.id == key_id)
            claims = jwt.decode(
                token,
                _signing_key(key),
                algorithms=[_ALGORITHM],
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
            )
            expires_at = datetime.fromtimestamp(claims["exp"], UTC)
        except (jwt.InvalidTokenError, StopIteration, ValueError, TypeError, OverflowError):
            raise UnauthorizedError from None
        read = Claims(claims["sub"], claims["org"], str(claims.get("reg", "")))
        return _Read(read, expires_at, key.id)


@lru_cache(maxsize=8)
def _signing_key(key: MasterKey) -> bytes:
    derivation = HKDF(SHA256(), length=32, salt=None, info=b"rensei-platform runtime token")
    return derivation.derive(key.secret)
