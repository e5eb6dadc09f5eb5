"""A small fleet of raw clients: operators, hosts and sessions that notice what is broken.

Values are numbers that grow. A session takes a snapshot after each connection, and applies
what it is told; a host acks what it is given until the server has heard it.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import anyio

from rig.servers import CHANCE, ORG, NoAnswerError, Servers, open_stream
from rig.verdict import BrokenPromiseError

CREDENTIALS = "/api/daemon/credentials"
MUTATIONS = "/api/daemon/mutations"


@dataclass
class Session:
    """A session that holds the newest value it was given."""

    servers: Servers
    id: str
    value: int = 0
    lowest: int = 0
    """No snapshot that is asked for from now on may be older."""

    async def run(self) -> None:
        """Listen at one of the servers, and at another one when that ends; for ever."""
        while True:
            port = self.servers.any_port()
            try:
                async with await open_stream(port, self.servers.key, self.id) as stream:
                    await self._follow(stream)
            except (NoAnswerError, anyio.EndOfStream, anyio.BrokenResourceError):
                await anyio.sleep(CHANCE.uniform(0.02, 0.1))

    async def _follow(self, stream: anyio.abc.SocketStream) -> None:
        text = b""
        while b": hello" not in text:
            text += await stream.receive()
            if b" 200 " not in text[:20]:
                raise NoAnswerError(text[:80])
        self.value = max(self.value, await self._snapshot())
        while True:
            *events, text = text.split(b"\n\n")
            for event in events:
                await self._hear(event)
            text += await stream.receive()

    async def _hear(self, event: bytes) -> None:
        _, found, data = event.partition(b"data: ")
        if not found:
            return
        delta = json.loads(data)["delta"]
        self.lowest = int(delta["TOKEN"]) if delta else self.lowest
        if not delta or CHANCE.random() < 0.2:
            self.value = await self._snapshot()
        else:
            self.value = int(delta["TOKEN"])

    async def _snapshot(self) -> int:
        """Take a snapshot at either server; it is no older than what was announced."""
        lowest = self.lowest
        body = {"orgId": ORG, "sessionId": self.id}
        answer = await self.servers.insist("POST", f"{CREDENTIALS}/snapshot", body)
        value = int(answer["env"]["TOKEN"])
        if value < lowest:
            raise BrokenPromiseError(f"{self.id}: snapshot {value} after UPDATE {lowest}")
        return value


@dataclass
class Host:
    """A host that applies whatever it is given, once."""

    servers: Servers
    name: str
    id: str = ""
    worker_id: str = ""
    token: str = field(default="", repr=False)
    received: Counter[str] = field(default_factory=Counter)
    unheard: set[str] = field(default_factory=set)
    """Applied, and the server has not answered an ack of it yet."""

    async def register(self) -> None:
        """Register, and look up the host's id."""
        body = {"hostname": self.name, "machineId": f"mid_{self.name}", "capacity": 1}
        answer = await self.servers.insist("POST", "/api/workers/register", body)
        self.worker_id, self.token = answer["workerId"], answer["runtimeToken"]
        found = await self.servers.insist("GET", "/api/admin/hosts?limit=500", None)
        (self.id,) = [host["id"] for host in found["hosts"] if host["name"] == self.name]

    async def beat(self) -> None:
        """Send a heartbeat to either server, with acks; take what it brings."""
        acks = sorted(self.unheard)
        body = {"activeCount": 0, "appliedMutations": acks}
        path = f"/api/workers/{self.worker_id}/heartbeat"
        try:
            status, answer = await self.servers.call("POST", path, body, key=self.token)
        except NoAnswerError:
            return
        if status != 200:
            raise BrokenPromiseError(f"{self.name}: heartbeat answered {status} {answer}")
        given = [mutation["id"] for mutation in answer["pendingMutations"]]
        if len(given) != len(set(given)):
            raise BrokenPromiseError(f"{self.name}: twice in one answer: {given}")
        if again := set(acks) & set(given):
            raise BrokenPromiseError(f"{self.name}: delivered after its ack: {again}")
        self.received.update(given)
        self.unheard = (self.unheard - set(acks)) | set(given)
        await self._contradict(acks)

    async def _contradict(self, acks: list[str]) -> None:
        """Now and then claim the contrary of what was acked: it must not count."""
        if acks and CHANCE.random() < 0.2:
            failures = [{"id": acks[0], "error": "too late"}]
            path = f"/api/workers/{self.worker_id}/heartbeat"
            try:
                status, answer = await self.servers.call(
                    "POST",
                    path,
                    {"activeCount": 0, "mutationFailures": failures},
                    key=self.token,
                )
            except NoAnswerError:
                return
            if status != 200:
                raise BrokenPromiseError(f"{self.name}: answered {status} {answer}")
            given = [mutation["id"] for mutation in answer["pendingMutations"]]
            self.received.update(given)
            self.unheard |= set(given)

    async def history(self) -> dict[str, Any]:
        """Return the latest mutations by id."""
        path = f"{MUTATIONS}?workerHostId={self.id}&limit=500"
        found = (await self.servers.insist("GET", path, None))["mutations"]
        return {mutation["id"]: mutation for mutation in found}


@dataclass
class Operator:
    """Somebody who rotates, enqueues and cancels, and insists on an answer."""

    servers: Servers
    value: int = 0
    """The newest that is stored."""
    requests: int = 0
    times: list[str] = field(default_factory=list)
    enqueued: dict[str, set[str]] = field(default_factory=dict)
    """By host."""
    cancelled: set[str] = field(default_factory=set)
    undecided: set[str] = field(default_factory=set)
    """Cancels whose answer was lost, and so may count or not."""

    async def rotate(self) -> None:
        """Store the next value, and have it announced."""
        self.value += 1
        values = {"values": {"TOKEN": str(self.value)}}
        await self.servers.insist("PUT", "/api/admin/credentials/github/values", values)
        body = {"orgId": ORG, "kind": "github"}
        done = await self.servers.insist("POST", f"{CREDENTIALS}/rotate", body)
        if self.times and done["rotatedAt"] <= self.times[-1]:
            raise BrokenPromiseError(f"rotatedAt {done['rotatedAt']} <= {self.times[-1]}")
        self.times.append(done["rotatedAt"])

    async def enqueue(self, host: Host) -> str:
        """Ask a host for a change, with a key of the request so that it is asked once."""
        self.requests += 1
        request = f"{host.name}-{self.requests}"
        body = {"workerHostId": host.id, "op": "project.enable", "params": {"id": "p"}}
        answer = await self.servers.insist("POST", MUTATIONS, body, idempotency_key=request)
        mutation_id = str(answer["mutation"]["id"])
        self.enqueued.setdefault(host.name, set()).add(mutation_id)
        return mutation_id

    async def cancel(self, mutation_id: str) -> None:
        """Cancel a mutation, if it is still pending."""
        try:
            status, _ = await self.servers.call("DELETE", f"{MUTATIONS}/{mutation_id}")
        except NoAnswerError:
            self.undecided.add(mutation_id)
            return
        if status == 200:
            self.cancelled.add(mutation_id)
