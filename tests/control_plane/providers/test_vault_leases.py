"""Leased secrets of OpenBao: roles of a real PostgreSQL that are made for us."""

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from openbao import OpenBao, running_openbao
from postgresql import Cluster, running_postgresql

from rensei_platform.providers.base import (
    ForeignLeaseError,
    Lease,
    LeaseEndedError,
    Location,
    Resolved,
    SecretNotFoundError,
)
from rensei_platform.providers.options import Limits
from rensei_platform.providers.vault import VaultProvider

pytestmark = pytest.mark.slow

WHO = "select session_user"
POLICY = """
path "database/creds/*" { capabilities = ["read"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"""
CREATE = (
    """create role "{{name}}" login password '{{password}}' valid until '{{expiration}}'"""
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Start one cluster for all tests of this module."""
    with running_postgresql(trust=False) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def bao(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """Start one server that makes roles in the cluster."""
    with running_openbao(tmp_path_factory.mktemp("openbao")) as server:
        server.call("PUT", "sys/policies/acl/database", {"policy": POLICY})
        server.call("POST", "sys/mounts/database", {"type": "database"})
        connection = {
            "plugin_name": "postgresql-database-plugin",
            "connection_url": f"host={cluster.directory} user=postgres dbname=postgres",
            "allowed_roles": "app",
        }
        server.call("POST", "database/config/main", connection)
        role = {
            "db_name": "main",
            "creation_statements": [CREATE],
            "default_ttl": "1h",
            "max_ttl": "24h",
        }
        server.call("POST", "database/roles/app", role)
        yield server


def _provider(bao: OpenBao, **options: object) -> VaultProvider:
    fixed = {
        "address": bao.address,
        "ca_file": str(bao.ca_file),
        "engine": "leased",
        "mount": "database/creds",
    }
    return VaultProvider({**fixed, **options}, Limits(timeout_seconds=10))


def _at(**names: str) -> Location:
    return Location(org_id="org", kind="pg", path=("app",), names=names)


NAMES = {"PGUSER": "username", "PGPASSWORD": "password"}


def _lease(found: Resolved) -> Lease:
    assert found.lease is not None
    return found.lease


def _who(cluster: Cluster, values: Mapping[str, str]) -> str:
    return cluster.sql(WHO, values["PGUSER"], values["PGPASSWORD"])


def _roles(cluster: Cluster) -> str:
    return cluster.sql("select count(*) from pg_roles where rolname like 'v-%'")


async def test_life_of_a_lease(bao: OpenBao, cluster: Cluster) -> None:
    """A leased login works, is renewed, and is refused after its revocation."""
    provider = _provider(bao, token=bao.token("database"))
    found = await provider.resolve(_at(**NAMES))
    assert _who(cluster, found.values) == found.values["PGUSER"]
    lease = _lease(found)
    assert (lease.seconds, lease.renewable) == (3600, True)
    renewed = await provider.renew(lease)
    assert (renewed.id, renewed.owner, renewed.renewable) == (lease.id, lease.owner, True)
    await provider.revoke(lease)
    with pytest.raises(subprocess.CalledProcessError, match="exit status 2"):
        _who(cluster, found.values)
    await provider.revoke(lease)
    with pytest.raises(LeaseEndedError, match="the lease has ended"):
        await provider.renew(lease)


async def test_two_logins(bao: OpenBao) -> None:
    """Every resolution makes a login of its own, with a lease of its own."""
    provider = _provider(bao, token=bao.token("database"))
    found = [await provider.resolve(_at(**NAMES)) for _ in range(2)]
    assert len({_lease(one).id for one in found}) == 2
    for one in found:
        await provider.revoke(_lease(one))


async def test_made_for_nothing(bao: OpenBao, cluster: Cluster) -> None:
    """A login whose fields are not those that the binding wants is not left behind."""
    provider = _provider(bao, token=bao.token("database"))
    before = _roles(cluster)
    with pytest.raises(SecretNotFoundError, match="there is no field 'dsn' at the path"):
        await provider.resolve(_at(DSN="dsn"))
    assert _roles(cluster) == before


async def test_cut_lease(bao: OpenBao) -> None:
    """A lease that comes back with less than half of its time is to be replaced."""
    provider = _provider(bao, token=bao.token("database"))
    lease = _lease(await provider.resolve(_at(**NAMES)))
    assert (await provider.renew(replace(lease, seconds=7100))).renewable
    assert not (await provider.renew(replace(lease, seconds=7300))).renewable
    await provider.revoke(lease)


async def test_lease_of_a_short_token(bao: OpenBao) -> None:
    """A lease is never said to be longer than what is left of the token it ends with."""
    provider = _provider(bao, token=bao.token("database", ttl="10m"))
    lease = _lease(await provider.resolve(_at(**NAMES)))
    assert 590 < lease.seconds <= 600


async def test_lease_of_another_token(bao: OpenBao) -> None:
    """A lease of another token is not prolonged, because it ends with that token."""
    token = bao.token("database")
    found = await _provider(bao, token=token).resolve(_at(**NAMES))
    later = _provider(bao, token=bao.token("database"))
    with pytest.raises(ForeignLeaseError, match="the lease belongs to another token"):
        await later.renew(_lease(found))
    await later.revoke(_lease(found))


async def test_lease_survives_a_restart(bao: OpenBao) -> None:
    """The same token renews, from another process, what it has leased."""
    token = bao.token("database")
    lease = _lease(await _provider(bao, token=token).resolve(_at(**NAMES)))
    later = _provider(bao, token=token)
    assert (await later.renew(lease)).id == lease.id
    await later.revoke(lease)


async def test_owner(bao: OpenBao) -> None:
    """The owner of a lease does not give its token away."""
    token = bao.token("database")
    provider = _provider(bao, token=token)
    lease = _lease(await provider.resolve(_at(**NAMES)))
    assert len(lease.owner) == 16
    assert token not in repr(lease)
    await provider.revoke(lease)
