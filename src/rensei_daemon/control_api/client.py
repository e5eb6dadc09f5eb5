"""Send a request to the daemon of this host, and return its answer.

Imports little, and only the standard library: `status` and `exec` start in a fraction of
the time that importing an HTTP client takes. Each error tells who must act: there
is no daemon, it does not respond, the caller has no permission, or the daemon refuses.
"""

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from rensei_daemon.disk.processes import lock_holder
from rensei_daemon.errors import (
    ControlError,
    ControlRefusedError,
    DaemonNotRunningError,
    DaemonSilentError,
    NotPermittedError,
    PlatformError,
    SettingsError,
    StateInUseError,
    UsageError,
)
from rensei_daemon.sockets.connecting import connect_errors

RETRY_SECONDS = 0.05
BUSY = 503

_KINDS = {
    kind.exit_code: kind
    for kind in (
        UsageError,
        PlatformError,
        StateInUseError,
        NotPermittedError,
        SettingsError,
    )
}


def request(
    control_socket: Path,
    method: str,
    path: str,
    body: Any = None,
    *,
    lock: Path | None = None,
    timeout_seconds: float = 2.0,
) -> Any:
    """Send a request to the daemon and return its answer: decoded JSON, or text.

    With `lock`, the file of the state lock, a daemon that holds the lock but does not
    listen yet is waited for. Raises `DaemonNotRunningError`, `DaemonSilentError`,
    `NotPermittedError`, or the daemon's refusal: the error of its exit code, else
    `ControlRefusedError`.
    """
    deadline = time.monotonic() + timeout_seconds
    raw_request = _encode(method, path, body)
    while True:
        try:
            status, answer = _exchange(control_socket, raw_request, deadline)
        except TimeoutError as error:
            raise DaemonSilentError(
                f"the daemon runs but has not answered for {timeout_seconds:g} s"
            ) from error
        except DaemonNotRunningError:
            if lock is None or not is_locked(lock):
                raise
        else:
            if status != BUSY:
                return _accept(status, answer)
        _pause(deadline, timeout_seconds)


def _encode(method: str, path: str, body: Any) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}"
    return f"{head}\r\nConnection: close\r\n\r\n".encode() + content


def _exchange(control_socket: Path, raw_request: bytes, deadline: float) -> tuple[int, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_left(deadline))
        with connect_errors(
            control_socket, way_in="a group that may read: [control].group"
        ):
            try:
                connection.connect(os.fspath(control_socket))
            except BlockingIOError:
                return BUSY, None  # its queue is full
        # The daemon may refuse and close before it has read all; its answer can be read.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(raw_request)
        return _decode(_read(connection, deadline), control_socket)


def _read(connection: socket.socket, deadline: float) -> bytes:
    chunks: list[bytes] = []
    while True:
        connection.settimeout(_left(deadline))
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


def _decode(raw: bytes, control_socket: Path) -> tuple[int, Any]:
    head, _, content = raw.partition(b"\r\n\r\n")
    is_text = b"\r\ncontent-type: text/plain" in head.lower()
    try:
        status = int(head.split(b" ", 2)[1])
        return status, content.decode() if is_text else json.loads(content)
    except (ValueError, IndexError) as error:
        raise ControlError(
            f"what serves {control_socket} broke off, or is not the daemon",
            hint="see what happened: rensei-daemon logs -n 50",
        ) from error


def _accept(status: int, answer: Any) -> Any:
    if status < 300:
        return answer
    refusal = answer if isinstance(answer, dict) else {}
    kind = _KINDS.get(refusal.get("exit_code", 1), ControlRefusedError)
    raise kind(str(refusal.get("error", "")), hint=str(refusal.get("hint", "")))


def _pause(deadline: float, timeout_seconds: float) -> None:
    if time.monotonic() + RETRY_SECONDS >= deadline:
        raise DaemonSilentError(
            f"the daemon runs but has taken no request for {timeout_seconds:g} s"
        )
    time.sleep(RETRY_SECONDS)


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)  # 0 would mean not to wait at all


def is_locked(lock: Path) -> bool:
    """Whether a process holds a lock on this file; False if that is unknown."""
    return lock_holder(lock) is not None
