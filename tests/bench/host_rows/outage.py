"""How soon hosts beat again after their platform was away."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import anyio
from anyio.abc import SocketAttribute, SocketStream

from host_rows.frame import Measured, Row, Run, Target, quantile
from host_rows.scene import BEAT_MS, Scene, scene

HOSTS = 12
AWAY_SECONDS = 30.0
LONGEST_SECONDS = 90.0


class Relay:
    """A port in front of the platform that can be closed and opened again."""

    def __init__(self, url: str) -> None:
        self._host, port = url.removeprefix("https://").split(":")
        self._behind, self._port = int(port), 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Pass on connections while the block runs; every one ends with it."""
        listener = await anyio.create_tcp_listener(
            local_host=self._host, local_port=self._port, reuse_port=True
        )
        self._port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no SQL here
        async with listener, anyio.create_task_group() as passing:
            passing.start_soon(listener.serve, self._serve)
            yield f"https://{self._host}:{self._port}"
            passing.cancel_scope.cancel()

    async def _serve(self, client: SocketStream) -> None:
        server = await anyio.connect_tcp(self._host, self._behind)
        async with client, server, anyio.create_task_group() as both:

            async def pass_on(source: SocketStream, sink: SocketStream) -> None:
                try:
                    async for data in source:
                        await sink.send(data)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    pass
                both.cancel_scope.cancel()

            both.start_soon(pass_on, client, server)
            both.start_soon(pass_on, server, client)


async def outage(run: Run) -> Mapping[str, Measured]:
    """Close the port for half a minute, and see when each host beats again."""
    async with scene(run, beat_ms=BEAT_MS) as one, AsyncExitStack() as hosts:
        relay = Relay(one.platform.url)
        async with relay.open() as url:
            for number in range(run.samples(HOSTS)):
                host = _host(one, number)
                host.configure(url=url)
                hosts.enter_context(host.daemon())
            await one.until(lambda: len(_workers(one, 0)) == run.samples(HOSTS))
        await anyio.sleep(AWAY_SECONDS * run.share)
        async with relay.open():
            return await _return(one, run.samples(HOSTS))


async def _return(one: Scene, count: int) -> Mapping[str, Measured]:
    began, known = time.monotonic(), len(one.platform.log.beats)
    arrived: dict[str, float] = {}
    with anyio.fail_after(LONGEST_SECONDS):
        while len(arrived) < count:
            for worker in _workers(one, known):
                arrived.setdefault(worker, time.monotonic() - began)
            await anyio.sleep(0.02)
    busiest = max(Counter(int(at) for at in arrived.values()).values())
    return {
        "first heartbeat, p90": Measured(quantile([*arrived.values()], 0.9)),
        "first heartbeat, last": Measured(max(arrived.values())),
        "most hosts in a second": Measured(100 * busiest / count),
    }


def _workers(one: Scene, known: int) -> set[str]:
    """Return the workers that have beaten since so many beats."""
    return {beat.worker_id for beat in list(one.platform.log.beats)[known:]}


def _host(one: Scene, number: int) -> Scene:
    """Return another host of the same platform."""
    disk = one.disk / f"host-{number}"
    disk.mkdir()
    runtime = one.runtime.with_name(f"run-{number}")
    return replace(one, disk=disk, runtime=runtime, name=f"bench-{number}")


ROWS = (
    Row(
        name="outage",
        title="After the platform comes back from an outage of 30 s",
        note=f"{HOSTS} daemons, one session each, a beat every 30 s, in real time; their "
        "port is closed for 30 s and every connection cut. From the moment it is "
        "open again until each host's first good heartbeat. `make fleet` does the "
        "same with thousands.",
        targets={
            "first heartbeat, p90": Target(unit="s", below=15),
            "first heartbeat, last": Target(unit="s"),
            "most hosts in a second": Target(unit="%", below=50),
        },
        measure=outage,
    ),
)
