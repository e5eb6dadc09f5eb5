"""Wrong answers and late ones: what the rules would never do, and a test has to see.

A fault stands between the network and the app. It answers the next requests that fit,
whatever they are; the app sees nothing of them, or sees them and is not heard. A hold
lets the app answer, and keeps the answer back for a while.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(slots=True, kw_only=True)
class Fault:
    """One wrong answer, and how often it is still given."""

    method: str
    path: str
    response: Response
    times: int
    """How many more requests it answers."""
    app_sees: bool
    served: list[bytes] = field(default_factory=list)
    """The bodies of the requests it has answered."""


@dataclass(slots=True, kw_only=True)
class Hold:
    """An answer kept back: `ready` once the app has given it, gone after `release`."""

    method: str
    path: str
    is_taken: bool = False
    """Whether the request it waits for has come."""
    ready: anyio.Event = field(default_factory=anyio.Event)
    released: anyio.Event = field(default_factory=anyio.Event)

    def release(self) -> None:
        """Let the answer go out."""
        self.released.set()


class Faults:
    """The faults and holds in force, the oldest first."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._faults: list[Fault] = []
        self._holds: list[Hold] = []
        self._on_change = on_change

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
        """Answer the next `times` requests that fit like this; `path` is a prefix.

        A mapping is sent as JSON; no body at all is the platform's own form of error.
        With `app_sees` the app handles the request first, and its answer is lost.
        """
        if body is None:
            body = {"error": f"fault {status}"}
        if not isinstance(body, bytes | str):
            body = json.dumps(body)
        fault = Fault(
            method=method.upper(),
            path=path,
            response=Response(body, status, headers, content_type),
            times=times,
            app_sees=app_sees,
        )
        self._faults.append(fault)
        return fault

    def hold(self, method: str, path: str) -> Hold:
        """Keep back the app's answer to the next request that fits."""
        hold = Hold(method=method.upper(), path=path)
        self._holds.append(hold)
        return hold

    def clear(self) -> None:
        """Let the app answer everything again, and what is held back go out."""
        self._faults.clear()
        for hold in self._holds:
            hold.release()
        self._holds.clear()

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return the app behind these faults."""

        async def with_faults(scope: Scope, receive: Receive, send: Send) -> None:
            fault = next((f for f in self._faults if f.times and _fits(f, scope)), None)
            if fault is None:
                await app(scope, receive, self._held(scope, send))
                return
            fault.times -= 1
            body = await _body(receive)
            if fault.app_sees:
                await app(scope, _replayed(body), _unheard)
            await fault.response(scope, receive, send)
            fault.served.append(body)
            self._on_change()

        return with_faults

    def _held(self, scope: Scope, send: Send) -> Send:
        """Return a `send` that waits, if this is a request whose answer is held."""
        fitting = (h for h in self._holds if not h.is_taken and _fits(h, scope))
        hold = next(fitting, None)
        if hold is None:
            return send
        hold.is_taken = True

        async def send_when_released(message: Message) -> None:
            hold.ready.set()
            self._on_change()
            await hold.released.wait()
            await send(message)

        return send_when_released


def _fits(wanted: Fault | Hold, scope: Scope) -> bool:
    path: str = scope["path"]
    return wanted.method == scope["method"] and path.startswith(wanted.path)


async def _body(receive: Receive) -> bytes:
    """Read the request to its end, so that its connection can be used again."""
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


async def _unheard(message: Message) -> None:
    """Take the app's answer, and tell nobody."""
