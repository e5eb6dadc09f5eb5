"""A crowd at the daemon's listeners, most of it ill-behaved.

Called as `crowd.py CLIENTS TARGET…`; a target is the path of a unix socket, or a port of
127.0.0.1. Run as a process of its own, so that what it costs is not the daemon's. It says
`gathered` once every client has begun, and stays until it is ended.
"""

import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
from anyio.abc import ByteStream

GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
AWAY_SECONDS = 3.0
"""How long a client stays away between two visits."""
LEFT = (anyio.BrokenResourceError, anyio.EndOfStream, OSError)


async def ask(client: ByteStream, path: bytes) -> None:
    """Ask as one should."""
    await client.send(GET % path)
    await client.receive()


async def stay_silent(client: ByteStream) -> None:
    """Connect, and say nothing."""
    await client.receive()


async def drip(client: ByteStream) -> None:
    """Send a request that never ends, a byte at a time."""
    await client.send(b"GET /metrics HTTP/1.1\r\nX: ")
    while True:
        await client.send(b"x")
        await anyio.sleep(0.5)


async def be_deaf(client: ByteStream) -> None:
    """Ask, and take nothing of the answer."""
    await client.send(GET % b"/v1/status")
    await anyio.sleep(3)


async def talk_garbage(client: ByteStream) -> None:
    """Send what is no HTTP at all."""
    await client.send(b"\x16\x03\x01\x00\xff" * 200 + b"\r\n\r\n")
    await client.receive()


async def send_too_much(client: ByteStream) -> None:
    """Send a body that is larger than anybody asked for."""
    head = b"POST /v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n"
    await client.send(head + b"[" * 900_000)
    await client.receive()


async def leave(client: ByteStream) -> None:
    """Go away in the middle of the request."""
    await client.send(b"GET /v1/sta")


KINDS: tuple[Callable[[ByteStream], Awaitable[None]], ...] = (
    lambda client: ask(client, b"/metrics"),
    stay_silent,
    drip,
    talk_garbage,
    be_deaf,
    leave,
    stay_silent,
    send_too_much,
    lambda client: ask(client, b"/healthz"),
    drip,
)


async def come(target: str, number: int) -> None:
    """Be one client, again and again."""
    while True:
        with suppress(*LEFT):
            if target.isdecimal():
                client: ByteStream = await anyio.connect_tcp("127.0.0.1", int(target))
            else:
                client = await anyio.connect_unix(target)
            async with client:
                await KINDS[number % len(KINDS)](client)
        await anyio.sleep(AWAY_SECONDS)


async def main(clients: int, *targets: str) -> None:
    """Bring so many to each target."""
    async with anyio.create_task_group() as crowd:
        for number in range(clients):
            for target in targets:
                crowd.start_soon(come, target, number)
        await anyio.sleep(0.2)
        print("gathered", flush=True)


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]), *sys.argv[2:])
