"""The credential socket: one listener for the workers of every session.

Owns the listener, the sessions that can be asked for and the number of readers.
`reader_connection` limits what one reader costs.
"""

import resource
import socket
from functools import partial
from pathlib import Path

import anyio
from anyio.abc import TaskStatus

from rensei_daemon.core import credential_frames
from rensei_daemon.delivery import connection_quota
from rensei_daemon.delivery.bursts import Bursts
from rensei_daemon.delivery.connection_quota import ConnectionQuota, QuotaExceededError
from rensei_daemon.delivery.departed_readers import FormerReaders
from rensei_daemon.delivery.reader_connection import ReaderConnection, ReaderTimeouts
from rensei_daemon.delivery.subscribers import CALM_SECONDS, Subscribers
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.sockets import persistent_socket
from rensei_daemon.sockets.peer import Peer
from rensei_daemon.sockets.serving import serve_file

SPARE_DESCRIPTORS = 128
"""Descriptors reserved for everything else the daemon opens."""


class CredentialSocket:
    """The listener, and each session's subscribers."""

    def __init__(self, timeouts: ReaderTimeouts | None = None) -> None:
        self._timeouts = timeouts or ReaderTimeouts()
        self._subscribers: dict[str, Subscribers] = {}
        self.bursts = Bursts()
        """Sends to readers of several sessions together while its `run` runs."""
        self.former: dict[str, FormerReaders] = {}
        """Readers from before a restart, by session; taken by those that start."""
        self._accept_failures = FailureReporter(calm_seconds=CALM_SECONDS)
        self.on_reader_refused: connection_quota.Report = connection_quota.ignore

    def subscribers(self, session_id: str, gid: int | None) -> Subscribers:
        """Return the session's subscribers, with the readers that are connected already."""
        subscribers = self._subscribers.get(session_id)
        if subscribers is None:
            forget = partial(self._forget, session_id)
            subscribers = Subscribers(session_id, gid, forget, self.bursts)
            self._subscribers[session_id] = subscribers
            if former := self.former.pop(session_id, None):
                subscribers.departed.restore(former)
        else:
            subscribers.renew(gid)
        return subscribers

    def _report_accept_failure(self, why: str) -> None:
        self._accept_failures.report_event("reader.starved", why, error=why)

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
        report: persistent_socket.Report = persistent_socket.ignore,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen until cancelled; then send BYE to every reader and remove the file.

        With a `gid`, members of the group may connect too. `report` is called when
        the file had to be restored. Raises `StateInUseError`, `SettingsError` or
        `StorageError` if it cannot listen.
        """
        most = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS, 8)
        quota = ConnectionQuota(most, lambda *refusal: self.on_reader_refused(*refusal))
        await serve_file(
            path,
            partial(self._serve_reader, quota),
            self._report_accept_failure,
            gid=gid,
            report=report,
            task_status=task_status,
        )

    async def _serve_reader(
        self, quota: ConnectionQuota, connection: socket.socket, peer: Peer
    ) -> None:
        reader = ReaderConnection(
            connection, peer, self._subscribers, self._timeouts, quota
        )
        try:
            with quota.of_user(peer.uid):
                await reader.serve()
        except QuotaExceededError:
            reader.close(credential_frames.TOO_MANY)
