"""One host and its platform, in this process: real HTTP, real files, every loop."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog
from deadlines import HANG_SECONDS
from platform_thread import PlatformThread, platform_with_host
from stored_rows import StoredHost
from valid_texts import daemon_validator

from rensei_daemon.core.board import report
from rensei_daemon.core.conditions import Condition
from rensei_daemon.core.counters import SessionCounters
from rensei_daemon.core.snapshot_schedule import PACE, SnapshotIntervals
from rensei_daemon.disk.last_good_config import LastGoodConfig
from rensei_daemon.locations import Locations
from rensei_daemon.logs.setup import LogControl
from rensei_daemon.logs.writer import Writer
from rensei_daemon.platform_api.client import PlatformClient
from rensei_daemon.resources import open_platform, open_resources
from rensei_daemon.settings.sources import Validator
from rensei_daemon.tasks.identity import keep_registered
from rensei_daemon.wiring import Daemon
from rensei_platform.rules.mutations import Mutation
from rensei_platform.settings import ServerSettings

BEAT_MS = 50
HOST = "h1"

TEXT = """\
# This file is ours.

[platform]
url = "{url}"
api_key_file = "key"

[machine]
name = "h1"
"""

Draw = Callable[[float, float], float]


def sooner(low: float, high: float) -> float:
    """Draw the lowest number: no jitter downward of what is asked, and no backoff."""
    return low


class Running(Daemon):
    """A daemon under way, for a test to look into and to wait for."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.changed = anyio.Event()

    @property
    def counters(self) -> SessionCounters:
        """What the sessions have counted."""
        return self.session_context.counters

    def wake(self) -> None:
        """Have every waiter look again."""
        self.changed.set()
        self.changed = anyio.Event()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds; it is asked after each change of the board or platform."""
        with anyio.fail_after(HANG_SECONDS):
            while not condition():
                await self.changed.wait()

    @property
    def conditions(self) -> dict[str, Condition]:
        """What is wrong right now, information left out, by code."""
        found = report(self.board, datetime.now(UTC)).conditions
        return {c.code: c for c in found if c.severity != "info"}

    @property
    def session(self) -> Any:
        """The line of the first session."""
        return next(iter(self.board.sessions.values()))


@dataclass(kw_only=True)
class Home:
    """One host: its files, and the platform it belongs to."""

    place: Path
    platform: PlatformThread
    key: str

    def __post_init__(self) -> None:
        self.config = self.place / "config.toml"
        self.state = self.place / "state"
        self.runtime = self.place / "run"
        self.locations = Locations(
            config=self.config, state=self.state, runtime=self.runtime
        )
        for directory in (self.state, self.runtime):
            directory.mkdir()
        self.key_file = self.place / "key"
        self.write_key(self.key)
        self.base = TEXT.format(url=self.platform.url)
        self.write()

    def write_key(self, key: str) -> None:
        """Put a key in the key file."""
        self.key_file.write_text(key)
        self.key_file.chmod(0o600)

    def write(self, text: str = "") -> None:
        """Save the config as an editor does that writes in place."""
        self.config.write_text(self.base + text)

    def env(self, name: str = "build.env") -> str:
        """Return what an env file says; nothing when there is none."""
        with suppress(FileNotFoundError):
            return (self.runtime / name).read_text()
        return ""

    @property
    def last_good(self) -> LastGoodConfig:
        """What is kept for a start without a usable file."""
        return LastGoodConfig(
            self.state / "config.last-good.toml",
            self.state / "config.last-good.fingerprint",
            environ={},
            machine_id_file=self.state / "machine-id",
        )

    @property
    def host(self) -> StoredHost:
        """The platform's row of this host."""
        return self.platform.rows.host(HOST)

    @property
    def beats(self) -> list[Any]:
        """The bodies of the beats that the platform has taken."""
        return [beat.body for beat in self.platform.log.beats]

    def enqueue(self, op: str, **params: Any) -> Mutation:
        """Ask this host for a change."""
        return self.platform.enqueue(HOST, op, **params)

    def mutation(self, mutation: Mutation) -> Mutation:
        """Return what has become of it."""
        return self.platform.rows.mutation(mutation.id)

    @asynccontextmanager
    async def daemon(
        self,
        *,
        draw: Draw = sooner,
        pace: SnapshotIntervals = PACE,
        client_type: type[PlatformClient] = PlatformClient,
        without: tuple[str, ...] = (),
        hears_of_mutations: bool = False,
        call_seconds: float = 20.0,
        register_every: float = 60.0,
        log: LogControl | None = None,
        validator: Validator | None = None,
    ) -> AsyncIterator[Running]:
        """Run every loop but those `without`, on these files, until the block ends.

        The host has a stream of its own only if it `hears_of_mutations`: most tests count
        streams and refuse the next one.
        """
        if not hears_of_mutations:
            without = (*without, "mutation events")
        log = log or LogControl("info", Writer(()))
        validator = validator or daemon_validator(self.locations)
        with open_resources(
            self.locations, environ={}, validator=validator, log=log
        ) as resources:
            async with open_platform(resources, call_seconds=call_seconds) as http:
                daemon = Running(resources, http, draw=draw, pace=pace)
                daemon.client = client_type(http, daemon.identity)
                loops = {"sessions": daemon.sessions.run, **daemon.loops()}
                loops["registration"] = partial(
                    keep_registered,
                    daemon.identity,
                    daemon.configuration,
                    every_seconds=register_every,
                )
                daemon.board.on_change = daemon.wake
                async with anyio.create_task_group() as tasks:
                    for name, loop in loops.items():
                        if name not in (*without, "reporting"):
                            tasks.start_soon(loop, name=name)
                    with self.platform.changes.calling(daemon.wake):
                        yield daemon
                    tasks.cancel_scope.cancel()


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    """A host of `acme`, which has not registered yet."""
    settings = ServerSettings(heartbeat_interval_ms=BEAT_MS)
    with platform_with_host(settings, HOST) as (platform, key):
        yield Home(place=tmp_path, platform=platform, key=key)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the loops' log lines out of the tests' output."""
    structlog.configure(processors=[_drop])
    yield
    structlog.reset_defaults()


def _drop(_: Any, __: str, ___: Any) -> Any:
    raise structlog.DropEvent
