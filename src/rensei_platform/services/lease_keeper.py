"""What is done to resolved values on a clock: leases renewed and ended, sources watched.

Each replica looks for what is due; the lock of the kind lets one of them act. New values
are never just stored: they are announced by a rotation, as if somebody had asked for one.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import anyio
import structlog

from rensei_platform.errors import PlatformError
from rensei_platform.providers.base import (
    ForeignLeaseError,
    Lease,
    LeaseEndedError,
    ProviderUnavailableError,
    ResolveError,
)
from rensei_platform.providers.registry import Registry
from rensei_platform.rules.refresh import (
    Times,
    is_nearly_over,
    renewal_at,
    times_with_lease,
    times_without_lease,
)
from rensei_platform.sealing import Sealer
from rensei_platform.services.resolved_values import (
    Leases,
    Replaced,
    first_due,
    open_leases,
    open_values,
    provider_binding,
    seal_leases,
)
from rensei_platform.services.steady_clock import StepsBack
from rensei_platform.services.values import lock_of
from rensei_platform.store import credentials, resolved_sets
from rensei_platform.store.credentials import StoredBinding
from rensei_platform.store.engine import Store
from rensei_platform.store.locks import Locks
from rensei_platform.store.resolved_sets import StoredSet

LOOK_SECONDS = 5.0
MOST_AT_A_LOOK = 200
LONGEST_PAUSE = timedelta(minutes=1)
REVOKE_AGAIN = timedelta(minutes=1)
MOST_AHEAD = timedelta(minutes=1)
"""Of another server's clock, while both are as right as they need be."""

_log = structlog.get_logger()

Rotate = Callable[[str, str], Awaitable[object]]
"""Rotates a kind of an organization; see `values.Values.rotate`."""


@dataclass(slots=True)
class _Pause:
    until: datetime
    length: timedelta

    def is_over(self, now: datetime) -> bool:
        """Whether it has passed, or the clock was set back since it began."""
        return not self.until - self.length <= now < self.until


class LeaseKeeper:
    """Renews, revokes and watches."""

    def __init__(
        self,
        store: Store,
        locks: Locks,
        registry: Registry,
        sealer: Sealer,
        rotate: Rotate,
        now: Callable[[], datetime],
    ) -> None:
        self._store, self._locks, self._registry = store, locks, registry
        self._sealer, self._rotate, self._now = sealer, rotate, now
        self._pauses: dict[str, _Pause] = {}
        self._steps_back, self._may_be_later = StepsBack(now), False

    async def run(self, chance: Callable[[], float] = random.random) -> None:
        """Look for what is due every few seconds, until cancelled."""
        while True:
            try:
                await self.look()
            except PlatformError as error:
                _log.warning("leases.unavailable", reason=str(error))
            await anyio.sleep(LOOK_SECONDS * (0.5 + chance()))

    async def look(self) -> None:
        """Do what is due now. Raise UnavailableError without a database."""
        await self._distrust_after_a_step_back()
        async with self._store.read() as db:
            found = await resolved_sets.due(db, self._now(), MOST_AT_A_LOOK)
        for binding_id in found:
            pause = self._pauses.get(binding_id)
            if pause is None or pause.is_over(self._now()):
                await self._keep(binding_id)
        for binding_id in self._pauses.keys() - set(found):
            del self._pauses[binding_id]

    async def _distrust_after_a_step_back(self) -> None:
        """Have sets renewed that were resolved by a clock which was ahead then.

        Their leases end sooner than it is written there.
        """
        self._may_be_later |= self._steps_back.seen()
        if not self._may_be_later:
            return
        now = self._now()
        limit = now + MOST_AHEAD
        async with self._store.read() as db:
            is_any = await resolved_sets.is_any_later(db, limit)
        if is_any:
            async with self._store.write() as db:
                for org_id in await resolved_sets.distrust_later(db, limit, now):
                    await credentials.next_version(db, org_id)  # for who has them in memory
        self._may_be_later = False

    async def _keep(self, binding_id: str) -> None:
        """Do what is due for one binding; after a failure, not again for a while."""
        try:
            await self._act(binding_id)
        except ResolveError as error:
            pause = self._pauses.get(binding_id)
            length = min(pause.length * 2, LONGEST_PAUSE) if pause else timedelta(seconds=5)
            self._pauses[binding_id] = _Pause(self._now() + length, length)
            _log.warning(
                "leases.provider_failed",
                provider=error.instance,
                kind=error.kind,
                cause=error.cause,
                reason=error.reason,
                detail=error.detail,
            )
        else:
            self._pauses.pop(binding_id, None)

    async def _act(self, binding_id: str) -> None:
        """Do what is due under the lock; rotate after it if new values are needed."""
        async with self._store.read() as db:
            pair = await resolved_sets.of_binding(db, binding_id)
        if pair is None:
            return
        org_id, kind = pair[0].org_id, pair[0].kind
        async with self._locks.hold(lock_of(org_id, kind)):
            async with self._store.read() as db:
                pair = await resolved_sets.of_binding(db, binding_id)
            binding, stored = pair or (None, None)
            if binding is None or stored is None:
                return
            if stored.due_at is None or stored.due_at > self._now():
                return  # another replica was faster
            is_current = await self._act_on(binding, stored)
        if not is_current:
            await self._rotate(org_id, kind)

    async def _act_on(self, binding: StoredBinding, stored: StoredSet) -> bool:
        """Revoke, renew or look again. Return False if new values are needed."""
        leases = await self._revoked(binding, open_leases(self._sealer, stored))
        if leases.current is None or stored.lease_expires_at is None:
            times = await self._watched(binding, stored)
        else:
            lease, times = await self._renewed(
                binding, leases.current, stored.lease_expires_at, stored.stale_at
            )
            leases = replace(leases, current=lease)
        if times is None:
            return False
        async with self._store.write() as db:
            await resolved_sets.put_times(
                db,
                binding.id,
                stored.version,
                times,
                now=self._now(),
                sealed_lease=seal_leases(self._sealer, binding.id, leases),
                due_at=first_due(times, leases),
            )
        return True

    async def _watched(self, binding: StoredBinding, stored: StoredSet) -> Times | None:
        """Return the times of values that are still what the source has. None if not."""
        if binding.watch_seconds is not None:
            found = await self._registry.resolve(provider_binding(binding))
            if found.values != open_values(self._sealer, stored):
                return None
        return times_without_lease(self._now(), binding.watch_seconds)

    async def _renewed(
        self, binding: StoredBinding, lease: Lease, expires_at: datetime, stale_at: datetime
    ) -> tuple[Lease, Times | None]:
        """Return the lease and its times, renewed if it is time. No times: replace it."""
        now, due_at = self._now(), renewal_at(expires_at, lease.seconds)
        unchanged = Times(stale_at, expires_at, due_at)
        if due_at > now:
            return lease, unchanged
        try:
            lease = await self._registry.renew(binding.provider, binding.kind, lease)
        except ForeignLeaseError:
            # Its owner is to renew it. When that does not happen, the owner is gone.
            is_over = is_nearly_over(now, expires_at, lease.seconds)
            return lease, None if is_over else unchanged
        except LeaseEndedError:
            return lease, None
        return lease, times_with_lease(now, lease.seconds, renewable=lease.renewable)

    async def _revoked(self, binding: StoredBinding, leases: Leases) -> Leases:
        """Return the leases without those replaced ones whose time has come."""
        kept = []
        for one in leases.replaced:
            again = one if one.revoke_at > self._now() else await self._revoke(binding, one)
            if again is not None:
                kept.append(again)
        return replace(leases, replaced=tuple(kept))

    async def _revoke(self, binding: StoredBinding, one: Replaced) -> Replaced | None:
        try:
            await self._registry.revoke(binding.provider, binding.kind, one.lease)
        except ProviderUnavailableError:
            return replace(one, revoke_at=self._now() + REVOKE_AGAIN)
        except ResolveError as error:  # it ends by itself
            _log.warning("leases.not_revoked", kind=binding.kind, reason=str(error))
        return None
