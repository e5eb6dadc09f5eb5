"""A machine that was cloned: two daemons report as one host."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from platform_server import Server, Worker, serving_replica
from sqlalchemy import URL, select

from rensei_platform.doctor.database import check_database
from rensei_platform.rules import clones
from rensei_platform.rules.clones import is_cloned
from rensei_platform.services.presence import Presence
from rensei_platform.store.tables import workers

pytestmark = pytest.mark.slow


async def is_known(server: Server, worker: Worker) -> bool:
    """Whether the server says that two daemons report as a host."""
    found = await server.ok("GET", f"/api/admin/hosts/{worker.host_id}")
    return bool(found["cloned"])


async def pass_time(server: Server, minutes: float, *alive: Worker) -> None:
    """Let minutes pass, at whose end these workers send a heartbeat."""
    now = server.platform.now() + timedelta(minutes=minutes)
    object.__setattr__(server.platform, "now", lambda: now)
    for worker in alive:
        await worker.beat()
    await server.platform.presence.write(server.platform.store)


async def test_a_clone_is_named_and_nobody_is_turned_away(server: Server) -> None:
    """Both go on; that it is found ends with the clone."""
    original = await server.register()
    await pass_time(server, 0, original)
    await pass_time(server, 3)
    clone = await server.register()
    assert clone.host_id == original.host_id
    await pass_time(server, 0, clone)
    assert not await is_known(server, original)
    await pass_time(server, 10, original, clone)
    assert await is_known(server, original)
    mutation = await original.enqueue()
    assert list(await clone.pending()) == [mutation]
    await original.beat(appliedMutations=[mutation])
    assert not await clone.pending()
    for _ in range(3):
        await pass_time(server, 10, original)
    assert not await is_known(server, original)


async def test_a_daemon_that_registers_again_is_no_clone(server: Server) -> None:
    """Also if the last heartbeat of its former worker is late."""
    former = await server.register()
    await pass_time(server, 0, former)
    for minutes in (9, 19):
        await pass_time(server, minutes)
        worker = await server.register()
        await pass_time(server, 0, former, worker)
        assert not await is_known(server, worker)
        former = worker


async def test_a_clone_is_found_by_its_third_heartbeat(server: Server) -> None:
    """By the first one that comes more than a minute after the other daemon's first."""
    original = await server.register()
    await pass_time(server, 0, original)
    await pass_time(server, 3)
    clone = await server.register()
    await pass_time(server, 0, clone)
    for _ in range(2):
        await pass_time(server, 0.5, original, clone)
        assert not await is_known(server, original)
    await pass_time(server, 0.5, original, clone)
    assert await is_known(server, original)


@pytest.mark.needs("postgresql")
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_clone_at_another_replica_is_found_as_soon(
    server: Server, database: URL, tmp_path: Path
) -> None:
    """Each server knows of one of the two daemons alone, also if it was just started."""
    original = await server.register()
    await pass_time(server, 0, original)
    await pass_time(server, 3)
    key_file = tmp_path / "platform.key"
    async with serving_replica(database, key_file, server.key) as other:
        object.__setattr__(other.platform, "now", server.platform.now)
        clone = await other.register()
        await pass_time(other, 0, clone)
        for _ in range(2):
            await pass_time(server, 0.5, original)
            await pass_time(other, 0.5, clone)
            assert not await is_known(other, clone)
        await pass_time(server, 0.5, original)
        assert await is_known(other, clone)
        found = await seen(server)
        for _ in range(12):
            await pass_time(server, 0.5, original)
            await pass_time(other, 0.5, clone)
        assert await seen(server) == found


async def test_two_daemons_cost_one_write_more(server: Server) -> None:
    """Once they are known, that each is alive is written as rarely as of any other."""
    original = await server.register()
    await pass_time(server, 0, original)
    clone = await server.register()
    await pass_time(server, 0, clone)
    for _ in range(3):
        await pass_time(server, 0.5, original, clone)
    found = await seen(server)
    for _ in range(12):
        await pass_time(server, 0.5, clone, original)
    assert await seen(server) == found
    assert len(set(found.values())) == 2


@pytest.mark.parametrize("late", [0, 0.5, 1])
async def test_a_daemon_that_restarts_often_is_no_clone(
    server: Server, late: float
) -> None:
    """Whether or not the heartbeat of the process before is late, by up to a minute."""
    former = await server.register()
    await pass_time(server, 0, former)
    for _ in range(4):
        worker = await server.register()
        await pass_time(server, 0, worker)
        await pass_time(server, late, former)
        for _ in range(5):
            await pass_time(server, 0.5, worker)
            assert not await is_known(server, worker)
        former = worker


async def test_a_server_that_restarts_takes_no_daemon_for_two(server: Server) -> None:
    """It knows no worker then, and the first heartbeat of each is news to it."""
    former, worker = await server.register(), await server.register()
    await pass_time(server, 0, former, worker)
    for _ in range(3):
        object.__setattr__(server.platform, "presence", Presence())
        for _ in range(4):
            await pass_time(server, 0.5, worker)
            assert not await is_known(server, worker)


async def test_hosts_that_are_gone_are_forgotten(server: Server) -> None:
    """A server that lives long remembers no more hosts than send heartbeats."""
    gone, there = await server.register("gone"), await server.register("there")
    await pass_time(server, 0, gone, there)
    await pass_time(server, 10, there)
    assert list(server.platform.presence._workers) == [there.id]


async def seen(server: Server) -> dict[str, datetime]:
    """Return when each worker was seen last, as it is written."""
    async with server.platform.store.read() as db:
        found = await db.execute(select(workers.c.id, workers.c.seen_at))
    return {row.id: row.seen_at for row in found}


async def test_the_doctor_names_the_machines(server: Server, tmp_path: Path) -> None:
    """And how to give a clone an id of its own."""
    await pass_time(server, -30)
    original = await server.register("one.acme.test")
    await pass_time(server, 0, original)
    await pass_time(server, 10)
    clone = await server.register("one.acme.test")
    await pass_time(server, 10, clone)
    assert (await said(server, tmp_path))[0] == "ok"
    await pass_time(server, 0, original)
    state, message, hint = await said(server, tmp_path)
    assert (state, message) == (
        "warning",
        "two daemons or more report as each of 1, such as one.acme.test",
    )
    assert "systemd-machine-id-setup" in hint


async def said(server: Server, directory: Path) -> tuple[str, str, str]:
    """Return what the doctor says of hosts: state, message and hint."""
    found = await check_database(server.database, directory / "platform.key")
    (hosts,) = (one for one in found if one.name == "hosts")
    return hosts.state, hosts.message, hosts.hint


def test_a_late_heartbeat_is_none_of_a_clone() -> None:
    """Only what was seen more than a minute after a newer worker is another daemon."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    newer = begin + timedelta(hours=1)
    late = newer + clones.LATE
    assert not is_cloned([(begin, late)])
    assert not is_cloned([(begin, late), (newer, newer)])
    assert is_cloned([(begin, late + timedelta(seconds=1)), (newer, newer)])
