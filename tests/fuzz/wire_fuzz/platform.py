"""A platform on a bare socket that answers every request with what a seed makes of it.

The n-th answer of an endpoint depends on the seed, the endpoint and n alone, so that a
round can be repeated although its requests never come at quite the same times.
"""

import json
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskGroup

from wire_fuzz.http_answers import Pause, Wired, right, wrong
from wire_fuzz.json_text import encode
from wire_fuzz.mangling import mangled
from wire_fuzz.stream_events import event
from wire_fuzz.valid_answers import ValidAnswers, secrets_in

GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    body: Any = None

    @property
    def endpoint(self) -> str:
        """The last word of its path, with the version of the wire it belongs to.

        Of a mutation, what is to be done with it.
        """
        path = self.path.partition("?")[0]
        if path.startswith("/api/daemon/mutations"):
            return f"mutations ({self.method})"
        return path.rpartition("/")[2] + (" (v1)" if path.startswith("/v1/") else "")


@dataclass
class FuzzPlatform:
    """What it answers, and what it was told."""

    seed: int
    is_calm: bool = False
    """Whether it has come to its senses: every answer is as it should be."""
    is_old: bool = False
    """Whether it knows only the older endpoints, which carry no acks."""
    valid: ValidAnswers = field(default_factory=ValidAnswers)
    counts: Counter[str] = field(default_factory=Counter)
    """Answers and events, by endpoint."""
    owed: set[str] = field(default_factory=set)
    """Mutations that were handed out as they should be, so an outcome has to come."""
    outcomes: dict[str, set[str | None]] = field(default_factory=lambda: defaultdict(set))
    """What was told of each mutation: None for applied, else why it failed."""
    doubled: set[str] = field(default_factory=set)
    """Mutations with two outcomes in one beat."""
    recent: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=4000))
    """When each of the last answers went out, and which it was."""
    last_values: dict[str, set[str]] = field(default_factory=dict)
    """What each session was told last, since its calm."""
    port: int = 0
    calm_beats: int = 0

    async def serve(self, tasks: TaskGroup) -> None:
        """Listen on loopback for as long as the task group lives."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django
        tasks.start_soon(listener.serve, self._meet)

    async def _meet(self, client: SocketStream) -> None:
        inbox = bytearray()
        async with client:
            try:
                while True:
                    asked = await _read_request(client, inbox)
                    if asked.endpoint == "rotate-stream":
                        await self._stream(client)
                        return
                    wired, owed = self._answer(asked)
                    await _send(client, wired)
                    self.owed |= owed
                    if not wired.keeps_open:
                        return
            except GONE:
                return

    def _chance(self, endpoint: str) -> Random:
        self.counts[endpoint] += 1
        label = f"{endpoint} {self.counts[endpoint]}"
        self.recent.append((anyio.current_time(), label))
        return Random(f"{self.seed} {label}")  # noqa: S311 - to be repeated

    def _answer(self, asked: Asked) -> tuple[Wired, set[str]]:
        """Return the answer, and the mutations that it owes an outcome for."""
        chance, endpoint = self._chance(asked.endpoint), asked.endpoint
        if endpoint.startswith("heartbeat"):
            self._note_acks(asked.body)
            self.calm_beats += self.is_calm
        body = self._valid_body(endpoint, chance)
        if body is None:
            return right(b'{"error":"not found"}', status="404 Not Found"), set()
        kind = chance.random()
        if self.is_calm or kind < 0.35:
            if self.is_calm and endpoint == "snapshot":
                self.last_values[asked.body["sessionId"]] = secrets_in(
                    "\n".join(body["env"].values())
                )
            pending = body.get("pendingMutations", ())
            return right(encode(body)), {mutation["id"] for mutation in pending}
        if chance.random() < 0.85:
            body = mangled(chance, body)
        content = encode(body, is_ascii=chance.random() < 0.7)
        if kind < 0.75:
            return right(content), set()
        return wrong(chance, content, may_be_gone=endpoint == "refresh-token"), set()

    def _valid_body(self, endpoint: str, chance: Random) -> Any:
        """Return what belongs there; None where there is no such endpoint."""
        makers = {
            "register": None if self.is_old else self.valid.grant,
            "register (v1)": self.valid.old_grant if self.is_old else None,
            "refresh-token": self.valid.grant,
            "heartbeat": self._beat,
            "heartbeat (v1)": self._beat,
            "snapshot": self.valid.snapshot,
            "mutations (GET)": self.valid.asked_for,
            "mutations (POST)": self.valid.taken_in,
            "mutations (DELETE)": self.valid.taken_back,
            "rotate": self.valid.rotated,
        }
        make = makers.get(endpoint)
        return make(chance) if make else None

    def _beat(self, chance: Random) -> Any:
        return self.valid.calm_beat() if self.is_calm else self.valid.beat(chance)

    def _note_acks(self, beat: Any) -> None:
        acks = [(id_, None) for id_ in beat.get("appliedMutations", ())]
        acks += [(ack["id"], ack["error"]) for ack in beat.get("mutationFailures", ())]
        told = Counter(id_ for id_, _ in acks)
        self.doubled |= {id_ for id_, times in told.items() if times > 1}
        for id_, outcome in acks:
            self.outcomes[id_].add(outcome)

    async def _stream(self, client: SocketStream) -> None:
        chance = self._chance("rotate-stream")
        if self.is_calm:
            await client.send(STREAM_HEAD)
            await anyio.sleep_forever()
        if chance.random() < 0.2:
            content, _ = event(chance, self.valid.update(chance))
            await _send(client, wrong(chance, content, may_be_gone=True))
            return
        await client.send(STREAM_HEAD)
        for _ in range(chance.choice((1, 5, 50, 400))):
            if self.is_calm:
                return
            self.counts["event"] += 1
            content, _ = event(chance, self.valid.update(chance))
            await client.send(content)
            await anyio.sleep(chance.choice((0.0, 0.01, 0.05, 0.2)))


async def _read_request(client: SocketStream, inbox: bytearray) -> Asked:
    while b"\r\n\r\n" not in inbox:
        inbox += await client.receive()
    head, _, rest = bytes(inbox).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    length = 0
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    while len(rest) < length:
        rest += await client.receive()
    inbox[:] = rest[length:]
    body = rest[:length]
    method, path, _ = first.split(" ")
    return Asked(method, path, json.loads(body) if body else None)


async def _send(client: SocketStream, wired: Wired) -> None:
    for step in wired.steps:
        if isinstance(step, Pause):
            await anyio.sleep(step.seconds)
        elif step:
            await client.send(step)
