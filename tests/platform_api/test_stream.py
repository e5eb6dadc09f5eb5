"""The rotate-stream over a real socket, fair and foul."""

from typing import TYPE_CHECKING

import anyio
import pytest

from rensei_daemon.errors import TransientError
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.stream import StreamEvent, Update, open_stream

if TYPE_CHECKING:
    from platform_api.conftest import FaultServer

KEY = "rsk_live_" + "c0ffee" * 10 + "beef"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
A = b'event: UPDATE\ndata: {"delta": {"A": "1"}}\n\n'


async def events(http: Http, **options: object) -> tuple[list[StreamEvent], str]:
    """Read a stream to its end: what it said, and the complaint it ended with."""
    found: list[StreamEvent] = []
    try:
        with anyio.fail_after(5):
            async with open_stream(http, "build", KEY, **options) as stream:  # type: ignore[arg-type] # any options
                found.extend([event async for event in stream])
    except TransientError as error:
        return found, str(error)
    return found, ""


async def test_updates_come_as_values(server: "FaultServer", http: Http) -> None:
    """An UPDATE is handed out as what changed, and the end of the stream is an error."""
    server.plan("rotate-stream", HEAD + A + b'data: {"env": {"B": "2", "C": 3}}\n\n')
    with anyio.fail_after(5):
        async with open_stream(http, "a session/1", KEY) as stream:
            assert await anext(stream) == Update({"A": "1"})
            assert await anext(stream) == Update({"B": "2"})
            with pytest.raises(TransientError, match="the stream ended"):
                await anext(stream)
    [request] = server.received
    assert request.path.endswith("/rotate-stream?sessionId=a+session%2F1")
    assert request.bearer == KEY
    assert request.headers["accept"] == "text/event-stream"
