"""Runtime tokens of workers: JWTs signed with keys that are derived from the master keys.

The key id of a token is that of the master key, so tokens stay valid while a master key is
replaced. Nothing about them is stored.
"""

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


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid runtime token says."""

    worker_id: str
    org_id: str
    key_id: str
    """The API key that the worker registered with."""


def is_token(bearer: str) -> bool:
    """Whether a bearer is a runtime token rather than a key: it has exactly two dots."""
    return bearer.count(".") == 2


class Tokens:
    """Issues and reads runtime tokens."""

    def __init__(self, sealer: Sealer, lifetime: timedelta) -> None:
        self._sealer, self._lifetime = sealer, lifetime

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
        """Return the claims of a token. Raise UnauthorizedError unless it is valid."""
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
        if expires_at <= now:
            raise UnauthorizedError("Runtime token expired")
        return Claims(claims["sub"], claims["org"], str(claims.get("reg", "")))


@lru_cache(maxsize=8)
def _signing_key(key: MasterKey) -> bytes:
    derivation = HKDF(SHA256(), length=32, salt=None, info=b"rensei-platform runtime token")
    return derivation.derive(key.secret)
