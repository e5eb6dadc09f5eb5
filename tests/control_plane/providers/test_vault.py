"""The provider of OpenBao and Vault, against a real OpenBao."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from openbao import OpenBao, running_openbao

from rensei_platform.errors import SettingsError
from rensei_platform.providers.base import (
    BadAnswerError,
    Location,
    ProviderDeniedError,
    ProviderUnavailableError,
    ResolveError,
    SecretNotFoundError,
)
from rensei_platform.providers.options import Limits
from rensei_platform.providers.vault import VaultProvider

pytestmark = pytest.mark.slow

CANARY = "canary-of-the-vault-tests"
READ_APP = 'path "secret/data/app/*" { capabilities = ["read"] }'


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """Start one server for all tests of this module."""
    with running_openbao(tmp_path_factory.mktemp("openbao")) as server:
        server.call("PUT", "sys/policies/acl/read-app", {"policy": READ_APP})
        server.call("POST", "sys/auth/approle", {"type": "approle"})
        server.call("POST", "secret/data/app/main", {"data": {"key": CANARY, "port": 5432}})
        yield server


def _provider(bao: OpenBao, **options: object) -> VaultProvider:
    common = {"address": bao.address, "ca_file": str(bao.ca_file)}
    return VaultProvider({**common, **options}, Limits(timeout_seconds=5))


def _at(path: str, **names: str) -> Location:
    return Location(org_id="org", kind="byok", path=tuple(path.split("/")), names=names)


async def _refusal(
    provider: VaultProvider, kind: type[ResolveError], location: Location
) -> str:
    with pytest.raises(kind) as refused:
        await provider.resolve(location)
    assert type(refused.value) is kind
    error = refused.value
    assert CANARY not in f"{error!r} {error} {error.hint} {error.detail}"
    return error.reason


# ---- KV version 2 ------------------------------------------------------------------------


async def test_read(bao: OpenBao) -> None:
    """Fields come under the names of the binding; a number is text as JSON spells it."""
    found = await _provider(bao, token=bao.token("read-app")).resolve(
        _at("app/main", API_KEY="key", PORT="port")
    )
    assert found.values == {"API_KEY": CANARY, "PORT": "5432"}
    assert found.lease is None
    assert CANARY not in repr(found)


async def test_read_all(bao: OpenBao) -> None:
    """Without names every field comes under its own."""
    found = await _provider(bao, token=bao.token("read-app")).resolve(_at("app/main"))
    assert found.values == {"key": CANARY, "port": "5432"}


async def test_newest_version(bao: OpenBao) -> None:
    """The newest version is read, and a deleted one is not there."""
    provider = _provider(bao, token=bao.token("read-app"))
    for value in ("first", "second"):
        bao.call("POST", "secret/data/app/changing", {"data": {"key": value}})
        assert (await provider.resolve(_at("app/changing"))).values == {"key": value}
    bao.call("DELETE", "secret/data/app/changing")
    refusal = await _refusal(provider, SecretNotFoundError, _at("app/changing"))
    assert refusal == "there is nothing at the path"


async def test_not_there(bao: OpenBao) -> None:
    """A path or a field that is not there is told apart from a refusal."""
    provider = _provider(bao, token=bao.token("read-app"))
    refusal = await _refusal(provider, SecretNotFoundError, _at("app/absent"))
    assert refusal == "there is nothing at the path"
    refusal = await _refusal(provider, SecretNotFoundError, _at("app/main", KEY="absent"))
    assert refusal == "there is no field 'absent' at the path"


async def test_not_text(bao: OpenBao) -> None:
    """An object is no value, but does no harm to those that are asked for by name."""
    bao.call("POST", "secret/data/app/deep", {"data": {"a": {"b": CANARY}, "key": "v"}})
    provider = _provider(bao, token=bao.token("read-app"))
    refusal = await _refusal(provider, BadAnswerError, _at("app/deep"))
    assert refusal == "the field 'a' is not text"
    assert (await provider.resolve(_at("app/deep", KEY="key"))).values == {"KEY": "v"}


async def test_escaped_path(bao: OpenBao) -> None:
    """A path is escaped, so no part of it is read as a query or as another path."""
    bao.call("POST", "secret/data/app/a%20b%2Bc", {"data": {"key": "spaced"}})
    provider = _provider(bao, token=bao.token("read-app"))
    assert (await provider.resolve(_at("app/a b+c"))).values == {"key": "spaced"}


async def test_not_version_2(bao: OpenBao) -> None:
    """An engine of another kind is refused with the option to change."""
    bao.call("POST", "sys/mounts/first", {"type": "kv"})
    bao.call("POST", "first/data/app", {"data": CANARY})
    provider = _provider(bao, token=bao.token("root"), mount="first")
    refusal = await _refusal(provider, BadAnswerError, _at("app"))
    assert refusal == "first is not a KV engine of version 2"


async def test_namespace(bao: OpenBao) -> None:
    """A secret is read in the namespace of the instance, and not from another one."""
    bao.call("POST", "sys/namespaces/team", {})
    bao.call("POST", "sys/mounts/kv", {"type": "kv-v2"}, namespace="team")
    bao.call("POST", "kv/data/app", {"data": {"key": "of the team"}}, namespace="team")
    token = bao.token("root")
    provider = _provider(bao, token=token, namespace="team", mount="kv")
    assert (await provider.resolve(_at("app"))).values == {"key": "of the team"}
    outside = _provider(bao, token=token, mount="kv")
    await _refusal(outside, SecretNotFoundError, _at("app"))


# ---- who asks ----------------------------------------------------------------------------


async def test_policy(bao: OpenBao) -> None:
    """A valid token without the policy is refused, and said to be valid."""
    provider = _provider(bao, token=bao.token("read-app"))
    refusal = await _refusal(provider, ProviderDeniedError, _at("other/main"))
    assert refusal == "the token may not do this, or nothing is there"


async def test_revoked_token(bao: OpenBao, tmp_path: Path) -> None:
    """A revoked token is refused until another one is put in its file."""
    path = tmp_path / "token"
    path.write_text(token := bao.token("read-app"))
    provider = _provider(bao, token_file=str(path))
    await provider.resolve(_at("app/main"))
    bao.call("POST", "auth/token/revoke", {"token": token})
    refusal = await _refusal(provider, ProviderDeniedError, _at("app/main"))
    assert refusal == "the token is not valid"
    path.write_text(bao.token("read-app") + "\n")
    assert (await provider.resolve(_at("app/main", KEY="key"))).values == {"KEY": CANARY}


def _approle(bao: OpenBao, name: str, **options: object) -> tuple[str, str]:
    bao.call("POST", f"auth/approle/role/{name}", {"token_policies": "read-app", **options})
    role = bao.call("GET", f"auth/approle/role/{name}/role-id")["data"]["role_id"]
    return role, _secret_id(bao, name)


def _secret_id(bao: OpenBao, name: str) -> str:
    made = bao.call("POST", f"auth/approle/role/{name}/secret-id", {})
    return str(made["data"]["secret_id"])


async def test_approle(bao: OpenBao, tmp_path: Path) -> None:
    """One login serves many requests; a token that was revoked is replaced unnoticed."""
    role_id, secret_id = _approle(bao, "app", token_ttl="1h")
    path = tmp_path / "secret-id"
    path.write_text(secret_id)
    provider = _provider(bao, auth="approle", role_id=role_id, secret_id_file=str(path))
    await provider.resolve(_at("app/main"))
    first = await provider.session.token()
    await provider.resolve(_at("app/main"))
    assert await provider.session.token() is first
    bao.call("POST", "auth/token/revoke", {"token": first.value})
    assert (await provider.resolve(_at("app/main", KEY="key"))).values == {"KEY": CANARY}
    assert (await provider.session.token()).owner != first.owner


async def test_approle_refused(bao: OpenBao, tmp_path: Path) -> None:
    """A secret id that is used up is refused until another one is put in its file."""
    role_id, secret_id = _approle(bao, "once", secret_id_num_uses=1)
    path = tmp_path / "secret-id"
    path.write_text(secret_id)
    options = {"auth": "approle", "role_id": role_id, "secret_id_file": str(path)}
    await _provider(bao, **options).resolve(_at("app/main"))
    refusal = await _refusal(
        _provider(bao, **options), ProviderDeniedError, _at("app/main")
    )
    assert refusal.startswith("the AppRole login was refused (status 4")
    path.write_text(_secret_id(bao, "once"))
    await _provider(bao, **options).resolve(_at("app/main"))


async def test_one_login_for_all(bao: OpenBao) -> None:
    """Requests that come together share one login: a secret id of one use is enough."""
    role_id, secret_id = _approle(bao, "shared", secret_id_num_uses=1)
    provider = _provider(bao, auth="approle", role_id=role_id, secret_id=secret_id)
    async with anyio.create_task_group() as requests:
        for _ in range(8):
            requests.start_soon(provider.resolve, _at("app/main"))


async def test_token_near_its_end(bao: OpenBao) -> None:
    """A token is renewed in the last third of its time, and stays the same."""
    role_id, secret_id = _approle(bao, "long", token_ttl="1h")
    provider = _provider(bao, auth="approle", role_id=role_id, secret_id=secret_id)
    session = provider.session
    first = await session.token()
    assert first.seconds == 3600
    for left, renewed in ((1300, False), (1100, True)):
        session.use(replace(first, ends_at=anyio.current_time() + left))
        now = await session.token()
        assert (now.ends_at - anyio.current_time() > 3500) is renewed
        assert now.owner == first.owner


async def test_token_near_its_longest_life(bao: OpenBao) -> None:
    """A token that gets less than a third of its time any more is replaced."""
    role_id, secret_id = _approle(bao, "old", token_ttl="1h")
    provider = _provider(bao, auth="approle", role_id=role_id, secret_id=secret_id)
    session = provider.session
    first = await session.token()
    for hours, is_same in ((2.9, True), (3.1, False)):
        session.use(
            replace(first, seconds=hours * 3600, ends_at=anyio.current_time() + 1100)
        )
        assert ((await session.token()).owner == first.owner) is is_same


async def test_token_that_cannot_be_renewed(bao: OpenBao) -> None:
    """A batch token is replaced in the last third of its time."""
    role_id, secret_id = _approle(bao, "batch", token_type="batch", token_ttl="1h")
    provider = _provider(bao, auth="approle", role_id=role_id, secret_id=secret_id)
    session = provider.session
    first = await session.token()
    assert not first.renewable
    session.use(replace(first, ends_at=anyio.current_time() + 1100))
    assert (await session.token()).owner != first.owner


async def test_login_fails_early(bao: OpenBao) -> None:
    """A token that is still good is used when no new one can be had, to its end."""
    role_id, secret_id = _approle(
        bao, "last", token_type="batch", token_ttl="1h", secret_id_num_uses=1
    )
    provider = _provider(bao, auth="approle", role_id=role_id, secret_id=secret_id)
    session = provider.session
    first = replace(await session.token(), ends_at=anyio.current_time() + 1100)
    session.use(first)
    assert await session.token() is first
    session.use(replace(first, ends_at=anyio.current_time()))
    await _refusal(provider, ProviderDeniedError, _at("app/main"))


# ---- the server --------------------------------------------------------------------------


async def test_sealed(bao: OpenBao) -> None:
    """A sealed server is unavailable, and works again once it is unsealed."""
    provider = _provider(bao, token=bao.token("read-app"))
    await provider.resolve(_at("app/main"))
    with bao.sealed():
        refusal = await _refusal(provider, ProviderUnavailableError, _at("app/main"))
        assert refusal == "is sealed"
        fresh = _provider(bao, token="unused")
        assert (
            await _refusal(fresh, ProviderUnavailableError, _at("app/main")) == "is sealed"
        )
    assert (await provider.resolve(_at("app/main", KEY="key"))).values == {"KEY": CANARY}


async def test_untrusted_certificate(bao: OpenBao) -> None:
    """A server whose certificate no configured authority signed gets no token."""
    provider = VaultProvider({"address": bao.address, "token": CANARY}, Limits())
    refusal = await _refusal(provider, ProviderUnavailableError, _at("app/main"))
    assert refusal.startswith("its certificate is not trusted (")


# ---- options -----------------------------------------------------------------------------


_ROLE = {"auth": "approle", "role_id": "role"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "token: set either `token` or `token_file`"),
        (
            {"token": CANARY, "token_file": "/t"},
            "token: set either `token` or `token_file`",
        ),
        ({**_ROLE, "role_id": ""}, 'role_id: required with `auth = "approle"`'),
        ({**_ROLE}, "secret_id: set either `secret_id` or `secret_id_file`"),
        ({"auth": "ldap"}, "auth: Input should be 'token' or 'approle'"),
        ({"mount": "a/../b"}, "mount: Value error, path: . and .. are not allowed"),
        ({"token_file": "relative"}, "token_file: Value error, the path is not absolute"),
        ({"token": CANARY, "tokem": "x"}, "tokem: Extra inputs are not permitted"),
        ({"ca_file": "/absent"}, "ca_file: /absent: No such file or directory"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    """A wrong option is refused by name, without what was written."""
    with pytest.raises(SettingsError) as refused:
        VaultProvider({"address": "https://bao.example", **options}, Limits())
    assert str(refused.value) == message
