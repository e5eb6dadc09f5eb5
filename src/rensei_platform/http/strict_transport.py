"""Strict-Transport-Security: browsers that have come by TLS come by nothing else."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = (b"strict-transport-security", b"max-age=31536000")
"""For a year after each answer, of this name alone: others may be below it."""


class StrictTransport:
    """The application inside, with the header on what is sent by TLS.

    It is TLS if this server speaks it, or if a trusted proxy says so in X-Forwarded-Proto.
    In clear the header means nothing, and anybody on the way could add it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add to its answer."""

        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], HEADER]
            await send(message)

        is_tls = scope.get("scheme") == "https"
        await self._app(scope, receive, send_with_header if is_tls else send)
