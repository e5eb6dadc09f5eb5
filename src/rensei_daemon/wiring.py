"""The house: everything that lives between the first connection and the last, wired up.

Objects are made here and handed what they need; nothing is opened and nothing runs yet.
"""

import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rensei_daemon.control_api.wire import Routes
from rensei_daemon.control_routes import ControlRoutes
from rensei_daemon.core.board import Board
from rensei_daemon.core.counters import Histogram
from rensei_daemon.core.liveness import Deadlines
from rensei_daemon.disk.host_info import LoadMeter
from rensei_daemon.disk.identity_file import IdentityFile, boot_id
from rensei_daemon.disk.last_good_config import LastGoodConfig
from rensei_daemon.disk.state_directory import StateDirectory
from rensei_daemon.locations import Locations
from rensei_daemon.monitoring_routes import MonitoringRoutes
from rensei_daemon.platform_api.client import PlatformClient
from rensei_daemon.platform_api.http import Http
from rensei_daemon.record_routes import RecordRoutes
from rensei_daemon.settings.model import Session as SessionSettings
from rensei_daemon.systemd import Notifier, watchdog_interval_seconds
from rensei_daemon.tasks.applier import Applier
from rensei_daemon.tasks.clock_watch import ClockWatch
from rensei_daemon.tasks.configuration import Configuration, Reload, watch
from rensei_daemon.tasks.former_readers import Readers, await_readers
from rensei_daemon.tasks.heartbeat import HeartbeatSender, send_heartbeats
from rensei_daemon.tasks.identity_saver import IdentitySaver
from rensei_daemon.tasks.identity_setup import open_identity
from rensei_daemon.tasks.last_good_saver import keep_last_good
from rensei_daemon.tasks.log_level import LogLevel
from rensei_daemon.tasks.loop_lag import measure_lag
from rensei_daemon.tasks.mutation_inbox import MutationInbox
from rensei_daemon.tasks.mutations import apply_mutations
from rensei_daemon.tasks.reload import Reloader
from rensei_daemon.tasks.reregistration import keep_registered
from rensei_daemon.tasks.rotation import Rotation
from rensei_daemon.tasks.session_factory import SessionFactory
from rensei_daemon.tasks.sessions import Sessions
from rensei_daemon.tasks.state_opening import keep_state_open
from rensei_daemon.tasks.status_reporting import feed_watchdog, keep_reporting
from rensei_daemon.tasks.wake_event import WakeEvent
from rensei_daemon.tasks.wake_ups import WakeUps

Loop = Callable[[], Coroutine[Any, Any, None]]

_draw = random.SystemRandom().uniform


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What is open before the network, and outlives it."""

    locations: Locations
    environ: Mapping[str, str]
    configuration: Configuration
    last_good: LastGoodConfig
    state: StateDirectory
    board: Board
    session_factory: SessionFactory
    notifier: Notifier
    log_level: LogLevel
    former_readers: Mapping[str, Readers]
    """Of the daemon that ran before this one."""


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """What stands on it."""

    routes: Routes
    """Of the control API."""
    probes: Routes
    """Of them, what is served over TCP too."""
    heartbeat: HeartbeatSender
    sessions: Sessions
    reload: Callable[[], Awaitable[Reload]]
    """Reads the configuration and the key again; raises `SettingsError`."""
    loops: Mapping[str, Loop]
    """What runs as long as it has something to do, by name; most never return."""


def build_daemon(resources: Resources, http: Http) -> Daemon:
    """Make every object and hand it what it needs; `SettingsError` without a key."""
    configuration, board, journal = (
        resources.configuration,
        resources.board,
        resources.state.journal,
    )
    notifier, session_factory = resources.notifier, resources.session_factory
    inbox = MutationInbox(
        journal,
        board,
        state_bytes=lambda: configuration.settings.limits.state_mib * 2**20,
    )
    wake_heartbeat, deadlines = WakeEvent(), Deadlines()
    safe = IdentitySaver(
        IdentityFile(resources.locations.identity, resources.locations.token),
        board,
        register_secrets=partial(session_factory.scrub.register, "the runtime token"),
    )
    identity = open_identity(
        http,
        safe,
        configuration,
        started_at=board.started_at,
        environ=resources.environ,
        machine_id_file=resources.locations.machine_id,
        register_secrets=partial(session_factory.scrub.register, "the API key"),
    )
    client = PlatformClient(http, identity)
    heartbeat = HeartbeatSender(
        client, identity, journal, configuration, board, inbox, LoadMeter(), deadlines
    )
    applier = Applier(
        configuration.file,
        journal,
        check=configuration.check,
        guards=lambda: configuration.guards,
        boot_id=boot_id(),
    )

    def start(session: SessionSettings) -> Rotation:
        return session_factory.start(
            session,
            org_id=configuration.settings.platform.org_id,
            client=client,
            board=board,
            deadlines=deadlines,
            draw=_draw,
        )

    sessions = Sessions(configuration, board, start=start)

    wake_ups = WakeUps(identity, sessions, wake_heartbeat, inbox.wake_event)
    heartbeat.on_recovery = wake_ups.platform_recovered
    reload_all = Reloader(
        configuration,
        board,
        identity.key,
        http.reread_certificate,
        sessions,
        wake_heartbeat,
        notifier,
    )
    loops: dict[str, Loop] = {
        "heartbeat": partial(
            send_heartbeats, heartbeat, wake_heartbeat=wake_heartbeat, draw=_draw
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
            draw=_draw,
        ),
        "runtime token": identity.keep_fresh,
        "registration": partial(keep_registered, identity, configuration),
        "identity": partial(safe.run, _draw),
        "clock": ClockWatch(board, heartbeat, wake_ups.host_resumed, _draw).run,
        "former readers": partial(
            await_readers,
            resources.former_readers,
            session_factory.credential_socket,
            board,
        ),
        "lookout": http.dead_peers.run,
        "afterwards": session_factory.deferred.run,
        "configuration": partial(watch, configuration, board),
        "state": partial(
            keep_state_open,
            resources.state,
            board,
            on_open=wake_ups.state_opened,
            draw=_draw,
        ),
        "last good": partial(
            keep_last_good, configuration, identity.key, resources.last_good, draw=_draw
        ),
        "reporting": partial(
            keep_reporting,
            board,
            resources.locations.status,
            resources.notifier,
            refresh=resources.log_level.post,
        ),
    }
    lag = Histogram()
    loops["loop lag"] = partial(measure_lag, lag)
    if (interval := watchdog_interval_seconds(resources.environ)) is not None:
        loops["watchdog"] = partial(feed_watchdog, deadlines, notifier, interval)
    verbs = ControlRoutes(
        board,
        heartbeat,
        wake_heartbeat,
        sessions,
        reload_all,
        resources.session_factory.fingerprints,
        resources.log_level,
    )
    record = RecordRoutes(applier, journal.records, configuration, board, wake_heartbeat)
    probes = MonitoringRoutes(
        board=board,
        deadlines=deadlines,
        beats=heartbeat.counters,
        sessions=session_factory.counters,
        loop_lag=lag,
        log_lines_dropped=lambda: resources.log_level.dropped,
    )
    return Daemon(
        routes={**verbs.routes(), **record.routes(), **probes.control_routes()},
        probes=probes.routes(),
        heartbeat=heartbeat,
        sessions=sessions,
        reload=reload_all,
        loops=loops,
    )
