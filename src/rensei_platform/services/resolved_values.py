"""Values as they are resolved, encrypted, stored and read back.

A stored set is JSON of its values, sealed for its binding. Its lease is sealed beside it,
together with the leases that it replaced: those are revoked once nobody needs them.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from rensei_platform.providers.base import Binding, Lease, Resolved
from rensei_platform.rules.refresh import (
    REFRESH,
    SPREAD,
    Times,
    times_with_lease,
    times_without_lease,
)
from rensei_platform.rules.times import (
    from_milliseconds,
    to_milliseconds,
    whole_milliseconds,
)
from rensei_platform.sealing import Sealer
from rensei_platform.store.credentials import StoredBinding
from rensei_platform.store.resolved_sets import StoredSet

REVOKE_AFTER = REFRESH * (1 + SPREAD) + timedelta(minutes=1)
"""A replaced lease lives on until every host has taken a snapshot after its replacement."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A lease whose values were replaced."""

    lease: Lease
    revoke_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """The lease of a set, and those of the sets before it."""

    current: Lease | None = None
    replaced: tuple[Replaced, ...] = ()

    def all(self) -> list[Lease]:
        """Return every lease that has not been ended yet."""
        current = [] if self.current is None else [self.current]
        return [*current, *(one.lease for one in self.replaced)]

    def superseded(
        self, expires_at: datetime | None, now: datetime
    ) -> tuple[Replaced, ...]:
        """Return the leases that are left when new values take the place of these."""
        if self.current is None:
            return self.replaced
        latest = now + REVOKE_AFTER
        revoke_at = latest if expires_at is None else min(latest, expires_at)
        return (*self.replaced, Replaced(self.current, revoke_at))


def provider_binding(binding: StoredBinding) -> Binding:
    """Return the binding as the registry takes it."""
    return Binding(
        org_id=binding.org_id,
        kind=binding.kind,
        provider=binding.provider,
        path=binding.path,
        names=binding.names,
    )


def seal_set(
    sealer: Sealer,
    binding: StoredBinding,
    found: Resolved,
    *,
    version: int,
    replaced: tuple[Replaced, ...],
    now: datetime,
) -> StoredSet:
    """Return the row of values that were resolved now."""
    lease = found.lease
    times = (
        times_without_lease(now, binding.watch_seconds)
        if lease is None
        else times_with_lease(now, lease.seconds, renewable=lease.renewable)
    )
    leases = Leases(current=lease, replaced=replaced)
    return StoredSet(
        binding_id=binding.id,
        version=version,
        sealed=_sealed(sealer, "values", binding.id, dict(found.values)),
        resolved_at=now,
        stale_at=whole_milliseconds(times.stale_at),
        sealed_lease=seal_leases(sealer, binding.id, leases),
        lease_expires_at=times.expires_at and whole_milliseconds(times.expires_at),
        due_at=first_due(times, leases),
    )


def open_values(sealer: Sealer, stored: StoredSet) -> dict[str, str]:
    """Return the values of a row. Raise SealingError if they do not open."""
    values: dict[str, str] = _opened(sealer, "values", stored.binding_id, stored.sealed)
    return values


def seal_leases(sealer: Sealer, binding_id: str, leases: Leases) -> str | None:
    """Return the leases, sealed for their binding. None for none."""
    if leases == Leases():
        return None
    return _sealed(
        sealer,
        "leases",
        binding_id,
        {
            "current": asdict(leases.current) if leases.current else None,
            "replaced": [
                {"lease": asdict(one.lease), "at": to_milliseconds(one.revoke_at)}
                for one in leases.replaced
            ],
        },
    )


def open_leases(sealer: Sealer, stored: StoredSet) -> Leases:
    """Return the leases of a row. Raise SealingError if they do not open."""
    if stored.sealed_lease is None:
        return Leases()
    found = _opened(sealer, "leases", stored.binding_id, stored.sealed_lease)
    return Leases(
        current=Lease(**found["current"]) if found["current"] else None,
        replaced=tuple(
            Replaced(Lease(**one["lease"]), from_milliseconds(one["at"]))
            for one in found["replaced"]
        ),
    )


def first_due(times: Times, leases: Leases) -> datetime | None:
    """Return when something is to be done first. None: never."""
    dues = [times.due_at, *(one.revoke_at for one in leases.replaced)]
    first = min((at for at in dues if at is not None), default=None)
    return None if first is None else whole_milliseconds(first)


def sealed_identity(what: str, binding_id: str) -> str:
    """Return what the text of a set, its values or its leases, is sealed for."""
    return "\0".join(("resolved", what, binding_id))


def _sealed(sealer: Sealer, what: str, binding_id: str, content: object) -> str:
    return sealer.seal(json.dumps(content), sealed_identity(what, binding_id))


def _opened(sealer: Sealer, what: str, binding_id: str, sealed: str) -> Any:
    return json.loads(sealer.unseal(sealed, sealed_identity(what, binding_id)))
