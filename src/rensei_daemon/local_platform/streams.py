"""The live rotate streams: who listens, and what they are owed.

Owns the frames of `text/event-stream` and the queue of each listener. It refuses to
know what is in an update; nothing is ever replayed to a stream that was not there.
"""

import json
from collections import deque
from collections.abc import Callable
from typing import Any

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

HELLO = b": hello\n\n"
KEEPALIVE = b": keepalive\n\n"


class LiveStream:
    """One listener: frames go in at one end, the connection takes them at the other."""

    def __init__(self, org_id: str, session_id: str) -> None:
        self.org_id = org_id
        self.session_id = session_id
        self._frames: deque[bytes] = deque()
        self._news = anyio.Event()
        self._is_ended = False

    def send(self, event: str, payload: dict[str, Any]) -> None:
        """Owe the listener one event."""
        data = json.dumps(payload, separators=(",", ":"))
        self._frames.append(f"event: {event}\ndata: {data}\n\n".encode())
        self._news.set()

    def end(self) -> None:
        """Close the stream once what is owed has been sent."""
        self._is_ended = True
        self._news.set()

    async def next(self, keepalive_seconds: float) -> bytes | None:
        """Wait for the next frame; a keepalive after that long; None at the end."""
        with anyio.move_on_after(keepalive_seconds):
            while not self._frames:
                if self._is_ended:
                    return None
                self._news = anyio.Event()
                await self._news.wait()
        return self._frames.popleft() if self._frames else KEEPALIVE


class EventStream(Response):
    """A live stream as an HTTP answer, until it ends or its reader has gone."""

    def __init__(
        self,
        stream: LiveStream,
        *,
        keepalive_seconds: float,
        on_open: Callable[[LiveStream], None],
        on_close: Callable[[LiveStream], None],
    ) -> None:
        super().__init__(
            headers={"cache-control": "no-cache"}, media_type="text/event-stream"
        )
        del self.headers["content-length"]
        self._stream = stream
        self._keepalive_seconds = keepalive_seconds
        self._on_open = on_open
        self._on_close = on_close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send frames; listen at the same time, for that is how a hang-up is seen."""
        self._on_open(self._stream)
        try:
            async with anyio.create_task_group() as tasks:

                async def wait_for_hang_up() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    tasks.cancel_scope.cancel()

                tasks.start_soon(wait_for_hang_up)
                await self._send_frames(send)
                tasks.cancel_scope.cancel()
        finally:
            self._on_close(self._stream)

    async def _send_frames(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": self.raw_headers,
            }
        )
        frame: bytes | None = HELLO
        while frame is not None:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
            frame = await self._stream.next(self._keepalive_seconds)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
