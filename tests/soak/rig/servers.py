"""Servers of the control plane, each a process that may be stopped or killed."""

import json
import os
import random
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import forked
from anyio.abc import SocketStream
from deadlines import HANG_SECONDS
from forked import Forked
from polling import until
from postgresql import ROLE, Cluster, running_postgresql

from rensei_platform.locations import STATE_VARIABLE

ORG = "org_acme"
PROGRAM = "rensei_platform"
CHANCE = random.Random()  # noqa: S311 - no secret
PATIENCE_SECONDS = 15.0
"""For an answer; a server that is killed gives none, and closes the connection."""


class NoAnswerError(Exception):
    """The server was gone, or said that it cannot answer now."""


@dataclass
class Servers:
    """Servers of one database, the key of its owner, and where they listen."""

    directory: Path
    database: str
    key: str = field(repr=False)
    ports: tuple[int, ...]
    options: tuple[str, ...] = ("--stop-seconds", "0")
    cluster: Cluster | None = None
    """The PostgreSQL that has the database, if it is one's own."""
    processes: dict[int, Forked] = field(default_factory=dict)

    async def start(self, port: int) -> None:
        """Start the server of a port, and wait until it listens."""
        ready = self.directory / f"ready-{port}"
        ready.unlink(missing_ok=True)
        serve = ["serve", "--database", self.database, "--port", str(port)]
        with (self.directory / f"log-{port}").open("ab") as log:
            self.processes[port] = Forked(
                *(PROGRAM, *serve, *self.options, "--ready-file", str(ready)),
                env=_environ(self.directory),
                cwd=self.directory,
                stdout=log,
                stderr=log,
            )
        await self.until(ready.exists)

    def kill(self, port: int) -> None:
        """Kill the server of a port."""
        process = self.processes.pop(port)
        process.send_signal(signal.SIGKILL)
        process.wait()

    async def stop(self, port: int) -> None:
        """Have the server of a port end by itself."""
        process = self.processes.pop(port)
        process.send_signal(signal.SIGTERM)
        await anyio.to_thread.run_sync(process.wait)

    async def until(self, question: Callable[[], object]) -> None:
        """Wait until it holds; fail if a server has ended by itself meanwhile."""

        def answer() -> object:
            for port, process in self.processes.items():
                assert process.poll() is None, (self.directory / f"log-{port}").read_text()
            return question()

        await until(answer)

    def any_port(self) -> int:
        """Return the port of one of them."""
        return CHANCE.choice(self.ports)

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str = "", **headers: str
    ) -> tuple[int, Any]:
        """Ask one of them; return the status and the answer. Raise NoAnswerError."""
        content = b"" if body is None else json.dumps(body).encode()
        head = {"host": "localhost", "connection": "close", **headers}
        head |= {
            "authorization": f"Bearer {key or self.key}",
            "content-length": str(len(content)),
        }
        lines = "".join(f"{name.replace('_', '-')}: {v}\r\n" for name, v in head.items())
        request = f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + content
        answer = await _exchange(self.any_port(), request)
        first, _, rest = answer.partition(b"\r\n")
        status, text = first.split()[1:2], rest.partition(b"\r\n\r\n")[2]
        if not status or int(status[0]) >= 500:
            raise NoAnswerError(answer[:200])
        try:
            return int(status[0]), json.loads(text)
        except ValueError as error:  # it was cut off
            raise NoAnswerError(answer[:200]) from error

    async def insist(self, method: str, path: str, body: Any, **more: str) -> Any:
        """Ask until one of them answers with success; return its answer."""
        with anyio.fail_after(HANG_SECONDS):
            while True:
                try:
                    status, answer = await self.call(method, path, body, **more)
                except NoAnswerError:
                    await anyio.sleep(0.05)
                    continue
                assert status == 200, (method, path, status, answer)
                return answer


async def _exchange(port: int, request: bytes) -> bytes:
    answer = b""
    try:
        with anyio.fail_after(PATIENCE_SECONDS):
            async with await anyio.connect_tcp("127.0.0.1", port) as connection:
                await connection.send(request)
                while True:
                    answer += await connection.receive()
    except anyio.EndOfStream:
        return answer
    except (OSError, anyio.BrokenResourceError, TimeoutError) as error:
        raise NoAnswerError(port) from error


async def open_stream(port: int, key: str, session_id: str) -> SocketStream:
    """Open a rotate stream. Raise NoAnswerError."""
    path = f"/api/daemon/credentials/rotate-stream?sessionId={session_id}"
    try:
        connection = await anyio.connect_tcp("127.0.0.1", port)
        await connection.send(
            f"GET {path} HTTP/1.1\r\nhost: localhost\r\n"
            f"authorization: Bearer {key}\r\n\r\n".encode()
        )
    except (OSError, anyio.BrokenResourceError) as error:
        raise NoAnswerError(port) from error
    return connection


@contextmanager
def servers_on(
    directory: Path, database: str, count: int, *options: str
) -> Iterator[Servers]:
    """Create the database, and lend servers of it that are not yet started."""
    owner = ["--org", "A", "--org-id", ORG, "--owner", "ada@acme.test", "--json"]
    words = (PROGRAM, "init", "--database", database, *owner)
    made = forked.run(*words, env=_environ(directory), cwd=directory)
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)["key"]
    servers = Servers(directory, database, key, _free_ports(count))
    servers.options += options
    try:
        yield servers
    finally:
        for port in tuple(servers.processes):
            servers.kill(port)


@contextmanager
def two_servers(
    directory: Path, *options: str, is_durable: bool = False
) -> Iterator[Servers]:
    """Lend two servers that are not yet started, on a PostgreSQL of their own."""
    flush = "on" if is_durable else "off"
    with running_postgresql(fsync=flush, synchronous_commit=flush) as cluster:
        database = f"postgresql://{ROLE}@/postgres?host={cluster.directory}"
        with servers_on(directory, database, 2, *options) as servers:
            servers.cluster = cluster
            yield servers


def _environ(directory: Path) -> dict[str, str]:
    place = {"HOME": str(directory), STATE_VARIABLE: str(directory / "state")}
    return {"PATH": os.environ["PATH"], **place}


def _free_ports(count: int) -> tuple[int, ...]:
    with ExitStack() as stack:
        here = ("127.0.0.1", 0)
        found = [stack.enter_context(socket.create_server(here)) for _ in range(count)]
        return tuple(one.getsockname()[1] for one in found)
