"""The daemon, assembled: every resource opened, every loop started, in one place.

Read it from `run` down for what exists and in which order it dies: a resource outlives
whatever is opened after it. Nothing here decides anything.
"""

import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio
import structlog
from anyio.abc import TaskGroup

from rensei_daemon import __version__
from rensei_daemon.control_api.server import serve_control
from rensei_daemon.control_api.wire import Routes
from rensei_daemon.core.board import Board
from rensei_daemon.core.guards import Guards
from rensei_daemon.core.pulse import Pulse
from rensei_daemon.disk.config import ConfigFile
from rensei_daemon.disk.groups import group_id
from rensei_daemon.disk.host import LoadMeter
from rensei_daemon.disk.identity import IdentityFile, boot_id
from rensei_daemon.disk.journal import Journal, open_journal
from rensei_daemon.disk.places import (
    RUNTIME_MODE,
    STATE_MODE,
    prepare_directory,
    state_lock,
)
from rensei_daemon.errors import RenseiError
from rensei_daemon.locations import Locations
from rensei_daemon.logs.outputs import choose_outputs
from rensei_daemon.logs.setup import log_to
from rensei_daemon.platform_api.client import PlatformClient
from rensei_daemon.platform_api.http import Http, open_http
from rensei_daemon.record_verbs import RecordVerbs
from rensei_daemon.settings.loading import load
from rensei_daemon.settings.model import Session as SessionSettings
from rensei_daemon.settings.model import Settings
from rensei_daemon.systemd import Notifier, watchdog_interval_seconds
from rensei_daemon.tasks.applier import Applier
from rensei_daemon.tasks.bell import Bell
from rensei_daemon.tasks.configuration import (
    Configuration,
    Reload,
    open_configuration,
    reload,
    watch,
)
from rensei_daemon.tasks.enrolment import open_identity
from rensei_daemon.tasks.handing_out import HandingOut
from rensei_daemon.tasks.heartbeat import Heart, keep_beating, say_farewell
from rensei_daemon.tasks.mutations import Inbox, apply_mutations
from rensei_daemon.tasks.reporting import (
    feed_watchdog,
    keep_reporting,
    open_board,
    write_status,
)
from rensei_daemon.tasks.rotation import Rotation
from rensei_daemon.tasks.sessions import Sessions
from rensei_daemon.verbs import Verbs

FAREWELL_SECONDS = 3.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Loop = Callable[[], Coroutine[Any, Any, None]]

_log = structlog.get_logger()
_draw = random.SystemRandom().uniform


async def run(
    locations: Locations, *, environ: Mapping[str, str], overrides: Mapping[str, object]
) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Raises `SettingsError`, `StateInUseError` and `StorageError` when it cannot start.
    """
    with (
        # First in and last out: a reload in the first moment, or a second goodbye, must
        # not end the process the hard way.
        anyio.open_signal_receiver(*_SIGNALS) as signals,
        ExitStack() as stack,
    ):
        prepare_directory(locations.state, mode=STATE_MODE)
        prepare_directory(locations.runtime, mode=RUNTIME_MODE)
        stack.enter_context(state_lock(locations.lock))
        configuration, trouble = open_configuration(
            ConfigFile(locations.config),
            last_good=locations.last_good,
            load=partial(load, path=locations.config, environ=environ, overrides=overrides),
        )
        log = configuration.settings.log
        outputs = choose_outputs(
            format=log.format, file=log.file, default_file=locations.log, environ=environ
        )
        handing_out = HandingOut.prepare(locations.runtime, environ)
        control = stack.enter_context(
            log_to(outputs, level=log.level, scrub=handing_out.scrub)
        )
        configuration.on_change(lambda: control.set_level(configuration.settings.log.level))
        now = datetime.now(UTC)
        journal, set_aside = stack.enter_context(open_journal(locations.journal, now=now))
        board = open_board(configuration, journal, locations.runtime, trouble, set_aside)
        await _live(locations, environ, configuration, journal, board, handing_out, signals)


@dataclass(frozen=True, kw_only=True)
class _House:
    """What lives between the first connection and the last."""

    routes: Routes
    heart: Heart
    sessions: Sessions
    handing_out: HandingOut
    reload: Callable[[], Awaitable[Reload]]
    loops: Mapping[str, Loop]
    """What never returns by itself, by name."""


async def _live(
    locations: Locations,
    environ: Mapping[str, str],
    configuration: Configuration,
    journal: Journal,
    board: Board,
    handing_out: HandingOut,
    signals: AsyncIterator[signal.Signals],
) -> None:
    platform = configuration.settings.platform
    notifier = Notifier.from_environ(environ)
    agent = f"rensei-daemon/{__version__}"
    async with open_http(platform.url, user_agent=agent, ca_file=platform.ca_file) as http:
        house = _assemble(
            locations, environ, configuration, journal, board, handing_out, http, notifier
        )
        async with anyio.create_task_group() as tasks:
            # Before anybody can ask for them, so that no session is taken for unknown.
            await tasks.start(house.sessions.keep, name="sessions")
            await _listen(tasks, house, locations, configuration.settings)
            for name, loop in house.loops.items():
                tasks.start_soon(loop, name=name)
            notifier.ready()
            _log.info("daemon.started", version=__version__, config=str(locations.config))
            await _obey(signals, house.reload)
            notifier.stopping()
            tasks.cancel_scope.cancel()
        board.stop()
        with anyio.move_on_after(FAREWELL_SECONDS, shield=True):
            await say_farewell(house.heart)
    await write_status(board, locations.status)
    _log.info("daemon.stopped")


async def _listen(
    tasks: TaskGroup, house: _House, locations: Locations, settings: Settings
) -> None:
    routes, path = house.routes, locations.control_socket
    gid = _gid(settings.control.group)
    await tasks.start(partial(serve_control, path, routes, gid=gid), name="control API")
    path, gid = locations.credential_socket, _gid(settings.credentials.group)
    await tasks.start(
        partial(house.handing_out.door.serve, path, gid=gid), name="credential socket"
    )


def _gid(group: str | None) -> int | None:
    return group_id(group) if group else None


def _assemble(
    locations: Locations,
    environ: Mapping[str, str],
    configuration: Configuration,
    journal: Journal,
    board: Board,
    handing_out: HandingOut,
    http: Http,
    notifier: Notifier,
) -> _House:
    inbox, hurry, pulse = Inbox(), Bell(), Pulse()
    identity = open_identity(
        http,
        IdentityFile(locations.identity, locations.token),
        configuration,
        board,
        environ=environ,
        machine_id_file=locations.machine_id,
        learn=handing_out.scrub.learn,
    )
    client = PlatformClient(http, identity)
    heart = Heart(
        client, identity, journal, configuration, board, inbox, LoadMeter(), pulse
    )
    applier = Applier(
        configuration.file,
        journal,
        check=configuration.check,
        guards=lambda: _guards(configuration),
        boot_id=boot_id(),
    )

    def start(session: SessionSettings) -> Rotation:
        return handing_out.begin(
            session,
            org_id=configuration.settings.platform.org_id,
            client=client,
            board=board,
            pulse=pulse,
            draw=_draw,
        )

    async def reload_all() -> Reload:
        notifier.reloading()
        try:
            done = await reload(configuration, board)
            await identity.key.reread()
        finally:
            notifier.ready()
        return done

    sessions = Sessions(configuration, board, start=start)
    loops: dict[str, Loop] = {
        "heartbeat": partial(keep_beating, heart, hurry=hurry, draw=_draw),
        "mutations": partial(
            apply_mutations,
            inbox,
            applier,
            journal,
            configuration,
            board,
            beat=hurry,
            pulse=pulse,
            draw=_draw,
        ),
        "runtime token": identity.keep_fresh,
        "configuration": partial(watch, configuration, board),
        "reporting": partial(keep_reporting, board, locations.status, notifier),
    }
    if (interval := watchdog_interval_seconds(environ)) is not None:
        loops["watchdog"] = partial(feed_watchdog, pulse, notifier, interval)
    verbs = Verbs(board, heart, hurry, sessions, reload_all, handing_out.fingerprints)
    record = RecordVerbs(applier, journal.records, configuration, board, hurry)
    return _House(
        routes={**verbs.routes(), **record.routes()},
        heart=heart,
        sessions=sessions,
        handing_out=handing_out,
        reload=reload_all,
        loops=loops,
    )


def _guards(configuration: Configuration) -> Guards:
    mutations = configuration.settings.mutations
    return Guards(allow=mutations.allow, protected_projects=mutations.protected_projects)


async def _obey(
    signals: AsyncIterator[signal.Signals], reload_all: Callable[[], Awaitable[Reload]]
) -> None:
    """Reload at SIGHUP; return at SIGTERM or SIGINT."""
    async for number in signals:
        _log.info("signal.received", signal=number.name)
        if number is not signal.SIGHUP:
            return
        # A file that cannot be used is on the board and in the log already.
        with suppress(RenseiError):
            await reload_all()
