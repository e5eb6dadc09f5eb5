"""The control server, over real sockets, with good clients and bad ones."""

import json
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskGroup, UNIXSocketStream
from deadlines import HANG_SECONDS
from privileges import as_nobody
from structlog.testing import capture_logs

from rensei_daemon.control_api.request_limits import RequestLimits
from rensei_daemon.control_api.server import serve_control
from rensei_daemon.control_api.wire import Request, Routes
from rensei_daemon.errors import InvalidMutationError, TransientError

GET_STATUS = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def control_socket() -> Iterator[Path]:
    """Name a socket, in a directory that anybody may pass through as in production."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        yield Path(directory, "control.sock")


async def _status(request: Request) -> Any:
    return {"state": "ok", "uid": request.peer.uid, "query": dict(request.query)}


async def _echo(request: Request) -> Any:
    return {"path": dict(request.path), "body": request.body}


async def _refuse(request: Request) -> Any:
    raise InvalidMutationError("no such op", hint="see the list")


async def _unreachable(request: Request) -> Any:
    raise TransientError("platform gone")


async def _mistake(request: Request) -> Any:
    return [][request.peer.pid]


async def _half_a_character(request: Request) -> Any:
    return {"id": "\ud800"}


DEFAULTS = RequestLimits()
ROUTES: Routes = {
    ("GET", "/v1/status"): _status,
    ("GET", "/v1/mutations/{id}"): _echo,
    ("GET", "/v1/mistake"): _mistake,
    ("GET", "/v1/half"): _half_a_character,
    ("POST", "/v1/echo"): _echo,
    ("POST", "/v1/refuse"): _refuse,
    ("POST", "/v1/sync"): _unreachable,
}


@asynccontextmanager
async def serving(
    path: Path,
    routes: Routes = ROUTES,
    limits: RequestLimits = DEFAULTS,
    gid: int | None = None,
) -> AsyncIterator[TaskGroup]:
    """Serve until the block ends."""

    async def serve(*, task_status: Any) -> None:
        await serve_control(path, routes, gid=gid, limits=limits, task_status=task_status)

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as group:
            await group.start(serve)
            yield group
            group.cancel_scope.cancel()


async def _read_all(client: UNIXSocketStream) -> bytes:
    chunks = []
    try:
        while True:
            chunks.append(await client.receive())
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return b"".join(chunks)


async def talk(path: Path, *parts: bytes) -> tuple[int, Any]:
    """Say these bytes, and return the status and the JSON of the answer."""
    async with await anyio.connect_unix(path) as client:
        for part in parts:
            try:
                await client.send(part)
            except anyio.BrokenResourceError:
                break
        return parse(await _read_all(client))


async def until_served(path: Path) -> None:
    """Come back as often as one is told to."""
    status = 503
    while status == 503:
        status, _ = await talk(path, GET_STATUS)


def parse(raw: bytes) -> tuple[int, Any]:
    """Take an answer apart."""
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def post(path: str, body: bytes) -> bytes:
    """Spell a POST."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_a_route_answers_with_json(control_socket: Path) -> None:
    """A handler sees its peer and the query, and the client what it returned."""
    request = GET_STATUS.replace(b"status", b"status?full=1")
    async with serving(control_socket):
        answer = await talk(control_socket, request)
    assert answer == (200, {"state": "ok", "uid": os.geteuid(), "query": {"full": "1"}})


async def test_a_path_parameter_and_a_body_reach_the_handler(control_socket: Path) -> None:
    """Segments come unquoted, bodies decoded, also in chunks and byte by byte."""
    chunked = (
        b"POST /v1/echo HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n'
    )
    async with serving(control_socket):
        by_path = await talk(control_socket, b"GET /v1/mutations/d%2F1 HTTP/1.0\r\n\r\n")
        drops = [bytes([byte]) for byte in post("/v1/echo", b'{"a": 1}')]
        by_drops = await talk(control_socket, *drops)
        by_chunks = await talk(control_socket, chunked)
    assert by_path == (200, {"path": {"id": "d/1"}, "body": None})
    assert by_drops == by_chunks == (200, {"path": {}, "body": {"a": 1}})


@pytest.mark.parametrize(
    ("raw", "status", "error"),
    [
        (b"\x16\x03\x01 garbage\r\n\r\n", 400, "this is not an HTTP/1.1 request"),
        (b"GET /v1/status HTTP/1.1\r\n\r\n", 400, "this is not an HTTP/1.1 request"),
        (post("/v1/echo", b"{"), 400, "the body is not JSON"),
        (post("/v1/echo", b"[" * 60_000), 400, "the body is not JSON"),
        (post("/v1/echo", b"\xff"), 400, "the body is not JSON"),
        (post("/v1/echo", b" " * 70_000), 413, "the request is too large"),
        (GET_STATUS.replace(b"status", b"nothing"), 404, "there is no /v1/nothing"),
        (post("/v1/status", b""), 405, "/v1/status does not take POST"),
        (post("/v1/refuse", b""), 422, "no such op"),
        (
            GET_STATUS.replace(b"/v1/status", b"//["),
            400,
            "the request has no path",
        ),
        (
            GET_STATUS.replace(b"/v1/status", b"/v1/mistake"),
            500,
            "the daemon could not answer this: internal error",
        ),
        (post("/v1/sync", b""), 504, "platform gone"),
        (
            GET_STATUS[:-2] + b"X: " + b"x" * 17_000 + b"\r\n\r\n",
            431,
            "the headers are too large",
        ),
        (GET_STATUS[:-2] + b"X: " + b"x" * 30_000, 431, "the headers are too large"),
    ],
)
async def test_a_bad_request_gets_a_reason(
    control_socket: Path, raw: bytes, status: int, error: str
) -> None:
    """Whatever is wrong is answered with its status and one line of JSON."""
    async with serving(control_socket):
        answered, body = await talk(control_socket, raw)
        still = await talk(control_socket, GET_STATUS)
    assert (answered, body["error"]) == (status, error)
    assert still[0] == 200


async def test_half_a_character_can_be_told(control_socket: Path) -> None:
    """What a platform sent and UTF-8 cannot hold is in the JSON as an escape."""
    async with serving(control_socket):
        told = await talk(control_socket, GET_STATUS.replace(b"status", b"half"))
    assert told == (200, {"id": "\ud800"})


async def test_a_method_not_taken_names_those_that_are(control_socket: Path) -> None:
    """A 405 carries `Allow`, as HTTP asks."""
    async with serving(control_socket), await anyio.connect_unix(control_socket) as client:
        await client.send(post("/v1/status", b""))
        raw = await _read_all(client)
    assert b"\r\nAllow: GET\r\n" in raw


async def test_a_hung_client_is_sent_away_and_stalls_nobody(control_socket: Path) -> None:
    """One that never finishes its request gets 408 at the deadline; others go on."""
    limits = RequestLimits(seconds=0.3)
    async with (
        serving(control_socket, limits=limits),
        await anyio.connect_unix(control_socket) as hung,
    ):
        await hung.send(b"GET /v1/sta")
        assert (await talk(control_socket, GET_STATUS))[0] == 200
        status, body = parse(await _read_all(hung))
    assert (status, body["error"]) == (408, "the request did not arrive within 0.3 s")


async def test_a_client_that_does_not_read_is_dropped(control_socket: Path) -> None:
    """An answer nobody takes is given up at the deadline, and its place is free again."""

    async def large(request: Request) -> Any:
        return "x" * 4_000_000

    limits = RequestLimits(seconds=0.2, clients=1)
    routes = {("GET", "/v1/status"): large}
    async with (
        serving(control_socket, routes, limits),
        await anyio.connect_unix(control_socket) as deaf,
    ):
        await deaf.send(GET_STATUS)
        await until_served(control_socket)
        raw = await _read_all(deaf)
    assert 0 < len(raw) < 4_000_000


async def test_a_client_that_leaves_is_nobodys_trouble(control_socket: Path) -> None:
    """Going away before, during and after a request leaves the server as it was."""
    async with serving(control_socket):
        for part in (b"", b"GET /v1", GET_STATUS):
            async with await anyio.connect_unix(control_socket) as client:
                if part:
                    await client.send(part)
        assert (await talk(control_socket, GET_STATUS))[0] == 200


async def test_one_client_too_many_is_told_to_come_back(control_socket: Path) -> None:
    """With every place taken there is a 503 at once, and room again afterwards."""
    limits = RequestLimits(clients=2, grace_seconds=60)
    async with serving(control_socket, limits=limits):
        async with (
            await anyio.connect_unix(control_socket) as first,
            await anyio.connect_unix(control_socket) as second,
        ):
            await first.send(b"GET")
            await second.send(b"GET")
            status, body = await talk(control_socket)
            assert (status, body["error"]) == (503, "too many clients at once")
        await until_served(control_socket)


async def test_a_silent_client_gives_way_to_one_that_asks(control_socket: Path) -> None:
    """With every place held by somebody who says nothing, the slowest loses it."""
    limits = RequestLimits(clients=2, grace_seconds=0)
    async with (
        serving(control_socket, limits=limits),
        await anyio.connect_unix(control_socket) as first,
        await anyio.connect_unix(control_socket) as second,
    ):
        await first.send(b"GET")
        await second.send(b"GET")
        await anyio.wait_all_tasks_blocked()
        assert (await talk(control_socket, GET_STATUS))[0] == 200
        status, body = parse(await _read_all(first))
        assert (status, body["error"]) == (503, "too many clients at once")


async def test_who_has_said_all_it_wants_is_answered_though_no_place_is_free(
    control_socket: Path,
) -> None:
    """A request that is there when its client is let in never has to be waited for."""
    limits = RequestLimits(clients=1, grace_seconds=60)
    async with (
        serving(control_socket, limits=limits),
        await anyio.connect_unix(control_socket) as silent,
    ):
        await silent.send(b"GET")
        await anyio.wait_all_tasks_blocked()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.connect(str(control_socket))
            asking.sendall(GET_STATUS)
            async with await UNIXSocketStream.from_socket(asking) as client:
                assert parse(await _read_all(client))[0] == 200
        assert parse(await _read_all(silent))[0] == 503


async def test_one_that_does_not_take_its_answer_gives_way(control_socket: Path) -> None:
    """The place is free long before the deadline, and the answer is cut off."""

    async def large(request: Request) -> Any:
        return "x" * 4_000_000 if request.query else "small"

    limits = RequestLimits(seconds=60, clients=1, grace_seconds=0.05)
    routes = {("GET", "/v1/status"): large}
    async with (
        serving(control_socket, routes, limits),
        await anyio.connect_unix(control_socket) as deaf,
    ):
        await deaf.send(GET_STATUS.replace(b"status", b"status?large=1"))
        await until_served(control_socket)
        raw = await _read_all(deaf)
    assert 0 < len(raw) < 4_000_000


async def test_many_clients_at_once_are_all_served(control_socket: Path) -> None:
    """As many as the limit says get their answers together."""
    statuses: list[int] = []

    async def ask() -> None:
        statuses.append((await talk(control_socket, GET_STATUS))[0])

    async with serving(control_socket), anyio.create_task_group() as clients:
        for _ in range(32):
            clients.start_soon(ask)
    assert statuses == [200] * 32


async def _ask_as_stranger(control_socket: Path, request: bytes) -> tuple[int, Any]:
    stranger = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with as_nobody():
        stranger.connect(str(control_socket))
    async with await UNIXSocketStream.from_socket(stranger) as client:
        await client.send(request)
        return parse(await _read_all(client))


@pytest.mark.needs("root")
async def test_a_stranger_who_insists_fills_no_log(control_socket: Path) -> None:
    """A script may try all night: the 1st and the 10th time are told, with who it is."""
    with capture_logs() as events:
        async with serving(control_socket, gid=65534):
            for _ in range(12):
                await _ask_as_stranger(control_socket, post("/v1/sync", b""))
    assert {event["event"] for event in events} == {"control.refused"}
    told = [event for event in events if event["log_level"] == "warning"]
    assert [(event["count"], event["uid"]) for event in told] == [(1, 65534), (10, 65534)]


@pytest.mark.needs("root")
async def test_a_stranger_may_read_but_not_write(control_socket: Path) -> None:
    """Who can connect is up to the file; who can change things, to the kernel's word."""
    async with serving(control_socket, gid=65534):
        statuses = [
            await _ask_as_stranger(control_socket, request)
            for request in (GET_STATUS, post("/v1/sync", b""))
        ]
    assert statuses == [
        (200, {"state": "ok", "uid": 65534, "query": {}}),
        (
            403,
            {
                "error": "only root and the daemon's user may change anything",
                "hint": "run it with sudo",
                "exit_code": 77,
            },
        ),
    ]


async def test_cancellation_closes_every_client_and_takes_the_file_away(
    control_socket: Path,
) -> None:
    """Nothing of the server outlives it: a handler at work, a client half heard."""
    entered = anyio.Event()

    async def hang(request: Request) -> Any:
        entered.set()
        await anyio.sleep_forever()

    async with serving(control_socket, {("GET", "/v1/status"): hang}):
        waiting = await anyio.connect_unix(control_socket)
        speaking = await anyio.connect_unix(control_socket)
        await waiting.send(GET_STATUS)
        await speaking.send(b"GET /v1")
        await entered.wait()
    with anyio.fail_after(HANG_SECONDS):
        assert await _read_all(waiting) == await _read_all(speaking) == b""
    await waiting.aclose()
    await speaking.aclose()
    assert not await anyio.Path(control_socket).exists()


async def test_a_socket_that_a_cleaner_removed_is_bound_again(
    control_socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is being answered is, and who asks next finds the daemon."""
    monkeypatch.setattr("rensei_daemon.sockets.persistent_socket.CHECK_SECONDS", 0.01)
    async with serving(control_socket):
        early = await anyio.connect_unix(control_socket)
        await anyio.Path(control_socket).unlink()
        late: UNIXSocketStream | None = None
        while late is None:
            with suppress(OSError):
                late = await anyio.connect_unix(control_socket)
        for client in (early, late):
            async with client:
                await client.send(GET_STATUS)
                assert parse(await _read_all(client))[0] == 200


async def test_running_out_of_descriptors_only_delays(control_socket: Path) -> None:
    """Who knocks while no descriptor is free is served once there is one."""
    async with serving(control_socket):
        with capture_logs() as logs, anyio.fail_after(HANG_SECONDS):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            before = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, before[1]))
            taken = _take_all_descriptors()
            client.connect(str(control_socket))
            while not logs:  # it has tried
                await anyio.lowlevel.checkpoint()
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for descriptor in taken:
                os.close(descriptor)
            async with await UNIXSocketStream.from_socket(client) as stream:
                await stream.send(GET_STATUS)
                assert parse(await _read_all(stream))[0] == 200
    assert [(log["event"], log["error"]) for log in logs] == [
        ("control.starved", "Too many open files")
    ]


def _take_all_descriptors() -> list[int]:
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        return taken
