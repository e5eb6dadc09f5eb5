"""Passwords: kept as argon2 hashes, and a few at a time, for each takes 64 MiB."""

from functools import cache

import anyio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LEAST_PASSWORD, MOST_PASSWORD = 12, 1024
"""Characters of a password."""

_HASHER = PasswordHasher()
_AT_ONCE = anyio.CapacityLimiter(2)


async def hash_password(password: str) -> str:
    """Return what is kept of a password."""
    return await anyio.to_thread.run_sync(_HASHER.hash, password, limiter=_AT_ONCE)


async def is_password(hashed: str | None, password: str) -> bool:
    """Whether a password is the one of a hash; with None it takes as long to say no."""
    if len(password) > MOST_PASSWORD:
        return False
    return await anyio.to_thread.run_sync(_verify, hashed, password, limiter=_AT_ONCE)


def _verify(hashed: str | None, password: str) -> bool:
    try:
        _HASHER.verify(hashed or _nobodys(), password)
    except (VerificationError, InvalidHashError):
        return False
    return hashed is not None


@cache
def _nobodys() -> str:
    return _HASHER.hash("the password of nobody")
