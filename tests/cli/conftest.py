"""A host as the commands see it: both sockets of a daemon, and no platform behind them."""

import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import forked
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.control_api.schema import SESSIONS
from rensei_daemon.control_api.server import serve_control
from rensei_daemon.control_api.wire import Request, Routes
from rensei_daemon.core.credential import Credentials, difference
from rensei_daemon.delivery.credential_socket import CredentialSocket

PROGRAM = str(Path(sys.executable).with_name("rensei-daemon"))


class Host:
    """A config file, two directories, and perhaps the sockets in one of them."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "config.toml"
        self.runtime = directory / "run"
        self.runtime.mkdir()
        self.config.write_text('[paths]\nstate = "state"\nruntime = "run"\n')
        self.door = CredentialSocket()
        self.sessions: list[dict[str, Any]] = []
        """What the daemon says of its sessions."""
        self.missing: dict[str, str] = {}
        """What a session is still without, once it is not its credentials."""
        self._values: dict[str, Credentials] = {}

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Have a daemon listen while the block runs."""
        routes: Routes = {SESSIONS: self._tell}
        async with anyio.create_task_group() as tasks:
            control, credentials = (
                self.runtime / name for name in ("control.sock", "credentials.sock")
            )
            await tasks.start(partial(serve_control, control, routes))
            await tasks.start(partial(self.door.serve, credentials))
            yield
            tasks.cancel_scope.cancel()

    async def _tell(self, _: Request) -> Any:
        return {"sessions": self.sessions}

    def add(self, session_id: str) -> None:
        """Configure a session, which has no values yet."""
        self.sessions.append(
            {"id": session_id, "generation": 0, "refreshed_at": None, "error": None}
            | {"variables": [], "consumers": []}
        )
        subscribers = self.door.subscribers(session_id, None)
        subscribers.missing = lambda: self.missing.get(session_id, "no credentials")
        self._values[session_id] = Credentials()

    async def rotate(self, session_id: str, **env: str) -> None:
        """Give a session exactly these values."""
        before = self._values[session_id]
        after = self._values[session_id] = before.replaced(env)
        (session,) = (s for s in self.sessions if s["id"] == session_id)
        session["generation"] = after.generation
        self.missing.setdefault(session_id, "")
        subscribers = self.door.find(session_id)
        assert subscribers is not None
        await subscribers.deliver(after, difference(before, after))

    @asynccontextmanager
    async def running(
        self, *argv: str, env: Mapping[str, str] | None = None
    ) -> AsyncIterator["Command"]:
        """Run a command of ours while the block runs; `{config}` is filled in."""
        async with await anyio.open_process(
            [PROGRAM, *self._filled_in(argv)], env=_environ(env)
        ) as process:
            try:
                yield Command(process)
            finally:
                if process.returncode is None:
                    process.terminate()  # it takes its own child along
                    with anyio.move_on_after(HANG_SECONDS, shield=True):
                        await process.wait()
                if process.returncode is None:
                    process.kill()

    async def run(
        self, *argv: str, env: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Run a command of ours to its end: (exit code, stdout, stderr)."""
        words = self._filled_in(argv)
        done = await forked.run_async("rensei_daemon", *words, env=_environ(env))
        return done.returncode, done.stdout, done.stderr

    async def run_program(
        self, *argv: str, env: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Do so with a command that is started and has nothing imported yet."""
        with anyio.fail_after(HANG_SECONDS):
            async with self.running(*argv, env=env) as command:
                return await command.ended()

    def _filled_in(self, argv: Sequence[str]) -> list[str]:
        return [word.replace("{config}", str(self.config)) for word in argv]


def _environ(more: Mapping[str, str] | None) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **(more or {})}


class Command:
    """A running command, read line by line."""

    def __init__(self, process: anyio.abc.Process) -> None:
        self.process = process
        self._inbox = b""

    async def line(self) -> str:
        """Read a line of its output; empty at the end."""
        assert self.process.stdout is not None
        while b"\n" not in self._inbox:
            try:
                self._inbox += await self.process.stdout.receive()
            except anyio.EndOfStream:
                break
        line, _, self._inbox = self._inbox.partition(b"\n")
        return line.decode()

    async def ended(self) -> tuple[int, str, str]:
        """Return (exit code, the rest of stdout, stderr) once it has ended."""
        said = {}
        streams = {"out": self.process.stdout, "err": self.process.stderr}

        async def drain(name: str, stream: anyio.abc.ByteReceiveStream | None) -> None:
            assert stream is not None
            said[name] = b"".join([chunk async for chunk in stream]).decode()

        async with anyio.create_task_group() as reading:
            for name, stream in streams.items():
                reading.start_soon(drain, name, stream)
        code = await self.process.wait()
        return code, self._inbox.decode() + said["out"], said["err"]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host without a daemon yet."""
    return Host(tmp_path)
