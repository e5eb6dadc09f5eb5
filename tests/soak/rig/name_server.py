"""A name server on loopback that answers one name, or fails as it is set to."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

import anyio
from anyio.abc import UDPSocket

ADDRESS = "127.0.0.53"
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3
_TYPES = {4: 1, 6: 28}
"""A and AAAA, by IP version."""
_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHHIH")
_IS_RESPONSE, _TO_FIRST_NAME = 0x8180, 0xC00C


@dataclass
class NameServer:
    """What the server answers from now on."""

    addresses: list[str]
    """Of every name, IPv4 and IPv6."""
    code: int = NO_ERROR
    is_silent: bool = False
    asked: int = 0
    """How many queries have arrived."""
    changed: anyio.Event = field(default_factory=anyio.Event)

    async def until_asked(self, more: int) -> None:
        """Wait until so many more queries have arrived."""
        wanted = self.asked + more
        while self.asked < wanted:
            await self.changed.wait()

    async def serve(self, socket: UDPSocket) -> None:
        """Answer every query, one record for each address of the type asked for."""
        async for query, sender in socket:
            self.asked += 1
            self.changed.set()
            self.changed = anyio.Event()
            if not self.is_silent:
                await socket.sendto(self._answer(query), *sender)

    def _answer(self, query: bytes) -> bytes:
        end = query.index(b"\0", _HEADER.size) + 5
        question = query[_HEADER.size : end]
        kind = int.from_bytes(question[-4:-2])
        found = [] if self.code else [ip_address(text) for text in self.addresses]
        records = b"".join(
            _RECORD.pack(_TO_FIRST_NAME, kind, 1, 1, len(address.packed)) + address.packed
            for address in found
            if _TYPES[address.version] == kind
        )
        count = sum(_TYPES[address.version] == kind for address in found)
        number = int.from_bytes(query[:2])
        head = _HEADER.pack(number, _IS_RESPONSE | self.code, 1, count, 0, 0)
        return head + question + records


@asynccontextmanager
async def name_server(*addresses: str) -> AsyncIterator[NameServer]:
    """Serve names on port 53 of `ADDRESS`, in a network of our own."""
    server = NameServer(list(addresses))
    async with (
        await anyio.create_udp_socket(local_host=ADDRESS, local_port=53) as socket,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(server.serve, socket)
        yield server
        tasks.cancel_scope.cancel()
