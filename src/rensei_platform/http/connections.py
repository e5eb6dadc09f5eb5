"""Connections of uvicorn that an answer can take over."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CONNECTION = "rensei_platform.connection"
"""The key of the connection in the scope of a request."""


class Connection(HttpToolsProtocol):
    """A connection that names itself to its requests."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[CONNECTION] = self

    def hand_over(self, successor: asyncio.Protocol) -> None:
        """Leave the connection to another protocol, as for a WebSocket.

        The server forgets it: to the request that has it the client seems to be gone. When
        it is gone indeed, nothing is done.
        """
        self.cycle.disconnected = True
        if self.transport.is_closing():
            return
        self.connections.discard(self)
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)
