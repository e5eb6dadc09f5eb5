"""Name servers that fail, hang and change their mind, and IPv6 that leads nowhere.

Everything is in a network of our own, where the platform has a name, TLS, and two sites
with an address each. In turn: the name server answers SERVFAIL, then that there is no such
name, then nothing at all; the platform gains an IPv6 address that swallows every packet;
it moves to its other site, while the first still runs. Each time `status` must name the
cause, and beats, streams and values must be back soon after it is over. It must be root, or
it is skipped, in words. Run it alone: `.venv-dev/bin/python tests/soak/name_service.py`.
"""

import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from rig.certificates import make_authority
from rig.ending import leaving_nothing
from rig.host import Host, open_host
from rig.name_server import NO_ERROR, NO_SUCH_NAME, SERVER_FAILURE, NameServer, name_server
from rig.own_network import in_own_network, run_command
from rig.tls_site import TlsSite, tls_site
from rig.verdict import BrokenPromiseError

NAME, PORT = "platform.test", 8443
FIRST, SECOND, HOLE = "127.0.1.1", "127.0.1.2", "fd00::1"
SESSIONS = 10
"""More than there are threads for lookups."""
OUTAGE_SECONDS = 30.0
TOLD_WITHIN = 25.0
"""Three intervals of 5 s, and a call's time."""
RECOVERS_WITHIN = 20.0
MOST_THREADS = 32
BODY = '[credentials]\nproject_id = "p"\n' + "".join(
    f'[[credentials.sessions]]\nid = "s{number}"\nenv_file = "s{number}.env"\n'
    for number in range(SESSIONS)
)


@dataclass
class World:
    """A host, the name server it asks, and both sites of its platform."""

    host: Host
    names: NameServer
    first: TlsSite
    second: TlsSite
    value: int = 0

    async def rotate(self, *, within: float) -> float:
        """Rotate; return the seconds until every session has it and all is well."""
        self.value += 1
        began = time.monotonic()
        self.host.platform.rotate("github", TOKEN=f"value-{self.value}")
        with anyio.fail_after(within):
            for number in range(SESSIONS):
                file = self.host.runtime / f"s{number}.env"
                await self.host.until_file(file, f"value-{self.value}", within=within)
            await self.host.until(_is_well, within=within)
        return time.monotonic() - began


def _is_well(status: dict[str, Any]) -> bool:
    streams = {session["stream"] for session in status["sessions"]}
    return status["state"] == "ok" and streams == {"live"}


async def lookups_fail(world: World, code: int, said: str) -> str:
    """Let the name server fail while every connection is lost."""
    world.names.code, world.names.is_silent = code, code == NO_ERROR
    world.first.hang_up()

    def tells(status: dict[str, Any]) -> bool:
        return (
            said in (status["heartbeat"]["last_error"] or "")
            and status["state"] == "degraded"
        )

    began = time.monotonic()
    await world.host.until(tells, within=TOLD_WITHIN)
    told = time.monotonic() - began
    await anyio.sleep(OUTAGE_SECONDS - told)
    assert world.host.process is not None
    threads = len(os.listdir(f"/proc/{world.host.process.pid}/task"))  # noqa: PTH208
    if threads > MOST_THREADS:
        raise BrokenPromiseError(f"{threads} threads")
    world.names.code, world.names.is_silent = NO_ERROR, False
    back = await world.rotate(within=RECOVERS_WITHIN)
    return f"told after {told:.1f} s ({said}), {threads} threads, well {back:.1f} s later"


async def broken_ipv6(world: World) -> str:
    """Add an address that swallows everything; connections are made all the same."""
    for words in (
        "link add here type veth peer name there",
        "link set there up",
        "link set here up",
        "-6 address add fd00::2/64 dev here nodad",
        "-6 neighbour replace fd00::1 lladdr 02:00:00:00:00:01 dev here nud permanent",
    ):
        run_command("ip", *words.split())
    try:
        world.names.addresses = [HOLE, FIRST]
        world.first.hang_up()
        before = await _connect_failures(world.host)
        back = await world.rotate(within=RECOVERS_WITHIN)
        await world.host.command("sync")
        if (now := await _connect_failures(world.host)) != before:
            raise BrokenPromiseError(f"connections failed: {before}, then {now}")
    finally:
        run_command("ip", "link", "delete", "here")
    return f"well {back:.1f} s after every connection was lost, and not one failed"


async def _connect_failures(host: Host) -> list[str]:
    """Return the counters of beats, snapshots and streams that could not connect."""
    _, metrics, _ = await host.command("metrics")
    return [line for line in metrics.splitlines() if '"unreachable"' in line]


async def moved(world: World) -> str:
    """Move to the other site; the first keeps its connections, and passes nothing on."""
    world.names.addresses = [SECOND]
    world.first.is_mute = True
    began = time.monotonic()
    with anyio.fail_after(30):
        while world.first.open_connections:  # noqa: ASYNC110 - a relay has no event
            await anyio.sleep(0.05)
    followed = time.monotonic() - began
    back = await world.rotate(within=RECOVERS_WITHIN)
    return f"followed within {followed:.1f} (quick) minutes, well {back:.1f} s later"


@asynccontextmanager
async def _world(place: Path) -> AsyncIterator[World]:
    (place / "ca").mkdir()
    authority = make_authority(place / "ca")
    certificate = authority.sign("site", names=f"DNS:{NAME}")
    async with (
        open_host(place, beat_ms=5000, body=BODY) as host,
        name_server(FIRST) as names,
    ):
        host.platform.configure(host_names=frozenset({NAME}))
        host.environ = {
            "RENSEI_DAEMON_PLATFORM__URL": f"https://{NAME}:{PORT}",
            "RENSEI_DAEMON_PLATFORM__CA_FILE": str(authority.ca),
        }
        host.platform.set_credential("github", "TOKEN", "value-0")
        upstream = int(host.platform.url.rpartition(":")[2])
        async with (
            tls_site(FIRST, PORT, upstream, certificate) as first,
            tls_site(SECOND, PORT, upstream, certificate) as second,
        ):
            await host.start("rig.quick_moves")
            await host.until(_is_well)
            yield World(host, names, first, second)


FAULTS: dict[str, Callable[[World], Awaitable[str]]] = {
    "SERVFAIL": lambda world: lookups_fail(
        world, SERVER_FAILURE, "no name server could look up its name"
    ),
    "NXDOMAIN": lambda world: lookups_fail(
        world, NO_SUCH_NAME, "its name cannot be resolved"
    ),
    "silence": lambda world: lookups_fail(world, NO_ERROR, "no name server answers"),
    "broken IPv6": broken_ipv6,
    "another address": moved,
}


async def main() -> None:
    """Try each on a host of its own; print one line each."""
    for name, fault in FAULTS.items():
        with tempfile.TemporaryDirectory() as place:
            async with _world(Path(place)) as world:
                print(f"{name}: {await fault(world)}", flush=True)


if __name__ == "__main__" and in_own_network():
    with leaving_nothing():
        anyio.run(main)
