"""Hosts as the platform sees them: heartbeats, a session's stream, and a snapshot after it.

Raw connections on one event loop, so that 10,000 of them leave the server its core. Waits
after failures are the daemon's own. A mutation is applied as soon as it is delivered, and
acknowledged with a beat a second later, as a daemon does.
"""

import asyncio
import json
import random
import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from platform_load.senders import Connection
from rensei_daemon.core.backoff import Backoff
from rensei_daemon.core.heartbeat_pace import HeartbeatPace

PATIENCE_SECONDS = 10.0
"""For an answer, as a daemon has it."""
SOON_SECONDS = 1.0
_RETRY_AFTER = re.compile(rb"(?i)\r\nretry-after: (\d{1,5})\r\n")
_NOTHING = re.compile(rb'"pendingMutations": ?\[\]')
_VERSION = re.compile(rb'"version": ?(\d{1,18})')


@dataclass
class Seen:
    """What all hosts have sent and been answered."""

    arrivals: Counter[int] = field(default_factory=Counter, repr=False)
    """Requests by the second, of a monotonic clock, in which they were sent."""
    refused: int = 0
    """Answers 503."""
    without_wait: int = 0
    """Those of them that did not say when to come back."""
    longest: float = 0.0
    """Of all answers, in seconds from the connection's begin."""
    unanswered: int = 0
    """Requests of which the connection failed, or that took longer than the patience."""

    def clear(self) -> None:
        """Forget what was seen so far."""
        self.arrivals.clear()
        self.refused = self.without_wait = self.unanswered = 0
        self.longest = 0.0

    def answered(self, begun: float, answer: bytes) -> None:
        """Note an answer."""
        self.longest = max(self.longest, time.monotonic() - begun)
        if answer.startswith(b"HTTP/1.1 503"):
            self.refused += 1
            self.without_wait += _RETRY_AFTER.search(answer) is None


class StreamConnection(asyncio.Protocol):
    """A rotate stream: how it was answered, the newest version that it told, its end."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[bytes] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.version = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Take the head of the answer, or events."""
        if not self.answer.done():
            self.answer.set_result(data)
        for version in _VERSION.findall(data):
            self.version = max(self.version, int(version))

    def connection_lost(self, error: Exception | None) -> None:
        """Let who waits know."""
        if not self.answer.done():
            self.answer.set_result(b"")
        if not self.ended.done():
            self.ended.set_result(None)


class LightHost:
    """One host with one session."""

    def __init__(
        self, port: int, number: int, token: tuple[str, str], key: str, seen: Seen
    ) -> None:
        self._port, self._seen = port, seen
        # From several addresses: one has 28,000 ports, each taken for a minute after use.
        self._source = (f"127.0.0.{2 + number % 32}", 0)
        worker_id, bearer = token
        self._heartbeat = ("POST", f"/api/workers/{worker_id}/heartbeat", bearer)
        self._session = f"sess_{number}"
        self._key = key
        self._applied: list[str] = []
        self.stream: StreamConnection | None = None
        self._snapshot_version = 0
        self.beat_at = self.snapshot_at = 0.0
        self.received = 0

    @property
    def version(self) -> int:
        """Of the newest values that it holds, or was told of."""
        told = self.stream.version if self.stream is not None else 0
        return max(self._snapshot_version, told)

    def is_live(self, since: float) -> bool:
        """Whether it has beaten since a moment, listens, and has had values since then."""
        return self.beat_at >= since and self.stream is not None and self.snapshot_at > 0

    async def beat(self, interval: float) -> None:
        """Beat for ever."""
        await asyncio.sleep(random.uniform(0, interval))  # noqa: S311 - a phase
        pace = HeartbeatPace(random.uniform)
        while True:
            acks, begun = self._applied, time.monotonic()
            said = {"activeCount": 0, "maxSessions": 4, "appliedMutations": acks}
            answer = await self._ask(*self._heartbeat, said)
            if answer.startswith(b"HTTP/1.1 200"):
                self.beat_at = begun
                self._take_mutations(answer, acks)
                due = pace.succeeded(time.monotonic(), interval)
                wait = SOON_SECONDS if self._applied else due - time.monotonic()
            else:
                now = time.monotonic()
                wait = pace.failed(now, interval, _asked(answer)) - now
            await asyncio.sleep(wait)

    def _take_mutations(self, answer: bytes, acked: list[str]) -> None:
        self._applied = self._applied[len(acked) :]
        if _NOTHING.search(answer) is None:
            body = json.loads(answer.partition(b"\r\n\r\n")[2])
            new = [one["id"] for one in body["pendingMutations"]]
            self.received += len(new)
            self._applied = new

    async def listen(self, spread: float) -> None:
        """Hold the stream open for ever; take a snapshot each time it was opened."""
        await asyncio.sleep(random.uniform(0, spread))  # noqa: S311 - a phase
        retry = Backoff()
        while True:
            stream, answer = await self._open()
            if stream is not None:
                retry, self.stream = Backoff(), stream
                await self._snapshot()
                await stream.ended
                self._snapshot_version, self.stream = self.version, None
                self.snapshot_at = 0.0
            retry = await _wait(retry, answer)

    async def _open(self) -> tuple[StreamConnection | None, bytes]:
        path = f"/api/daemon/credentials/rotate-stream?sessionId={self._session}"
        begun, stream = self._begin(), None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                loop = asyncio.get_running_loop()
                _, stream = await loop.create_connection(
                    StreamConnection, "127.0.0.1", self._port, local_addr=self._source
                )
                stream.transport.write(_spelled("GET", path, self._key, ""))
                answer = await stream.answer
        except (OSError, TimeoutError):
            self._seen.unanswered += 1
            if stream is not None:
                stream.transport.abort()
            return None, b""
        self._seen.answered(begun, answer)
        if answer.startswith(b"HTTP/1.1 200"):
            return stream, b""
        stream.transport.abort()
        return None, answer

    async def _snapshot(self) -> None:
        retry, path = Backoff(), "/api/daemon/credentials/snapshot"
        body = {"orgId": "org_bench", "sessionId": self._session}
        while self.stream is not None and not self.stream.ended.done():
            begun = time.monotonic()
            answer = await self._ask("POST", path, self._key, body)
            if answer.startswith(b"HTTP/1.1 200"):
                content = json.loads(answer.partition(b"\r\n\r\n")[2])
                self._snapshot_version, self.snapshot_at = content["version"], begun
                return
            retry = await _wait(retry, answer)

    async def _ask(self, method: str, path: str, bearer: str, body: object) -> bytes:
        """Return the answer; empty if there was none."""
        begun, answer = self._begin(), b""
        request = _spelled(method, path, bearer, json.dumps(body))
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(
                    Connection, "127.0.0.1", self._port, local_addr=self._source
                )
                try:
                    answer = await connection.ask(request)
                finally:
                    connection.transport.abort()
        if answer:
            self._seen.answered(begun, answer)
        else:
            self._seen.unanswered += 1
        return answer

    def _begin(self) -> float:
        begun = time.monotonic()
        self._seen.arrivals[int(begun)] += 1
        return begun


async def _wait(retry: Backoff, answer: bytes) -> Backoff:
    """Wait as a daemon would before its next try; return its policy after that."""
    seconds, policy = retry.next(random.uniform, at_least=_asked(answer) or 0.0)
    await asyncio.sleep(seconds)
    return policy


def _asked(answer: bytes) -> float | None:
    """Return the wait that an answer asks for."""
    found = _RETRY_AFTER.search(answer)
    return float(found[1]) if found else None


def _spelled(method: str, path: str, bearer: str, body: str) -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {bearer}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
