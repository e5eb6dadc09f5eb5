"""A rotate stream as an HTTP answer."""

import asyncio

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from rensei_platform.bus.hub import Hub, Stream

HELLO = b": hello\n\n"


class EventStream(Response):
    """Sends what the hub gives a stream, until either side ends it.

    One task beside the request's own waits for the client to hang up: that is all that a
    stream costs.
    """

    def __init__(self, hub: Hub, org_id: str, key_id: str, session_id: str) -> None:
        super().__init__(
            headers={"cache-control": "no-cache"}, media_type="text/event-stream"
        )
        del self.headers["content-length"]
        self._hub = hub
        self._listener = (org_id, key_id, session_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send frames until the client hangs up or the stream is ended."""
        stream = self._hub.open(*self._listener)
        watch = asyncio.create_task(_end_on_disconnect(receive, stream))
        try:
            await send(
                {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            )
            await send(_body(HELLO))
            while True:
                await stream.wait()
                if frames := stream.take():
                    await send(_body(frames))
                if stream.is_ended:
                    break
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            watch.cancel()
            self._hub.close(stream)


def _body(frames: bytes) -> Message:
    return {"type": "http.response.body", "body": frames, "more_body": True}


async def _end_on_disconnect(receive: Receive, stream: Stream) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.end()
