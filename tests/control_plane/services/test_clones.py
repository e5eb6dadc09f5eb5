"""A machine that was cloned: two daemons report as one host."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from platform_server import Server, Worker

from rensei_platform.doctor.database import check_database
from rensei_platform.rules import clones
from rensei_platform.rules.clones import is_cloned


async def is_known(server: Server, worker: Worker) -> bool:
    """Whether the server says that two daemons report as a host."""
    found = await server.ok("GET", f"/api/admin/hosts/{worker.host_id}")
    return bool(found["cloned"])


async def pass_time(server: Server, minutes: int, *alive: Worker) -> None:
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
