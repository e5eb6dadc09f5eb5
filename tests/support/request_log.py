"""Remembers what a control plane was asked with success, and what its hosts reported."""

import json
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from changes import Changes
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEARTBEAT = "/heartbeat"
WORKERS = "/api/workers/"
REGISTER = "/api/workers/register"
MOST_BEATS = 10_000


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat that was accepted."""

    worker_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ack:
    """What a host said of a mutation; without an error it was applied."""

    mutation_id: str
    error: str | None


@dataclass
class RequestLog:
    """Everything so far, in the order it came."""

    changes: Changes
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Requests that were answered with success, by method and path."""
    beats: deque[Beat] = field(default_factory=lambda: deque(maxlen=MOST_BEATS))
    """The latest heartbeats."""
    acks: list[Ack] = field(default_factory=list)
    """Every ack, also repeated ones."""
    registrations: list[dict[str, Any]] = field(default_factory=list)
    """The body of every registration."""

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return the application with its requests logged."""

        async def logged(scope: Scope, receive: Receive, send: Send) -> None:
            body = bytearray()

            async def receive_and_keep() -> Message:
                message = await receive()
                body.extend(message.get("body", b""))
                return message

            async def note_and_send(message: Message) -> None:
                if message["type"] == "http.response.start" and message["status"] < 300:
                    self._note(scope["method"], scope["path"], bytes(body))
                await send(message)
                self.changes.notify()

            try:
                await app(scope, receive_and_keep, note_and_send)
            finally:
                self.changes.notify()

        return logged

    def _note(self, method: str, path: str, body: bytes) -> None:
        self.counts[method, path] += 1
        if path == REGISTER:
            self.registrations.append(json.loads(body))
        elif path.startswith(WORKERS) and path.endswith(HEARTBEAT):
            worker_id = path.removeprefix(WORKERS).removesuffix(HEARTBEAT)
            self._note_beat(Beat(worker_id, json.loads(body)))

    def _note_beat(self, beat: Beat) -> None:
        self.beats.append(beat)
        for mutation_id in beat.body.get("appliedMutations") or ():
            self.acks.append(Ack(mutation_id, None))
        for failure in beat.body.get("mutationFailures") or ():
            self.acks.append(Ack(failure["id"], failure["error"]))
