"""Leases that are renewed and revoked on a clock, and sources that are watched."""

from collections.abc import Callable

import anyio
import pytest
from polling import until
from replicas import Replica

from rensei_platform.providers.base import (
    ForeignLeaseError,
    Lease,
    LeaseEndedError,
    ProviderDeniedError,
    ProviderUnavailableError,
    Resolved,
)
from rensei_platform.services.lease_keeper import LeaseKeeper
from rensei_platform.store.locks import Locks


def _lease(number: int, *, seconds: float = 3600, renewable: bool = True) -> Lease:
    return Lease(id=f"lease-{number}", seconds=seconds, renewable=renewable)


class Keeper:
    """A keeper of a replica, and the rotations that it asked for."""

    def __init__(self, replica: Replica) -> None:
        self.rotated: list[str] = []
        self._replica = replica
        assert replica.locks is not None
        self.keeper = LeaseKeeper(
            replica.store,
            replica.locks,
            replica.registry,
            replica.sealer,
            self._rotate,
            lambda: replica.now,
        )

    async def _rotate(self, org_id: str, kind: str) -> None:
        self.rotated.append(kind)
        await self._replica.rotate(kind, org_id)

    async def after(self, **span: float) -> None:
        self._replica.wait(**span)
        await self.keeper.look()


async def _leased(
    replica: Replica, lease: Lease, path: str = "login", project_id: str = ""
) -> Keeper:
    await replica.bind("pg", path, project_id=project_id)
    replica.source.answers[path] = Resolved({"USER": "v-1"}, lease)
    await replica.seen(project_id)
    return Keeper(replica)


async def test_renewal(replica: Replica) -> None:
    """A lease is renewed when two thirds of it are over, again and again."""
    keeper = await _leased(replica, _lease(1))
    await keeper.after(seconds=2399)
    assert replica.source.renewed == []
    for count in (1, 2, 3):
        await keeper.after(seconds=2400)
        assert replica.source.renewed == ["lease-1"] * count
    assert await replica.seen() == {"USER": "v-1"}
    assert keeper.rotated == []
    assert replica.source.asked == ["login"]


async def test_renewed_by_one(replica: Replica) -> None:
    """Of two replicas one renews."""
    keeper = await _leased(replica, _lease(1))
    other = replica.another()
    replica.wait(seconds=2400)
    other.now = replica.now
    await keeper.keeper.look()
    await Keeper(other).keeper.look()
    assert replica.source.renewed == ["lease-1"]


async def _look_together(replica: Replica, count: Callable[[], int]) -> None:
    """Let two replicas look; the second one while the source answers the first."""
    keeper, other = Keeper(replica), replica.another()
    other_keeper, before = Keeper(other), count()
    assert other.locks is not None
    names = len(other.locks.names)
    replica.source.open = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.keeper.look)
        await until(lambda: count() == before + 1)
        tasks.start_soon(other_keeper.keeper.look)
        await until(lambda: count() > before + 1 or _is_waiting(other.locks, names))
        replica.source.open.set()


def _is_waiting(locks: Locks | None, names: int) -> bool:
    """Whether a task of a replica of its own waits for a lock."""
    return locks is not None and len(locks.names) > names


@pytest.mark.parametrize("replica", ["postgresql"], indirect=True)
async def test_renewed_once(replica: Replica) -> None:
    """Of two replicas that look at the same time one renews, and the other one waits."""
    await _leased(replica, _lease(1))
    replica.wait(seconds=2400)
    await _look_together(replica, lambda: len(replica.source.renewed))
    assert replica.source.renewed == ["lease-1"]


@pytest.mark.parametrize("replica", ["postgresql"], indirect=True)
async def test_watched_once(replica: Replica) -> None:
    """Of two replicas that look at the same time one asks the source."""
    await replica.bind("byok", "app", watch_seconds=60)
    replica.source.answers["app"] = Resolved({"KEY": "1"})
    await replica.seen()
    replica.wait(seconds=60)
    await _look_together(replica, lambda: len(replica.source.asked))
    assert replica.source.asked == ["app", "app"]


async def test_lease_that_was_cut(replica: Replica) -> None:
    """A lease that is not renewable any more is replaced by a rotation before it ends."""
    keeper = await _leased(replica, _lease(1))
    replica.source.renewals = [_lease(1, seconds=900, renewable=False)]
    await keeper.after(seconds=2400)
    assert keeper.rotated == []
    replica.source.answers["login"] = Resolved({"USER": "v-2"}, _lease(2))
    await keeper.after(seconds=600)
    assert keeper.rotated == ["pg"]
    assert await replica.seen() == {"USER": "v-2"}


async def test_lease_that_has_ended(replica: Replica) -> None:
    """A lease that cannot be renewed is replaced by a rotation at once."""
    keeper = await _leased(replica, _lease(1))
    replica.source.renewals = [LeaseEndedError("the lease has ended")]
    replica.source.answers["login"] = Resolved({"USER": "v-2"}, _lease(2))
    await keeper.after(seconds=2400)
    assert keeper.rotated == ["pg"]
    assert await replica.seen() == {"USER": "v-2"}


async def test_lease_of_another_replica(replica: Replica) -> None:
    """The lease of another replica is left to it, until it is nearly over."""
    keeper = await _leased(replica, _lease(1))
    replica.source.renewals = [ForeignLeaseError("not ours")] * 3
    await keeper.after(seconds=2400)
    await keeper.after(seconds=599)
    assert keeper.rotated == []
    await keeper.after(seconds=1)
    assert keeper.rotated == ["pg"]


async def test_replaced_lease_is_revoked(replica: Replica) -> None:
    """A lease whose values were replaced is ended once every host has asked again."""
    keeper = await _leased(replica, _lease(1))
    replica.source.answers["login"] = Resolved({"USER": "v-2"}, _lease(2))
    await replica.rotate("pg")
    await keeper.after(minutes=17, seconds=29)
    assert replica.source.revoked == []
    await keeper.after(seconds=1)
    assert replica.source.revoked == ["lease-1"]
    assert replica.source.renewed == []
    await keeper.after(minutes=30)
    assert replica.source.revoked == ["lease-1"]
    assert await replica.seen() == {"USER": "v-2"}


async def test_revocation_fails(replica: Replica) -> None:
    """A revocation is tried again while the source is down, not if it is denied."""
    keeper = await _leased(replica, _lease(1))
    replica.source.answers["login"] = Resolved({"USER": "v-2"}, _lease(2))
    await replica.rotate("pg")
    replica.source.revocation_error = ProviderUnavailableError("is sealed")
    await keeper.after(minutes=18)
    replica.source.revocation_error = None
    await keeper.after(seconds=59)
    assert replica.source.revoked == []
    await keeper.after(seconds=1)
    assert replica.source.revoked == ["lease-1"]

    await replica.rotate("pg")
    replica.source.revocation_error = ProviderDeniedError("no")
    await keeper.after(minutes=18)
    replica.source.revocation_error = None
    await keeper.after(minutes=2)
    assert replica.source.revoked == ["lease-1"]


@pytest.mark.slow
async def test_source_is_down(replica: Replica) -> None:
    """A renewal that fails is tried again, at growing intervals of at most a minute."""
    keeper = await _leased(replica, _lease(1))
    replica.source.renewals = [ProviderUnavailableError("is sealed")] * 20
    await keeper.after(seconds=2400)
    tries = []
    for _ in range(240):
        await keeper.after(seconds=1)
        tries.append(len(replica.source.renewed))
    assert [tries.index(n) + 1 for n in range(2, tries[-1] + 1)] == [
        5,
        15,
        35,
        75,
        135,
        195,
    ]
    replica.source.renewals = []
    await keeper.after(seconds=60)
    assert keeper.rotated == []
    assert await replica.seen() == {"USER": "v-1"}


async def test_source_is_down_while_the_clock_is_ahead(replica: Replica) -> None:
    """A pause that began tomorrow is over when the clock is set back."""
    keeper = await _leased(replica, _lease(1))
    replica.source.renewals = [ProviderUnavailableError("is sealed")]
    await keeper.after(seconds=2404)
    assert replica.source.renewed == ["lease-1"]
    await keeper.after(seconds=-2)
    assert replica.source.renewed == ["lease-1", "lease-1"]


async def test_one_failure_does_not_stop_others(replica: Replica) -> None:
    """A source that is down does not keep the leases of others from being renewed."""
    keeper = await _leased(replica, _lease(1), "a")
    await _leased(replica, _lease(2), "b", "web")
    replica.source.renewals = [ProviderUnavailableError("is sealed")]
    await keeper.after(seconds=2400)
    assert sorted(replica.source.renewed) == ["lease-1", "lease-2"]


async def test_watch(replica: Replica) -> None:
    """A source that is watched is looked at on a clock; a change is a rotation."""
    await replica.bind("byok", "app", watch_seconds=60)
    replica.source.answers["app"] = Resolved({"KEY": "1"})
    await replica.seen()
    keeper = Keeper(replica)
    for _ in range(3):
        await keeper.after(seconds=60)
    assert (len(replica.source.asked), keeper.rotated) == (4, [])
    replica.source.answers["app"] = Resolved({"KEY": "2"})
    await keeper.after(seconds=59)
    assert keeper.rotated == []
    await keeper.after(seconds=1)
    assert keeper.rotated == ["byok"]
    assert await replica.seen() == {"KEY": "2"}
    await keeper.after(seconds=60)
    assert keeper.rotated == ["byok"]


async def test_nothing_due(replica: Replica) -> None:
    """Values without lease and watch are never looked at."""
    await replica.bind("byok", "app")
    replica.source.answers["app"] = Resolved({"KEY": "1"})
    await replica.seen()
    await Keeper(replica).after(days=30)
    assert replica.source.asked == ["app"]


@pytest.mark.parametrize("error", [ProviderUnavailableError("is sealed")])
async def test_rotation_fails(replica: Replica, error: Exception) -> None:
    """New values that cannot be had are asked for again, and the old ones stay."""
    keeper = await _leased(replica, _lease(1))
    replica.source.renewals = [LeaseEndedError("over")] * 2
    replica.source.answers["login"] = error
    await keeper.after(seconds=2400)
    assert await replica.seen() == {"USER": "v-1"}
    replica.source.answers["login"] = Resolved({"USER": "v-2"}, _lease(2))
    await keeper.after(seconds=5)
    assert keeper.rotated == ["pg", "pg"]
    assert await replica.seen() == {"USER": "v-2"}


DAY = 24 * 3600


async def test_lease_that_was_renewed_by_a_clock_ahead(replica: Replica) -> None:
    """It ends a day sooner than was noted; when the clock is right again it is renewed."""
    keeper = await _leased(replica, _lease(1))
    await keeper.after(seconds=DAY)
    await keeper.after(seconds=-DAY)
    assert replica.source.renewed == ["lease-1"] * 2
    await keeper.after(seconds=2399)
    assert replica.source.renewed == ["lease-1"] * 2
    await keeper.after(seconds=1)
    assert replica.source.renewed == ["lease-1"] * 3


async def test_values_that_were_resolved_by_a_clock_ahead(replica: Replica) -> None:
    """They are asked for again, also by a server that has them in memory."""
    await replica.bind("pg", "static")
    replica.source.answers["static"] = Resolved({"USER": "v-1"})
    keeper = Keeper(replica)
    await keeper.after(seconds=DAY)
    assert await replica.seen() == {"USER": "v-1"}
    replica.source.answers["static"] = Resolved({"USER": "v-2"})
    await keeper.after(seconds=-DAY)
    assert await replica.seen() == {"USER": "v-2"}


async def test_a_server_that_starts_distrusts_what_is_later(replica: Replica) -> None:
    """The clock was set right while no server ran."""
    replica.wait(seconds=DAY)
    await _leased(replica, _lease(1))
    replica.wait(seconds=-DAY)
    await Keeper(replica).keeper.look()
    assert replica.source.renewed == ["lease-1"]


async def test_a_clock_that_was_behind_ends_no_lease_late(replica: Replica) -> None:
    """A step forward has everything renewed that may be over, once."""
    keeper = await _leased(replica, _lease(1))
    await keeper.after(seconds=DAY)
    await keeper.after(seconds=2399)
    assert replica.source.renewed == ["lease-1"]


async def test_two_servers_whose_clocks_differ_a_little(replica: Replica) -> None:
    """What one renews, half a minute ahead, is good to another one that starts."""
    replica.wait(seconds=30)
    await _leased(replica, _lease(1))
    replica.wait(seconds=-30)
    await Keeper(replica).keeper.look()
    assert replica.source.renewed == []
