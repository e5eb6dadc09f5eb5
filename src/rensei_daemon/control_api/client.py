"""Asking the daemon on this host: one request, one answer, and a clear word when not.

Only the standard library, and little of it: `status` and `exec` start in a fraction of
the time a real HTTP client takes to import. What is told apart here is who must act: no
daemon, a daemon that does not answer, a caller who may not ask, a daemon that says no.
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
    """Ask the daemon and return its answer, decoded; text that is no JSON as it is.

    With `lock`, the state lock's file, a daemon that holds it but does not listen is told
    from one that is not there. Raises DaemonNotRunningError, DaemonSilentError,
    NotPermittedError, or what the daemon refused with: ControlRefusedError, or the error
    its exit code stands for.
    """
    deadline = time.monotonic() + timeout_seconds
    question = _encode(method, path, body)
    while True:
        try:
            status, answer = _ask(control_socket, question, deadline)
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


def _ask(control_socket: Path, question: bytes, deadline: float) -> tuple[int, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_left(deadline))
        with connect_errors(
            control_socket, way_in="a group that may read: [control].group"
        ):
            try:
                connection.connect(os.fspath(control_socket))
            except BlockingIOError:
                return BUSY, None  # its queue is full
        # A daemon that has heard enough hangs up; what it says about that can be read.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(question)
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
    said = answer if isinstance(answer, dict) else {}
    kind = _KINDS.get(said.get("exit_code", 1), ControlRefusedError)
    raise kind(str(said.get("error", "")), hint=str(said.get("hint", "")))


def _pause(deadline: float, timeout_seconds: float) -> None:
    if time.monotonic() + RETRY_SECONDS >= deadline:
        raise DaemonSilentError(
            f"the daemon runs but has taken no request for {timeout_seconds:g} s"
        )
    time.sleep(RETRY_SECONDS)


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)  # 0 would mean not to wait at all


def is_locked(lock: Path) -> bool:
    """Whether a process holds a lock on this file; no is also said when nobody can tell."""
    return lock_holder(lock) is not None
