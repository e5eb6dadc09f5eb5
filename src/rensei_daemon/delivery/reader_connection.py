"""One reader's connection to the credential socket.

Limits what a reader may cost: how long its HELLO may take, how far behind it may fall.
`subscribers` decides what it is sent. A reader can make only its own connection fail.
"""

import fcntl
import os
import select
import socket
import sys
import termios
from collections.abc import Mapping
from datetime import datetime, timedelta

import anyio
import structlog

from rensei_daemon.clock import CLOCK
from rensei_daemon.core import credential_frames
from rensei_daemon.core.credential import Credentials
from rensei_daemon.core.health import ConsumerHealth, Proof
from rensei_daemon.delivery.connection_quota import ConnectionQuota, QuotaExceededError
from rensei_daemon.delivery.subscribers import Subscribers
from rensei_daemon.disk.processes import start_ticks
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.sockets.peer import Peer

AT_ONCE_BYTES = 32 * 1024
"""A frame up to this size fits if the kernel reports that there is space."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderTimeouts:
    """The time limits of one reader."""

    hello_seconds: float = 5.0
    """For its HELLO to arrive."""
    first_seconds: float = 4.0
    """How long it waits for a first snapshot; the public client gives up after 5 s."""
    stall_seconds: float = 30.0
    """How long it may leave data unread while more is to be sent."""


class ReaderConnection:
    """One connection, from accept to close."""

    def __init__(
        self,
        connection: socket.socket,
        peer: Peer,
        subscribers_of: Mapping[str, Subscribers],
        timeouts: ReaderTimeouts,
        quota: ConnectionQuota,
    ) -> None:
        """`subscribers_of` maps the id of each current session to its subscribers."""
        self._connection = connection
        self._peer = peer
        self._subscribers_of = subscribers_of
        self._timeouts = timeouts
        self._quota = quota
        self._inbox = bytearray()
        self._unsent = memoryview(b"")
        """The rest of a frame that was begun; a BYE within it would be garbage."""
        self._subscribers: Subscribers | None = None
        self._title = ""
        self._started: int | None = None
        self._was_reset = False
        """Whether the reader closed the connection with unread data in it."""
        self._known: Credentials | None = None
        self._frames_sent = 0
        """Frames with values."""
        self._acknowledges = False
        """Whether the reader says when it uses the values."""
        self._frames_acknowledged = 0
        self._in_use: int | None = None
        """The generation that it said so of."""
        self._waits_until: datetime | None = None
        """When it is going to use the newest values, if it said that it waits."""
        self._is_waiting = False
        """Whether it has nothing to do until the values change."""

    async def serve(self) -> None:
        """Serve the connection to its end, and close it."""
        bye_reason: str | None = credential_frames.SHUTDOWN  # sent if this is cancelled
        try:
            bye_reason = await self._run()
        except QuotaExceededError:
            bye_reason = credential_frames.TOO_MANY
        except OSError:
            bye_reason = None  # the reader is gone
        finally:
            self.close(bye_reason)

    async def _run(self) -> str | None:
        """Return the last frame to send; None if the reader is gone."""
        line: bytes | None = b""
        with anyio.move_on_after(self._timeouts.hello_seconds) as hello:
            line = await self._line()
        if hello.cancelled_caught:
            return credential_frames.HELLO_LATE
        if line is None:
            return None
        if credential_frames.is_session_query(line):
            await self._answer(credential_frames.read_session_query(line))
            return None
        session_id = credential_frames.read_hello(line)
        if session_id is None:
            return credential_frames.HELLO_UNREADABLE
        subscribers = self._subscribers_of.get(session_id)
        if subscribers is None:
            return credential_frames.SESSION_UNKNOWN
        if not self._may_have(subscribers):
            _log_refused(subscribers, self._peer)
            return credential_frames.NOT_PERMITTED
        self._acknowledges = credential_frames.announces_acknowledgements(line)
        with self._quota.of_session(session_id):
            return await self._join(subscribers)

    async def _answer(self, session_id: str | None) -> None:
        """Answer which sessions the reader may have, and what each of them lacks."""
        asked = self._subscribers_of.keys() if session_id is None else {session_id}
        own: list[credential_frames.SessionState] = []
        refused: list[str] = []
        for name in sorted(asked & self._subscribers_of.keys()):
            subscribers = self._subscribers_of[name]
            if self._may_have(subscribers):
                own.append(credential_frames.SessionState(name, subscribers.missing()))
            else:
                refused.append(name)
        self._unsent = memoryview(
            credential_frames.session_list(credential_frames.SessionList(own, refused))
        )
        with anyio.move_on_after(self._timeouts.stall_seconds):
            await self._send_unsent()

    async def _join(self, subscribers: Subscribers) -> str | None:
        newest: Credentials | None = None
        with anyio.move_on_after(self._timeouts.first_seconds) as first:
            newest = await subscribers.wait_for_change(None)
        if first.cancelled_caught:
            return credential_frames.NOTHING_YET
        if newest is None:
            return credential_frames.SESSION_REMOVED
        self._subscribers, self._title = subscribers, self._peer.title
        self._started = start_ticks(self._peer.pid)
        bye_reason: str | None = None
        async with anyio.create_task_group() as both:

            async def listen() -> None:
                await self._wait_until_closed()
                both.cancel_scope.cancel()

            both.start_soon(listen)
            try:
                bye_reason = await self._send_updates(subscribers)
            except OSError:
                bye_reason = None
            finally:
                self._is_waiting = False
                has_read_all = not self._was_reset and not self._has_unread()
                subscribers.remove(self.send_at_once, has_read_all=has_read_all)
            both.cancel_scope.cancel()
        return bye_reason

    async def _send_updates(self, subscribers: Subscribers) -> str:
        while True:
            self._is_waiting = True
            newest = await subscribers.wait_for_change(self._known)
            self._is_waiting = False
            if newest is None:
                return credential_frames.SESSION_REMOVED
            with anyio.move_on_after(self._timeouts.stall_seconds) as stalled:
                await self._wait_writable()
            # Read again: the reader kept us waiting and gets the newest
            # values.
            newest = subscribers.newest or newest
            if not self._may_have(subscribers):
                return credential_frames.NOT_PERMITTED
            if stalled.cancelled_caught or not await self._send(newest):
                _log_dropped(subscribers, self._title)
                return credential_frames.TOO_SLOW

    def _has_unread(self) -> bool:
        """Whether the reader has not read all that it was sent.

        The kernel counts what waits in the socket; what waits here was not sent at all.
        """
        waiting = fcntl.ioctl(self._connection, termios.TIOCOUTQ, bytes(4))
        return bool(self._unsent) or int.from_bytes(waiting, sys.byteorder) > 0

    def send_at_once(self, newest: Credentials) -> bool:
        """Send the newest values if the reader is up to date and the socket has space."""
        subscribers = self._subscribers
        if subscribers is None or not self._is_waiting or not self._may_have(subscribers):
            return False
        frame = subscribers.frames(self._known, newest)
        if self._unsent or len(frame) > AT_ONCE_BYTES or not self._is_writable():
            return False
        try:
            self._unsent = memoryview(frame)[self._connection.send(frame) :]
        except OSError:
            return False
        self._frames_sent += bool(frame)
        self._note(subscribers, newest)
        return not self._unsent

    def _may_have(self, subscribers: Subscribers) -> bool:
        return self._peer.may_have(subscribers.gid, os.geteuid())

    def _note(self, subscribers: Subscribers, newest: Credentials) -> None:
        is_first, self._known = self._known is None, newest
        if self._frames_acknowledged == self._frames_sent:
            self._in_use = newest.generation  # equal values were no frame
        if is_first:
            subscribers.add(self.send_at_once, self._line_at, self._peer.pid)
        else:
            subscribers.on_uptake()

    def _take_acknowledgement(self, frame: int) -> None:
        """Take in that the reader uses the values; those of an older frame are old."""
        if frame == self._frames_sent > self._frames_acknowledged:
            self._frames_acknowledged, self._waits_until = frame, None
            if self._subscribers is not None and self._known is not None:
                self._in_use = self._known.generation
                self._subscribers.on_uptake()

    def _take_waiting(self, seconds: float) -> None:
        """Take in that the reader waits; newer values take a wait over."""
        is_behind = self._frames_acknowledged < self._frames_sent
        if self._acknowledges and is_behind and self._waits_until is None:
            self._waits_until = CLOCK.now() + timedelta(seconds=seconds)
            if self._subscribers is not None:
                self._subscribers.on_uptake()

    def _line_at(self, now: datetime) -> ConsumerHealth:
        """Return what the reader has; a wait may be over."""
        received = None if self._known is None else self._known.generation
        until = self._waits_until
        return ConsumerHealth(
            kind=Subscribers.kind,
            name=self._title,
            generation=self._in_use if self._acknowledges else received,
            pid=self._peer.pid,
            started=self._started,
            proof=Proof.CONFIRMED if self._acknowledges else Proof.RECEIVED,
            has_unread=self._has_unread(),
            waits_until=None if until is None or until <= now else until,
        )

    def _is_writable(self) -> bool:
        """Whether most of what was sent has been read, so that a frame and a BYE fit."""
        waiting = select.poll()
        waiting.register(self._connection, select.POLLOUT)
        return bool(waiting.poll(0))

    async def _wait_writable(self) -> None:
        if not self._is_writable():
            await anyio.wait_writable(self._connection)

    async def _send(self, newest: Credentials) -> bool:
        """Send the rest of the last frame and the next one; False if time ran out."""
        with anyio.move_on_after(self._timeouts.stall_seconds):
            await self._send_unsent()
            if self._subscribers is not None and newest is not self._known:
                frame = self._subscribers.frames(self._known, newest)
                self._frames_sent += bool(frame)
                self._unsent = memoryview(frame)
                await self._send_unsent()
                self._note(self._subscribers, newest)
            return True
        return False

    async def _send_unsent(self) -> None:
        while self._unsent:
            try:
                self._unsent = self._unsent[self._connection.send(self._unsent) :]
            except BlockingIOError:
                await anyio.wait_writable(self._connection)

    async def _line(self) -> bytes | None:
        """Read a line; a line that is too long is cut; None is the end."""
        while (
            b"\n" not in self._inbox
            and len(self._inbox) <= credential_frames.MAX_HELLO_BYTES
        ):
            data = await self._receive()
            if not data:
                return None
            self._inbox += data
        line, _, rest = bytes(self._inbox).partition(b"\n")
        self._inbox[:] = rest
        return line[: credential_frames.MAX_HELLO_BYTES + 1]

    async def _wait_until_closed(self) -> None:
        """Take what a supervisor says, and ignore other lines, until BYE or the end."""
        while (line := await self._line()) is not None:
            acknowledged = credential_frames.read_acknowledgement(line)
            if acknowledged is not None:
                self._take_acknowledgement(acknowledged)
            if (seconds := credential_frames.read_waiting(line)) is not None:
                self._take_waiting(seconds)
            frame = credential_frames.read_frame(line)
            if frame is not None and frame.type == "BYE":
                return

    async def _receive(self) -> bytes:
        while True:
            await anyio.wait_readable(self._connection)
            try:
                return self._connection.recv(4096)
            except BlockingIOError:
                continue
            except OSError:
                self._was_reset = True
                return b""

    def close(self, bye_reason: str | None) -> None:
        """Send the last frame, if any, and close."""
        try:
            if bye_reason is not None and not self._unsent:
                self._connection.send(credential_frames.bye(bye_reason))
            # If data is unread at the close, the kernel reports an error to
            # the reader.
            self._connection.recv(65536)
        except OSError:
            pass
        finally:
            self._connection.close()


def _log_refused(subscribers: Subscribers, peer: Peer) -> None:
    text, session_id = str(peer.uid), subscribers.name
    subscribers.refusals.report_event(
        "reader.refused", text, session_id=session_id, uid=peer.uid, pid=peer.pid
    )


def _log_dropped(subscribers: Subscribers, title: str) -> None:
    subscribers.drops.report_event(
        "reader.dropped", title, session_id=subscribers.name, reader=title
    )
