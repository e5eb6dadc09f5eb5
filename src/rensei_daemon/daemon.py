"""The daemon: every resource opened, every loop started, and the order in which they end.

Read `run` and `_live` from top to bottom: a resource outlives whatever is opened after
it. `wiring` defines the loops and what each of them is given.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial

import anyio
import structlog
from anyio.abc import TaskGroup

from rensei_daemon import __version__
from rensei_daemon.control_api.server import serve_control, serve_metrics
from rensei_daemon.core.hints import DaemonAddress
from rensei_daemon.disk.api_key import read_api_key
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.disk.directories import RUNTIME_MODE, prepare_directory
from rensei_daemon.disk.last_good_config import LastGoodConfig
from rensei_daemon.disk.last_status import read_last_status
from rensei_daemon.disk.processes import service_of
from rensei_daemon.disk.state_directory import StateDirectory
from rensei_daemon.disk.user_groups import group_id
from rensei_daemon.errors import RenseiError, StorageError
from rensei_daemon.locations import Locations
from rensei_daemon.logs.outputs import choose_outputs
from rensei_daemon.logs.setup import log_to
from rensei_daemon.platform_api.http import open_http
from rensei_daemon.settings.loading import load
from rensei_daemon.systemd import Notifier
from rensei_daemon.tasks.configuration import open_configuration
from rensei_daemon.tasks.former_readers import former_readers
from rensei_daemon.tasks.heartbeat import send_last_heartbeat
from rensei_daemon.tasks.log_level import LogLevel
from rensei_daemon.tasks.session_factory import SessionFactory
from rensei_daemon.tasks.socket_conditions import (
    report_refused_readers,
    report_socket_state,
)
from rensei_daemon.tasks.state_opening import open_state
from rensei_daemon.tasks.status_reporting import open_board, status_failures, write_status
from rensei_daemon.wiring import Daemon, Resources, build_daemon

FAREWELL_SECONDS = 3.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_log = structlog.get_logger()


async def run(
    locations: Locations,
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, object],
    on_stop: Callable[[], None] = lambda: None,
) -> None:
    """Run the daemon until SIGTERM or SIGINT; `on_stop` is called when one arrives.

    Raises `SettingsError`, `StateInUseError` and `StorageError` when it cannot start.
    """
    with (
        # First in and last out: a reload in the first moment, or a second goodbye, must
        # not end the process the hard way.
        anyio.open_signal_receiver(*_SIGNALS) as signals,
        ExitStack() as stack,
    ):
        last_good = LastGoodConfig(
            locations.last_good,
            locations.last_good_fingerprint,
            environ=environ,
            machine_id_file=locations.machine_id,
        )
        configuration, config_error = open_configuration(
            ConfigFile(locations.config),
            last_good=last_good,
            load=partial(
                load,
                path=locations.config,
                environ=environ,
                overrides=overrides,
                runtime=locations.runtime,
            ),
            read_key=lambda settings: (
                read_api_key(
                    environ=environ, api_key_file=settings.platform.api_key_file
                ).secret
            ),
        )
        prepare_directory(locations.runtime, mode=RUNTIME_MODE)
        state = stack.enter_context(
            StateDirectory(lock=locations.lock, journal=locations.journal)
        )
        opened = open_state(state)
        with suppress(StorageError):  # a courtesy to whoever looks for this daemon
            lock = configuration.file.lock
            lock.remember(state=locations.state, runtime=locations.runtime)
        session_factory = SessionFactory.prepare(locations.runtime, environ)
        log = configuration.settings.log
        outputs = choose_outputs(
            format=log.format, file=log.file, default_file=locations.log, environ=environ
        )
        reached = _own_address(locations)
        control = stack.enter_context(
            log_to(
                outputs,
                level=log.level,
                scrub=session_factory.scrub,
                say_hint=reached.hint,
            )
        )
        board = open_board(
            configuration, state.journal, locations.runtime, config_error, opened
        )
        board.address = reached
        resources = Resources(
            locations=locations,
            environ=environ,
            configuration=configuration,
            last_good=last_good,
            state=state,
            board=board,
            session_factory=session_factory,
            notifier=Notifier.from_environ(environ),
            log_level=LogLevel(control, configuration, board),
            former_readers=former_readers(
                read_last_status(locations.status), now=board.started_at
            ),
        )
        try:
            await _live(resources, signals, on_stop)
        except Exception as error:
            if not _is_known(error):
                _log.exception("daemon.crashed")
            raise


def _own_address(locations: Locations) -> DaemonAddress:
    """Return how commands reach this process, for the hints of its conditions."""
    pid = os.getpid()
    service = service_of(pid)
    config = None if locations.unit_scope else str(locations.config)
    return DaemonAddress(
        config=config, systemctl=str(service) if service else None, pid=pid
    )


def _is_known(error: Exception) -> bool:
    """Whether it is one of ours, which need no traceback: they say what to do."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(RenseiError)[1] is None
    return isinstance(error, RenseiError)


async def _live(
    resources: Resources,
    signals: AsyncIterator[signal.Signals],
    on_stop: Callable[[], None],
) -> None:
    platform = resources.configuration.settings.platform
    agent = f"rensei-daemon/{__version__}"
    async with open_http(
        platform.url,
        user_agent=agent,
        ca_file=platform.ca_file,
        client_files=platform.client_files,
        scrub=resources.session_factory.scrub,
    ) as http:
        daemon = build_daemon(resources, http)
        async with anyio.create_task_group() as tasks:
            # Before anybody can ask for them, so that no session is taken for unknown.
            await tasks.start(daemon.sessions.run, name="sessions")
            await _listen(tasks, daemon, resources)
            for name, loop in daemon.loops.items():
                tasks.start_soon(loop, name=name)
            resources.notifier.ready()
            config = str(resources.locations.config)
            _log.info("daemon.started", version=__version__, config=config)
            await _obey(signals, daemon)
            on_stop()
            resources.notifier.stopping()
            resources.board.stop()  # before the readers hear of it, and leave
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(FAREWELL_SECONDS, shield=True):
            await send_last_heartbeat(daemon.heartbeat)
    await write_status(
        resources.board, resources.locations.status, status_failures(resources.board)
    )
    _log.info("daemon.stopped")


async def _listen(tasks: TaskGroup, daemon: Daemon, resources: Resources) -> None:
    settings, locations = resources.configuration.settings, resources.locations
    credential_socket = resources.session_factory.credential_socket
    credential_socket.on_reader_refused = report_refused_readers(resources.board)
    for name, serve, group in (
        (
            "control API",
            partial(serve_control, locations.control_socket, daemon.routes),
            settings.control.group,
        ),
        (
            "credential socket",
            partial(credential_socket.serve, locations.credential_socket),
            settings.credentials.group,
        ),
    ):
        gid = group_id(group) if group else None
        tell = report_socket_state(resources.board, name)
        await tasks.start(partial(serve, gid=gid, tell=tell), name=name)
    if (address := settings.metrics.address) is not None:
        await tasks.start(serve_metrics, address, daemon.probes, name="metrics")
        _log.info("metrics.served", listen=settings.metrics.listen)


async def _obey(signals: AsyncIterator[signal.Signals], daemon: Daemon) -> None:
    """Reload at SIGHUP; return at SIGTERM or SIGINT."""
    async for number in signals:
        _log.info("signal.received", signal=number.name)
        if number is not signal.SIGHUP:
            return
        # A file that cannot be used is on the board and in the log already.
        with suppress(RenseiError):
            await daemon.reload()
