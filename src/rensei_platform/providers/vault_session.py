"""Calls to OpenBao or Vault, with a token that is kept valid.

A lease ends with the token that asked for it. So a token is renewed as long as it can be,
and replaced by a new login only when it must be; the old one is left to expire.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol

import anyio

from rensei_platform.providers.base import (
    BadAnswerError,
    ProviderDeniedError,
    ProviderUnavailableError,
    ResolveError,
)
from rensei_platform.providers.http_client import Answer, HttpClient
from rensei_platform.providers.secret_source import SecretSource

_RENEW_AT = 1 / 3
"""A token is renewed when less than this part of its time is left."""
_STANDBY = {412, 429, 472, 473}


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its time."""

    value: str = field(repr=False)
    seconds: float
    ends_at: float
    renewable: bool

    @property
    def owner(self) -> str:
        """What tells this token from another one; the token cannot be had from it."""
        return hashlib.sha256(self.value.encode()).hexdigest()[:16]


class Login(Protocol):
    """A way to get a token."""

    async def __call__(self, session: "VaultSession") -> Token:
        """Return a token. Raise ResolveError."""
        ...


class TokenLogin:
    """Uses a token that an operator made."""

    def __init__(self, source: SecretSource) -> None:
        self._source = source

    async def __call__(self, session: "VaultSession") -> Token:
        """Return the token, with the time that the server says it has."""
        value = self._source.read()
        answer = await session.send("GET", "auth/token/lookup-self", value)
        if answer.status != 200:
            raise ProviderDeniedError(
                "the token is not valid", hint="Put a token that is valid in its place."
            )
        found = answer.fields().get("data")
        found = found if isinstance(found, dict) else {}
        return _token(value, found.get("ttl"), found.get("renewable"))


class AppRoleLogin:
    """Logs in with a role id and a secret id."""

    def __init__(self, mount: str, role_id: str, secret: SecretSource) -> None:
        self._path, self._role_id, self._secret = f"auth/{mount}/login", role_id, secret

    async def __call__(self, session: "VaultSession") -> Token:
        """Return a new token."""
        body = {"role_id": self._role_id, "secret_id": self._secret.read()}
        answer = await session.send("POST", self._path, None, body)
        if answer.status != 200:
            raise ProviderDeniedError(
                f"the AppRole login was refused (status {answer.status})",
                hint="Check `role_id`, the secret id and whether it has been used up.",
            )
        return _token_of(answer)


class VaultSession:
    """Sends requests with a valid token."""

    def __init__(self, client: HttpClient, login: Login, namespace: str) -> None:
        self._client, self._login, self._namespace = client, login, namespace
        self._held: Token | None = None
        self._lock = anyio.Lock()

    async def token(self) -> Token:
        """Return a token that is valid as far as is known."""
        async with self._lock:
            held = self._held
            left = held.ends_at - anyio.current_time() if held else 0.0
            if held is None or left <= 0:
                held = await self._login(self)
            elif left < held.seconds * _RENEW_AT:
                held = await self._prolong(held)
            self._held = held
            return held

    def use(self, token: Token | None) -> None:
        """Take this as the token in use; None has the next request log in."""
        self._held = token

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[Answer, Token]:
        """Return an answer other than 403, and the token it was had with.

        Raise ProviderDeniedError if the token's policies do not allow the request.
        """
        for _ in range(2):
            token = await self.token()
            answer = await self.send(method, path, token.value, body)
            if answer.status != 403:
                return answer, token
            if await self._is_valid(token):
                break
            if self._held is token:
                self.use(None)
        raise ProviderDeniedError(
            "the token may not do this, or nothing is there",
            hint="Let a policy of the token allow it: `read` on the path.",
        )

    async def send(
        self,
        method: str,
        path: str,
        token: str | None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Send one request. Raise ProviderUnavailableError if the server cannot serve."""
        headers = {"X-Vault-Request": "true"}
        if self._namespace:
            headers["X-Vault-Namespace"] = self._namespace
        if token:
            headers["X-Vault-Token"] = token
        answer = await self._client.send(method, f"/v1/{path}", headers, body=body)
        if answer.status == 503 and b"sealed" in answer.body:
            raise ProviderUnavailableError(
                "is sealed", hint="Unseal it: `bao operator unseal`."
            )
        if answer.status in _STANDBY or answer.status >= 500:
            raise ProviderUnavailableError(f"cannot serve now (status {answer.status})")
        return answer

    async def _prolong(self, token: Token) -> Token:
        """Return the token with more time; a new one if it is near the end of its life."""
        if token.renewable:
            answer = await self.send("POST", "auth/token/renew-self", token.value, {})
            if answer.status == 200:
                renewed = _token_of(answer)
                if renewed.seconds > token.seconds * _RENEW_AT:
                    return renewed
        try:
            return await self._login(self)
        except ResolveError:
            return token  # good until it ends; the next call tries again

    async def _is_valid(self, token: Token) -> bool:
        answer = await self.send("GET", "auth/token/lookup-self", token.value)
        return answer.status == 200


def _token_of(answer: Answer) -> Token:
    auth = answer.fields().get("auth")
    value = auth.get("client_token") if isinstance(auth, dict) else None
    if not isinstance(auth, dict) or not isinstance(value, str) or not value:
        raise BadAnswerError("the answer to the login has no token")
    return _token(value, auth.get("lease_duration"), auth.get("renewable"))


def _token(value: str, seconds: object, renewable: object) -> Token:
    """Return a token; 0 seconds are for ever, as with a root token."""
    time = float(seconds) if isinstance(seconds, int | float) and seconds > 0 else inf
    return Token(value, time, anyio.current_time() + time, renewable is True)
