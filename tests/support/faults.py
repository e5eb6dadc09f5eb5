"""Faults between the network and a server: wrong responses, lost and delayed ones.

A fault answers the next requests that match; the server does not see them, or sees them
and its response is lost. A hold lets the server answer, and keeps the response back.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
from changes import Changes
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CallInServer = Callable[[Callable[[], object]], object]


@dataclass(slots=True, kw_only=True)
class Fault:
    """One wrong response, and how often it is still given."""

    method: str
    path: str
    response: Response
    times: int
    """How many more requests it answers."""
    app_sees: bool
    served: list[bytes] = field(default_factory=list)
    """The bodies of the requests it has answered."""


class Hold:
    """A response that is kept back until `release`."""

    def __init__(
        self, method: str, path: str, changes: Changes, call_in_server: CallInServer
    ) -> None:
        self.method, self.path = method, path
        self.is_taken = False
        """Whether the request that it waits for has come."""
        self.is_ready = False
        """Whether the server has answered that request."""
        self._changes = changes
        self._call_in_server = call_in_server
        self._released = anyio.Event()

    async def until_ready(self) -> None:
        """Wait until the server has answered."""
        await self._changes.until(lambda: self.is_ready)

    def release(self) -> None:
        """Let the response go out."""
        self._call_in_server(self._released.set)

    def wrap(self, send: Send) -> Send:
        """Return a `send` that waits for `release`."""
        self.is_taken = True

        async def send_when_released(message: Message) -> None:
            self.is_ready = True
            self._changes.notify()
            await self._released.wait()
            await send(message)

        return send_when_released


class Faults:
    """The faults and holds in force, oldest first."""

    def __init__(self, changes: Changes, call_in_server: CallInServer) -> None:
        self._faults: list[Fault] = []
        self._holds: list[Hold] = []
        self._changes = changes
        self._call_in_server = call_in_server

    def add(
        self,
        method: str,
        path: str,
        *,
        status: int = 503,
        body: bytes | str | Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        times: int = 1,
        app_sees: bool = False,
    ) -> Fault:
        """Answer the next `times` requests of a method whose path begins with `path`.

        A mapping is sent as JSON; without a body the server's form of an error is sent.
        With `app_sees` the server handles the request first, and its response is lost.
        """
        if body is None:
            body = {"error": f"fault {status}"}
        if not isinstance(body, bytes | str):
            body = json.dumps(body)
        fault = Fault(
            method=method,
            path=path,
            response=Response(body, status, headers, content_type),
            times=times,
            app_sees=app_sees,
        )
        self._faults.append(fault)
        return fault

    def hold(self, method: str, path: str) -> Hold:
        """Keep back the response to the next request that matches."""
        hold = Hold(method, path, self._changes, self._call_in_server)
        self._holds.append(hold)
        return hold

    def clear(self) -> None:
        """Remove every fault, and release every hold."""
        self._faults.clear()
        for hold in self._holds:
            hold.release()
        self._holds.clear()

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return the application behind these faults."""

        async def with_faults(scope: Scope, receive: Receive, send: Send) -> None:
            fault = next((f for f in self._faults if f.times and _fits(f, scope)), None)
            if fault is None:
                await app(scope, receive, self._held(scope, send))
                return
            fault.times -= 1
            body = await read_body(receive)
            if fault.app_sees:
                await app(scope, _replayed(body), _discard)
            await fault.response(scope, receive, send)
            fault.served.append(body)
            self._changes.notify()

        return with_faults

    def _held(self, scope: Scope, send: Send) -> Send:
        """Return a `send` that waits, if the response to this request is held."""
        fitting = (h for h in self._holds if not h.is_taken and _fits(h, scope))
        hold = next(fitting, None)
        return send if hold is None else hold.wrap(send)


def _fits(wanted: Fault | Hold, scope: Scope) -> bool:
    path: str = scope["path"]
    return wanted.method == scope["method"] and path.startswith(wanted.path)


async def read_body(receive: Receive) -> bytes:
    """Read a request to its end, so that its connection can be used again."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _discard(message: Message) -> None:
    """Take a message of the response, and send it nowhere."""
