"""A host of the bench: a control plane with TLS, and a daemon that has lived.

The control plane is in a thread of the bench; the daemon is a process of its own, from
`.venv`, as a host would install it.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import anyio
from certificates import write_certificate
from platform_template import ORG
from platform_thread import PlatformThread, running_platform

from host_rows.frame import Run
from host_rows.processes import Ready, started
from rensei_platform import rules, store
from rensei_platform.http.server import Exposure
from rensei_platform.http.tls import Certificate
from rensei_platform.settings import ServerSettings

NAME = "bench-1"
EVERYONES = "github"
"""The kind of credential that every session has."""
YOUNG_BEAT_MS = 50
BEAT_MS = 30_000
HALF_HOUR_BEATS = 60
HALF_HOUR = "30 minutes old (60 beats, 50 ms apart, a mutation, and new streams)"
HANG_SECONDS = 60.0

HEAD = """\
[platform]
url = "{url}"
org_id = "{org}"
ca_file = "{ca}"
[machine]
name = "{name}"
[paths]
state = "{state}"
runtime = "{runtime}"
"""
SESSION = """\
[[credentials.sessions]]
id = "{id}"
project_id = "p-{id}"
env_file = "{id}.env"
on_rotate = ["/bin/true"]
"""


@dataclass
class Scene:
    """One host, and the control plane that it belongs to."""

    run: Run
    platform: PlatformThread
    ca_file: Path
    disk: Path
    """The state directory and config.toml are below it."""
    runtime: Path
    """On a tmpfs, as under systemd: the sockets and the env files."""
    key: str
    name: str = NAME
    variables: Mapping[str, str] = field(default_factory=dict)
    sessions: list[str] = field(default_factory=list)

    @property
    def config(self) -> Path:
        """The file of the host."""
        return self.disk / "config.toml"

    @property
    def program(self) -> Path:
        """What is measured."""
        return self.run.bin / "rensei-daemon"

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment of the daemon and of its commands."""
        return {
            "PATH": os.environ["PATH"],
            "RENSEI_API_KEY": self.key,
            "RENSEI_MACHINE_ID": f"mid_{self.name}",
            **self.variables,
            "RENSEI_DAEMON_CONFIG": str(self.config),
        }

    def configure(
        self, sessions: int = 1, projects: str = "[projects]\n", *, url: str = ""
    ) -> None:
        """Write the file of a host with so many sessions, each with file and hook."""
        self.sessions = [f"s{number}" for number in range(sessions)]
        for session in self.sessions:
            self.store(session, "value-start", project=f"p-{session}")
        head = HEAD.format(
            url=url or self.platform.url,
            org=ORG,
            ca=self.ca_file,
            name=self.name,
            state=self.disk / "state",
            runtime=self.runtime,
        )
        blocks = "".join(SESSION.format(id=session) for session in self.sessions)
        self.config.write_text(head + blocks + projects)

    def store(self, kind: str, value: str, project: str = "") -> None:
        """Store a value, and tell nobody."""
        self.platform.set_credential(kind, f"{kind.upper()}_TOKEN", value, project=project)

    @contextmanager
    def daemon(self) -> Iterator[Ready]:
        """Run the daemon while the block runs."""
        self.runtime.mkdir(exist_ok=True)
        with started([self.program, "run"], self.environ, self.disk) as ready:
            yield ready

    @asynccontextmanager
    async def aged_daemon(
        self, beats: int = HALF_HOUR_BEATS, *, beat_ms: int = BEAT_MS
    ) -> AsyncIterator[Ready]:
        """Run a daemon that has lived through so many beats, and now beats slowly."""
        with self.daemon() as ready:
            await self.until_live()
            await self.until(partial(self._has_beaten, beats))
            await self._slow_down(beat_ms)
            await self._drop_streams()
            await self.until_live()
            await self.until_quiet()
            yield ready

    async def _drop_streams(self) -> None:
        """End the streams that are open; others may be open at once."""
        dropped = self.platform.streams
        self.platform.drop_streams()
        await self.until(lambda: not any(one in dropped for one in self.platform.streams))

    async def _slow_down(self, beat_ms: int) -> None:
        """Have the daemon beat as a real one does; a registration names the interval."""
        self.platform.configure(heartbeat_interval_ms=beat_ms)
        count = len(self.platform.log.registrations)
        repository = "https://git.example/acme/aged"
        self.platform.enqueue(NAME, "project.add", id="aged", repository=repository)
        await self.until(lambda: len(self.platform.log.registrations) > count)

    def _has_beaten(self, beats: int) -> bool:
        return len(self.platform.log.beats) >= beats

    async def until_live(self) -> None:
        """Wait until every session has its values and its stream."""
        files = [self.runtime / f"{session}.env" for session in self.sessions]
        await self.until(lambda: all(file.exists() for file in files))
        await self.until(lambda: len(self.platform.streams) >= len(self.sessions))

    def lift_limit_of_answers(self, most: int) -> None:
        """Have the control plane deliver so many mutations in one answer."""
        for module in (rules.mutations, store.mutations):
            module.MOST_DELIVERED = most  # type: ignore[attr-defined]

    async def until_quiet(self) -> None:
        """Wait until no beat has come for a while."""
        seen = -1
        while seen != len(self.platform.log.beats):
            seen = len(self.platform.log.beats)
            await anyio.sleep(1.5)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds, also if no request comes any more."""
        with anyio.fail_after(HANG_SECONDS):
            while not condition():  # noqa: ASYNC110 - the streams have no event
                await anyio.sleep(0.01)


@asynccontextmanager
async def scene(
    run: Run, *, beat_ms: int = YOUNG_BEAT_MS, keepalive_seconds: float = 15.0
) -> AsyncIterator[Scene]:
    """Serve a control plane, and lay out a host of its; nothing runs yet."""
    with (
        tempfile.TemporaryDirectory(dir=run.disk, prefix="bench-") as disk,
        tempfile.TemporaryDirectory(dir=run.tmpfs, prefix="bench-") as tmpfs,
    ):
        certificate, key_file = write_certificate(Path(disk))
        settings = ServerSettings(
            heartbeat_interval_ms=beat_ms,
            keepalive_seconds=keepalive_seconds,
            refresh_interval=timedelta(hours=2),
        )
        exposure = Exposure(certificate=Certificate(certificate, key_file))
        with running_platform(settings, exposure=exposure) as platform:
            platform.add_host(NAME)
            platform.set_credential(EVERYONES, "GITHUB_TOKEN", "value-start")
            runtime = Path(tmpfs) / "run"
            yield Scene(run, platform, certificate, Path(disk), runtime, platform.add_key())
