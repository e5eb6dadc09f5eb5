"""Asking the daemon, and every way it can fail to answer."""

import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from deadlines import HANG_SECONDS
from privileges import as_nobody

from rensei_daemon.control_api.client import is_locked, request
from rensei_daemon.control_api.request_limits import RequestLimits
from rensei_daemon.control_api.server import serve_control
from rensei_daemon.control_api.wire import Request
from rensei_daemon.errors import (
    ControlError,
    ControlRefusedError,
    DaemonNotRunningError,
    DaemonSilentError,
    NotPermittedError,
    RenseiError,
    SettingsError,
    StorageError,
)


@pytest.fixture
def control_socket() -> Iterator[Path]:
    """Name a socket, in a directory that anybody may pass through as in production."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        yield Path(directory, "control.sock")


@contextmanager
def daemon(path: Path, speak: Callable[[socket.socket], None]) -> Iterator[None]:
    """Accept one client in a thread, and do with it whatever is said."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def attend() -> None:
            client, _ = listening.accept()
            with client:
                speak(client)

        thread = threading.Thread(target=attend)
        thread.start()
        yield
        thread.join()


async def test_a_question_is_answered_by_the_server(control_socket: Path) -> None:
    """The two ends of this package understand each other, both ways."""

    async def echo(request: Request) -> object:
        return {"asked": request.body, "text": "ünïcode"}

    async def refuse(request: Request) -> object:
        raise SettingsError("bad file", hint="fix it")

    async def fail(request: Request) -> object:
        raise StorageError("disk full")

    routes = {
        ("POST", "/v1/echo"): echo,
        ("POST", "/v1/reload"): refuse,
        ("POST", "/v1/sync"): fail,
    }

    async def ask(path: str, body: object = None) -> object:
        return await anyio.to_thread.run_sync(request, control_socket, "POST", path, body)

    async with anyio.create_task_group() as group:

        async def serve(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            await serve_control(control_socket, routes, task_status=task_status)

        await group.start(serve)
        assert await ask("/v1/echo", [1]) == {"asked": [1], "text": "ünïcode"}
        with pytest.raises(SettingsError, match="bad file") as settings:
            await ask("/v1/reload")
        assert settings.value.hint == "fix it"
        with pytest.raises(ControlRefusedError, match="disk full"):
            await ask("/v1/sync")
        with pytest.raises(RenseiError, match="the request is too large"):
            await ask("/v1/echo", "x" * 500_000)
        group.cancel_scope.cancel()


async def test_a_busy_daemon_is_asked_again(control_socket: Path) -> None:
    """A 503 is not an answer while there is time."""

    async def ok(request: Request) -> object:
        return "ok"

    async with anyio.create_task_group() as group:

        async def serve(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            limits = RequestLimits(clients=1, seconds=0.2)
            routes = {("GET", "/v1/status"): ok}
            await serve_control(
                control_socket, routes, limits=limits, task_status=task_status
            )

        await group.start(serve)
        async with await anyio.connect_unix(control_socket) as hog:
            await hog.send(b"GET")
            answer = await anyio.to_thread.run_sync(
                request, control_socket, "GET", "/v1/status"
            )
        assert answer == "ok"
        group.cancel_scope.cancel()


def test_no_socket_means_no_daemon(control_socket: Path) -> None:
    """Neither a missing file nor a stale one is a daemon."""
    with pytest.raises(DaemonNotRunningError, match="No such file or directory"):
        request(control_socket, "GET", "/v1/status")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(control_socket))
    with pytest.raises(DaemonNotRunningError, match="Connection refused"):
        request(control_socket, "GET", "/v1/status")


def test_a_path_too_long_for_a_socket_is_no_daemon_either(tmp_path: Path) -> None:
    """Where no daemon could listen, none does."""
    with pytest.raises(DaemonNotRunningError, match="too long"):
        request(tmp_path / ("x" * 120), "GET", "/v1/status")


def test_a_daemon_that_accepts_but_says_nothing_is_silent(control_socket: Path) -> None:
    """A stopped process still has a listening socket; that must not look like health."""
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(control_socket))
        stopped.listen()
        began = time.monotonic()
        with pytest.raises(DaemonSilentError, match="has not answered for"):
            request(control_socket, "GET", "/v1/status", timeout_seconds=0.2)
    assert 0.2 <= time.monotonic() - began < HANG_SECONDS


def test_a_daemon_whose_queue_is_full_is_silent(control_socket: Path) -> None:
    """Not even being accepted, for as long as one waits, is silence too."""
    with socket.socket(socket.AF_UNIX) as stopped, socket.socket(socket.AF_UNIX) as first:
        stopped.bind(str(control_socket))
        stopped.listen(0)
        first.connect(str(control_socket))
        with pytest.raises(DaemonSilentError, match="has taken no request for"):
            request(control_socket, "GET", "/v1/status", timeout_seconds=0.2)


def test_a_question_nobody_reads_meets_silence(control_socket: Path) -> None:
    """A question larger than the kernel's buffers does not wait for ever."""
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(control_socket))
        stopped.listen()
        with pytest.raises(DaemonSilentError):
            request(control_socket, "POST", "/", "x" * 4_000_000, timeout_seconds=0.2)


def test_a_held_lock_without_a_socket_is_silence(
    control_socket: Path, tmp_path: Path
) -> None:
    """A daemon that runs but does not listen is told from none."""
    lock = tmp_path / "lock"
    with lock.open("w") as held:
        assert not is_locked(lock)
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DaemonSilentError):
            request(control_socket, "GET", "/", lock=lock, timeout_seconds=0.1)
    with pytest.raises(DaemonNotRunningError):
        request(control_socket, "GET", "/", lock=lock, timeout_seconds=0.1)


def test_a_lock_nobody_can_see_is_not_held(tmp_path: Path) -> None:
    """The state directory is closed to others; they simply learn less."""
    assert not is_locked(tmp_path / "missing")


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 "]
)
def test_half_an_answer_is_none(control_socket: Path, answer: bytes) -> None:
    """A connection that breaks off, or another program's, is told as what it is."""

    def speak(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(answer)

    with (
        daemon(control_socket, speak),
        pytest.raises(ControlError, match="broke off, or is not the daemon"),
    ):
        request(control_socket, "GET", "/v1/status")


def test_a_daemon_that_hangs_up_unheard_is_told(control_socket: Path) -> None:
    """A reset is the end of an answer that never came."""
    with (
        daemon(control_socket, lambda _: None),
        pytest.raises(ControlError, match="broke off"),
    ):
        request(control_socket, "POST", "/", "x" * 4_000_000)


@pytest.mark.needs("root")
def test_a_socket_of_a_group_names_the_group(control_socket: Path) -> None:
    """The remedy is spelt out for whoever is not in it yet."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(control_socket))
        listening.listen()
        os.chown(control_socket, -1, 4242)
        control_socket.chmod(0o660)
        with as_nobody(), pytest.raises(NotPermittedError) as caught:
            request(control_socket, "GET", "/v1/status")
    assert str(caught.value) == f"{control_socket} is there, not permitted: join group 4242"
    assert caught.value.hint == "sudo usermod -aG 4242 $USER, then log in again"


@pytest.mark.needs("root")
def test_a_private_socket_names_the_ways_in(control_socket: Path) -> None:
    """Without a group there is sudo, and the setting that opens the socket to one."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(control_socket))
        listening.listen()
        control_socket.chmod(0o600)
        with as_nobody(), pytest.raises(NotPermittedError) as caught:
            request(control_socket, "GET", "/v1/status")
    assert caught.value.hint == ("use sudo, or name a group that may read: [control].group")


@pytest.mark.needs("root")
def test_a_closed_directory_is_not_permitted(control_socket: Path) -> None:
    """Somebody else's runtime directory does not even show its socket."""
    control_socket.parent.chmod(0o700)
    with as_nobody(), pytest.raises(NotPermittedError) as caught:
        request(control_socket, "GET", "/v1/status")
    assert caught.value.hint == "use sudo"
