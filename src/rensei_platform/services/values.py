"""The values of each organization, resolved by one replica and stored for all.

    snapshot --> what is stored, if it is fresh enough
                 |  else, under the lock of the kind: registry --> sealed set, new version
    rotate   --> the same for every binding of a kind, whether or not it is fresh

They are kept in memory, decrypted, for as long as their version is the database's: a
snapshot asks for that version each time, so no server gives out older values than another
has announced. A provider that is down leaves what is stored in use until its lease ends.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import anyio
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.errors import NotFoundError, UnavailableError
from rensei_platform.providers.base import Resolved, ResolveError
from rensei_platform.providers.registry import Registry
from rensei_platform.rules.credentials import Scope, ValueSet
from rensei_platform.sealing import Sealer
from rensei_platform.services.resolved_values import (
    Replaced,
    open_leases,
    open_values,
    seal_set,
)
from rensei_platform.services.resolver import Resolver, each
from rensei_platform.store import credentials, resolved_sets
from rensei_platform.store.credentials import StoredBinding
from rensei_platform.store.engine import Store
from rensei_platform.store.locks import Locks
from rensei_platform.store.resolved_sets import Pair, StoredSet

RETRY_AFTER_SECONDS = 30
MOST_ROUNDS = 3

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class OrgValues:
    """The resolved values of an organization, of one version."""

    version: int
    sets: tuple[ValueSet, ...]
    pairs: Mapping[str, Pair] = field(default_factory=dict, repr=False)
    """By binding: the rows that the sets were read from, and bindings without values."""

    def expires_at(self, scope: Scope) -> datetime | None:
        """Return when the first lease of what a scope sees ends. None: there is none."""
        found = (
            self.pairs[one.binding_id].stored
            for one in self.sets
            if one.is_seen_from(scope)
        )
        return min(
            (one.lease_expires_at for one in found if one and one.lease_expires_at),
            default=None,
        )


def lock_of(org_id: str, kind: str) -> str:
    """Return the name of the lock under which a kind's bindings are resolved."""
    return f"resolve {org_id} {kind}"


class Values:
    """Reads, resolves and stores the values of organizations."""

    def __init__(
        self,
        store: Store,
        sealer: Sealer,
        registry: Registry,
        locks: Locks,
        now: Callable[[], datetime],
    ) -> None:
        self._store, self._sealer = store, sealer
        self._locks, self._now = locks, now
        self.resolver = Resolver(registry, now)
        self._known: dict[str, OrgValues] = {}
        self._loading: dict[str, anyio.Event] = {}
        """Set when what is being read for an organization is known, or has failed."""

    # ---- reading -------------------------------------------------------------------------

    async def current(self, org_id: str) -> OrgValues:
        """Return what is stored for an organization. Raise UnavailableError.

        After a change or a restart a whole fleet asks at once: one of them reads.
        """
        while True:
            # The version first: a change in between can make the values newer than the
            # version says, never older.
            version = await credentials.current_version(self._store, org_id)
            if (known := self._known.get(org_id)) and known.version == version:
                return known
            if (others := self._loading.get(org_id)) is None:
                return await self._load(org_id, version)
            await others.wait()

    async def _load(self, org_id: str, version: int) -> OrgValues:
        ended = self._loading[org_id] = anyio.Event()
        try:
            async with self._store.read() as db:
                pairs = await resolved_sets.of_organization(db, org_id)
        finally:
            del self._loading[org_id]
            ended.set()
        known = OrgValues(
            version,
            tuple(
                self._value_set(pair.binding, pair.stored) for pair in pairs if pair.stored
            ),
            {pair.binding.id: pair for pair in pairs},
        )
        self._known[org_id] = known
        return known

    async def for_scope(self, org_id: str, scope: Scope) -> OrgValues:
        """Return the values of an organization, fresh as far as a scope sees them.

        Raise UnavailableError if a provider fails and nothing of it is still good.
        """
        values = await self.current(org_id)
        for _ in range(MOST_ROUNDS):
            now = self._now()
            stale = [
                pair
                for pair in values.pairs.values()
                if _sees(scope, pair.binding)
                and (pair.stored is None or pair.stored.stale_at <= now)
            ]
            if not stale or not await self._refresh_all(stale):
                break
            self._known.pop(org_id, None)  # new times come without a new version
            values = await self.current(org_id)
        return values

    def _value_set(self, binding: StoredBinding, stored: StoredSet) -> ValueSet:
        return ValueSet(
            binding_id=binding.id,
            kind=binding.kind,
            project_id=binding.project_id,
            environment=binding.environment,
            values=open_values(self._sealer, stored),
        )

    # ---- changing ------------------------------------------------------------------------

    async def rotate(
        self,
        org_id: str,
        kind: str,
        record: Callable[[AsyncConnection, int, datetime | None], Awaitable[_T]],
    ) -> _T:
        """Resolve every binding of a kind again, and store all of them in one transaction.

        `record` is called in that transaction with the new version and the time of the
        organization's last rotation; what it returns is returned. Raise NotFoundError if
        the kind has no binding, ResolveError if one of them cannot be resolved: then
        nothing is changed.
        """
        async with self._locks.hold(lock_of(org_id, kind)):
            async with self._store.read() as db:
                pairs = await resolved_sets.of_kind(db, org_id, kind)
            if not pairs:
                raise NotFoundError(f"Credential kind {kind} is not configured")
            found = await self.resolver.resolve_all([pair.binding for pair in pairs])
            async with self._store.write() as db:
                version, last = await credentials.next_version(db, org_id)
                for pair in pairs:
                    await self._put(db, pair, found[pair.binding.id], version)
                return await record(db, version, last)

    async def change(
        self,
        org_id: str,
        kind: str,
        scope: Scope,
        write: Callable[[AsyncConnection], Awaitable[_T]],
    ) -> _T:
        """Change what is bound or stored for a kind; `write` does so in a transaction.

        What the binding of exactly this scope resolved to is forgotten, and its leases are
        ended: the next snapshot resolves it again. What `write` returns is returned.
        """
        lock = self._locks.hold(lock_of(org_id, kind))
        async with lock, self._store.write() as db:
            pairs = [
                pair
                for pair in await resolved_sets.of_kind(db, org_id, kind)
                if Scope(pair.binding.project_id, pair.binding.environment) == scope
            ]
            for pair in pairs:
                await resolved_sets.forget(db, pair.binding.id)
            result = await write(db)
            await credentials.next_version(db, org_id)
        for binding, stored in pairs:
            if stored is not None:
                await self.resolver.revoke(binding, open_leases(self._sealer, stored).all())
        return result

    # ---- resolving -----------------------------------------------------------------------

    async def try_out(self, binding: StoredBinding) -> None:
        """Resolve a new binding as the first snapshot would. Raise ResolveError."""
        await self._refresh(binding)

    async def _refresh_all(self, stale: Sequence[Pair]) -> bool:
        """Resolve what is missing or stale. Return whether anything was."""
        failed: list[Pair] = []

        async def refresh(pair: Pair) -> None:
            try:
                await self._refresh(pair.binding)
            except ResolveError:
                failed.append(pair)

        await each(stale, refresh)
        for binding, stored in failed:
            if stored is None or not _is_good(stored.lease_expires_at, self._now()):
                error = self.resolver.failures[binding.id].error
                raise UnavailableError(
                    str(error), retry_after_seconds=RETRY_AFTER_SECONDS
                ) from error
        return len(failed) < len(stale)

    async def _refresh(self, binding: StoredBinding) -> None:
        """Resolve a binding unless another task or replica has done so meanwhile."""
        async with self._locks.hold(lock_of(binding.org_id, binding.kind)):
            async with self._store.read() as db:
                pair = await resolved_sets.of_binding(db, binding.id)
            now = self._now()
            if pair is None or (pair.stored is not None and pair.stored.stale_at > now):
                return
            resolved = await self.resolver.resolve_unless_failed(pair.binding)
            async with self._store.write() as db:
                version = await self._version_for(db, pair, resolved)
                await self._put(db, pair, resolved, version)

    async def _version_for(
        self, db: AsyncConnection, pair: Pair, resolved: Resolved
    ) -> int:
        """Return the version of values: a new one only if they have changed."""
        stored = pair.stored if resolved.lease is None else None
        if stored is not None and open_values(self._sealer, stored) == resolved.values:
            return stored.version
        version, _ = await credentials.next_version(db, pair.binding.org_id)
        return version

    async def _put(
        self, db: AsyncConnection, pair: Pair, resolved: Resolved, version: int
    ) -> None:
        now = self._now()
        replaced: tuple[Replaced, ...] = ()
        if pair.stored is not None:
            leases = open_leases(self._sealer, pair.stored)
            replaced = leases.superseded(pair.stored.lease_expires_at, now)
        row = seal_set(
            self._sealer,
            pair.binding,
            resolved,
            version=version,
            replaced=replaced,
            now=now,
        )
        await resolved_sets.put(db, pair.binding.org_id, row)


def _sees(scope: Scope, binding: StoredBinding) -> bool:
    return binding.project_id in ("", scope.project_id) and binding.environment in (
        "",
        scope.environment,
    )


def _is_good(expires_at: datetime | None, now: datetime) -> bool:
    return expires_at is None or now < expires_at
