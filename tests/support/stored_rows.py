"""Reads a control plane's embedded database from a test's own thread."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, RowMapping, Select, create_engine, select

from rensei_platform.rules.mutations import Mutation, Status
from rensei_platform.rules.reports import REPORTED
from rensei_platform.store.tables import hosts, mutations, workers

_MUTATION = tuple(mutations.c[name] for name in Mutation.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHost:
    """A host, and what it reported last."""

    id: str
    worker_id: str | None
    """Of the latest registration."""
    registrations: int
    mirror: dict[str, Any]
    """By the names of the wire; without what was never reported."""


class StoredRows:
    """What is in the database now."""

    def __init__(self, url: URL) -> None:
        self._engine = create_engine(url, isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

    def mutation(self, mutation_id: str) -> Mutation:
        """Return a mutation."""
        (row,) = self._rows(select(*_MUTATION).where(mutations.c.id == mutation_id))
        return _mutation(row)

    def mutations(self) -> list[Mutation]:
        """Return every mutation in the order they were enqueued."""
        by_age = (mutations.c.created_at, mutations.c.seq)
        return [_mutation(row) for row in self._rows(select(*_MUTATION).order_by(*by_age))]

    def host(self, name: str) -> StoredHost:
        """Return the host of this name."""
        (row,) = self._rows(select(hosts).where(hosts.c.hostname == name))
        reported = {name: row[column] for name, column in REPORTED.items()}
        return StoredHost(
            id=row["id"],
            worker_id=next(reversed(self.workers(row["id"])), None),
            registrations=row["registrations"],
            mirror={name: value for name, value in reported.items() if value is not None},
        )

    def workers(self, host_id: str | None = None) -> list[str]:
        """Return the ids of the workers of all hosts, or of one, oldest first."""
        found = select(workers.c.id).order_by(workers.c.created_at)
        if host_id is not None:
            found = found.where(workers.c.host_id == host_id)
        return [row["id"] for row in self._rows(found)]

    def _rows(self, statement: Select[Any]) -> Sequence[RowMapping]:
        with self._engine.connect() as db:
            return db.execute(statement).mappings().all()


def _mutation(row: RowMapping) -> Mutation:
    return Mutation(**{**row, "status": Status(row["status"])})
