"""The values of each organization, as their bindings resolved last.

They are kept in memory, decrypted, for as long as their version is the database's: a
snapshot asks for that version each time, so no server gives out older values than another
has announced.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.providers.base import Binding, Resolved
from rensei_platform.providers.registry import Registry
from rensei_platform.rules.credentials import ValueSet
from rensei_platform.sealing import Sealer
from rensei_platform.store import credentials
from rensei_platform.store.credentials import StoredBinding
from rensei_platform.store.engine import Store


@dataclass(frozen=True, slots=True)
class OrgValues:
    """The resolved values of an organization, of one version."""

    version: int
    sets: tuple[ValueSet, ...]
    unresolved: frozenset[str] = frozenset()
    """Ids of the bindings that were never resolved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What bindings resolved to just now, before anything is stored."""

    binding: StoredBinding
    values: dict[str, str] = field(repr=False)


class Values:
    """Reads, resolves and stores the values of organizations."""

    def __init__(self, store: Store, sealer: Sealer, registry: Registry) -> None:
        self._store, self._sealer, self._registry = store, sealer, registry
        self._known: dict[str, OrgValues] = {}

    async def current(self, org_id: str) -> OrgValues:
        """Return the newest values of an organization.

        Raise UnavailableError if the database does not answer.
        """
        async with self._store.read() as db:
            version = await credentials.values_version(db, org_id)
            known = self._known.get(org_id)
            if known is not None and known.version == version:
                return known
            rows = await credentials.resolved(db, org_id)
        known = OrgValues(
            version,
            tuple(self._opened(row) for row in rows if row["sealed"] is not None),
            frozenset(row["id"] for row in rows if row["sealed"] is None),
        )
        self._known[org_id] = known
        return known

    def _opened(self, row: RowMapping) -> ValueSet:
        return ValueSet(
            binding_id=row["id"],
            kind=row["kind"],
            project_id=row["project_id"],
            environment=row["environment"],
            values=json.loads(self._sealer.unseal(row["sealed"], _identity(row["id"]))),
        )

    async def resolve(self, bindings: list[StoredBinding]) -> list[Resolution]:
        """Return what bindings resolve to now. Raise ProviderError if one does not."""
        return [
            Resolution(binding=one, values=dict((await self._ask(one)).values))
            for one in bindings
        ]

    async def _ask(self, binding: StoredBinding) -> Resolved:
        asked = Binding(
            org_id=binding.org_id,
            kind=binding.kind,
            provider=binding.provider,
            path=binding.path,
            names=binding.names,
        )
        return await self._registry.resolve(asked)

    async def store(
        self,
        db: AsyncConnection,
        resolutions: list[Resolution],
        version: int,
        now: datetime,
    ) -> None:
        """Store what bindings resolved to, encrypted, as part of a transaction."""
        for one in resolutions:
            text = json.dumps(one.values, separators=(",", ":"))
            await credentials.put_resolved(
                db,
                binding_id=one.binding.id,
                org_id=one.binding.org_id,
                version=version,
                sealed=self._sealer.seal(text, _identity(one.binding.id)),
                resolved_at=now,
                stale_at=now,
            )


def _identity(binding_id: str) -> str:
    return f"resolved\0{binding_id}"
