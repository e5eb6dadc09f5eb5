"""Two servers on one PostgreSQL, and either is killed amid rotations, enqueues and beats.

Each trial is 1,000 requests of a small fleet to whichever server is asked; somewhere in the
middle one of the two is killed and started again. In the end nothing is lost, nothing came
twice in one answer, each mutation has one outcome, the times of rotations have grown, no
snapshot was older than what had been announced, and every session has the newest value.
Run it alone: `.venv-dev/bin/python tests/soak/killed_replicas.py [TRIALS [REQUESTS]]`.
"""

import sys
import tempfile
import time
from pathlib import Path

import anyio
from anyio.abc import TaskGroup
from rig.ending import leaving_nothing
from rig.fleet import Host, Operator, Session
from rig.servers import CHANCE, Servers, two_servers
from rig.verdict import BrokenPromiseError

SESSIONS = 6
HOSTS = 3
WORKERS = 4
"""Requests that are under way at once."""


async def main(trials: int, requests: int) -> None:
    """Run the trials; raise BrokenPromiseError at the first that fails."""
    with (
        tempfile.TemporaryDirectory(prefix="replicas-") as place,
        two_servers(Path(place)) as servers,
    ):
        for port in servers.ports:
            await servers.start(port)
        for number in range(1, trials + 1):
            begun = time.monotonic()
            await trial(servers, number, requests)
            print(f"trial {number}: {time.monotonic() - begun:.1f} s", flush=True)


async def trial(servers: Servers, number: int, requests: int) -> None:
    """Kill one of the servers amid the requests, and look at what is left."""
    operator = Operator(servers, value=number * 100_000)
    await operator.rotate()
    hosts = [Host(servers, f"host-{number}-{n}") for n in range(HOSTS)]
    for host in hosts:
        await host.register()
    sessions = [Session(servers, f"sess-{number}-{n}") for n in range(SESSIONS)]
    async with anyio.create_task_group() as listeners:
        for session in sessions:
            listeners.start_soon(session.run)
        async with anyio.create_task_group() as tasks:
            Load(operator, hosts, requests).start(tasks)
            tasks.start_soon(kill_one, servers, requests)
        await operator.rotate()
        await servers.until(lambda: all(s.value == operator.value for s in sessions))
        listeners.cancel_scope.cancel()
    for host in hosts:
        await settle(host, operator)


class Load:
    """Requests of every kind, a few of them at once."""

    def __init__(self, operator: Operator, hosts: list[Host], requests: int) -> None:
        self._operator, self._hosts, self._left = operator, hosts, requests
        self._rotating = anyio.Lock()

    def start(self, tasks: TaskGroup) -> None:
        """Start; each host beats one after the other, as its daemon would."""
        for host in self._hosts:
            tasks.start_soon(self._beat, host)
        for _ in range(WORKERS):
            tasks.start_soon(self._operate)

    async def _beat(self, host: Host) -> None:
        while self._left > 0:
            self._left -= 1
            await host.beat()
            await anyio.sleep(CHANCE.uniform(0, 0.02))

    async def _operate(self) -> None:
        while self._left > 0:
            self._left -= 1
            if CHANCE.random() < 0.5:
                async with self._rotating:
                    await self._operator.rotate()
                continue
            mutation_id = await self._operator.enqueue(CHANCE.choice(self._hosts))
            if CHANCE.random() < 0.3:
                await self._operator.cancel(mutation_id)


async def kill_one(servers: Servers, requests: int) -> None:
    """Kill one of the servers after some time, and start it again a little later."""
    await anyio.sleep(CHANCE.uniform(0.1, 0.1 + requests / 200))
    port = servers.any_port()
    servers.kill(port)
    await anyio.sleep(CHANCE.uniform(0, 1))
    await servers.start(port)


async def settle(host: Host, operator: Operator) -> None:
    """Let a host ack what is left; compare its history with what it was asked and given."""
    while True:
        await host.beat()
        history = await host.history()
        if not any(m["status"] in ("pending", "delivered") for m in history.values()):
            break
    asked = operator.enqueued.get(host.name, set())
    if history.keys() != asked:
        raise BrokenPromiseError(f"{host.name}: {asked ^ history.keys()} lost or doubled")
    for mutation_id, mutation in history.items():
        is_received = host.received[mutation_id] > 0
        status = mutation["status"]
        if status not in ("applied", "cancelled") or is_received != (status == "applied"):
            raise BrokenPromiseError(f"{host.name}: {mutation}, received: {is_received}")
        is_as_answered = (status == "cancelled") == (mutation_id in operator.cancelled)
        if not is_as_answered and mutation_id not in operator.undecided:
            raise BrokenPromiseError(f"{host.name}: {mutation} against its answer")


if __name__ == "__main__":
    with leaving_nothing():
        given = [int(text) for text in sys.argv[1:]]
        trials, requests = [*given, *(50, 1000)[len(given) :]]
        anyio.run(main, trials, requests)
