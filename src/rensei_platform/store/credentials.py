"""Statements about bindings, stored and resolved values, rotations and scopes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.errors import NotFoundError
from rensei_platform.rules.credentials import Scope
from rensei_platform.store.engine import Store
from rensei_platform.store.slices import each_row
from rensei_platform.store.tables import (
    bindings,
    credential_values,
    orgs,
    rotations,
    session_scopes,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBinding:
    """Where the values of one kind and scope come from."""

    id: str
    org_id: str
    kind: str
    project_id: str
    environment: str
    provider: str
    path: str
    names: Mapping[str, str]
    watch_seconds: int | None = None


async def upsert(db: AsyncConnection, table: Any, *rows: Mapping[str, Any]) -> None:
    """Store rows of equal columns; one with the same primary key is replaced."""
    dialect = postgresql if db.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    replacing = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    await db.execute(replacing, rows)


# ---- stored values of the provider `database` --------------------------------------------


async def put_values(db: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store sealed values; one of the same name and scope is replaced."""
    if rows:
        await upsert(db, credential_values, *rows)


async def sealed_values(
    db: AsyncConnection, org_id: str, kind: str, project_id: str, environment: str
) -> dict[str, str]:
    """Return the sealed values of a kind and scope by name."""
    found = await db.execute(
        select(credential_values.c.name, credential_values.c.sealed).where(
            (credential_values.c.org_id == org_id)
            & (credential_values.c.kind == kind)
            & (credential_values.c.project_id == project_id)
            & (credential_values.c.environment == environment)
        )
    )
    return {row.name: row.sealed for row in found}


def value_names_statement(org_id: str) -> Select[Any]:
    """Return the query of the names of an organization's stored values."""
    values = credential_values.c
    return select(values.kind, values.project_id, values.environment, values.name).where(
        values.org_id == org_id
    )


async def value_names(
    db: AsyncConnection, org_id: str
) -> dict[tuple[str, str, str], list[str]]:
    """Return (kind, project, environment) -> names of the stored values."""
    names: dict[tuple[str, str, str], list[str]] = {}
    for row in await db.execute(value_names_statement(org_id)):
        names.setdefault((row.kind, row.project_id, row.environment), []).append(row.name)
    return {scope: sorted(found) for scope, found in names.items()}


# ---- bindings ----------------------------------------------------------------------------


async def put_binding(db: AsyncConnection, binding: StoredBinding, now: datetime) -> None:
    """Store a binding; the one of the same kind and scope is replaced, with its values."""
    await db.execute(
        delete(bindings).where(
            (bindings.c.org_id == binding.org_id)
            & (bindings.c.kind == binding.kind)
            & (bindings.c.project_id == binding.project_id)
            & (bindings.c.environment == binding.environment)
        )
    )
    await db.execute(
        insert(bindings).values(
            id=binding.id,
            org_id=binding.org_id,
            kind=binding.kind,
            project_id=binding.project_id,
            environment=binding.environment,
            provider=binding.provider,
            path=binding.path,
            names=dict(binding.names),
            watch_seconds=binding.watch_seconds,
            created_at=now,
            updated_at=now,
        )
    )


async def find_bindings(
    db: AsyncConnection, org_id: str, kind: str | None = None
) -> list[StoredBinding]:
    """Return the bindings of an organization, of one kind or of all."""
    query = select(bindings).where(bindings.c.org_id == org_id)
    if kind is not None:
        query = query.where(bindings.c.kind == kind)
    found = await db.execute(
        query.order_by(bindings.c.kind, bindings.c.project_id, bindings.c.environment)
    )
    return [
        StoredBinding(
            id=row.id,
            org_id=row.org_id,
            kind=row.kind,
            project_id=row.project_id,
            environment=row.environment,
            provider=row.provider,
            path=row.path,
            names=row.names,
            watch_seconds=row.watch_seconds,
        )
        for row in found
    ]


async def remove_binding(
    db: AsyncConnection, org_id: str, kind: str, project_id: str, environment: str
) -> bool:
    """Remove a binding and its resolved values; whether there was one."""
    changed = await db.execute(
        delete(bindings).where(
            (bindings.c.org_id == org_id)
            & (bindings.c.kind == kind)
            & (bindings.c.project_id == project_id)
            & (bindings.c.environment == environment)
        )
    )
    return bool(changed.rowcount)


# ---- resolved values and rotations -------------------------------------------------------


def version_statement(org_id: Any) -> Select[Any]:
    """Return the query of the version of an organization's values."""
    return select(orgs.c.values_version).where(orgs.c.id == org_id)


_VERSION = version_statement(bindparam("of_org"))


async def current_version(store: Store, org_id: str) -> int:
    """Return the version of an organization's values, at once: every stream asks for it."""
    row = await store.quick.one(_VERSION, {"of_org": org_id})
    if row is None:
        raise NotFoundError("Organization not found")
    version: int = row["values_version"]
    return version


async def values_version(db: AsyncConnection, org_id: str) -> int:
    """Return the version of an organization's values."""
    version: int = (await db.execute(version_statement(org_id))).scalar_one()
    return version


async def next_version(db: AsyncConnection, org_id: str) -> tuple[int, datetime | None]:
    """Return the next version of an organization's values, and its last rotation.

    It locks the organization's row until the end of the transaction.
    """
    found = await db.execute(
        update(orgs)
        .where(orgs.c.id == org_id)
        .values(values_version=orgs.c.values_version + 1)
        .returning(orgs.c.values_version, orgs.c.last_rotated_at)
    )
    row = found.one()
    return row.values_version, row.last_rotated_at


async def add_rotation(db: AsyncConnection, **values: Any) -> None:
    """Store a rotation, and its time as the organization's last."""
    await db.execute(insert(rotations).values(**values))
    await db.execute(
        update(orgs)
        .where(orgs.c.id == values["org_id"])
        .values(last_rotated_at=values["rotated_at"])
    )


async def note_session_count(
    db: AsyncConnection, rotation_id: str, count: int, duration_ms: int
) -> None:
    """Store how many sessions a rotation notified, and within which time."""
    await db.execute(
        update(rotations)
        .where(rotations.c.id == rotation_id)
        .values(session_count=count, duration_ms=duration_ms)
    )


def last_rotations_statement(org_id: str, before: int) -> Select[Any]:
    """Return the query of the newest rotation of each bound kind below a version."""
    newest = (
        select(func.max(rotations.c.version))
        .where(
            (rotations.c.org_id == org_id)
            & (rotations.c.kind == bindings.c.kind)
            & (rotations.c.version < before)
        )
        .scalar_subquery()
    )
    return select(bindings.c.kind, newest.label("version")).where(
        bindings.c.org_id == org_id
    )


async def last_rotations(db: AsyncConnection, org_id: str, before: int) -> dict[str, int]:
    """Return kind -> version of its newest rotation below a version, of bound kinds."""
    found = await db.execute(last_rotations_statement(org_id, before))
    return {row.kind: row.version for row in found if row.version is not None}


_NO_VERSION = 2**63 - 1
"""Above every one."""


def rotations_statement(org_id: str, versions: Collection[int]) -> Select[Any]:
    """Return the query of the rotations with these versions."""
    return select(rotations).where(
        (rotations.c.org_id == org_id) & rotations.c.version.in_(versions)
    )


async def newest_rotations(db: AsyncConnection, org_id: str) -> dict[str, RowMapping]:
    """Return kind -> its newest rotation, of bound kinds."""
    versions = (await last_rotations(db, org_id, _NO_VERSION)).values()
    found = await db.execute(rotations_statement(org_id, set(versions)))
    return {row["kind"]: row for row in found.mappings()}


async def list_rotations(
    db: AsyncConnection, org_id: str, limit: int, before: int | None = None
) -> Sequence[RowMapping]:
    """Return the latest rotations of an organization, below a version, newest first."""
    query = select(rotations).where(rotations.c.org_id == org_id)
    if before is not None:
        query = query.where(rotations.c.version < before)
    found = await db.execute(query.order_by(rotations.c.version.desc()).limit(limit))
    return found.mappings().all()


# ---- scopes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TakenSnapshot:
    """A snapshot that a session has taken of a scope."""

    org_id: str
    key_id: str
    session_id: str
    scope: Scope
    version: int
    at: datetime


async def note_scopes(db: AsyncConnection, snapshots: Sequence[TakenSnapshot]) -> None:
    """Store that sessions have taken snapshots, of which there is at least one.

    In the order of their keys: two servers that locked equal rows in different orders would
    wait for each other.
    """
    rows = [
        {
            **_scope_key(taken),
            "org_id": taken.org_id,
            "snapshot_at": taken.at,
            "version": taken.version,
        }
        for taken in snapshots
    ]
    rows.sort(key=lambda row: [row[name] for name in _SCOPE_KEY])
    await upsert(db, session_scopes, *rows)


def scope_statement(key: Mapping[str, Any]) -> Select[Any]:
    """Return the query of a session's last snapshot of one scope."""
    columns = (session_scopes.c.version, session_scopes.c.snapshot_at)
    return select(*columns).where(
        *(session_scopes.c[name] == value for name, value in key.items())
    )


_SCOPE_KEY = ("key_id", "session_id", "project_id", "environment")
_SCOPE = scope_statement({name: bindparam(f"of_{name}") for name in _SCOPE_KEY})


async def find_scope(store: Store, taken: TakenSnapshot) -> Mapping[str, Any] | None:
    """Return what was noted of a session's last snapshot of the same scope."""
    key = {f"of_{name}": value for name, value in _scope_key(taken).items()}
    return await store.quick.one(_SCOPE, key)


def _scope_key(taken: TakenSnapshot) -> dict[str, str]:
    return {
        "key_id": taken.key_id,
        "session_id": taken.session_id,
        "project_id": taken.scope.project_id,
        "environment": taken.scope.environment,
    }


def scopes_statement(org_id: str, since: datetime) -> Select[Any]:
    """Return the query of the scopes of an organization's recent snapshots."""
    return select(
        session_scopes.c.key_id,
        session_scopes.c.session_id,
        session_scopes.c.project_id,
        session_scopes.c.environment,
    ).where((session_scopes.c.org_id == org_id) & (session_scopes.c.snapshot_at >= since))


async def scopes_since(
    db: AsyncConnection, org_id: str, since: datetime
) -> dict[tuple[str, str], set[Scope]]:
    """Return (key id, session id) -> scopes of the snapshots taken since a time."""
    found = await db.execute(scopes_statement(org_id, since))
    scopes: dict[tuple[str, str], set[Scope]] = {}
    async for row in each_row(found):
        known = scopes.setdefault((row["key_id"], row["session_id"]), set())
        known.add(Scope(row["project_id"], row["environment"]))
    return scopes
