"""What a host says of the values its sessions hold, and of who uses them."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc
import pytest
from platform_template import ORG

from rensei_daemon.core.health import ConsumerHealth, Proof, SessionHealth
from rensei_daemon.tasks import uptake
from rensei_daemon.tasks.status_reporting import status_failures, write_status

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tasks.conftest import Home, Running

LIVE = "live"
BEAT = "/api/workers/wkr_"
SESSIONS = """\
[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "hooked"
env_file = "hooked.env"
on_rotate = ["{hook}"]
[[credentials.sessions]]
id = "plain"
env_file = "plain.env"
"""


def said(home: "Home") -> dict[str, Any]:
    """Return what the platform was told last, by session."""
    told = [body["uptake"] for body in home.beats if "uptake" in body]
    return {session["id"]: session for session in told[-1]} if told else {}


def rotate(home: "Home", value: str) -> str:
    """Store a value and rotate its kind; return the id of the rotation."""
    home.platform.set_credential("github", "TOKEN", value)
    body = {"orgId": ORG, "kind": "github"}
    answer = home.platform.ask("POST", "/api/daemon/credentials/rotate", body)
    return str(answer["rotationId"])


def receipt(home: "Home", rotation_id: str, query: str = "") -> Any:
    """Return the receipt of a rotation."""
    path = f"/api/admin/rotations/{rotation_id}{query}"
    return home.platform.ask("GET", path)["receipt"]


def consumers(**counts: int) -> dict[str, int]:
    """Return how many consumers have followed, by what they prove."""
    return {"confirmed": 0, "received": 0, "unknown": 0} | counts


def with_sessions(home: "Home") -> Path:
    """Configure two sessions; the hook ends when something reads the pipe, each time."""
    gate, hook = home.place / "gate", home.place / "hook"
    os.mkfifo(gate)
    hook.write_text(f"#!/bin/sh\necho done > {gate}\n")
    hook.chmod(0o755)
    home.write(SESSIONS.format(hook=hook))
    home.platform.set_credential("github", "TOKEN", "one")
    return gate


async def end_hook(gate: Path) -> None:
    """Let the hook that runs, or is about to, succeed."""
    reading = os.open(gate, os.O_RDONLY | os.O_NONBLOCK)
    try:
        await anyio.wait_readable(reading)
    finally:
        os.close(reading)


async def settled(home: "Home", daemon: "Running", gate: Path) -> None:
    """Wait until both sessions have the first values, with the hook's first run."""
    await daemon.until(lambda: said(home).get("hooked", {}).get("behind"))
    await end_hook(gate)
    await daemon.until(
        lambda: (
            said(home)["hooked"]["consumers"] == consumers(confirmed=1)
            and said(home)["plain"]["consumers"] == consumers(unknown=1)
        )
    )


async def test_a_receipt_goes_from_behind_to_yes(home: "Home") -> None:
    """The hook confirms the file it runs after; a plain file has to be accepted."""
    gate = with_sessions(home)
    async with home.daemon() as daemon:
        await settled(home, daemon, gate)
        rotation = rotate(home, "two")
        found = receipt(home, rotation)
        assert (found["notified"], found["safeToRevoke"]) == (2, False)
        await daemon.until(lambda: receipt(home, rotation)["held"] == 2)
        await daemon.until(lambda: said(home)["plain"]["consumers"] == consumers(unknown=1))
        hook = f"hook {home.place / 'hook'}"
        await daemon.until(lambda: said(home)["hooked"]["behind"] == [hook])
        (behind,) = receipt(home, rotation, "?acceptUnknown=true")["behind"]
        assert (behind["sessionId"], behind["behind"]) == ("hooked", [hook])
        await end_hook(gate)
        await daemon.until(lambda: receipt(home, rotation)["confirmed"] == 1)
        assert receipt(home, rotation)["obstacles"] == ["1 session is unable to tell"]
        assert receipt(home, rotation, "?acceptUnknown=true")["safeToRevoke"]


async def test_a_session_that_ends_is_left_out(home: "Home") -> None:
    """A report names every session, so the platform knows that this one has ended."""
    home.write('[[credentials.sessions]]\nid = "sock"\n')
    home.platform.set_credential("github", "TOKEN", "one")
    async with home.daemon() as daemon:
        await daemon.until(lambda: said(home).get("sock", {}).get("version"))
        assert said(home)["sock"]["consumers"] == consumers()
        home.write()
        await daemon.until(lambda: home.beats[-1].get("uptake") == [])


async def test_a_version_is_held_with_equal_values(home: "Home") -> None:
    """Nothing is delivered, and still the old value may go."""
    gate = with_sessions(home)
    async with home.daemon() as daemon:
        await settled(home, daemon, gate)
        rotation = rotate(home, "one")
        query = "?acceptUnknown=true"
        await daemon.until(lambda: receipt(home, rotation, query)["safeToRevoke"])
        assert daemon.session.generation == 1


async def test_what_was_reported_is_not_repeated(home: "Home") -> None:
    """And after a restart the hook, which does not run again, has followed all the same."""
    gate = with_sessions(home)
    async with home.daemon() as daemon:
        await settled(home, daemon, gate)
        count = len(home.beats)
        await daemon.until(lambda: len(home.beats) >= count + 3)
        assert not any("uptake" in body for body in home.beats[count:])
    home.platform.log.beats.clear()
    async with home.daemon() as daemon:
        await daemon.until(
            lambda: said(home).get("hooked", {}).get("consumers") == consumers(confirmed=1)
        )
        assert said(home)["hooked"]["behind"] == []


async def test_a_platform_that_does_not_offer_it_is_told_nothing(home: "Home") -> None:
    """Neither before the first offer, nor after an answer without one."""
    gate = with_sessions(home)
    plain = {"acknowledged": True, "pendingMutations": []}
    before = home.platform.faults.add("POST", BEAT, status=200, body=plain, times=5)
    async with home.daemon() as daemon:
        await daemon.until(lambda: len(before.served) == 5)
        await settled(home, daemon, gate)
        after = home.platform.faults.add("POST", BEAT, status=200, body=plain, times=5)
        await daemon.until(lambda: after.served)
        rotate(home, "two")
        await end_hook(gate)
        await daemon.until(lambda: len(after.served) == 5)
        held = daemon.session.version
        await daemon.until(lambda: said(home)["hooked"]["version"] == held)
    for body in (*before.served, *after.served[1:]):
        assert "uptake" not in json.loads(body)


@pytest.mark.parametrize("status", [401, 503])
async def test_a_failed_heartbeat_ends_the_offer(home: "Home", status: int) -> None:
    """The next one is without it: the platform may be another by then."""
    gate = with_sessions(home)
    async with home.daemon() as daemon:
        await settled(home, daemon, gate)
        held = home.platform.faults.hold("POST", BEAT)
        await held.until_ready()
        refused = home.platform.faults.add("POST", BEAT, status=status)
        rotate(home, "two")
        version = daemon.session.version
        await daemon.until(lambda: daemon.session.version != version)
        count = len(home.beats)
        held.release()
        await daemon.until(lambda: refused.served and len(home.beats) > count)
        assert "uptake" in json.loads(refused.served[0])
        assert "uptake" not in home.beats[count]
        await daemon.until(lambda: "uptake" in home.beats[-1])
        await end_hook(gate)


async def test_a_fleet_does_not_beat_at_once(home: "Home") -> None:
    """Each host waits a random time of up to five seconds before it reports."""
    home.platform.configure(heartbeat_interval_ms=300_000)
    gate = with_sessions(home)
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    async with home.daemon(draw=draw) as daemon:
        await settled(home, daemon, gate)
        assert len(home.beats) < 8
    assert (0.0, 5.0) in drawn


async def test_who_offers_it_again_is_told_again(home: "Home") -> None:
    """An answer without the offer may come from a platform that has lost the report."""
    gate = with_sessions(home)
    async with home.daemon() as daemon:
        await settled(home, daemon, gate)
        plain = {"acknowledged": True, "pendingMutations": []}
        without = home.platform.faults.add("POST", BEAT, status=200, body=plain)
        await daemon.until(lambda: without.served)
        home.platform.log.beats.clear()
        await daemon.until(lambda: len(said(home)) == 2)


READER = """
import json, socket, sys
reader = socket.socket(socket.AF_UNIX)
reader.connect(sys.argv[1])
reader.sendall(b'{"type":"HELLO","sessionId":"sock"}\\n')
while not reader.recv(65536).endswith(b"\\n"): pass
reader.close()
print("read", flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def listening(daemon: "Running") -> AsyncIterator[Path]:
    """Have the credential socket of a daemon, and what it writes of itself."""
    resources = daemon.resources
    path = resources.locations.credential_socket
    async with anyio.create_task_group() as tasks:
        sockets = resources.session_factory.credential_socket
        await tasks.start(sockets.serve, path)
        yield path
        tasks.cancel_scope.cancel()


async def save_status(home: "Home", daemon: "Running") -> None:
    """Write the status as it is now."""
    board = daemon.board
    await write_status(board, home.locations.status, status_failures(board))


def kinds(daemon: "Running") -> list[str]:
    """Return the kinds of the consumers, once there are values."""
    lines = [line for line in daemon.board.sessions.values() if line.generation]
    return [consumer.kind for line in lines for consumer in line.consumers]


async def process_that_left(home: "Home") -> anyio.abc.Process:
    """Return a process that has read the values from a daemon that has ended since."""
    home.write('[[credentials.sessions]]\nid = "sock"\n')
    home.platform.set_credential("github", "TOKEN", "one")
    async with home.daemon() as daemon, listening(daemon) as path:
        await daemon.until(lambda: said(home).get("sock", {}).get("version"))
        argv = [sys.executable, "-S", "-E", "-c", READER, str(path)]
        process = await anyio.open_process(argv, stderr=None)
        assert process.stdout is not None
        await process.stdout.receive()
        await daemon.until(lambda: kinds(daemon) == ["process"])
        same = rotate(home, "one")
        await daemon.until(lambda: receipt(home, same)["safeToRevoke"])
        await save_status(home, daemon)
    return process


async def test_a_process_that_left_is_waited_for_across_a_restart(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it lives the answer is no, then yes; with the newest values it is no matter."""
    monkeypatch.setattr(uptake, "LOOK_SECONDS", 0.01)
    async with await process_that_left(home) as process:
        home.platform.log.beats.clear()
        async with home.daemon() as daemon:  # knows that it is up to date
            await daemon.until(lambda: kinds(daemon) == ["process"])
            await daemon.until(lambda: said(home).get("sock", {}).get("version"))
            assert said(home)["sock"]["consumers"] == consumers()
            rotation = rotate(home, "two")
            await daemon.until(lambda: said(home)["sock"]["consumers"]["unknown"] == 1)
            obstacles = receipt(home, rotation)["obstacles"]
            assert obstacles == ["1 session is unable to tell"]
            await save_status(home, daemon)
        home.platform.log.beats.clear()
        async with home.daemon() as daemon:  # knows that it is not
            await daemon.until(lambda: said(home).get("sock", {}).get("version"))
            assert said(home)["sock"]["consumers"] == consumers(unknown=1)
            assert not receipt(home, rotation)["safeToRevoke"]
            assert process.stdin is not None
            await process.stdin.aclose()
            await daemon.until(lambda: receipt(home, rotation)["safeToRevoke"])


async def test_who_is_behind_is_looked_at_again(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader tells nobody that it has read, and the next heartbeat may be far away."""
    monkeypatch.setattr(uptake, "LOOK_SECONDS", 0.01)
    home.platform.configure(heartbeat_interval_ms=300_000)
    now = datetime.now(UTC)
    reader = ConsumerHealth(
        kind="socket", name="x", generation=1, proof=Proof.RECEIVED, has_unread=True
    )
    line = SessionHealth(
        id="s", since=now, added_at=now, generation=1, version=7, consumers=(reader,)
    )
    async with home.daemon(without=("sessions",)) as daemon:
        daemon.board.post(line)
        await daemon.until(lambda: said(home).get("s", {}).get("behind") == ["socket x"])
        await daemon.until(lambda: daemon.heartbeat.uptake_reported)
        read = replace(line, consumers=(replace(reader, has_unread=False),))
        daemon.heartbeat.refresh_sessions = lambda: daemon.board.post(read)
        await daemon.until(lambda: said(home)["s"]["consumers"] == consumers(received=1))
