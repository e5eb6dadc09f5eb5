"""One host and its platform, in this process: real HTTP, real files, every loop."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog

from rensei_daemon.core.board import Board, report
from rensei_daemon.core.counters import SessionCounters
from rensei_daemon.core.guards import Guards
from rensei_daemon.core.liveness import Deadlines
from rensei_daemon.core.session import Session
from rensei_daemon.core.snapshot_schedule import PACE, SnapshotIntervals
from rensei_daemon.core.status import Condition
from rensei_daemon.delivery.delivery_protocol import Delivery
from rensei_daemon.delivery.env_file import EnvFile
from rensei_daemon.disk.api_key import read_api_key
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.disk.host_info import LoadMeter
from rensei_daemon.disk.identity_file import IdentityFile
from rensei_daemon.disk.journal import Journal
from rensei_daemon.disk.last_good_config import LastGoodConfig
from rensei_daemon.disk.state_directory import StateDirectory
from rensei_daemon.local_platform.records import Host, Mutation
from rensei_daemon.local_platform.running import RunningPlatform, running
from rensei_daemon.local_platform.settings import PlatformSettings
from rensei_daemon.local_platform.state import State
from rensei_daemon.platform_api.client import PlatformClient
from rensei_daemon.platform_api.http import open_http
from rensei_daemon.platform_api.identity import Identity
from rensei_daemon.settings.loading import load
from rensei_daemon.settings.model import Session as SessionSettings
from rensei_daemon.tasks.applier import Applier
from rensei_daemon.tasks.configuration import Configuration, open_configuration, watch
from rensei_daemon.tasks.deferred import DeferredWork
from rensei_daemon.tasks.heartbeat import HeartbeatSender, send_heartbeats
from rensei_daemon.tasks.identity_saver import IdentitySaver
from rensei_daemon.tasks.identity_setup import open_identity
from rensei_daemon.tasks.last_good_saver import keep_last_good
from rensei_daemon.tasks.mutation_inbox import MutationInbox
from rensei_daemon.tasks.mutations import apply_mutations
from rensei_daemon.tasks.reregistration import keep_registered
from rensei_daemon.tasks.rotation import Rotation
from rensei_daemon.tasks.sessions import Sessions
from rensei_daemon.tasks.state_opening import keep_state_open, open_state
from rensei_daemon.tasks.status_reporting import open_board
from rensei_daemon.tasks.wake_event import WakeEvent
from rensei_daemon.tasks.wake_ups import WakeUps

BEAT_MS = 50
HOST = "h1"
ORG = "org_acme"

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


@dataclass(kw_only=True)
class Running:
    """A daemon under way, and what its loops share."""

    board: Board
    configuration: Configuration
    counters: SessionCounters
    heartbeat: HeartbeatSender
    wake_heartbeat: WakeEvent
    identity: Identity
    journal: Journal
    deadlines: Deadlines
    sessions: Sessions
    wake_ups: WakeUps
    changed: anyio.Event = field(default_factory=anyio.Event)

    def wake(self) -> None:
        """Have every waiter look again."""
        self.changed.set()
        self.changed = anyio.Event()

    def note(self, _: State) -> bool:
        """Have every waiter look again after a change of the platform, and go on so."""
        self.wake()
        return False

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds; it is asked after each change of the board or platform."""
        with anyio.fail_after(5):
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
    platform: RunningPlatform
    key: str

    def __post_init__(self) -> None:
        self.config = self.place / "config.toml"
        self.state = self.place / "state"
        self.runtime = self.place / "run"
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
    def host(self) -> Host:
        """The platform's row of this host."""
        return self.platform.state.host(HOST)

    @property
    def beats(self) -> list[Any]:
        """The bodies of the beats that the platform has taken."""
        return [beat.body for beat in self.platform.state.beats]

    def enqueue(self, op: str, **params: Any) -> Mutation:
        """Ask this host for a change."""
        return self.platform.state.enqueue(HOST, op, params)

    def mutation(self, mutation: Mutation) -> Mutation:
        """Return what has become of it."""
        return self.platform.state.tables.mutations[mutation.id]

    @asynccontextmanager
    async def daemon(
        self,
        *,
        draw: Draw = sooner,
        pace: SnapshotIntervals = PACE,
        client_type: type[PlatformClient] = PlatformClient,
        without: tuple[str, ...] = (),
        call_seconds: float = 20.0,
        register_every: float = 60.0,
    ) -> AsyncIterator[Running]:
        """Run every loop but those `without`, on these files, until the block ends."""
        last_good = self.last_good
        configuration, trouble = open_configuration(
            ConfigFile(self.config),
            last_good=last_good,
            load=partial(load, path=self.config, environ={}),
            read_key=lambda _: read_api_key(environ={}, api_key_file=self.key_file).secret,
        )
        with StateDirectory(
            lock=self.state / "lock", journal=self.state / "journal.db"
        ) as state:
            journal, opened = state.journal, open_state(state)
            board = open_board(configuration, journal, self.runtime, trouble, opened)
            async with open_http(
                configuration.settings.platform.url,
                user_agent="rensei-daemon/test",
                call_seconds=call_seconds,
            ) as http:
                safe = IdentitySaver(
                    IdentityFile(self.state / "identity.json", self.runtime / "token"),
                    board,
                    register_secrets=lambda _: None,
                )
                identity = open_identity(
                    http,
                    safe,
                    configuration,
                    started_at=board.started_at,
                    environ={},
                    machine_id_file=self.state / "machine-id",
                    register_secrets=lambda _: None,
                )
                client, deadlines, inbox, wake_heartbeat = (
                    client_type(http, identity),
                    Deadlines(),
                    MutationInbox(journal, board),
                    WakeEvent(),
                )
                deferred = DeferredWork()
                heartbeat = HeartbeatSender(
                    client,
                    identity,
                    journal,
                    configuration,
                    board,
                    inbox,
                    LoadMeter(),
                    deadlines,
                )
                applier = Applier(
                    configuration.file,
                    journal,
                    check=configuration.check,
                    guards=lambda: _guards(configuration),
                    boot_id="boot",
                )

                def start(settings: SessionSettings) -> Rotation:
                    return Rotation(
                        Session(
                            id=settings.id,
                            project_id=settings.project_id or "",
                            env_name=settings.env_name or "",
                        ),
                        self._deliveries(settings),
                        client=client,
                        board=board,
                        deadlines=deadlines,
                        draw=draw,
                        deferred=deferred,
                        pace=pace,
                        counters=counters,
                    )

                counters = SessionCounters()
                sessions = Sessions(configuration, board, start=start)
                wake_ups = WakeUps(identity, sessions, wake_heartbeat, inbox.wake_event)
                heartbeat.on_recovery = wake_ups.platform_recovered
                loops: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
                    "heartbeat": partial(
                        send_heartbeats, heartbeat, wake_heartbeat=wake_heartbeat, draw=draw
                    ),
                    "mutations": partial(
                        apply_mutations,
                        inbox,
                        applier,
                        journal,
                        configuration,
                        board,
                        beat=wake_heartbeat,
                        deadlines=deadlines,
                        draw=draw,
                    ),
                    "sessions": sessions.run,
                    "afterwards": deferred.run,
                    "runtime token": identity.keep_fresh,
                    "registration": partial(
                        keep_registered,
                        identity,
                        configuration,
                        every_seconds=register_every,
                    ),
                    "identity": partial(safe.run, draw),
                    "configuration": partial(watch, configuration, board),
                    "state": partial(
                        keep_state_open,
                        state,
                        board,
                        on_open=wake_ups.state_opened,
                        draw=draw,
                    ),
                    "last good": partial(
                        keep_last_good, configuration, identity.key, last_good, draw=draw
                    ),
                }
                daemon = Running(
                    board=board,
                    configuration=configuration,
                    counters=counters,
                    heartbeat=heartbeat,
                    wake_heartbeat=wake_heartbeat,
                    identity=identity,
                    journal=journal,
                    deadlines=deadlines,
                    sessions=sessions,
                    wake_ups=wake_ups,
                )
                board.on_change = daemon.wake
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.platform.until, daemon.note)
                    for name, loop in loops.items():
                        if name not in without:
                            tasks.start_soon(loop, name=name)
                    yield daemon
                    tasks.cancel_scope.cancel()

    def _deliveries(self, settings: SessionSettings) -> list[Delivery]:
        if settings.env_file is None:
            return []
        path = self.runtime / settings.env_file
        return [EnvFile(path, mode=settings.env_file_permissions, gid=None)]


def _guards(configuration: Configuration) -> Guards:
    mutations = configuration.settings.mutations
    return Guards(allow=mutations.allow, protected_projects=mutations.protected_projects)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    """A host of `acme`, which has not registered yet."""
    settings = PlatformSettings(heartbeat_interval_ms=BEAT_MS)
    async with running(settings) as platform:
        platform.state.add_org("acme", id=ORG)
        key = platform.state.add_key("acme", "admin")
        platform.state.add_host("acme", HOST)
        yield Home(place=tmp_path, platform=platform, key=key)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the loops' log lines out of the tests' output."""
    structlog.configure(processors=[_drop])
    yield
    structlog.reset_defaults()


def _drop(_: Any, __: str, ___: Any) -> Any:
    raise structlog.DropEvent
