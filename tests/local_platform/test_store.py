"""The store: what it keeps, and who may read it."""

import stat
from pathlib import Path

import pytest

from rensei_daemon.local_platform.records import (
    RECORD_TYPES,
    Ack,
    AuditEntry,
    Credential,
    Host,
    Key,
    Mutation,
    Org,
    Record,
    Secret,
    Tables,
    Worker,
)
from rensei_daemon.local_platform.store import Store

AT = "2026-09-01T00:00:00.000Z"
EVERYTHING: list[Record] = [
    Secret(id="s", hex="00"),
    Org(id="org_1", name="acme"),
    Key(id="key_1", org_id="org_1", role="admin", owner="u", prefix="rsk", digest="d"),
    Host(
        id="host_1",
        org_id="org_1",
        name="h1",
        created_at=AT,
        status={"status": "ok"},
        last_beat={"activeCount": 0},
    ),
    Worker(
        id="wkr_1",
        org_id="org_1",
        host_id="host_1",
        key_id="key_1",
        created_at=AT,
        registration={"hostname": "h1"},
    ),
    Mutation(
        id="dmut_1",
        org_id="org_1",
        host_id="host_1",
        op="project.add",
        params={"id": "proj_a"},
        requested_by="u",
        created_at=AT,
    ),
    Credential(id="cred_1", org_id="org_1", kind="k", name="A", value="\ud800ü"),
    Ack(id="ack_1", at=AT, host_id="host_1", mutation_id="dmut_1", error=None),
    AuditEntry(
        id="aud_1", at=AT, org_id="org_1", actor="u", action="a", detail={"names": []}
    ),
]


def test_every_record_comes_back_as_it_was(tmp_path: Path) -> None:
    """All kinds of records survive the file, in the order they first came."""
    store = Store.open(tmp_path / "platform.db")
    store.save(EVERYTHING)
    store.save([EVERYTHING[1]])
    store.close()
    reopened = Store.open(tmp_path / "platform.db")
    assert list(reopened.load()) == EVERYTHING
    assert {type(record) for record in EVERYTHING} == set(RECORD_TYPES)
    reopened.close()


def test_every_record_has_a_table() -> None:
    """Each kind of record can be put, and a second put replaces the first."""
    tables = Tables()
    for record in EVERYTHING:
        tables.put(record)
        tables.put(record)
    assert list(tables.credentials) == ["cred_1"]
    assert list(tables.orgs) == ["org_1"]


def test_only_its_owner_reads_the_file(tmp_path: Path) -> None:
    """A new state file, which holds credentials, is mode 0600."""
    Store.open(tmp_path / "platform.db").close()
    assert stat.S_IMODE((tmp_path / "platform.db").stat().st_mode) == 0o600


@pytest.mark.parametrize("record", EVERYTHING)
def test_no_record_shows_a_secret(record: Record) -> None:
    """The repr of a record has neither a value nor a digest in it."""
    for name in ("hex=", "digest=", "value=", "staged="):
        assert name not in repr(record)
