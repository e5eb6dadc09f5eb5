"""Which names this server answers to.

A page of another site can let its own name lead to this server's address, and so ask it as
if it were that site (DNS rebinding). It cannot choose the Host header, so a server that
knows its names refuses the others.
"""

import ipaddress
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from rensei_platform.http.requests import answer


class KnownHosts:
    """The application inside, for requests to an address or a known name."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app, self._names = app, {"localhost", *names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 421."""
        host = Headers(scope=scope).get("host", "")
        if self._is_known(host):
            await self._app(scope, receive, send)
            return
        refusal = answer(
            {"error": f"{host[:100]!a} is not in host_names of platform.toml"}, status=421
        )
        await refusal(scope, receive, send)

    def _is_known(self, host: str) -> bool:
        name = _without_port(host)
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.lower().removesuffix(".") in self._names
        return True


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
