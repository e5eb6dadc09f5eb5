"""One worker host in a directory of its own, with a real daemon and a real platform.

The daemon is a process of its own, so that it can be killed; the platform lives in a
thread, so that what it was told can be looked at.
"""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import UNIXDatagramSocket
from certificates import write_certificate
from forked import Forked, ended, run_async
from platform_template import ORG
from platform_thread import PlatformThread, running_platform

from rensei_daemon.control_api.client import request
from rensei_daemon.errors import ControlError
from rensei_platform.http.server import DIRECT, Exposure
from rensei_platform.http.tls import Certificate
from rensei_platform.rules.mutations import Mutation
from rensei_platform.settings import ServerSettings

RIG = str(Path(__file__).parents[1])
NAME = "soak-1"

HEAD = """\
# the head: the daemon has no business here
[platform]
url = "{url}"
org_id = "{org}"
[machine]
name = "{name}"
[paths]
state = "{state}"
runtime = "{runtime}"
"""


class DiedError(Exception):
    """The daemon ended before it was ready."""


@dataclass
class Host:
    """The files of one host, and the daemon that lives by them."""

    directory: Path
    platform: PlatformThread
    key: str
    state: Path = field(init=False)
    config: Path = field(init=False)
    environ: dict[str, str] = field(default_factory=dict)
    entry: Sequence[str] = ()
    """What the daemon is started through: a program that leads into another network."""
    forks: bool = False
    """Whether the daemon and commands are forks of a process that has imported them."""
    process: "subprocess.Popen[str] | None" = None
    fixed_head: str = ""
    """The part of the file that no mutation touches, instead of one with url and paths."""

    def __post_init__(self) -> None:
        """Lay out the directories."""
        self.state = self.directory / "state"
        self.runtime = self.directory / "run"
        self.config = self.directory / "etc" / "config.toml"
        for directory in (self.state, self.runtime, self.config.parent):
            directory.mkdir(exist_ok=True)

    def head(self) -> str:
        """Return the part of the file that no mutation touches."""
        return self.fixed_head or HEAD.format(
            url=self.platform.url,
            org=ORG,
            name=NAME,
            state=self.state,
            runtime=self.runtime,
        )

    def variables(self) -> dict[str, str]:
        """Return the environment of the daemon and of commands."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": RIG,
            "RENSEI_API_KEY": self.key,
            "RENSEI_DAEMON_CONFIG": str(self.config),
            # Also in the file; but a daemon that starts while an editor has it empty must
            # not go by the defaults, which are those of the host the soak runs on.
            "RENSEI_DAEMON_PLATFORM__URL": self.platform.url,
            "RENSEI_DAEMON_PATHS__STATE": str(self.state),
            "RENSEI_DAEMON_PATHS__RUNTIME": str(self.runtime),
            **self.environ,
        }

    async def start(self, program: str = "rensei_daemon", *, within: float = 20.0) -> int:
        """Start the daemon and return its pid once it is ready; raises `DiedError`."""
        notices = self.runtime / "notify.sock"
        notices.unlink(missing_ok=True)
        async with await anyio.create_unix_datagram_socket(local_path=notices) as heard:
            self.process = self._started(program, {"NOTIFY_SOCKET": str(notices)})
            is_ready = await _is_ready(self.process, heard, within)
        if not is_ready:
            raise DiedError((self.directory / "stderr").read_text()[-2000:])
        return self.process.pid

    def _started(self, program: str, more: Mapping[str, str]) -> "subprocess.Popen[str]":
        environ = {**self.variables(), **more}
        nothing = subprocess.DEVNULL
        with (self.directory / "stderr").open("ab") as stderr:
            if self.forks:
                return Forked(program, "run", env=environ, stdout=nothing, stderr=stderr)
            return subprocess.Popen(
                [*self.entry, sys.executable, "-m", program, "run"],
                env=environ,
                stdin=nothing,
                stdout=nothing,
                stderr=stderr,
                text=True,
            )

    async def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End the daemon, and return what `wait` says of it."""
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(number)
        with anyio.CancelScope(shield=True), anyio.fail_after(20):
            await ended(process)
        return process.wait()

    async def status(self) -> dict[str, Any]:
        """Ask the daemon how it is."""
        socket = self.runtime / "control.sock"
        answer: dict[str, Any] = await anyio.to_thread.run_sync(
            lambda: request(socket, "GET", "/v1/status", timeout_seconds=10)
        )
        return answer

    async def until(
        self, holds: Callable[[dict[str, Any]], bool], *, within: float = 20.0
    ) -> dict[str, Any]:
        """Ask the daemon how it is until that holds, and return what it said.

        A daemon that is away is asked again: whoever waits may be about to learn of it.
        """
        with anyio.fail_after(within):
            while True:
                with suppress(ControlError):
                    status = await self.status()
                    if holds(status):
                        break
                await anyio.sleep(0.05)
        return status

    async def until_file(self, path: Path, text: str, *, within: float = 10.0) -> None:
        """Wait until a file holds this text."""
        file = anyio.Path(path)
        with anyio.fail_after(within):
            while not await file.exists() or text not in await file.read_text():  # noqa: ASYNC110 - a file has no event
                await anyio.sleep(0.02)

    async def command(
        self, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Run a command of ours; return its exit code and both outputs."""
        variables = {**self.variables(), **(environ or {})}
        if self.forks:
            ran = await run_async("rensei_daemon", *arguments, env=variables)
            return ran.returncode, ran.stdout, ran.stderr
        done = await anyio.run_process(
            [sys.executable, "-m", "rensei_daemon", *arguments],
            env=variables,
            check=False,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    async def settled(
        self, mutations: Sequence[Mutation], *, within: float = 20.0
    ) -> list[Mutation]:
        """Wait until the platform has an outcome of each, and return them as they are."""
        rows, ids = self.platform.rows, {mutation.id for mutation in mutations}
        with anyio.fail_after(within):
            await self.platform.until(lambda: ids.isdisjoint(rows.undecided()))
        return [rows.mutation(mutation.id) for mutation in mutations]

    def enqueue(self, op: str, **params: Any) -> Mutation:
        """Ask this host for a change, also for one that the control plane would refuse."""
        return self.platform.rows.add_mutation(NAME, op, params, requested_by="ada")


async def _is_ready(
    process: "subprocess.Popen[str]", heard: UNIXDatagramSocket, within: float
) -> bool:
    """Wait for the daemon to say so, or to die."""
    is_ready = False
    async with anyio.create_task_group() as watching:
        watching.start_soon(_cancel_at_death, process, watching.cancel_scope)
        with anyio.fail_after(within):
            while b"READY=1" not in await heard.receive():
                pass
        is_ready = True
        watching.cancel_scope.cancel()
    return is_ready


async def _cancel_at_death(
    process: "subprocess.Popen[str]", scope: anyio.CancelScope
) -> None:
    await ended(process)
    scope.cancel()


def with_tls(directory: Path) -> tuple[Exposure, Path]:
    """Return how a platform is served over TLS, and the authority to trust."""
    certificate, key_file = write_certificate(directory)
    return Exposure(certificate=Certificate(certificate, key_file)), certificate


@asynccontextmanager
async def open_host(
    directory: Path,
    *,
    beat_ms: int = 50,
    body: str = "[projects]\n",
    keepalive_seconds: float = 15.0,
    refresh_seconds: float = 3600.0,
    address: str = "127.0.0.1",
    forks: bool = False,
    exposure: Exposure = DIRECT,
) -> AsyncIterator[Host]:
    """Serve a platform with one tenant and lay out a host of its; nothing runs yet."""
    settings = ServerSettings(
        heartbeat_interval_ms=beat_ms,
        keepalive_seconds=keepalive_seconds,
        refresh_interval=timedelta(seconds=refresh_seconds),
    )
    with running_platform(settings, address=address, exposure=exposure) as platform:
        platform.add_host(NAME)
        key = platform.add_key()
        host = Host(directory, platform, key, forks=forks)
        host.config.write_text(host.head() + body)
        try:
            yield host
        finally:
            if host.process is not None:
                await host.end()
