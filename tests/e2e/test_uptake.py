"""A rotation, from the consumers of a daemon to the platform's answer for the fleet."""

import json
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc
import pytest
from deadlines import HANG_SECONDS
from forked import ended
from platform_template import ORG
from polling import until

from rensei_daemon.disk.last_status import read_last_status

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from e2e.conftest import Lab

SESSIONS = """\
[[credentials.sessions]]
id = "hooked"
env_file = "hooked.env"
on_rotate = ["{hook}"]
[[credentials.sessions]]
id = "read"
"""
NOBODY: dict[str, Any] = {"id": "read", "consumers": []}


@contextmanager
def reader(lab: "Lab") -> Iterator[socket.socket]:
    """Connect to the credential socket as a worker does."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(HANG_SECONDS)
        connection.connect(str(lab.runtime / "credentials.sock"))
        connection.sendall(b'{"type":"HELLO","sessionId":"read"}\n')
        yield connection


def frame(connection: socket.socket) -> Any:
    """Read one frame."""
    line = b""
    while not line.endswith(b"\n"):
        line += connection.recv(65536)
    return json.loads(line)


def receipt(lab: "Lab", rotation: str, query: str = "") -> Any:
    """Return the receipt of a rotation."""
    path = f"/api/admin/rotations/{rotation}{query}"
    return lab.platform.ask("GET", path)["receipt"]


def rotate(lab: "Lab", value: str) -> str:
    """Store a value, rotate its kind, and return the id of the rotation."""
    lab.platform.set_credential("github", "TOKEN", value)
    body = {"orgId": ORG, "kind": "github"}
    answer = lab.platform.ask("POST", "/api/daemon/credentials/rotate", body)
    return str(answer["rotationId"])


def behind(lab: "Lab", rotation: str) -> dict[str, list[str]]:
    """Return who is behind, by session: the kinds of the consumers."""
    found = receipt(lab, rotation)["behind"]
    return {one["sessionId"]: [n.split()[0] for n in one["behind"]] for one in found}


def configure(lab: "Lab", gate: Path) -> None:
    """Add sessions; the hook of one succeeds while the gate is there."""
    hook = lab.place / "hook"
    hook.write_text(f"#!/bin/sh\ntest -e {gate}\n")
    hook.chmod(0o755)
    gate.touch()
    text, sessions = lab.config.read_text(), SESSIONS.format(hook=hook)
    lab.config.write_text(text.replace("[projects]", f"{sessions}[projects]"))


async def test_the_way_of_a_receipt(lab: "Lab") -> None:
    """A reader of the socket, a hook, a plain file: behind, then received, then yes."""
    gate = lab.place / "gate"
    configure(lab, gate)
    async with lab.daemon():
        await lab.until(lambda: (lab.runtime / "hooked.env").exists())
        with reader(lab) as connection:
            first = await anyio.to_thread.run_sync(frame, connection)
            assert first["env"] == {"TOKEN": "canary-one-7f3a"}
            await lab.until(lambda: len(lab.platform.streams) == 3)
            gate.unlink()
            rotation = rotate(lab, "two")
            await lab.until(lambda: receipt(lab, rotation)["held"] == 3)
            await lab.until(lambda: receipt(lab, rotation)["unknown"] == 1)
            await lab.until(
                lambda: behind(lab, rotation) == {"hooked": ["hook"], "read": ["socket"]}
            )
            update = await anyio.to_thread.run_sync(frame, connection)
            assert update["delta"] == {"TOKEN": "two"}
            await lab.until(lambda: behind(lab, rotation) == {"hooked": ["hook"]})
            gate.touch()  # its next try, after a second, succeeds
            await lab.until(lambda: behind(lab, rotation) == {})
            found = receipt(lab, rotation, "?acceptUnknown=true")
            assert (found["confirmed"], found["received"], found["unknown"]) == (1, 1, 1)
            assert (found["notified"], found["safeToRevoke"]) == (3, True)
            assert receipt(lab, rotation)["obstacles"] == ["1 session is unable to tell"]


async def test_a_host_that_is_gone_blocks_until_it_is_excluded(lab: "Lab") -> None:
    """What it had followed before it went is settled; when it returns, it follows."""
    configure(lab, lab.place / "gate")
    async with lab.daemon() as daemon:
        await lab.until(lambda: len(lab.platform.streams) == 3)
        await lab.until(lambda: any(body.get("uptake") for body in lab.beats))
        early, query = rotate(lab, "two"), "?acceptUnknown=true"
        await lab.until(lambda: receipt(lab, early, query)["safeToRevoke"])
        daemon.process.kill()
        await ended(daemon.process)
    late = rotate(lab, "three")
    assert set(behind(lab, late)) == {"build", "hooked", "read"}
    assert not receipt(lab, late, query)["safeToRevoke"]
    assert receipt(lab, late)["behind"][0]["host"] == "h1"
    assert receipt(lab, late, "?without=h1")["safeToRevoke"]
    assert receipt(lab, early, query)["obstacles"] == []
    async with lab.daemon():
        await lab.until(lambda: receipt(lab, late, query)["safeToRevoke"])
        assert (lab.runtime / "hooked.env").read_text() == 'TOKEN="three"\n'


@asynccontextmanager
async def executed(lab: "Lab", *words: str) -> AsyncIterator[anyio.abc.Process]:
    """Run `exec` for the session `read`, with more options and a command."""
    program = str(Path(sys.executable).with_name("rensei-daemon"))
    argv = (program, "exec", "--config", str(lab.config), "--session", "read", *words)
    async with await anyio.open_process(argv, env=lab.environ(), stderr=None) as process:
        yield process


def saved_consumers(lab: "Lab") -> list[tuple[str, int]]:
    """Return (kind, pid) of the consumers of `read` that a daemon has written down."""
    last = read_last_status(lab.state / "status.json") or {"sessions": [NOBODY]}
    (session,) = (one for one in last["sessions"] if one["id"] == "read")
    return [(one["kind"], one["pid"]) for one in session["consumers"]]


async def test_what_exec_became_is_waited_for(lab: "Lab") -> None:
    """A worker without supervision blocks while it lives, also if the daemon is killed."""
    built = 'id = "build"\nenv_file = "build.env"'
    lab.config.write_text(lab.config.read_text().replace(built, 'id = "read"'))
    async with executed(lab, "cat") as worker:
        async with lab.daemon() as daemon:
            await until(lambda: saved_consumers(lab) == [("process", worker.pid)])
            daemon.process.kill()
            await ended(daemon.process)
        rotation = rotate(lab, "two")
        async with lab.daemon():
            await lab.until(lambda: receipt(lab, rotation)["unknown"] == 1)
            found = receipt(lab, rotation)
            assert found["obstacles"] == ["1 session is unable to tell"]
            assert worker.stdin is not None
            await worker.stdin.aclose()
            await worker.wait()
            await lab.until(lambda: receipt(lab, rotation)["safeToRevoke"])


async def test_what_exec_supervises_is_confirmed(lab: "Lab") -> None:
    """Behind while the old command ends, and confirmed when the new one has started."""
    built = 'id = "build"\nenv_file = "build.env"'
    lab.config.write_text(lab.config.read_text().replace(built, 'id = "read"'))
    command = (
        "sh",
        "-c",
        'trap "echo told; read line; exit" TERM; echo $TOKEN; while read x; do :; done',
    )
    async with lab.daemon(), executed(lab, "--on-rotate=restart", *command) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert await worker.stdout.receive() == b"canary-one-7f3a\n"
        await until(lambda: [kind for kind, _ in saved_consumers(lab)] == ["socket"])
        rotation = rotate(lab, "two")
        await lab.until(lambda: behind(lab, rotation) == {"read": ["socket"]})
        assert await worker.stdout.receive() == b"told\n"
        await worker.stdin.send(b"end\n")
        assert await worker.stdout.receive() == b"two\n"
        await lab.until(lambda: receipt(lab, rotation)["safeToRevoke"])
        assert receipt(lab, rotation)["confirmed"] == 1
        worker.terminate()
        await worker.stdin.aclose()


@pytest.fixture
def other_host(lab: "Lab") -> Iterator["Lab"]:
    """Another host of the platform, in a place and with a machine id of its own."""
    with tempfile.TemporaryDirectory() as place:
        other = replace(lab, place=Path(place), machine="h2")
        text = other.config.read_text().replace('name = "h1"', 'name = "h2"')
        other.config.write_text(text)
        yield other


def hosts_behind(lab: "Lab", rotation: str) -> set[str]:
    """Return the names of the hosts with a session that is behind."""
    return {one["host"] for one in receipt(lab, rotation)["behind"]}


async def test_a_receipt_of_two_hosts(lab: "Lab", other_host: "Lab") -> None:
    """One is behind and is named; it is excluded, or follows; a later rotation settles."""
    gate, query = other_host.place / "gate", "?acceptUnknown=true"
    configure(lab, lab.place / "gate")
    configure(other_host, gate)
    async with lab.daemon(), other_host.daemon():
        await lab.until(lambda: len(lab.platform.streams) == 6)
        await lab.until(lambda: (other_host.runtime / "hooked.env").exists())
        gate.unlink()
        first = rotate(lab, "two")
        await lab.until(lambda: receipt(lab, first)["held"] == 6)
        await lab.until(lambda: hosts_behind(lab, first) == {"h2"})
        assert behind(lab, first) == {"hooked": ["hook"]}
        assert not receipt(lab, first, query)["safeToRevoke"]
        assert receipt(lab, first, f"{query}&without=h2")["safeToRevoke"]
        second = rotate(lab, "three")  # overtakes: the hook never ran for the first
        await lab.until(lambda: receipt(lab, second)["held"] == 6)
        assert not receipt(lab, first, query)["safeToRevoke"]
        gate.touch()
        await lab.until(lambda: receipt(lab, second, query)["safeToRevoke"])
        found = receipt(lab, first, query)
        assert (found["safeToRevoke"], found["notified"]) == (True, 6)
        assert (other_host.runtime / "hooked.env").read_text() == 'TOKEN="three"\n'
