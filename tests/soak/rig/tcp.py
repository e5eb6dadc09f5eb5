"""Small things about TCP that tests of several rooms need."""

import socket

import anyio


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port nobody listens on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


async def get(
    port: int, path: str, *, named: str = "localhost", host: str = "127.0.0.1"
) -> tuple[int, str]:
    """Return status and body of the answer."""
    head, body = await say(port, f"GET {path} HTTP/1.1\r\nHost: {named}\r\n\r\n", host)
    return int(head.split()[1]), body


async def say(port: int, request: str, host: str = "127.0.0.1") -> tuple[str, str]:
    """Say this, and return head and body of the answer."""
    async with await anyio.connect_tcp(host, port) as client:
        await client.send(request.encode())
        raw = b""
        try:
            while True:
                raw += await client.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            head, _, body = raw.decode().partition("\r\n\r\n")
            return head, body
