"""The parts of a daemon, what each is handed, and the loops that run.

`Daemon` has one property for each part. Nothing runs until `daemon.run` starts the loops.
"""

import random
from collections.abc import Callable, Coroutine
from functools import cached_property, partial
from typing import Any

from rensei_daemon.control_api.wire import Routes
from rensei_daemon.core.backoff import Draw
from rensei_daemon.core.counters import Histogram
from rensei_daemon.core.heartbeat_pace import HeartbeatPace
from rensei_daemon.core.liveness import Deadlines
from rensei_daemon.core.snapshot_schedule import PACE, SnapshotIntervals
from rensei_daemon.disk.applier import Applier
from rensei_daemon.disk.host_info import LoadMeter
from rensei_daemon.disk.identity_file import IdentityFile, boot_id
from rensei_daemon.disk.last_status import read_last_status
from rensei_daemon.logs.level import LogLevel
from rensei_daemon.logs.rotating_file import growth
from rensei_daemon.mutation_events import MutationEvents
from rensei_daemon.mutation_inbox import MutationInbox
from rensei_daemon.platform_api.client import PlatformClient
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.identity import Identity
from rensei_daemon.resources import Resources
from rensei_daemon.routes.control import ControlRoutes
from rensei_daemon.routes.monitoring import MonitoringRoutes
from rensei_daemon.routes.records import RecordRoutes
from rensei_daemon.settings.values import Session as SessionSettings
from rensei_daemon.settings.values import Settings
from rensei_daemon.systemd import Notifier, watchdog_interval_seconds
from rensei_daemon.tasks.clock_watch import ClockWatch
from rensei_daemon.tasks.former_readers import (
    await_readers,
    former_processes,
    former_readers,
)
from rensei_daemon.tasks.free_memory import keep_releasing
from rensei_daemon.tasks.heartbeat import HeartbeatSender, send_heartbeats
from rensei_daemon.tasks.identity import IdentitySaver, keep_registered, open_identity
from rensei_daemon.tasks.last_good_saver import keep_last_good
from rensei_daemon.tasks.mutation_events import listen_for_mutations
from rensei_daemon.tasks.mutations import MutationLoop
from rensei_daemon.tasks.reload import Reloader, watch
from rensei_daemon.tasks.rotation import Rotation
from rensei_daemon.tasks.sessions import Sessions
from rensei_daemon.tasks.snapshots import SessionContext
from rensei_daemon.tasks.state_opening import keep_state_open
from rensei_daemon.tasks.status_reporting import feed_watchdog, keep_reporting, measure_lag
from rensei_daemon.tasks.uptake import report_uptake
from rensei_daemon.wake_event import WakeEvent

Loop = Callable[[], Coroutine[Any, Any, None]]

_draw = random.SystemRandom().uniform


class Daemon:
    """Every part of a daemon; each is made when it is first asked for.

    `identity`, and whatever needs it, raises `SettingsError` without an API key.
    """

    def __init__(
        self,
        resources: Resources,
        http: Http,
        *,
        draw: Draw = _draw,
        pace: SnapshotIntervals = PACE,
    ) -> None:
        """`draw` returns random delays, which spread the requests of many hosts."""
        self.resources, self.http = resources, http
        self.configuration, self.board = resources.configuration, resources.board
        self.journal = resources.state.journal
        self.notifier = Notifier.from_environ(resources.environ)
        self.deadlines, self.loop_lag = Deadlines(), Histogram()
        self.wake_heartbeat = WakeEvent()
        """Set to have the next heartbeat sent at once."""
        self._draw, self._pace = draw, pace

    @cached_property
    def identity_saver(self) -> IdentitySaver:
        """Saves the identity of this host on disk."""
        locations, factory = self.resources.locations, self.resources.session_factory
        return IdentitySaver(
            IdentityFile(locations.identity, locations.token),
            self.board,
            register_secrets=partial(factory.scrub.register, "the runtime token"),
        )

    @cached_property
    def identity(self) -> Identity:
        """The identity of this host at the platform."""
        return open_identity(
            self.http,
            self.identity_saver,
            self.configuration,
            started_at=self.board.started_at,
            environ=self.resources.environ,
            machine_id_file=self.resources.locations.machine_id,
            scrub=self.resources.session_factory.scrub,
            draw=self._draw,
        )

    @cached_property
    def client(self) -> PlatformClient:
        """Calls the platform as this worker."""
        return PlatformClient(self.http, self.identity)

    @cached_property
    def heartbeat(self) -> HeartbeatSender:
        """Sends heartbeats."""
        return HeartbeatSender(
            self.client,
            self.identity,
            self.journal,
            self.configuration,
            self.board,
            self.inbox,
            LoadMeter(),
            self.deadlines,
            HeartbeatPace(self._draw),
            refresh_sessions=self.sessions.refresh,
            on_offer=self.mutation_events.offer,
            on_recovery=self.platform_recovered,
        )

    @cached_property
    def inbox(self) -> MutationInbox:
        """Stores the mutations that heartbeats bring."""
        log = self.resources.locations.log

        def state_bytes() -> int:
            # The log beside the journal grows without asking.
            return self.configuration.settings.limits.state_mib * 2**20 - growth(log)

        return MutationInbox(self.journal, self.board, state_bytes=state_bytes)

    @cached_property
    def applier(self) -> Applier[Settings]:
        """Applies mutations to the configuration file."""
        return Applier(
            self.configuration.file,
            self.journal,
            read=self.configuration.read,
            accept=self.configuration.accept,
            guards=lambda: self.configuration.guards,
            boot_id=boot_id(),
        )

    @cached_property
    def mutations(self) -> MutationLoop:
        """Applies mutations whenever there are any, and undoes changes."""
        return MutationLoop(
            self.inbox,
            self.applier,
            self.journal,
            self.configuration,
            self.board,
            wake_heartbeat=self.wake_heartbeat,
            deadlines=self.deadlines,
            draw=self._draw,
        )

    @cached_property
    def sessions(self) -> Sessions:
        """Runs one rotation for each session of the configuration."""
        sockets = self.resources.session_factory.credential_socket
        last = read_last_status(self.resources.locations.status)
        sockets.former = former_processes(last, now=self.board.started_at)
        return Sessions(self.configuration, self.board, start=self._start_session)

    def _start_session(self, session: SessionSettings) -> Rotation:
        org_id = self.configuration.settings.platform.org_id
        factory = self.resources.session_factory
        return factory.start(session, self.session_context, org_id=org_id)

    @cached_property
    def session_context(self) -> SessionContext:
        """What the loops of all sessions share."""
        return SessionContext(
            client=self.client,
            board=self.board,
            deadlines=self.deadlines,
            draw=self._draw,
            turns=self.resources.session_factory.hooks.turns,
            pace=self._pace,
            mutation_events=self.mutation_events,
            on_answer=self.platform_answered,
        )

    @cached_property
    def mutation_events(self) -> MutationEvents:
        """Hears that a mutation waits."""
        return MutationEvents(self.wake_heartbeat)

    def platform_answered(self) -> None:
        """Retry a failed heartbeat soon: the platform has answered a session."""
        within = self.heartbeat.pace.hurry()
        if within is not None:
            self.wake_heartbeat.shorten(within)

    def platform_recovered(self) -> None:
        """Retry a failed token and failed snapshots: a heartbeat has succeeded again."""
        self.identity.retry_now()
        self.sessions.platform_recovered()

    def host_resumed(self) -> None:
        """Retry everything: the machine was suspended, and its timers with it."""
        self.identity.retry_now()
        self.wake_heartbeat.set()
        self.sessions.retry_now()

    def state_opened(self) -> None:
        """Apply mutations and send a heartbeat: the journal is open now."""
        self.inbox.wake_event.set()
        self.wake_heartbeat.set()

    @cached_property
    def log_level(self) -> LogLevel:
        """Changes which events are logged."""
        level = LogLevel(
            self.resources.log,
            self.board,
            configured=lambda: self.configuration.settings.log.level,
        )
        self.configuration.on_change(level.follow)
        return level

    @cached_property
    def reload(self) -> Reloader:
        """Reads the configuration, the API key and the client certificate again."""
        return Reloader(
            self.configuration,
            self.board,
            self.identity.key,
            self.http.reread_certificate,
            self.http.reread_authorities,
            self.sessions,
            self.wake_heartbeat,
            self.notifier,
        )

    @cached_property
    def monitoring(self) -> MonitoringRoutes:
        """Handles the routes for monitors, over TCP too."""
        return MonitoringRoutes(
            board=self.board,
            deadlines=self.deadlines,
            beats=self.heartbeat.counters,
            sessions=self.session_context.counters,
            loop_lag=self.loop_lag,
            log_lines_dropped=lambda: self.log_level.dropped,
        )

    def routes(self) -> Routes:
        """Return what the control API serves."""
        board, wake_heartbeat = self.board, self.wake_heartbeat
        control = ControlRoutes(
            board,
            self.heartbeat,
            wake_heartbeat,
            self.sessions,
            self.reload,
            self.resources.session_factory.fingerprints,
            self.log_level,
        )
        records = self.journal.records
        record = RecordRoutes(self.mutations, records, self.configuration)
        return {**control.routes(), **record.routes(), **self.monitoring.control_routes()}

    def loops(self) -> dict[str, Loop]:
        """Return everything that runs beside `sessions`, by name; most never return."""
        return {**self._platform_loops(), **self._host_loops()}

    def _platform_loops(self) -> dict[str, Loop]:
        draw, wake_heartbeat = self._draw, self.wake_heartbeat
        return {
            "heartbeat": partial(
                send_heartbeats, self.heartbeat, wake_heartbeat=wake_heartbeat
            ),
            "uptake": partial(
                report_uptake, self.heartbeat, wake_heartbeat=wake_heartbeat, draw=draw
            ),
            "mutations": self.mutations.run,
            "mutation events": partial(
                listen_for_mutations, self.mutation_events, self.client, draw
            ),
            "runtime token": self.identity.keep_fresh,
            "registration": partial(keep_registered, self.identity, self.configuration),
            "identity": partial(self.identity_saver.run, draw),
            "stream sockets": self.http.stream_sockets.run,
            "dead peers": self.http.dead_peers.run,
            "moved peers": self.http.moved_peers.run,
            "deferred work": self.session_context.deferred.run,
            "files in memory": self.session_context.turns.run,
        }

    def _host_loops(self) -> dict[str, Loop]:
        resources, configuration, board = self.resources, self.configuration, self.board
        draw = self._draw
        status = resources.locations.status
        former = former_readers(read_last_status(status), now=board.started_at)
        sockets = resources.session_factory.credential_socket
        loops: dict[str, Loop] = {
            "clock": ClockWatch(board, self.heartbeat, self.host_resumed, draw).run,
            "readers": sockets.bursts.run,
            "former readers": partial(await_readers, former, sockets, board),
            "configuration": partial(watch, configuration, board),
            "state": partial(
                keep_state_open,
                resources.state,
                board,
                on_open=self.state_opened,
                draw=draw,
            ),
            "last good": partial(
                keep_last_good,
                configuration,
                self.identity.key,
                resources.last_good,
                draw=draw,
            ),
            "reporting": partial(
                keep_reporting, board, status, self.notifier, refresh=self.log_level.post
            ),
            "free memory": keep_releasing,
            "loop lag": partial(measure_lag, self.loop_lag),
        }
        if (interval := watchdog_interval_seconds(resources.environ)) is not None:
            loops["watchdog"] = partial(
                feed_watchdog, self.deadlines, self.notifier, interval
            )
        return loops
