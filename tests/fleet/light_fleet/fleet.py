"""A fleet: servers, a balancer before them, and processes of light hosts."""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from rig.servers import ORG, Servers
from temporary import memory_directory

from light_fleet.balancer import Balancer, balancing
from light_fleet.hosts import NAME

KIND = "github"
OP = "project.disable"
"""Of a project that no host has: it has an outcome, and changes no file."""
_SUPPORT = [
    str(Path(__file__).parents[2] / place) for place in ("fleet", "soak", "support")
]
_LINE_BYTES = 1 << 20
BEHIND_THE_SERVERS = ("nice", "-n", "10")
"""Real hosts take no processor time from the servers of their platform."""
CHANCE = random.Random()  # noqa: S311 - no secret


@dataclass(frozen=True, slots=True)
class State:
    """How all hosts were at one moment."""

    at: float
    healthy: int
    healthy_at: float
    """When the last of the healthy ones became so."""
    values: dict[str, tuple[int, float]]
    """How many hold a value, and when the last of them got it."""
    applied: int
    started: int
    """How many have been started."""
    errors: Counter[str]
    """Why hosts are not well."""


class _HostProcess:
    """A process of light hosts."""

    def __init__(self, process: Process, count: int) -> None:
        assert process.stdout is not None
        self._process, self._count = process, count
        self._lines = BufferedByteReceiveStream(process.stdout)

    async def send(self, line: str) -> None:
        """Send a line to it."""
        assert self._process.stdin is not None
        await self._process.stdin.send(f"{line}\n".encode())

    async def receive(self) -> str:
        """Return its next line."""
        return (await self._lines.receive_until(b"\n", _LINE_BYTES)).decode()


@dataclass
class Fleet:
    """Everything that runs, and how to act on it."""

    servers: Servers
    balancer: Balancer
    size: int
    interval: float
    processes: list[_HostProcess] = field(default_factory=list)
    enqueued: dict[str, str] = field(default_factory=dict)
    """Host of each mutation that the control plane has accepted."""
    asked: int = 0
    """How many mutations were asked for."""
    host_ids: list[str] = field(default_factory=list)
    value: str = ""
    """The newest value."""
    asking: anyio.Lock = field(default_factory=anyio.Lock)
    """Held by whoever has asked the processes and reads their answers."""

    async def start_hosts(self) -> None:
        """Have every host start its loops, as fast as this machine can start them."""
        for process in self.processes:
            await process.send("start")

    async def state(self) -> State:
        """Return how all hosts are."""
        async with self.asking:
            with anyio.CancelScope(shield=True):  # each answer is somebody's
                for process in self.processes:
                    await process.send("state")
                answers = [await process.receive() for process in self.processes]
        parts = [json.loads(answer) for answer in answers]
        values: dict[str, tuple[int, float]] = {}
        for part in parts:
            for value, (count, at) in part["values"].items():
                before = values.get(value, (0, 0.0))
                values[value] = (before[0] + count, max(before[1], at))
        return State(
            time.monotonic(),
            sum(part["healthy"][0] for part in parts),
            max(part["healthy"][1] for part in parts),
            values,
            sum(part["applied"] for part in parts),
            sum(part["started"] for part in parts),
            sum((Counter(part["errors"]) for part in parts), Counter()),
        )

    async def set_value(self, number: int) -> None:
        """Store a new value, and tell no host."""
        self.value = f"value-{number}"
        path = f"/api/admin/credentials/{KIND}/values"
        body = {"values": {NAME: self.value}, "projectId": None}
        await self.servers.insist("PUT", path, body)

    async def rotate(self) -> float:
        """Announce the newest value to all hosts; return when that was asked for."""
        asked = time.monotonic()
        body = {"orgId": ORG, "kind": KIND}
        await self.servers.insist("POST", "/api/daemon/credentials/rotate", body)
        return asked

    async def learn_hosts(self) -> None:
        """Learn the ids of all hosts, which have registered."""
        found: list[str] = []
        after = ""
        while len(found) < self.size:
            path = f"/api/admin/hosts?limit=500{after}"
            page = await self.servers.insist("GET", path, None)
            if not page["hosts"]:
                break  # some have not registered
            found += [host["id"] for host in page["hosts"]]
            last = page["hosts"][-1]
            after = f"&after={last['name']}&afterId={last['id']}"
        self.host_ids = found

    async def enqueue(self) -> None:
        """Ask some host for a change; to the end, even if the caller is cancelled."""
        self.asked += 1
        host = CHANCE.choice(self.host_ids)
        body = {"workerHostId": host, "op": OP, "params": {"id": f"proj_{self.asked}"}}
        key, path = f"fleet-{self.asked}", "/api/daemon/mutations"
        with anyio.CancelScope(shield=True):
            made: Any = None
            while made is None:
                with suppress(TimeoutError):  # the database may be away for longer
                    made = await self.servers.insist(
                        "POST", path, body, idempotency_key=key
                    )
        self.enqueued[made["mutation"]["id"]] = host

    async def undecided(self, ids: set[str]) -> set[str]:
        """Return the mutations among these that have no outcome at the control plane."""
        left = set(ids)
        for host in {self.enqueued[id_] for id_ in ids}:
            path = f"/api/daemon/mutations?workerHostId={host}&limit=500"
            history = (await self.servers.insist("GET", path, None))["mutations"]
            left -= {m["id"] for m in history if m["status"] == "applied"}
        return left


@asynccontextmanager
async def running_fleet(
    servers: Servers, size: int, interval: float, process_count: int
) -> AsyncIterator[Fleet]:
    """Lend a fleet whose servers run, and whose hosts have not started yet."""
    for port in servers.ports:
        await servers.start(port)
    balancer = Balancer(servers.ports)
    directory = tempfile.mkdtemp(prefix="hosts-", dir=memory_directory())
    key_file = Path(directory) / "key"
    key_file.touch(mode=0o600)
    key_file.write_text(servers.key)
    try:
        async with balancing(balancer) as url:
            fleet = Fleet(servers, balancer, size, interval)
            described = {"url": url, "key_file": str(key_file), "directory": directory}
            async with _host_processes(fleet, described, process_count):
                yield fleet
    finally:
        shutil.rmtree(directory)


@asynccontextmanager
async def _host_processes(
    fleet: Fleet, described: dict[str, Any], process_count: int
) -> AsyncIterator[None]:
    started: list[Process] = []
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(_SUPPORT)}
    try:
        for n in range(process_count):
            first = fleet.size * n // process_count
            count = fleet.size * (n + 1) // process_count - first
            process = await anyio.open_process(
                [*BEHIND_THE_SERVERS, sys.executable, "-m", "light_fleet.hosts"],
                stdin=PIPE,
                stdout=PIPE,
                stderr=None,
                env=environ,
            )
            started.append(process)
            hosts = _HostProcess(process, count)
            fleet.processes.append(hosts)
            await hosts.send(json.dumps({**described, "first": first, "count": count}))
        for hosts in fleet.processes:
            await hosts.receive()  # it has opened its files
        yield
    finally:
        for process in started:
            process.kill()
            await process.aclose()
