"""The credential socket: one listener for the workers of every session.

It owns the connections and what each may cost: how long a HELLO may take, how far behind
a reader may fall, how many there can be. What they are told is their audience's business.
A reader can make its own connection fail, and nothing else.
"""

import errno
import os
import resource
import select
import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import structlog
from anyio.abc import TaskStatus

from rensei_daemon.core import frames
from rensei_daemon.core.credential import Credentials
from rensei_daemon.delivery.audience import Audience
from rensei_daemon.delivery.peer import Peer, peer_of
from rensei_daemon.disk.private_socket import private_socket

SPARE_DESCRIPTORS = 128
"""Kept from readers, for everything else the daemon has open."""

_OUT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one reader may cost."""

    hello_seconds: float = 5.0
    """For its HELLO to arrive."""
    first_seconds: float = 4.0
    """It is held without a snapshot; the public client gives up after 5."""
    stall_seconds: float = 30.0
    """It may leave what it was sent unread while there is more to say."""


class CredentialSocket:
    """The audiences by session, and the door to them."""

    def __init__(self, limits: Limits = Limits()) -> None:
        self._limits = limits
        self._audiences: dict[str, Audience] = {}
        self._connected = 0

    def audience(self, session_id: str, gid: int | None) -> Audience:
        """Return the session's audience, with those already in it."""
        audience = self._audiences.get(session_id)
        if audience is None:
            audience = Audience(session_id, gid, partial(self._forget, session_id))
            self._audiences[session_id] = audience
        else:
            audience.renew(gid)
        return audience

    def _forget(self, session_id: str) -> None:
        self._audiences.pop(session_id, None)

    def find(self, session_id: str) -> Audience | None:
        """Return the audience of a session that exists."""
        return self._audiences.get(session_id)

    async def serve(
        self,
        path: Path,
        *,
        gid: int | None = None,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen until cancelled; then everybody is told BYE and the file goes.

        With a `gid` the group may connect too. Raises `StateInUseError`, `SettingsError`
        or `StorageError` when it cannot listen.
        """
        most = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS, 8)
        with private_socket(path, gid) as listening:
            async with anyio.create_task_group() as readers:
                task_status.started()
                while True:
                    reader = _Reader(await _accept(listening), self, self._limits)
                    if self._connected < most:
                        self._connected += 1
                        readers.start_soon(self._attend, reader, name="credential reader")
                    else:
                        reader.close(frames.TOO_MANY)

    async def _attend(self, reader: "_Reader") -> None:
        try:
            await reader.attend()
        finally:
            self._connected -= 1


async def _accept(listening: socket.socket) -> socket.socket:
    while True:
        try:
            connection, _ = listening.accept()
        except BlockingIOError:
            await anyio.wait_readable(listening)
        except OSError as error:
            if error.errno in _OUT_OF:
                # Whoever knocks stays in the kernel's queue meanwhile.
                await anyio.sleep(0.1)
        else:
            connection.setblocking(False)
            return connection


class _Reader:
    """One connection."""

    def __init__(
        self, connection: socket.socket, home: CredentialSocket, limits: Limits
    ) -> None:
        self._connection = connection
        self._home = home
        self._limits = limits
        self._inbox = bytearray()
        self._is_midway = False
        """Whether a frame was begun and not finished."""

    async def attend(self) -> None:
        """Serve the connection to its end, and close it."""
        goodbye: str | None = frames.SHUTDOWN  # what a cancellation means
        try:
            goodbye = await self._converse()
        except OSError:
            goodbye = None  # it has gone
        finally:
            self.close(goodbye)

    async def _converse(self) -> str | None:
        """Return what to say in the end; None when there is nobody to hear it."""
        line: bytes | None = b""
        with anyio.move_on_after(self._limits.hello_seconds) as hello:
            line = await self._line()
        if hello.cancelled_caught:
            return frames.HELLO_LATE
        if line is None:
            return None
        session_id = frames.read_hello(line)
        if session_id is None:
            return frames.HELLO_UNREADABLE
        peer = peer_of(self._connection)
        audience = self._home.find(session_id)
        if audience is None:
            return frames.SESSION_UNKNOWN
        if not peer.may_have(audience.gid, os.geteuid()):
            _log.warning(
                "reader.refused", session_id=audience.name, uid=peer.uid, pid=peer.pid
            )
            return frames.NOT_PERMITTED
        return await self._join(audience, peer)

    async def _join(self, audience: Audience, peer: Peer) -> str | None:
        newest: Credentials | None = None
        with anyio.move_on_after(self._limits.first_seconds) as first:
            newest = await audience.until_news(None)
        if first.cancelled_caught:
            return frames.NOTHING_YET
        if newest is None:
            return frames.SESSION_REMOVED
        goodbye: str | None = None
        async with anyio.create_task_group() as both:

            async def listen() -> None:
                await self._until_it_leaves()
                both.cancel_scope.cancel()

            both.start_soon(listen)
            try:
                goodbye = await self._keep_told(audience, peer)
            except OSError:
                goodbye = None
            finally:
                audience.leave(self)
            both.cancel_scope.cancel()
        return goodbye

    async def _keep_told(self, audience: Audience, peer: Peer) -> str:
        known: Credentials | None = None
        title = peer.title
        while True:
            if await audience.until_news(known) is None:
                return frames.SESSION_REMOVED
            with anyio.move_on_after(self._limits.stall_seconds) as stalled:
                await self._roomy()
            if stalled.cancelled_caught:
                _log.warning("reader.dropped", session_id=audience.name, reader=title)
                return frames.TOO_SLOW
            # Only now, so that a reader who kept us waiting gets what is newest.
            newest = await audience.until_news(known)
            if newest is None:
                return frames.SESSION_REMOVED
            if not peer.may_have(audience.gid, os.geteuid()):
                return frames.NOT_PERMITTED
            if not await self._send(audience.words(known, newest)):
                _log.warning("reader.dropped", session_id=audience.name, reader=title)
                return frames.TOO_SLOW
            known = newest
            audience.note(self, title, newest.generation)

    async def _roomy(self) -> None:
        """Wait until what was sent has mostly been read: then a frame and a BYE fit."""
        waiting = select.poll()
        waiting.register(self._connection, select.POLLOUT)
        if not waiting.poll(0):
            await anyio.wait_writable(self._connection)

    async def _send(self, frame: bytes) -> bool:
        """Send all of a frame; whether there was time for it."""
        left = memoryview(frame)
        self._is_midway = True
        with anyio.move_on_after(self._limits.stall_seconds):
            while left:
                try:
                    left = left[self._connection.send(left) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._connection)
        self._is_midway = 0 < len(left) < len(frame)
        return not left

    async def _line(self) -> bytes | None:
        """Read a line; one too long is cut, None is the end."""
        while b"\n" not in self._inbox and len(self._inbox) <= frames.MAX_HELLO_BYTES:
            data = await self._receive()
            if not data:
                return None
            self._inbox += data
        line, _, rest = bytes(self._inbox).partition(b"\n")
        self._inbox[:] = rest
        return line[: frames.MAX_HELLO_BYTES + 1]

    async def _until_it_leaves(self) -> None:
        """Pass over whatever else it says, until it is BYE or nothing more."""
        while (line := await self._line()) is not None:
            said = frames.read_frame(line)
            if said is not None and said.type == "BYE":
                return

    async def _receive(self) -> bytes:
        while True:
            await anyio.wait_readable(self._connection)
            try:
                return self._connection.recv(4096)
            except BlockingIOError:
                continue
            except OSError:
                return b""

    def close(self, goodbye: str | None) -> None:
        """Say the last word, if there is one, and close."""
        try:
            if goodbye is not None and not self._is_midway:
                self._connection.send(frames.bye(goodbye))
            # Closed over unread bytes, the kernel would tell the reader of an error.
            self._connection.recv(65536)
        except OSError:
            pass
        finally:
            self._connection.close()
