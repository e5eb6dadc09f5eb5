"""A process that sends requests as fast as they are answered, or by the clock.

It is started with a description as JSON on its standard input, and prints what it saw:
`{"count", "failed", "seconds", "p50", "p99", "max"}`, latencies in milliseconds. A request
that is sent by the clock has its latency from the moment it was due, connecting included.
"""

import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop


@dataclass
class Seen:
    """What was answered so far."""

    latencies: list[float] = field(default_factory=list)
    failed: int = 0

    def note(self, since: float, answer: bytes) -> None:
        """Note an answer."""
        self.latencies.append(time.perf_counter() - since)
        self.failed += not answer.startswith(b"HTTP/1.1 200")

    def summary(self, seconds: float) -> dict[str, float]:
        """Return the numbers."""
        ordered = sorted(self.latencies) or [0.0]
        at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
        return {
            "count": len(self.latencies),
            "failed": self.failed,
            "seconds": seconds,
            **{
                name: 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]
                for name, share in at.items()
            },
        }


class Connection(asyncio.Protocol):
    """One connection with one request under way; answers have a Content-Length."""

    def __init__(self) -> None:
        self._received = b""
        self._waiter: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport: Any = transport

    async def ask(self, request: bytes) -> bytes:
        """Send a request, and return its answer."""
        self._received = b""
        self._waiter = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._waiter

    def data_received(self, data: bytes) -> None:
        """Collect an answer until it is whole."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if separator and self._waiter is not None and not self._waiter.done():
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r")[0])
            if len(body) >= length:
                self._waiter.set_result(self._received)

    def connection_lost(self, error: Exception | None) -> None:
        """Let who waits know."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(b"")


async def connect(port: int) -> Connection:
    """Return a new connection."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    return connection


async def flat_out(asked: dict[str, Any], requests: list[bytes], seen: Seen) -> None:
    """Send on some connections, each the next request when the last is answered."""
    until = time.perf_counter() + asked["seconds"]
    most = asked.get("count", sys.maxsize)
    remaining = iter(range(most))

    async def send(first: int) -> None:
        connection = await connect(asked["port"])
        number = first
        while time.perf_counter() < until and next(remaining, None) is not None:
            since = time.perf_counter()
            answer = await connection.ask(requests[number % len(requests)])
            seen.note(since, answer)
            number += asked["connections"]
        connection.transport.close()

    await asyncio.gather(*(send(n) for n in range(asked["connections"])))


async def by_the_clock(asked: dict[str, Any], requests: list[bytes], seen: Seen) -> None:
    """Send each request once an interval, each on a connection of its own."""
    interval, seconds = asked["interval"], asked["seconds"]
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    under_way: set[asyncio.Task[None]] = set()

    async def send(request: bytes, due: float) -> None:
        connection = await connect(asked["port"])
        seen.note(due, await connection.ask(request))
        connection.transport.close()

    def start(request: bytes, due: float) -> None:
        task = loop.create_task(send(request, due))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        if due + interval < begun + seconds:
            loop.call_at(
                loop.time() + due + interval - time.perf_counter(),
                start,
                request,
                due + interval,
            )

    for request in requests:
        wait = random.uniform(0, interval)  # noqa: S311 - a phase, not a secret
        if wait < seconds:
            loop.call_later(wait, start, request, begun + wait)
    await asyncio.sleep(seconds)
    if under_way:
        await asyncio.wait(under_way, timeout=10)


def spelled(asked: dict[str, Any], one: list[str]) -> bytes:
    """Return a request: (method, path, bearer, body)."""
    method, path, bearer, body = one
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{asked['port']}\r\n"
        f"Authorization: Bearer {bearer}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def main() -> None:
    """Send what is described on standard input."""
    asked = json.loads(sys.stdin.read())
    requests = [spelled(asked, one) for one in asked["requests"]]
    seen = Seen()
    begun = time.perf_counter()
    await (by_the_clock if "interval" in asked else flat_out)(asked, requests, seen)
    print(json.dumps(seen.summary(time.perf_counter() - begun)))


if __name__ == "__main__":
    uvloop.run(main())
