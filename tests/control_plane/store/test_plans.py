"""The queries that every heartbeat and every request make: by index, never by scan."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from platform_template import founded
from sqlalchemy import URL, ClauseElement, Select, Update, select, text

from rensei_platform.store import (
    audit,
    console_sessions,
    credentials,
    hosts,
    mutations,
    orgs,
    outcome_counts,
    replicas,
    resolved_sets,
    uptake,
    workers,
)
from rensei_platform.store.audit import Filter
from rensei_platform.store.engine import Store
from rensei_platform.store.tables import hosts as hosts_table

WHEN = datetime(2026, 11, 28, tzinfo=UTC)

HOT: dict[str, Select[Any] | Update] = {
    "the key of a request": orgs.key_statement("d"),
    "the worker of a heartbeat": workers.worker_statement("w", "k"),
    "what a host is owed": mutations.undecided_statement("h"),
    "the history of a host": mutations.history_statement("h", 100),
    "an earlier page of the history": mutations.history_statement("h", 100, 7),
    "how much waits for hosts": mutations.waiting_statement(["h", "i"]),
    "the hosts by name": hosts.prefix_statement("o", "", ("build-07", "h"), 50),
    "the hosts with a prefix": hosts.prefix_statement("o", "build", ("", ""), 50),
    "a page of the hosts": hosts.page_statement("o", ("build-07", "h"), 500),
    "the first page after a name": hosts.page_statement("o", ("build-07", None), 500),
    "the removed hosts": hosts.page_statement("o", ("", None), 500, removed=True),
    "when the hosts were seen": hosts.ages_statement("o", [WHEN]),
    "the session of a cookie": console_sessions.session_statement("d"),
    "the names of stored values": credentials.value_names_statement("o"),
    "the newest rotations": credentials.rotations_statement("o", [3, 7]),
    "the outcomes of some days": outcome_counts.since_statement("o", 20_000),
    "a mutation to cancel": mutations.mutation_statement("o", "m"),
    "the version of the values": credentials.version_statement("o"),
    "the sessions of a host": uptake.of_host_statement("h"),
    "the sessions of an organization": uptake.of_org_statement("o"),
    "the hosts that use keys": uptake.users_statement(["k"]),
    "the rotations before one": credentials.last_rotations_statement("o", 7),
    "the versions of those who listen": replicas.versions_statement(["o", "p"]),
    "the rotations that a server has missed": replicas.rotations_statement("o", 7),
    "the keys that were revoked": orgs.revoked_statement(WHEN),
    "the audit": audit.latest_statement("o", Filter(before=7), 100),
    "the audit of an actor": audit.latest_statement("o", Filter(actor="a"), 100),
    "the audit of an action": audit.latest_statement("o", Filter(action="a"), 100),
    "the sets of a clock that was ahead": resolved_sets.later_statement(WHEN),
    "their end": resolved_sets.end_later_statement(WHEN, WHEN),
    "the last snapshot of a scope": credentials.scope_statement(
        {"key_id": "k", "session_id": "s", "project_id": "p", "environment": "e"}
    ),
    "the scopes of the sessions": credentials.scopes_statement("o", WHEN),
}


@pytest.fixture
async def store(database: URL, tmp_path: Path) -> AsyncIterator[Store]:
    """An open database with the tables; to migrate one takes longer than a test."""
    if database.drivername == "sqlite":
        founded().copy_to(database, tmp_path / "platform.key")
    store = Store(database)
    yield store
    await store.close()


async def plan(store: Store, query: ClauseElement) -> str:
    """Return how the database would answer a query."""
    async with store.write() as db:
        if not store.is_sqlite:
            # An empty table is scanned for good reason; this tells whether it must be.
            await db.execute(text("SET LOCAL enable_seqscan = off"))
        compiled = query.compile(dialect=db.dialect, compile_kwargs={"literal_binds": True})
        explain = "EXPLAIN QUERY PLAN" if store.is_sqlite else "EXPLAIN"
        rows = await db.exec_driver_sql(f"{explain} {compiled}".replace("%", "%%"))
        return "\n".join(str(row[-1]) for row in rows)


@pytest.mark.parametrize("name", HOT)
async def test_a_hot_query_scans_no_table(store: Store, name: str) -> None:
    """Every table of it is entered by an index, and nothing is sorted."""
    found = await plan(store, HOT[name])
    for sign in ("SCAN", "Seq Scan", "TEMP B-TREE", "Sort"):
        assert sign not in found, found
    assert "INDEX" in found.upper(), found


GROUPED: dict[str, tuple[Select[Any], str, str]] = {
    "what hosts were asked of projects": (
        mutations.project_requests_statement(["h", "i"], 500),
        "(host_id=? AND seq>?)",
        "pk_mutations",
    ),
    "how far sessions are": (
        uptake.groups_statement("o"),
        "(org_id=?)",
        "ix_uptake_org_id_version",
    ),
}
"""Queries whose rows are sorted to be counted, each with the index that bounds them."""


@pytest.mark.parametrize("name", GROUPED)
async def test_a_grouped_query_scans_no_table(store: Store, name: str) -> None:
    """What is sorted was found by an index."""
    query, of_sqlite, of_postgresql = GROUPED[name]
    found = await plan(store, query)
    assert (of_sqlite if store.is_sqlite else of_postgresql) in found, found
    tables = ("mutations", "uptake", "session_scopes", "hosts")
    for sign in ("Seq Scan", *(f"SCAN {table}" for table in tables)):
        assert sign not in found, found


async def test_a_scan_would_be_seen(store: Store) -> None:
    """What the other test looks for is what a plan says of a scan."""
    found = await plan(store, select(hosts_table.c.id).where(hosts_table.c.region == "r"))
    assert "SCAN" in found.upper()
