"""A daemon as a process of its own, and the platform it talks to."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from deadlines import HANG_SECONDS
from forked import Forked, ended, run_async
from platform_thread import PlatformThread, platform_with_host
from polling import until
from stored_rows import StoredHost

from rensei_platform.rules.mutations import Mutation
from rensei_platform.settings import ServerSettings

HOST = "h1"

TEXT = """\
# The operator's own words.

[platform]
url = "{url}"
api_key_file = "key"

[machine]
name = "h1"

[paths]
state = "state"
runtime = "run"

[log]
format = "json"

[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "build"
env_file = "build.env"

[projects]
# payments team

proj_a = {{ repositories = ["https://github.com/acme/api"] }} # since 2019
"""


@dataclass(kw_only=True)
class Lab:
    """One host's files, and the platform; `run` starts its daemon."""

    place: Path
    platform: PlatformThread
    key: str
    machine: str = ""
    """A machine id of its own, for a second host of this machine."""

    def __post_init__(self) -> None:
        self.config = self.place / "config.toml"
        self.state = self.place / "state"
        self.runtime = self.place / "run"
        self.output = self.place / "output"
        self.config.write_text(TEXT.format(url=self.platform.url))
        self.write_key(self.key)

    def write_key(self, key: str) -> None:
        """Put a key in the key file."""
        file = self.place / "key"
        file.write_text(key)
        file.chmod(0o600)

    def environ(self, **more: str) -> Mapping[str, str]:
        """A bare environment, in which no default leads out of this place."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place),
            "RENSEI_DAEMON_PATHS__STATE": str(self.state),
            "RENSEI_DAEMON_PATHS__RUNTIME": str(self.runtime),
            **({"RENSEI_MACHINE_ID": self.machine} if self.machine else {}),
            **more,
        }

    async def call(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the program to its end; it gets `--config`."""
        words = (*arguments, "--config", str(self.config))
        return await run_async("rensei_daemon", *words, env=self.environ(**more))

    @asynccontextmanager
    async def daemon(self, *, forked: bool = True) -> AsyncIterator["Daemon"]:
        """Start the daemon, wait until it is ready; kill what is left of it at the end.

        If its command line is looked at, it must not be a fork of another process.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(self.place / "notify.sock"))
            try:
                with self._started(forked=forked) as process:
                    daemon = Daemon(process, manager)
                    try:
                        await daemon.told(b"READY=1")
                        yield daemon
                    finally:
                        process.kill()
            finally:
                (self.place / "notify.sock").unlink()

    def _started(self, *, forked: bool) -> "subprocess.Popen[str]":
        environ = self.environ(NOTIFY_SOCKET=str(self.place / "notify.sock"))
        words = ("run", "--config", str(self.config))
        with self.output.open("ab") as output:
            if forked:
                return Forked(
                    "rensei_daemon", *words, env=environ, stdout=output, stderr=output
                )
            return subprocess.Popen(
                [sys.executable, "-m", "rensei_daemon", *words],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
            )

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds; it is asked after each change of the platform."""
        with anyio.fail_after(HANG_SECONDS):
            await self.platform.until(condition)

    async def becomes(self, path: Path, text: str) -> None:
        """Wait until a file says so."""
        await until(lambda: _text(path) == text)

    def enqueue(self, op: str, **params: Any) -> Mutation:
        """Ask the host for a change."""
        return self.platform.enqueue(HOST, op, **params)

    def status_of(self, mutation: Mutation) -> str:
        """What the platform knows of it."""
        return self.platform.rows.mutation(mutation.id).status

    @property
    def host(self) -> StoredHost:
        """The platform's row of the host."""
        return self.platform.rows.host(HOST)

    @property
    def beats(self) -> list[Any]:
        """The bodies of the beats that were taken."""
        return [beat.body for beat in self.platform.log.beats]


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


@dataclass
class Daemon:
    """The process, and what it tells its service manager."""

    process: "subprocess.Popen[str]"
    manager: socket.socket

    @property
    def cmdline(self) -> bytes:
        """What everybody on the host can see of it."""
        return Path(f"/proc/{self.process.pid}/cmdline").read_bytes()

    async def told(self, what: bytes) -> None:
        """Wait until it has said this."""

        def listen() -> None:
            self.manager.settimeout(HANG_SECONDS)
            while what not in self.manager.recv(4096):
                pass

        await anyio.to_thread.run_sync(listen)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        with anyio.fail_after(HANG_SECONDS):
            return await ended(self.process)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A host that has not registered yet, in a place with a short path."""
    settings = ServerSettings(heartbeat_interval_ms=100)
    with (
        tempfile.TemporaryDirectory() as place,
        platform_with_host(settings, HOST) as (platform, key),
    ):
        platform.set_credential("github", "TOKEN", "canary-one-7f3a")
        yield Lab(place=Path(place), platform=platform, key=key)
