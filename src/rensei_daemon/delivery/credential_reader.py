"""A worker's end of the credential socket, for our own commands.

Imports little, and only the standard library: `exec` runs before every start of a worker.
"""

import os
import select
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from rensei_daemon.core import credential_frames
from rensei_daemon.core.credential_frames import Frame
from rensei_daemon.errors import (
    DaemonNotRunningError,
    DeliveryError,
    NotPermittedError,
    RenseiError,
    UsageError,
)
from rensei_daemon.sockets.connecting import connect_errors

RETRY_SECONDS = 0.1
LONGEST_HELLO_SECONDS = 5.0


class _SilentError(DeliveryError):
    """The daemon accepted the HELLO but did not answer in time; it may have no values."""


def connect(path: Path, first: bytes) -> socket.socket:
    """Connect to the credential socket and send the first line; never blocks.

    Raises `DaemonNotRunningError`, or `NotPermittedError` if the user may not connect.
    """
    with ExitStack() as undo:
        connection = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        connection.setblocking(False)
        with connect_errors(path, way_in="a group that may connect: [credentials].group"):
            connection.connect(os.fspath(path))
            connection.send(first)
        undo.pop_all()
        return connection


class CredentialReader:
    """One connection at a time to the socket; no method waits."""

    def __init__(self, path: Path, session_id: str, *, acknowledges: bool = False) -> None:
        """`acknowledges`: `acknowledge` is going to be called."""
        self._path = path
        self._acknowledges = acknowledges
        self._read = self._acknowledged = 0
        """How many frames with values of this connection."""
        self._says_waiting = False
        """Whether it has said that the frames it did not acknowledge wait."""
        self.session_id = session_id
        self._socket: socket.socket | None = None
        self._inbox = bytearray()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._socket is not None

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return -1 if self._socket is None else self._socket.fileno()

    def open(self) -> None:
        """Connect and send HELLO.

        Raises `DaemonNotRunningError`, or `NotPermittedError` if the user may not
        connect.
        """
        self.close()
        hello = credential_frames.hello(self.session_id, acknowledges=self._acknowledges)
        self._read = self._acknowledged = 0
        self._says_waiting = False
        self._socket = connect(self._path, hello)

    def frames(self) -> list[Frame]:
        """Return the frames that have arrived; close the connection when it ends."""
        arrived: list[Frame] = []
        while self._socket is not None:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self._inbox += data
            if b"\n" in data:
                arrived += self._whole_frames()
            if not data:
                self.close()
        return arrived

    def _whole_frames(self) -> list[Frame]:
        *lines, rest = bytes(self._inbox).split(b"\n")
        self._inbox[:] = rest
        read = (credential_frames.read_frame(line) for line in lines)
        arrived = [frame for frame in read if frame is not None]
        self._read += sum(frame.type in ("INITIAL", "UPDATE") for frame in arrived)
        return arrived

    def acknowledge(self) -> None:
        """Say that the values of all frames that were read are in use, once."""
        if self._socket is None or self._acknowledged == self._read:
            return
        if self._say(credential_frames.acknowledgement(self._read)):
            self._acknowledged, self._says_waiting = self._read, False

    def say_waiting(self, seconds: float) -> None:
        """Say that frames which were read are going to be in use only then, once."""
        if self._says_waiting or self._acknowledged == self._read:
            return
        self._says_waiting = self._say(credential_frames.waiting(seconds))

    def _say(self, frame: bytes) -> bool:
        """Send a frame; return False if it is to be sent again later."""
        if self._socket is None:
            return False
        try:
            sent = self._socket.send(frame)
        except BlockingIOError:
            return False
        except OSError:
            sent = len(frame)  # the end of the connection is read next
        if sent < len(frame):
            self.close()
        return True

    def close(self) -> None:
        """Close the connection if there is one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._inbox.clear()


def first_values(reader: CredentialReader, *, wait_seconds: float) -> Mapping[str, str]:
    """Return a session's values; the reader stays open for updates.

    Waits `wait_seconds` for a daemon that is not running yet or has no values yet.
    Raises `DaemonNotRunningError` or `DeliveryError` after that, and `UsageError` for
    an unknown session and `NotPermittedError` at once.
    """
    deadline = time.monotonic() + wait_seconds
    failure: RenseiError | None = None
    while True:
        try:
            return _ask(reader, deadline)
        except (DaemonNotRunningError, DeliveryError) as error:
            # A last try that the deadline cuts short must not hide the
            # earlier reason.
            failure = failure if failure and isinstance(error, _SilentError) else error
            if time.monotonic() + RETRY_SECONDS >= deadline:
                raise failure from None
        time.sleep(RETRY_SECONDS)


def _ask(reader: CredentialReader, deadline: float) -> Mapping[str, str]:
    reader.open()
    until = min(deadline, time.monotonic() + LONGEST_HELLO_SECONDS)
    waiting = select.poll()
    waiting.register(reader, select.POLLIN)
    while reader.is_open and (left := until - time.monotonic()) > 0:
        waiting.poll(left * 1000)
        for frame in reader.frames():
            if frame.type == "INITIAL":
                return frame.env
            if frame.type == "BYE":
                raise refusal(reader.session_id, frame.reason)
    reader.close()
    # Without a snapshot a daemon that is well lets us wait, too.
    what = "no credentials in time" if until == deadline else "the daemon did not answer"
    raise _SilentError(
        f"session {reader.session_id}: {what}",
        hint="check the daemon: rensei-daemon status",
    )


def refusal(session_id: str, reason: str) -> RenseiError:
    """Return the error that a BYE means."""
    match reason:
        case credential_frames.SESSION_UNKNOWN | credential_frames.SESSION_REMOVED:
            return UsageError(
                f"there is no session {session_id} on this host",
                hint="those there are: rensei-daemon credentials list",
            )
        case credential_frames.NOT_PERMITTED:
            return NotPermittedError(
                f"you may not have the credentials of session {session_id}",
                hint="join the session's group: [[credentials.sessions]] group",
            )
        case _:
            return DeliveryError(
                f"session {session_id}: {reason or 'the daemon closed the connection'}",
                hint="check the daemon: rensei-daemon status",
            )
