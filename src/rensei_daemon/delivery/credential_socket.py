"""The credential socket: one listener for the workers of every session.

Owns the listener, the sessions that can be asked for and the number of readers.
`reader_connection` limits what one reader costs.
"""

import errno
import resource
import socket
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from rensei_daemon.core import credential_frames
from rensei_daemon.delivery.connection_quota import (
    ConnectionQuota,
    QuotaExceededError,
    Tell,
    ignore,
)
from rensei_daemon.delivery.peer import user_of
from rensei_daemon.delivery.reader_connection import ReaderConnection, ReaderTimeouts
from rensei_daemon.delivery.subscribers import CALM_SECONDS, Subscribers
from rensei_daemon.disk import persistent_socket
from rensei_daemon.failure_reporter import FailureReporter

SPARE_DESCRIPTORS = 128
"""Descriptors reserved for everything else the daemon opens."""

_log = structlog.get_logger()

_OUT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class CredentialSocket:
    """The listener, and each session's subscribers."""

    def __init__(self, limits: ReaderTimeouts | None = None) -> None:
        self._limits = limits or ReaderTimeouts()
        self._subscribers: dict[str, Subscribers] = {}
        self.on_reader_refused: Tell = ignore
        self._shortages = FailureReporter(calm_seconds=CALM_SECONDS)

    def subscribers(self, session_id: str, gid: int | None) -> Subscribers:
        """Return the session's subscribers, with the readers that are connected already."""
        subscribers = self._subscribers.get(session_id)
        if subscribers is None:
            subscribers = Subscribers(session_id, gid, partial(self._forget, session_id))
            self._subscribers[session_id] = subscribers
        else:
            subscribers.renew(gid)
        return subscribers

    def _forget(self, session_id: str) -> None:
        self._subscribers.pop(session_id, None)

    def find(self, session_id: str) -> Subscribers | None:
        """Return the subscribers of an existing session."""
        return self._subscribers.get(session_id)

    async def serve(
        self,
        path: Path,
        *,
        gid: int | None = None,
        tell: persistent_socket.Tell = persistent_socket.ignore,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen until cancelled; then send BYE to every reader and remove the file.

        With a `gid`, members of the group may connect too. `tell` is called when
        the file had to be restored. Raises `StateInUseError`, `SettingsError` or
        `StorageError` if it cannot listen.
        """
        most = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS, 8)
        quota = ConnectionQuota(most, lambda *report: self.on_reader_refused(*report))
        with persistent_socket.PersistentSocket(path, gid, tell) as kept:
            async with anyio.create_task_group() as readers:
                task_status.started()
                await kept.serve(partial(self._accept_from, readers, quota))

    async def _accept_from(
        self, readers: TaskGroup, quota: ConnectionQuota, listening: socket.socket
    ) -> None:
        while True:
            connection = await self._accept(listening)
            reader = ReaderConnection(connection, self._subscribers, self._limits, quota)
            slot = ExitStack()
            try:
                slot.enter_context(quota.of_user(user_of(connection)))
            except (QuotaExceededError, OSError):
                reader.close(credential_frames.TOO_MANY)
            else:
                readers.start_soon(_attend, reader, slot, name="credential reader")

    async def _accept(self, listening: socket.socket) -> socket.socket:
        while True:
            try:
                connection, _ = listening.accept()
            except BlockingIOError:
                await anyio.wait_readable(listening)
            except OSError as error:
                if error.errno in _OUT_OF:
                    self._log_shortage(error)
                    # Until then, clients wait in the kernel's queue.
                    await anyio.sleep(0.1)
            else:
                connection.setblocking(False)
                return connection

    def _log_shortage(self, error: OSError) -> None:
        self._shortages.report_event("reader.starved", error=error.strerror)


async def _attend(reader: ReaderConnection, slot: ExitStack) -> None:
    with slot:
        await reader.serve()
