"""Wrong answers on demand: what the rules would never do, and a test has to see.

A fault stands between the network and the app. It answers the next requests that fit,
whatever they are, and the app never sees them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass(slots=True, kw_only=True)
class Fault:
    """One wrong answer, and how often it is still given."""

    method: str
    path: str
    status: int
    body: bytes
    headers: Mapping[str, str]
    content_type: str
    times: int
    """How many more requests it answers."""
    served: list[bytes] = field(default_factory=list)
    """The bodies of the requests it has answered."""

    def fits(self, scope: Scope) -> bool:
        """Say whether this request is one for it."""
        return (
            self.times > 0
            and self.method == scope["method"]
            and scope["path"].startswith(self.path)
        )


class Faults:
    """The faults in force, the oldest first."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._faults: list[Fault] = []
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
    ) -> Fault:
        """Answer the next `times` requests that fit like this; `path` is a prefix.

        A mapping is sent as JSON; no body at all is the platform's own form of error.
        """
        if body is None:
            body = {"error": f"fault {status}"}
        if not isinstance(body, bytes | str):
            body = json.dumps(body)
        fault = Fault(
            method=method.upper(),
            path=path,
            status=status,
            body=body.encode() if isinstance(body, str) else body,
            headers=dict(headers or {}),
            content_type=content_type,
            times=times,
        )
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Let the app answer everything again."""
        self._faults.clear()

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return the app behind these faults."""

        async def with_faults(scope: Scope, receive: Receive, send: Send) -> None:
            fault = self._pick(scope) if scope["type"] == "http" else None
            if fault is None:
                await app(scope, receive, send)
                return
            body = await _body(receive)
            response = Response(fault.body, fault.status, fault.headers, fault.content_type)
            await response(scope, receive, send)
            fault.served.append(body)
            self._on_change()

        return with_faults

    def _pick(self, scope: Scope) -> Fault | None:
        for fault in self._faults:
            if fault.fits(scope):
                fault.times -= 1
                return fault
        return None


async def _body(receive: Receive) -> bytes:
    """Read the request to its end, so that its connection can be used again."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)
