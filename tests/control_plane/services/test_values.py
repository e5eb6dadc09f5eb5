"""Values of bindings, resolved once for all replicas."""

from datetime import timedelta

import anyio
import pytest
from replicas import CountedStore, InterruptedStore, Replica
from sqlalchemy import select

from rensei_platform.errors import NotFoundError, UnavailableError
from rensei_platform.providers.base import (
    Lease,
    ProviderDeniedError,
    ProviderUnavailableError,
    Resolved,
)
from rensei_platform.rules.credentials import Scope, snapshot
from rensei_platform.services.values import Values
from rensei_platform.store.locks import Locks
from rensei_platform.store.tables import orgs, resolved_sets

CANARY = "canary-of-the-resolution-tests"
SCOPE = Scope("web", "prod")
DOWN = ProviderUnavailableError("is sealed")


def _lease(number: int, *, seconds: float = 3600, renewable: bool = True) -> Lease:
    return Lease(id=f"lease-{number}", seconds=seconds, renewable=renewable)


async def _version(replica: Replica, org_id: str = "org") -> int:
    async with replica.store.read() as connection:
        found = await connection.scalar(
            select(orgs.c.values_version).where(orgs.c.id == org_id)
        )
    return int(found or 0)


async def test_resolved_once(replica: Replica) -> None:
    """A snapshot resolves what is missing; the next one, of any replica, reads it."""
    await replica.bind("byok", "app")
    replica.source.answers["app"] = Resolved({"KEY": CANARY})
    assert await replica.seen() == {"KEY": CANARY}
    assert await replica.seen() == {"KEY": CANARY}
    assert await replica.another().seen() == {"KEY": CANARY}
    assert replica.source.asked == ["app"]


async def test_minted_once(replica: Replica) -> None:
    """Snapshots that come together, on two replicas, mint one leased secret."""
    await replica.bind("pg", "login")
    replica.source.answers["login"] = Resolved({"USER": "v-1"}, _lease(1))
    replicas = [replica, replica.another()]
    async with anyio.create_task_group() as snapshots:
        for one in replicas * 4:
            snapshots.start_soon(one.seen)
    assert replica.source.asked == ["login"]


async def test_nothing_bound(replica: Replica) -> None:
    """An organization without bindings has no values, and that is no error."""
    found = await replica.values.for_scope("org", SCOPE)
    assert (found.sets, found.version, found.expires_at(SCOPE)) == ((), 0, None)


async def test_scopes(replica: Replica) -> None:
    """A scope sees what is bound for it; the more specific binding wins."""
    for kind, project_id, environment, value in (
        ("a", "", "", "org"),
        ("b", "web", "", "project"),
        ("c", "", "prod", "environment"),
        ("d", "web", "prod", "both"),
    ):
        await replica.bind(kind, kind, project_id=project_id, environment=environment)
        values = {"SHARED": value, kind.upper(): value}
        replica.source.answers[kind] = Resolved(values)
    every = {"A": "org", "B": "project", "C": "environment", "D": "both"}
    assert await replica.seen("web", "prod") == {**every, "SHARED": "both"}
    assert await replica.seen("web", "dev") == {
        "A": "org",
        "B": "project",
        "SHARED": "project",
    }
    assert await replica.seen("api", "prod") == {
        "A": "org",
        "C": "environment",
        "SHARED": "environment",
    }
    assert await replica.seen("api", "dev") == {"A": "org", "SHARED": "org"}


async def test_other_organization(replica: Replica) -> None:
    """An organization sees nothing of another one, and its version does not move."""
    await replica.bind("byok", "app", org_id="other")
    replica.source.answers["app"] = Resolved({"KEY": CANARY})
    assert await replica.seen("web", "prod") == {}
    with pytest.raises(NotFoundError, match="Credential kind byok is not configured"):
        await replica.rotate("byok")
    assert await replica.rotate("byok", "other") == 2
    assert await _version(replica) == 0


async def test_encrypted(replica: Replica) -> None:
    """Neither a value nor a lease stands in the database in clear."""
    await replica.bind("pg", "login")
    replica.source.answers["login"] = Resolved({"USER": CANARY}, _lease(1))
    await replica.seen()
    async with replica.store.read() as connection:
        row = (await connection.execute(select(resolved_sets))).one()
    assert CANARY not in row.sealed
    assert "lease-1" not in row.sealed_lease
    assert row.sealed.startswith(replica.sealer.prefix)
    assert row.sealed_lease.startswith(replica.sealer.prefix)


# ---- rotations ---------------------------------------------------------------------------


async def test_rotate(replica: Replica) -> None:
    """A rotation resolves again and raises the version, also for equal values."""
    await replica.bind("byok", "app")
    replica.source.answers["app"] = Resolved({"KEY": "old"})
    await replica.seen()
    before = await _version(replica)
    replica.source.answers["app"] = Resolved({"KEY": "new"})
    assert await replica.rotate() == before + 1
    assert await replica.seen() == {"KEY": "new"}
    assert await replica.rotate() == before + 2
    assert await replica.seen() == {"KEY": "new"}
    assert len(replica.source.asked) == 3


async def test_rotate_seen_by_every_replica(replica: Replica) -> None:
    """No replica serves values that are older than a rotation that was stored."""
    await replica.bind("byok", "app")
    replica.source.answers["app"] = Resolved({"KEY": "old"})
    another = replica.another()
    assert await another.seen() == {"KEY": "old"}
    replica.source.answers["app"] = Resolved({"KEY": "new"})
    version = await replica.rotate()
    found = await another.values.for_scope("org", SCOPE)
    assert (snapshot(found.sets, SCOPE), found.version) == ({"KEY": "new"}, version)


async def test_rotate_every_scope(replica: Replica) -> None:
    """A rotation resolves the kind for every project and environment, and no other kind."""
    await replica.bind("byok", "all")
    await replica.bind("byok", "web", project_id="web")
    await replica.bind("other", "untouched")
    for path in ("all", "web", "untouched"):
        replica.source.answers[path] = Resolved({path.upper(): "1"})
    await replica.rotate("byok")
    assert sorted(replica.source.asked) == ["all", "web"]


async def test_rotate_fails(replica: Replica) -> None:
    """When one source of a kind fails nothing changes, and what was minted is ended."""
    await replica.bind("byok", "good")
    await replica.bind("byok", "bad", project_id="web")
    replica.source.answers |= {"good": Resolved({"G": "1"}), "bad": Resolved({"B": "1"})}
    assert await replica.seen("web") == {"G": "1", "B": "1"}
    before = await _version(replica)
    replica.source.answers |= {"good": Resolved({"G": CANARY}, _lease(7)), "bad": DOWN}
    with pytest.raises(ProviderUnavailableError) as refused:
        await replica.rotate()
    assert str(refused.value) == "Credential provider database (kind byok): is sealed"
    assert replica.source.revoked == ["lease-7"]
    assert await _version(replica) == before
    assert await replica.seen("web") == {"G": "1", "B": "1"}


async def test_record_fails(replica: Replica) -> None:
    """What is recorded with a rotation is in its transaction: both are kept, or neither."""
    await replica.bind("byok", "app")
    replica.source.answers["app"] = Resolved({"KEY": "1"})
    await replica.seen()
    before = await _version(replica)

    async def record(_: object, version: int, last: object) -> None:
        raise ValueError(version)

    replica.source.answers["app"] = Resolved({"KEY": "2"})
    with pytest.raises(ValueError, match=str(before + 1)):
        await replica.values.rotate("org", "byok", record)
    assert await _version(replica) == before
    assert await replica.seen() == {"KEY": "1"}


async def test_rotation_amid_a_read(replica: Replica) -> None:
    """What is read while it changes is never kept as newer than it is."""
    await replica.bind("byok", "app")
    replica.source.answers["app"] = Resolved({"KEY": "old"})
    await replica.seen()
    reader = replica.another()
    reader.values = Values(
        InterruptedStore(replica.store, replica.rotate),
        replica.sealer,
        replica.registry,
        replica.locks or Locks(replica.store),
        lambda: replica.now,
    )
    replica.source.answers["app"] = Resolved({"KEY": "new"})
    await reader.values.current("org")
    assert await reader.seen() == {"KEY": "new"}


async def test_a_fleet_that_asks_at_once_is_read_for_once(replica: Replica) -> None:
    """As after a restart: what one of them reads is everybody's."""
    await replica.bind("byok", "app")
    replica.source.answers["app"] = Resolved({"KEY": "1"})
    await replica.seen()
    reader, store = replica.another(), CountedStore(replica.store)
    locks = Locks(store)
    reader.values = Values(
        store, replica.sealer, replica.registry, locks, lambda: replica.now
    )
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(reader.values.current, "org")
    assert store.reads == 1
    await replica.rotate()
    await reader.values.current("org")
    assert store.reads == 2


# ---- time --------------------------------------------------------------------------------


async def test_stale(replica: Replica) -> None:
    """Values without a lease are asked for again after a quarter of an hour."""
    await replica.bind("byok", "app")
    replica.source.answers["app"] = Resolved({"KEY": "old"})
    await replica.seen()
    version = await _version(replica)
    replica.wait(minutes=14, seconds=59)
    await replica.seen()
    assert len(replica.source.asked) == 1
    replica.wait(seconds=1)
    assert await replica.seen() == {"KEY": "old"}
    assert len(replica.source.asked) == 2
    assert await _version(replica) == version
    replica.source.answers["app"] = Resolved({"KEY": "new"})
    replica.wait(minutes=15)
    assert await replica.seen() == {"KEY": "new"}
    assert await _version(replica) == version + 1


async def test_fresh_again(replica: Replica) -> None:
    """Values that were asked for again and are the same have the new times at once."""
    await replica.bind("byok", "app")
    replica.source.answers["app"] = Resolved({"KEY": "same"})
    await replica.seen()
    replica.wait(minutes=15)
    (pair,) = (await replica.values.for_scope("org", SCOPE)).pairs.values()
    assert pair.stored is not None
    assert pair.stored.stale_at == replica.now + timedelta(minutes=15)
    (pair,) = (await replica.values.current("org")).pairs.values()
    assert pair.stored is not None
    assert pair.stored.stale_at == replica.now + timedelta(minutes=15)


async def test_lease_that_is_not_renewable(replica: Replica) -> None:
    """Values whose lease cannot be renewed are replaced before it ends."""
    await replica.bind("pg", "login")
    lease = _lease(1, seconds=600, renewable=False)
    replica.source.answers["login"] = Resolved({"USER": "v-1"}, lease)
    found = await replica.values.for_scope("org", SCOPE)
    assert found.expires_at(SCOPE) == replica.now + timedelta(seconds=600)
    replica.source.answers["login"] = Resolved({"USER": "v-2"}, _lease(2))
    replica.wait(seconds=499)
    assert await replica.seen() == {"USER": "v-1"}
    replica.wait(seconds=1)
    assert await replica.seen() == {"USER": "v-2"}


# ---- sources that are down ---------------------------------------------------------------


async def test_down(replica: Replica) -> None:
    """While a source is down its last good values are served, and the failure is kept."""
    binding = await replica.bind("byok", "app")
    replica.source.answers["app"] = Resolved({"KEY": CANARY})
    await replica.seen()
    replica.source.answers["app"] = DOWN
    replica.wait(minutes=16)
    assert await replica.seen() == {"KEY": CANARY}
    assert replica.values.resolver.failures[binding].error.cause == "unavailable"
    replica.source.answers["app"] = Resolved({"KEY": "back"})
    replica.wait(seconds=5)
    assert await replica.seen() == {"KEY": "back"}
    assert replica.values.resolver.failures == {}


async def test_down_is_asked_seldom(replica: Replica) -> None:
    """A source that is down is asked once in five seconds, however many snapshots come."""
    await replica.bind("byok", "app")
    replica.source.answers["app"] = DOWN
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await replica.seen()
    async with anyio.create_task_group() as snapshots:
        for _ in range(8):
            snapshots.start_soon(_refused, replica)
    assert len(replica.source.asked) == 1
    replica.wait(seconds=5)
    await _refused(replica)
    assert len(replica.source.asked) == 2


async def test_down_before_the_clock_was_set_back(replica: Replica) -> None:
    """A failure of tomorrow does not keep a source from being asked until then."""
    await replica.bind("byok", "app")
    replica.source.answers["app"] = ProviderUnavailableError("is sealed")
    replica.wait(days=1)
    await _refused(replica)
    replica.wait(days=-1)
    replica.source.answers["app"] = Resolved({"KEY": "1"})
    assert await replica.seen() == {"KEY": "1"}


async def _refused(replica: Replica) -> None:
    with pytest.raises(UnavailableError):
        await replica.seen()


async def test_down_from_the_start(replica: Replica) -> None:
    """Where nothing was ever resolved a snapshot is refused, with when to try again."""
    await replica.bind("byok", "app")
    await replica.bind("good", "good")
    replica.source.answers |= {
        "app": ProviderDeniedError("no"),
        "good": Resolved({"G": "1"}),
    }
    with pytest.raises(UnavailableError) as refused:
        await replica.seen()
    assert str(refused.value) == "Credential provider database (kind byok): no"
    assert (refused.value.status, refused.value.retry_after_seconds) == (503, 30)


async def test_down_until_the_lease_ends(replica: Replica) -> None:
    """Values whose lease has ended are not served: they open nothing any more."""
    await replica.bind("pg", "login")
    lease = _lease(1, seconds=600, renewable=False)
    replica.source.answers["login"] = Resolved({"USER": "v-1"}, lease)
    await replica.seen()
    replica.source.answers["login"] = DOWN
    replica.wait(seconds=599)
    assert await replica.seen() == {"USER": "v-1"}
    replica.wait(seconds=6)
    with pytest.raises(UnavailableError):
        await replica.seen()


async def test_rotate_is_not_put_off(replica: Replica) -> None:
    """A rotation asks a source at once, also one that has just failed."""
    await replica.bind("byok", "app")
    replica.source.answers["app"] = DOWN
    await _refused(replica)
    replica.source.answers["app"] = Resolved({"KEY": "1"})
    await replica.rotate()
    assert await replica.seen() == {"KEY": "1"}


# ---- what operators change ---------------------------------------------------------------


async def test_changed_binding(replica: Replica) -> None:
    """What a changed binding resolved to is forgotten, and its lease ended at once."""
    await replica.bind("pg", "old")
    await replica.bind("pg", "web", project_id="web")
    replica.source.answers |= {
        "old": Resolved({"USER": "v-1"}, _lease(1)),
        "web": Resolved({"WEB": "v-2"}, _lease(2)),
    }
    another = replica.another()
    await another.seen("web")
    await replica.bind("pg", "new")
    assert replica.source.revoked == ["lease-1"]
    replica.source.answers["new"] = Resolved({"USER": "v-3"})
    assert await another.seen("web") == {"USER": "v-3", "WEB": "v-2"}
    assert replica.source.asked == ["old", "web", "new"]


async def test_changed_source(replica: Replica) -> None:
    """What a kind resolved to is forgotten by a change that leaves its binding alone."""
    await replica.bind("byok", "app")
    replica.source.answers["app"] = Resolved({"KEY": "old"})
    await replica.seen()
    replica.source.answers["app"] = Resolved({"KEY": "new"})

    async def write(_: object) -> None:
        return

    await replica.values.change("org", "byok", Scope("", ""), write)
    assert await replica.seen() == {"KEY": "new"}


@pytest.mark.parametrize("error", [DOWN, ProviderDeniedError("no")])
async def test_lease_that_cannot_be_ended(replica: Replica, error: Exception) -> None:
    """A change succeeds also when the source does not end the lease: it runs out."""
    await replica.bind("pg", "old")
    replica.source.answers["old"] = Resolved({"USER": "v-1"}, _lease(1))
    await replica.seen()
    replica.source.revocation_error = error
    await replica.bind("pg", "new")
    replica.source.answers["new"] = Resolved({"USER": "v-2"})
    assert await replica.seen() == {"USER": "v-2"}


async def test_change_fails(replica: Replica) -> None:
    """A change that fails changes nothing, and ends no lease."""
    await replica.bind("pg", "login")
    replica.source.answers["login"] = Resolved({"USER": "v-1"}, _lease(1))
    await replica.seen()

    async def write(_: object) -> None:
        raise KeyError("of the test")

    with pytest.raises(KeyError, match="of the test"):
        await replica.values.change("org", "pg", Scope("", ""), write)
    assert replica.source.revoked == []
    assert await replica.seen() == {"USER": "v-1"}
    assert replica.source.asked == ["login"]


async def test_only_what_a_scope_sees(replica: Replica) -> None:
    """A source that is down for one project does not keep another one from its values."""
    await replica.bind("a", "good", project_id="web")
    await replica.bind("b", "bad", project_id="api")
    replica.source.answers |= {"good": Resolved({"G": "1"}), "bad": DOWN}
    assert await replica.seen("web") == {"G": "1"}
    assert replica.source.asked == ["good"]
