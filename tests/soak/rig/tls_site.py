"""A site of the platform: an address where TLS ends, before a server that speaks HTTP."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSListener

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


@dataclass
class TlsSite:
    """One address, and how many connections it has."""

    address: str
    upstream: int
    """The port of the server behind it, on 127.0.0.1."""
    context: ssl.SSLContext
    served: int = 0
    """How many connections were made to it, TLS included."""
    is_mute: bool = False
    """Whether nothing comes from the server any more, on connections that stay open."""
    scopes: set[anyio.CancelScope] = field(default_factory=set)

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        return len(self.scopes)

    def hang_up(self) -> None:
        """End every connection."""
        for scope in tuple(self.scopes):
            scope.cancel()

    def use(self, certificate: tuple[Path, Path]) -> None:
        """Show this certificate from the next connection on."""
        self.context.load_cert_chain(*certificate)

    async def serve(self, client: ByteStream) -> None:
        """Pass one connection on."""
        self.served += 1
        with anyio.CancelScope() as scope:
            self.scopes.add(scope)
            try:
                async with (
                    client,
                    await anyio.connect_tcp("127.0.0.1", self.upstream) as to,
                    anyio.create_task_group() as both,
                ):
                    both.start_soon(self._pump, client, to, both.cancel_scope)
                    both.start_soon(self._pump, to, client, both.cancel_scope)
            except OSError:
                pass
            finally:
                self.scopes.discard(scope)

    async def _pump(
        self, source: ByteStream, sink: ByteStream, end: anyio.CancelScope
    ) -> None:
        try:
            while True:
                data = await source.receive()
                if not self.is_mute:
                    await sink.send(data)
        except _GONE:
            end.cancel()


@asynccontextmanager
async def tls_site(
    address: str, port: int, upstream: int, certificate: tuple[Path, Path]
) -> AsyncIterator[TlsSite]:
    """Listen at an address, with this certificate, before a server's port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    site = TlsSite(address, upstream, context)
    site.use(certificate)
    plain = await anyio.create_tcp_listener(local_host=address, local_port=port)
    listener = TLSListener(plain, context, standard_compatible=False)
    async with plain, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, site.serve)
        try:
            yield site
        finally:
            tasks.cancel_scope.cancel()
