"""A socket file that somebody removes or alters, and the clients on both sides of that."""

import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import anyio.lowlevel
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.errors import RenseiError
from rensei_daemon.sockets.persistent_socket import PersistentSocket


class Echo:
    """A server on a persistent socket that sends back what it receives."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "run" / "a.sock"
        self.path.parent.mkdir(mode=0o711)
        self.told: list[str] = []
        self._news = anyio.Event()

    def tell(self, error: RenseiError | None) -> None:
        """Note what is said of the file."""
        self.told.append(str(error))
        self._news.set()
        self._news = anyio.Event()

    async def news(self) -> str:
        """Wait for the next report about the file."""
        await self._news.wait()
        return self.told[-1]

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Serve while the block runs."""
        with (
            anyio.fail_after(HANG_SECONDS),
            PersistentSocket(self.path, None, self.tell) as kept,
        ):
            async with anyio.create_task_group() as clients:

                async def accept(listening: socket.socket) -> None:
                    while True:
                        await anyio.wait_readable(listening)
                        clients.start_soon(_echo, listening.accept()[0])

                clients.start_soon(kept.serve, accept)
                yield
                clients.cancel_scope.cancel()

    def connect(self) -> socket.socket:
        """Be a client."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self.path))
        return client


async def _echo(connection: socket.socket) -> None:
    with connection:
        while data := await _receive(connection):
            connection.send(data)


async def _receive(connection: socket.socket) -> bytes:
    await anyio.wait_readable(connection)
    return connection.recv(100)


async def hears(client: socket.socket) -> bool:
    """Whether somebody serves the client."""
    client.send(b"hello")
    return await _receive(client) == b"hello"


@pytest.fixture
async def echo(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Echo]:
    """A server in a directory with a short path, which looks often."""
    monkeypatch.setattr("rensei_daemon.sockets.persistent_socket.CHECK_SECONDS", 0.01)
    with TemporaryDirectory() as directory:
        yield Echo(Path(directory))


def _remove(path: Path) -> None:
    path.unlink()


def _remove_directory(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


def _leave_a_dead_one(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    path.chmod(0o600)


def _shut(path: Path) -> None:
    path.chmod(0)


def _give_away(path: Path) -> None:
    os.chown(path, -1, 65534)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names alone are counted


@pytest.mark.parametrize(
    "alter",
    [
        _remove,
        _remove_directory,
        _leave_a_dead_one,
        _shut,
        pytest.param(_give_away, marks=pytest.mark.needs("root")),
    ],
)
async def test_the_file_is_put_back_and_no_client_is_dropped(
    echo: Echo, alter: Callable[[Path], None]
) -> None:
    """Who was connected stays so, and who comes finds the file as it was."""
    async with echo.up():
        before = echo.path.lstat()
        early = echo.connect()
        assert await hears(early)
        descriptors = _descriptors()
        alter(echo.path)
        assert await echo.news() == "None"
        while _descriptors() > descriptors:
            await anyio.lowlevel.checkpoint()  # the old socket is about to be closed
        found = echo.path.lstat()
        assert stat.filemode(found.st_mode) == "srw-------"
        assert (found.st_uid, found.st_gid) == (before.st_uid, before.st_gid)
        late = echo.connect()
        assert await hears(late)
        assert await hears(early)
        early.close()
        late.close()
    assert echo.told == ["None"]
    assert not echo.path.exists()


async def test_a_file_that_is_another_process_s_is_not_taken(echo: Echo) -> None:
    """This is reported while it lasts, and the socket is restored once the path is free."""
    async with echo.up():
        early = echo.connect()
        echo.path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(echo.path))
            other.listen()
            for _ in range(2):
                assert await echo.news() == f"another process serves {echo.path}"
        assert await hears(early)
        assert await echo.news() == "None"
        late = echo.connect()
        assert await hears(late)
        early.close()
        late.close()


async def test_a_file_that_is_in_place_is_left_alone(echo: Echo) -> None:
    """However often it is looked at."""
    async with echo.up():
        before = echo.path.lstat().st_ino
        for _ in range(5):
            client = echo.connect()
            await anyio.wait_all_tasks_blocked()
            assert await hears(client)
            client.close()
        assert echo.path.lstat().st_ino == before
    assert echo.told == []
