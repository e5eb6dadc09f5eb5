"""OpenBao or HashiCorp Vault: KV version 2, and engines whose secrets have leases."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import quote

import anyio
from pydantic import SecretStr, field_validator

from rensei_platform.errors import InvalidRequestError, SettingsError
from rensei_platform.providers.base import (
    BadAnswerError,
    ForeignLeaseError,
    Lease,
    LeaseEndedError,
    Location,
    Resolved,
    ResolveError,
    SecretNotFoundError,
)
from rensei_platform.providers.fields import select
from rensei_platform.providers.http_client import Answer, HttpClient
from rensei_platform.providers.options import (
    AbsolutePath,
    Limits,
    ServerOptions,
    parse_options,
    reveal,
)
from rensei_platform.providers.paths import parse_path
from rensei_platform.providers.secret_source import SecretSource
from rensei_platform.providers.vault_session import (
    AppRoleLogin,
    Login,
    Token,
    TokenLogin,
    VaultSession,
)


class VaultOptions(ServerOptions):
    """Keys of a `[providers.NAME]` table with `type = "vault"`."""

    engine: Literal["kv2", "leased"] = "kv2"
    mount: str = "secret"
    namespace: str = ""
    auth: Literal["token", "approle"] = "token"
    auth_mount: str = "approle"
    token: SecretStr | None = None
    token_file: AbsolutePath | None = None
    role_id: str = ""
    secret_id: SecretStr | None = None
    secret_id_file: AbsolutePath | None = None

    @field_validator("mount", "auth_mount")
    @classmethod
    def _is_path(cls, text: str) -> str:
        try:
            return _url_path(parse_path(text))
        except InvalidRequestError as error:
            raise ValueError(str(error)) from None

    def login(self) -> Login:
        """Return the way to log in. Raise SettingsError if its options do not fit."""
        if self.auth == "token":
            return TokenLogin(SecretSource("token", reveal(self.token), self.token_file))
        if not self.role_id:
            raise SettingsError('role_id: required with `auth = "approle"`')
        secret = SecretSource("secret_id", reveal(self.secret_id), self.secret_id_file)
        return AppRoleLogin(self.auth_mount, self.role_id, secret)


class VaultProvider:
    """Reads secrets of one engine of one server."""

    def __init__(self, options: Mapping[str, object], limits: Limits) -> None:
        """Raise SettingsError if an option is wrong."""
        parsed = parse_options(VaultOptions, options)
        client = HttpClient(
            parsed.address,
            ca_file=parsed.ca_file,
            allow_http=parsed.allow_http,
            most_bytes=limits.most_bytes,
            timeout=limits.timeout_seconds,
        )
        self.session = VaultSession(client, parsed.login(), parsed.namespace)
        self._mount, self._engine = parsed.mount, parsed.engine

    async def probe(self) -> None:
        """Look our own token up, which proves the server, the login and the token."""
        await self.session.call("GET", "auth/token/lookup-self")

    async def resolve(self, location: Location) -> Resolved:
        """Return the newest version of a secret, or a secret made for us."""
        path = _url_path(location.path)
        if self._engine == "kv2":
            answer, _ = await self.session.call("GET", f"{self._mount}/data/{path}")
            data = _data(answer).get("data")
            if not isinstance(data, dict):
                raise BadAnswerError(
                    f"{self._mount} is not a KV engine of version 2",
                    hint='Set `mount`, or `engine = "leased"`.',
                )
            return Resolved(select(data, location.names))
        answer, token = await self.session.call("GET", f"{self._mount}/{path}")
        data, lease = _data(answer), _lease(answer.fields(), token)
        try:
            return Resolved(select(data, location.names), lease)
        except ResolveError:
            if lease is not None:  # made for nothing: do not leave it behind
                await self.revoke(lease)
            raise

    async def renew(self, lease: Lease) -> Lease:
        """Prolong a lease of the token in use.

        Raise LeaseEndedError if the lease has ended, or ends with an earlier token. The
        lease is not renewable any more when the server begins to cut its time.
        """
        token = await self.session.token()
        if lease.owner != token.owner:
            raise ForeignLeaseError("the lease belongs to another token")
        answer, token = await self.session.call(
            "POST", "sys/leases/renew", {"lease_id": lease.id}
        )
        if answer.status != 200 or lease.owner != token.owner:
            raise LeaseEndedError("the lease has ended")
        renewed = _lease(answer.fields(), token)
        if renewed is None:
            raise BadAnswerError("the answer has no lease")
        return replace(
            renewed, renewable=renewed.renewable and renewed.seconds >= lease.seconds / 2
        )

    async def revoke(self, lease: Lease) -> None:
        """End a lease. One that the server does not know has ended."""
        answer, _ = await self.session.call(
            "POST", "sys/leases/revoke", {"lease_id": lease.id}
        )
        if answer.status not in {200, 202, 204, 400, 404}:
            raise BadAnswerError(f"the revocation was answered with status {answer.status}")


def _data(answer: Answer) -> dict[str, Any]:
    if answer.status == 404:
        raise SecretNotFoundError("there is nothing at the path")
    if answer.status != 200:
        raise BadAnswerError(f"the request was refused (status {answer.status})")
    data = answer.fields().get("data")
    if not isinstance(data, dict):
        raise BadAnswerError("the answer has no data")
    return data


def _lease(fields: Mapping[str, Any], token: Token) -> Lease | None:
    """Return the lease of an answer, which ends with its token. None if there is none."""
    lease_id, seconds = fields.get("lease_id"), fields.get("lease_duration")
    if not lease_id:
        return None
    if not isinstance(lease_id, str) or not isinstance(seconds, int | float):
        raise BadAnswerError("the lease is malformed")
    return Lease(
        id=lease_id,
        seconds=min(float(seconds), max(token.ends_at - anyio.current_time(), 0)),
        renewable=fields.get("renewable") is True,
        owner=token.owner,
    )


def _url_path(segments: tuple[str, ...]) -> str:
    return "/".join(quote(segment, safe="") for segment in segments)
