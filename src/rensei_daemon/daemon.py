"""What a daemon opens and starts, in which order, and how it stops.

Everything closes in reverse order of opening, which is the indentation of `run`. The parts
and loops of a daemon are listed in `wiring`.
"""

import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial

import anyio
import structlog
from anyio.abc import TaskGroup

from rensei_daemon import __version__
from rensei_daemon.conditions.sockets import (
    report_metrics_state,
    report_refused_readers,
    report_socket_state,
)
from rensei_daemon.control_api.server import serve_control, serve_metrics
from rensei_daemon.disk.user_groups import group_id
from rensei_daemon.errors import RenseiError
from rensei_daemon.locations import Locations
from rensei_daemon.process import resume_garbage_collection
from rensei_daemon.resources import open_platform, open_resources
from rensei_daemon.settings.sources import Validator
from rensei_daemon.tasks.heartbeat import send_last_heartbeat
from rensei_daemon.tasks.status_reporting import status_failures, write_status
from rensei_daemon.wiring import Daemon

FAREWELL_SECONDS = 3.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_log = structlog.get_logger()


async def run(
    locations: Locations,
    *,
    environ: Mapping[str, str],
    validator: Validator,
    on_stop: Callable[[], None] = lambda: None,
) -> None:
    """Run the daemon until SIGTERM or SIGINT; `on_stop` is called when one arrives.

    Raises `SettingsError`, `StateInUseError` and `StorageError` when it cannot start.
    """
    with (
        # Outermost, so that neither a SIGHUP at the start nor a second SIGTERM at the end
        # kills the process.
        anyio.open_signal_receiver(*_SIGNALS) as signals,
        open_resources(locations, environ=environ, validator=validator) as resources,
        _crash_logged(),
    ):
        async with open_platform(resources) as http:
            daemon = Daemon(resources, http)
            async with anyio.create_task_group() as tasks:
                await _start(daemon, tasks)
                await _until_stopped(daemon, signals)
                on_stop()
                daemon.notifier.stopping()
                daemon.board.stop()  # before readers disconnect: they stay on record
                tasks.cancel_scope.cancel()
            with anyio.move_on_after(FAREWELL_SECONDS, shield=True):
                await send_last_heartbeat(daemon.heartbeat)
        board = daemon.board
        await write_status(board, locations.status, status_failures(board))
        _log.info("daemon.stopped")


@contextmanager
def _crash_logged() -> Iterator[None]:
    """Log any error that is not a `RenseiError` with its traceback."""
    try:
        yield
    except Exception as error:
        if not _is_known(error):
            _log.exception("daemon.crashed")
        raise


def _is_known(error: Exception) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.split(RenseiError)[1] is None
    return isinstance(error, RenseiError)


async def _start(daemon: Daemon, tasks: TaskGroup) -> None:
    begin = anyio.Event()
    # Before the sockets listen, so that no client is told that a session is unknown.
    await tasks.start(daemon.sessions.run, begin, name="sessions")
    await _listen(daemon, tasks)
    for name, loop in daemon.loops().items():
        tasks.start_soon(loop, name=name)
    daemon.notifier.ready()
    begin.set()
    resume_garbage_collection()
    config = str(daemon.resources.locations.config)
    _log.info("daemon.started", version=__version__, config=config)


async def _listen(daemon: Daemon, tasks: TaskGroup) -> None:
    settings, locations = daemon.configuration.settings, daemon.resources.locations
    credential_socket = daemon.resources.session_factory.credential_socket
    credential_socket.on_reader_refused = report_refused_readers(daemon.board)
    for name, serve, group in (
        (
            "control API",
            partial(serve_control, locations.control_socket, daemon.routes()),
            settings.control.group,
        ),
        (
            "credential socket",
            partial(credential_socket.serve, locations.credential_socket),
            settings.credentials.group,
        ),
    ):
        gid = group_id(group) if group else None
        report = report_socket_state(daemon.board, name)
        await tasks.start(partial(serve, gid=gid, report=report), name=name)
    if (address := settings.metrics.address) is not None:
        routes = daemon.monitoring.routes()
        report = report_metrics_state(daemon.board, settings.metrics.listen)
        serve_tcp = partial(serve_metrics, address, routes, report=report)
        await tasks.start(serve_tcp, name="metrics")


async def _until_stopped(daemon: Daemon, signals: AsyncIterator[signal.Signals]) -> None:
    """Reload at SIGHUP; return at SIGTERM or SIGINT."""
    async for number in signals:
        _log.info("signal.received", signal=number.name)
        if number is not signal.SIGHUP:
            return
        # A file that cannot be used is reported where it is read.
        with suppress(RenseiError):
            await daemon.reload()
