"""Asks providers, and remembers which of them fail."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import anyio

from rensei_platform.log_limit import LogLimit
from rensei_platform.providers.base import Lease, Resolved, ResolveError
from rensei_platform.providers.registry import Registry
from rensei_platform.services.resolved_values import provider_binding
from rensei_platform.store.credentials import StoredBinding

RETRY = timedelta(seconds=5)
"""For how long a provider that failed is not asked again for a snapshot."""
MOST_AT_ONCE = 8

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Failure:
    """A provider's last failure, until it works again."""

    at: datetime
    org_id: str
    error: ResolveError


class Resolver:
    """Resolves bindings, one or all of a kind."""

    def __init__(self, registry: Registry, now: Callable[[], datetime]) -> None:
        self._registry, self._now = registry, now
        self._limit = LogLimit()
        self.failures: dict[str, Failure] = {}
        """By binding: those that are served with old values, or not at all."""

    def failures_of(self, org_id: str) -> list[Failure]:
        """Return the failures of an organization's bindings that this server has met."""
        return [one for one in self.failures.values() if one.org_id == org_id]

    async def resolve(self, binding: StoredBinding) -> Resolved:
        """Return what a binding resolves to now. Raise ResolveError."""
        try:
            resolved = await self._registry.resolve(provider_binding(binding))
        except ResolveError as error:
            self.failures[binding.id] = Failure(self._now(), binding.org_id, error)
            self._limit.warning(
                "provider.failed",
                about=binding.id,
                provider=error.instance,
                org_id=binding.org_id,
                kind=error.kind,
                cause=error.cause,
                reason=error.reason,
                detail=error.detail,
                hint=error.hint,
            )
            raise
        self.failures.pop(binding.id, None)
        return resolved

    async def resolve_unless_failed(self, binding: StoredBinding) -> Resolved:
        """Resolve it; if that has failed a moment ago, raise the same error again."""
        failure = self.failures.get(binding.id)
        # A failure that lies ahead was met before the clock was set back.
        if failure is not None and timedelta() <= self._now() - failure.at < RETRY:
            raise failure.error.with_traceback(None)
        return await self.resolve(binding)

    async def resolve_all(self, bindings: Sequence[StoredBinding]) -> dict[str, Resolved]:
        """Resolve all or none. Raise the first error once what was leased is ended."""
        found: dict[str, Resolved] = {}
        errors: list[ResolveError] = []

        async def resolve(binding: StoredBinding) -> None:
            try:
                found[binding.id] = await self.resolve(binding)
            except ResolveError as error:
                errors.append(error)

        await each(bindings, resolve)
        if errors:
            for binding in bindings:
                resolved = found.get(binding.id)
                if resolved is not None and resolved.lease is not None:
                    await self.revoke(binding, [resolved.lease])
            raise errors[0]
        return found

    async def revoke(self, binding: StoredBinding, leases: Iterable[Lease]) -> None:
        """End leases whose values nobody is to use; one that cannot be ended runs out."""
        for lease in leases:
            with suppress(ResolveError):
                await self._registry.revoke(binding.provider, binding.kind, lease)


async def each(items: Iterable[_T], work: Callable[[_T], Awaitable[None]]) -> None:
    """Do the work for every item, a few at a time."""
    limit = anyio.CapacityLimiter(MOST_AT_ONCE)

    async def limited(item: _T) -> None:
        async with limit:
            await work(item)

    async with anyio.create_task_group() as tasks:
        for item in items:
            tasks.start_soon(limited, item)
