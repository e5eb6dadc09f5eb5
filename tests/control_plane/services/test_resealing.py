"""Another master key for every stored value, while servers use the old one."""

from pathlib import Path

import pytest
from platform_server import OWNER, Server

from rensei_platform.errors import SettingsError
from rensei_platform.master_key import read_master_keys
from rensei_platform.sealing import Sealer
from rensei_platform.services import resealing
from rensei_platform.services.platform import utc_now
from rensei_platform.store import master_keys, sealed_rows
from rensei_platform.store.tables import credential_values

VALUES = {f"NAME_{number:03}": f"value {number}" for number in range(250)}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """The file of the server's master key."""
    return tmp_path / "platform.key"


async def _store_values(server: Server) -> None:
    path = "/api/admin/credentials/github/values"
    await server.ok("PUT", path, {"values": VALUES, "projectId": "p"})
    assert await _snapshot(server) == VALUES


async def _snapshot(server: Server) -> dict[str, str]:
    body = {"orgId": "org_acme", "projectId": "p", "sessionId": "s"}
    answer = await server.ok("POST", "/api/daemon/credentials/snapshot", body)
    env: dict[str, str] = answer["env"]
    return env


async def _rotate(server: Server) -> None:
    await server.ok(
        "POST", "/api/daemon/credentials/rotate", {"orgId": "org_acme", "kind": "github"}
    )


@pytest.mark.slow
async def test_every_value_is_sealed_with_the_new_key(
    server: Server, key_file: Path
) -> None:
    """The running server reads all values with either key, and then with the new alone."""
    await _store_values(server)
    (old,) = read_master_keys(key_file)
    store = server.platform.store
    sealer = await resealing.begin(store, key_file, utc_now(), is_alone=True)
    assert [key.id for key in server.platform.sealer.keys][1] == old.id
    await _rotate(server)  # sealed with both by now
    done = await resealing.reseal_until_none_is_left(store, sealer, 0)
    assert (done.count, done.broken) == (250, [])
    await resealing.finish(store, key_file, sealer, utc_now())
    (new,) = read_master_keys(key_file)
    assert new != old
    await _rotate(server)
    assert await _snapshot(server) == VALUES
    async with store.read() as db:
        assert await master_keys.noted(db) == {new.id}
    assert await resealing.unopened(store, Sealer([new])) == []
    listed = await server.ok("GET", "/api/admin/audit?action=master_key.replace")
    assert [(one["actor"], one["object"]) for one in listed["entries"]] == [
        ("key rotate-master", new.id)
    ]


@pytest.mark.slow
async def test_interrupted_replacement_goes_on(server: Server, key_file: Path) -> None:
    """The key that an interrupted run has made is used, wherever that run was ended."""
    await _store_values(server)
    store = server.platform.store
    begun = await resealing.begin(store, key_file, utc_now(), is_alone=True)
    async with store.write() as db:  # as if it had been ended before it was noted
        await master_keys.forget_others(db, begun.keys[1].id)
    again = await resealing.begin(store, key_file, utc_now(), is_alone=False)
    assert again.keys == begun.keys
    last = await resealing.begin(store, key_file, utc_now(), is_alone=False)
    assert last.keys == begun.keys
    assert (await resealing.reseal(store, last)).broken == []
    assert (await resealing.reseal(store, last)).count == 0


async def test_key_is_prepared_for_other_servers(server: Server, key_file: Path) -> None:
    """A prepared key seals nothing until every server can have it, and is made once."""
    (old,) = read_master_keys(key_file)
    store = server.platform.store
    with pytest.raises(SettingsError, match="other servers of the database may have") as no:
        await resealing.begin(store, key_file, utc_now(), is_alone=False)
    assert "--prepare" in no.value.hint
    for _ in range(2):
        await resealing.prepare(store, key_file)
    first, second = read_master_keys(key_file)
    assert first == old
    begun = await resealing.begin(store, key_file, utc_now(), is_alone=False)
    assert begun.keys == (second, old)


async def test_value_that_no_key_opens_is_named(server: Server, key_file: Path) -> None:
    """The others are sealed anew; the old key is not to be forgotten."""
    await _store_values(server)
    store, column = server.platform.store, credential_values.c.sealed
    async with store.write() as db:
        (row,) = await sealed_rows.find(db, column, limit=1)
        await sealed_rows.replace(db, column, row, "1.0123456789abcdef.AAAA")
    name = "credential_values org_acme/github/p/NAME_000"
    assert await resealing.unopened(store, server.platform.sealer) == [name]
    sealer = await resealing.begin(store, key_file, utc_now(), is_alone=True)
    done = await resealing.reseal_until_none_is_left(store, sealer, 0)
    assert done.broken == [name]
    assert done.count == 250  # with the resolved set


async def test_value_that_changed_meanwhile_is_left(server: Server) -> None:
    """What a server stores between reading and writing a row is not overwritten."""
    await _store_values(server)
    store, column = server.platform.store, credential_values.c.sealed
    async with store.write() as db:
        (row,) = await sealed_rows.find(db, column, limit=1)
        await sealed_rows.replace(db, column, row._replace(sealed="another"), "lost")
        assert await sealed_rows.find(db, column, limit=1) == [row]
    assert OWNER
