"""The daemon's side of the control socket: HTTP/1.1, one request a connection.

It owns the limits: how large a request may be, how long it may take to arrive, how many
are served at once. What a request means is the routes' business. A client can make its
own connection fail, and nothing else.
"""

import json
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import anyio
import h11
import structlog
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskStatus

from rensei_daemon.control_api.wire import (
    Answer,
    Peer,
    Request,
    Route,
    Routes,
    encode,
    find_route,
    refuse,
    refuse_for,
)
from rensei_daemon.disk.private_socket import private_socket
from rensei_daemon.errors import RenseiError

log = structlog.get_logger()

_CREDENTIALS = struct.Struct("3i")  # SO_PEERCRED: pid, uid, gid


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client, and all of them together, may ask for."""

    request_bytes: int = 64 * 1024
    header_bytes: int = 16 * 1024
    seconds: float = 5.0
    """To receive a whole request, and again to send the whole answer."""
    clients: int = 32
    """Served at once; a further one is told to come back."""


async def serve_control(
    path: Path,
    routes: Routes,
    *,
    gid: int | None = None,
    limits: Limits = Limits(),
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the routes on a unix socket until cancelled; the file goes with the task.

    Started once clients can connect. With a `gid` the group may connect too, which lets
    it read. Raises StateInUseError, SettingsError or StorageError when it cannot listen.
    """
    slots = anyio.CapacityLimiter(limits.clients)
    with private_socket(path, gid) as listening:
        async with (
            await SocketListener.from_socket(listening) as listener,
            anyio.create_task_group() as clients,
        ):
            task_status.started()
            while True:
                stream = await _accept(listener)
                clients.start_soon(_attend, stream, routes, limits, slots)


async def _accept(listener: SocketListener) -> SocketStream:
    while True:
        try:
            return await listener.accept()
        except anyio.BrokenResourceError:
            # Out of descriptors: whoever knocks stays in the kernel's queue meanwhile.
            await anyio.sleep(0.1)


async def _attend(
    stream: SocketStream, routes: Routes, limits: Limits, slots: anyio.CapacityLimiter
) -> None:
    async with stream:
        try:
            slots.acquire_nowait()
        except anyio.WouldBlock:
            await _send(stream, encode(_BUSY), limits)
            return
        try:
            raw = await _reply(stream, routes, limits)
            if raw is not None:
                await _send(stream, raw, limits)
        finally:
            slots.release()


async def _reply(stream: SocketStream, routes: Routes, limits: Limits) -> bytes | None:
    """Return what to send, if there is anybody to send it to.

    Whatever goes wrong here, ours or the client's mistake, is this client's trouble.
    """
    try:
        answer = await _converse(stream, routes, limits)
        return None if answer is None else encode(answer)
    except Exception:
        log.exception("control.failed")
        return encode(_MISTAKE)


_BUSY = refuse(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too many clients at once",
    hint="try again in a moment",
)


_READ_ONLY = refuse(
    HTTPStatus.FORBIDDEN,
    "only root and the daemon's user may change anything",
    hint="run it with sudo",
)
_MISTAKE = refuse(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "the daemon could not answer this: a mistake of ours",
    hint="please report it, with: rensei-daemon logs -n 50",
)
_GARBAGE = refuse(HTTPStatus.BAD_REQUEST, "this is not an HTTP/1.1 request")
_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
_HEADERS = refuse(_TOO_LARGE, "the headers are too large")
_BODY = refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large")


async def _send(stream: SocketStream, raw: bytes, limits: Limits) -> None:
    # A client that leaves, or does not read, loses its answer; that is all.
    with anyio.move_on_after(limits.seconds):
        try:
            await stream.send(raw)
        except anyio.BrokenResourceError:
            return


async def _converse(stream: SocketStream, routes: Routes, limits: Limits) -> Answer | None:
    received: tuple[h11.Request, bytes] | Answer | None = refuse(
        HTTPStatus.REQUEST_TIMEOUT,
        f"the request did not arrive within {limits.seconds:g} s",
    )
    with anyio.move_on_after(limits.seconds):
        received = await _receive(stream, limits)
    if received is None or isinstance(received, Answer):
        return received
    return await _answer(_peer(stream), *received, routes)


async def _receive(
    stream: SocketStream, limits: Limits
) -> tuple[h11.Request, bytes] | Answer | None:
    """Read one request; an Answer when it is not one, None when the client has gone."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header_bytes)
    head: h11.Request | None = None
    body = bytearray()
    left = limits.request_bytes
    while True:
        event = _next_event(connection, limits)
        if event is h11.NEED_DATA:
            data = await _read(stream)
            left -= len(data)
            if left < 0:
                return _BODY
            connection.receive_data(data)
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return head, bytes(body)
        else:
            return event if isinstance(event, Answer) else None


def _next_event(connection: h11.Connection, limits: Limits) -> object:
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        return _HEADERS if error.error_status_hint == _TOO_LARGE else _GARBAGE
    if isinstance(event, h11.Request):
        # The parser's own limit lets through what arrives complete in one read.
        size = sum(len(name) + len(value) for name, value in event.headers)
        return _HEADERS if size > limits.header_bytes else event
    return event


async def _read(stream: SocketStream) -> bytes:
    try:
        return await stream.receive(4096)
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return b""


def _peer(stream: SocketStream) -> Peer:
    connection: socket.socket = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - not Django's
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return Peer(pid=pid, uid=uid, gid=gid)


async def _answer(peer: Peer, head: h11.Request, body: bytes, routes: Routes) -> Answer:
    method, target = head.method.decode(), head.target.decode()
    found = find_route(routes, method, target)
    if isinstance(found, Answer):
        return found
    route, path, query = found
    if route.writes:
        tell = log.bind(verb=f"{method} {target[:200]}", uid=peer.uid, pid=peer.pid)
        if not peer.may_write(os.geteuid()):
            tell.warning("control.refused")
            return _READ_ONLY
        tell.info("control.requested")
    return await _call(route, peer, path, query, body)


async def _call(
    route: Route, peer: Peer, path: Mapping[str, str], query: Mapping[str, str], body: bytes
) -> Answer:
    try:
        content: Any = json.loads(body) if body else None
    except (ValueError, RecursionError):
        return refuse(HTTPStatus.BAD_REQUEST, "the body is not JSON")
    try:
        result = await route.handler(
            Request(peer=peer, path=path, query=query, body=content)
        )
    except RenseiError as error:
        return refuse_for(error)
    return Answer(HTTPStatus.OK, result)
