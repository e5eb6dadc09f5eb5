"""A control plane's embedded database, read and changed from a test's own thread."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

from sqlalchemy import (
    URL,
    Executable,
    RowMapping,
    create_engine,
    insert,
    select,
    text,
    update,
)

from rensei_platform.ids import new_id
from rensei_platform.rules.mutations import Mutation, Status
from rensei_platform.rules.reports import REPORTED
from rensei_platform.services.platform import utc_now
from rensei_platform.store.tables import UNDECIDED, hosts, mutations, workers

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

    def undecided(self) -> list[str]:
        """Return the ids of the mutations that are pending or delivered."""
        found = select(mutations.c.id).where(text(UNDECIDED))
        return [row["id"] for row in self._rows(found)]

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

    def add_mutation(
        self,
        host: str,
        op: str,
        params: dict[str, Any],
        *,
        mutation_id: str | None = None,
        requested_by: str = "bo@acme.test",
    ) -> Mutation:
        """Enqueue a mutation that the control plane itself may refuse."""
        ids = [mutation_id or new_id("dmut")]
        (mutation,) = self._add(host, [(op, params)], ids, requested_by)
        return mutation

    def add_mutations(
        self, host: str, asked: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[Mutation]:
        """Enqueue mutations of these operations and params, at once."""
        return self._add(host, asked, [new_id("dmut") for _ in asked], "bo@acme.test")

    def _add(
        self,
        host: str,
        asked: Sequence[tuple[str, dict[str, Any]]],
        ids: Sequence[str],
        requested_by: str,
    ) -> list[Mutation]:
        (row,) = self._rows(
            update(hosts)
            .where(hosts.c.hostname == host)
            .values(last_seq=hosts.c.last_seq + len(asked))
            .returning(hosts.c.id, hosts.c.org_id, hosts.c.last_seq)
        )
        first = row["last_seq"] - len(asked) + 1
        added = [
            Mutation(
                seq=seq,
                id=mutation_id,
                org_id=row["org_id"],
                host_id=row["id"],
                op=op,
                params=params,
                status=Status.PENDING,
                requested_by=requested_by,
                created_at=utc_now(),
            )
            for seq, mutation_id, (op, params) in zip(
                count(first), ids, asked, strict=False
            )
        ]
        # One statement, so that a heartbeat sees all of them or none.
        values = [{**asdict(mutation), "size": 1} for mutation in added]
        self._execute(insert(mutations).values(values))
        return added

    def deliver_again(self, mutation: Mutation, op: str, params: dict[str, Any]) -> None:
        """Forget the outcome of a mutation, so that it is delivered once more, as this."""
        self._execute(
            update(mutations)
            .where(mutations.c.id == mutation.id)
            .values(op=op, params=params, status=Status.DELIVERED, decided_at=None)
        )

    def mark_delivered(self, mutation: Mutation) -> None:
        """Note that a mutation was delivered."""
        self._execute(
            update(mutations)
            .where(mutations.c.id == mutation.id)
            .values(status=Status.DELIVERED, delivered_at=utc_now())
        )

    def decide(self, mutation: Mutation, error: str | None) -> None:
        """Note a host's answer; without an error it has applied the mutation."""
        status = Status.APPLIED if error is None else Status.FAILED
        self._execute(
            update(mutations)
            .where(mutations.c.id == mutation.id)
            .values(status=status, decided_at=utc_now(), error=error)
        )

    def forget_worker(self, worker_id: str) -> None:
        """Have a worker answered 404 from now on."""
        self._execute(
            update(workers).where(workers.c.id == worker_id).values(forgotten_at=utc_now())
        )

    def _execute(self, statement: Executable) -> None:
        with self._engine.connect() as db:
            db.execute(statement)

    def _rows(self, statement: Executable) -> Sequence[RowMapping]:
        with self._engine.connect() as db:
            return db.execute(statement).mappings().all()


def _mutation(row: RowMapping) -> Mutation:
    return Mutation(**{**row, "status": Status(row["status"])})
