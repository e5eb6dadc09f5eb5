"""A replica of the control plane without HTTP, and a source that a test decides."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
from sqlalchemy import CursorResult, Executable, Select
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.master_key import MasterKey
from rensei_platform.providers.base import Lease, Location, Resolved, SecretNotFoundError
from rensei_platform.providers.registry import Registry
from rensei_platform.rules.credentials import Scope, snapshot
from rensei_platform.sealing import Sealer
from rensei_platform.services.values import Values
from rensei_platform.store import credentials
from rensei_platform.store.credentials import StoredBinding
from rensei_platform.store.engine import Store
from rensei_platform.store.locks import Locks

START = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)


class Source:
    """A provider with leases, which remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Resolved | Exception] = {}
        self.asked: list[str] = []
        self.renewals: list[Lease | Exception] = []
        self.renewed: list[str] = []
        self.revoked: list[str] = []
        self.revocation_error: Exception | None = None
        self.open = anyio.Event()
        self.open.set()

    async def resolve(self, location: Location) -> Resolved:
        path = "/".join(location.path)
        self.asked.append(path)
        await self.open.wait()
        answer = self.answers.get(path, SecretNotFoundError("there is nothing at the path"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def renew(self, lease: Lease) -> Lease:
        self.renewed.append(lease.id)
        await self.open.wait()
        answer = self.renewals.pop(0) if self.renewals else lease
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def revoke(self, lease: Lease) -> None:
        if self.revocation_error is not None:
            raise self.revocation_error
        self.revoked.append(lease.id)


class InterruptedStore(Store):
    """A database to which something happens once: after the first statement of a reader."""

    def __init__(self, store: Store, happens: Callable[[], Awaitable[object]]) -> None:
        self.__dict__ |= store.__dict__
        self._happens, self._count = happens, 0
        self._quick, self.quick = store.quick, self

    async def one(
        self, query: Select[Any], parameters: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Read a row."""
        await self._next()
        return await self._quick.one(query, parameters)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Any]:
        """Lend a connection for statements."""
        async with super().read() as connection:
            yield _Interrupted(connection, self._next)

    async def _next(self) -> None:
        self._count += 1
        if self._count == 2:
            await self._happens()


class CountedStore(Store):
    """A database that counts how often it was read, but for single rows."""

    def __init__(self, store: Store) -> None:
        self.__dict__ |= store.__dict__
        self.reads = 0

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection for statements."""
        self.reads += 1
        async with super().read() as connection:
            yield connection


class _Interrupted:
    def __init__(
        self, connection: AsyncConnection, before: Callable[[], Awaitable[None]]
    ) -> None:
        self._connection, self._before = connection, before

    async def execute(self, statement: Executable) -> CursorResult[Any]:
        await self._before()
        return await self._connection.execute(statement)


@dataclass
class Replica:
    """What the services need, as one replica has it."""

    store: Store
    source: Source
    now: datetime = START
    sealer: Sealer = field(default_factory=lambda: Sealer([MasterKey(b"k" * 32)]))
    locks: Locks | None = None
    registry: Registry = field(init=False)
    values: Values = field(init=False)

    def __post_init__(self) -> None:
        self.locks = self.locks or Locks(self.store)
        self.registry = Registry(self.source, {})
        self.values = Values(
            self.store, self.sealer, self.registry, self.locks, lambda: self.now
        )

    def another(self) -> "Replica":
        """Return another replica of the same database and source."""
        shared = self.locks if self.store.is_sqlite else None  # SQLite has one process
        return Replica(self.store, self.source, self.now, locks=shared)

    def wait(self, **span: float) -> None:
        """Let time pass."""
        self.now += timedelta(**span)

    async def bind(
        self,
        kind: str,
        path: str,
        *,
        org_id: str = "org",
        project_id: str = "",
        environment: str = "",
        watch_seconds: int | None = None,
    ) -> str:
        """Add a binding; return its id."""
        binding = StoredBinding(
            id=f"bnd_{org_id}_{path}",
            org_id=org_id,
            kind=kind,
            project_id=project_id,
            environment=environment,
            provider="database",
            path=path,
            names={},
            watch_seconds=watch_seconds,
        )

        async def write(db: AsyncConnection) -> None:
            await credentials.put_binding(db, binding, self.now)

        await self.values.change(org_id, kind, Scope(project_id, environment), write)
        return binding.id

    async def seen(self, project_id: str = "", environment: str = "") -> dict[str, str]:
        """Return the values that a scope sees."""
        scope = Scope(project_id, environment)
        return snapshot((await self.values.for_scope("org", scope)).sets, scope)

    async def rotate(self, kind: str = "byok", org_id: str = "org") -> int:
        """Rotate a kind; return the new version."""

        async def record(_: object, version: int, last: object) -> int:
            return version

        return await self.values.rotate(org_id, kind, record)
