"""What a daemon holds and uses while nothing happens."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio

from host_rows.frame import Measured, Row, Run, Target
from host_rows.processes import Helper, Memory, cpu_seconds, helper, memory
from host_rows.scene import HALF_HOUR, Scene, scene

HERE = Path(__file__).parent
MANY = 50
HOUR_BEATS, HOUR_KEEPALIVES = 120, 240
KEEPALIVE_SECONDS = 0.05
REST_SECONDS = 10.0
IDLE_SECONDS = 120.0
MB, MIB = 1e6, 2.0**20


@contextmanager
def bare_host(one: Scene) -> Iterator[Helper]:
    """Run the least host there can be beside the daemon."""
    asked = (one.platform.url, one.ca_file, one.key, "bare")
    with helper(one.run.bin / "python", HERE / "bare_host.py", *asked) as host:
        yield host


async def held(run: Run) -> Mapping[str, Measured]:
    """Read the memory of daemons that have lived through an hour's beats."""
    one, least = await _held_with(run, 1)
    many, _ = await _held_with(run, MANY)
    each = (many.resident - one.resident) / (MANY - 1)
    return {
        "resident": Measured(one.resident / MB, least.resident / MB),
        "anonymous": Measured(one.anonymous / MIB, least.anonymous / MIB),
        "a session more": Measured(each / MIB),
    }


async def _held_with(run: Run, sessions: int) -> tuple[Memory, Memory]:
    """Return what a daemon holds, and what the bare host does."""
    async with scene(run, keepalive_seconds=KEEPALIVE_SECONDS) as one:
        one.configure(sessions)
        with bare_host(one) as bare:
            bare.ask("live", 30)
            async with one.aged_daemon(run.samples(HOUR_BEATS)) as daemon:
                await anyio.sleep(run.share * HOUR_KEEPALIVES * KEEPALIVE_SECONDS)
                await anyio.sleep(run.share * REST_SECONDS)
                return memory(daemon.process.pid), memory(bare.process.pid)


async def idle(run: Run) -> Mapping[str, Measured]:
    """Read the processor time of two minutes, beside a bare host in the same minutes."""
    seconds = IDLE_SECONDS * run.share
    async with scene(run) as one:
        one.configure()
        async with one.aged_daemon() as daemon:
            with bare_host(one) as bare:
                bare.ask("live", 30)
                await anyio.sleep(run.share * REST_SECONDS)
                pids = (daemon.process.pid, bare.process.pid)
                before = [cpu_seconds(pid) for pid in pids]
                await anyio.sleep(seconds)
                used, least = (
                    (cpu_seconds(pid) - then) / seconds * 100
                    for pid, then in zip(pids, before, strict=True)
                )
    return {"share of a core": Measured(used, least)}


ROWS = (
    Row(
        name="memory",
        title="Memory after an hour, with https",
        note=f"a daemon with one session that has lived through {HOUR_BEATS} beats, 50 "
        f"ms apart, a mutation, a reconnect and {HOUR_KEEPALIVES} keepalives of its "
        "stream, 50 ms apart, and has rested for 10 s; an hour takes half a "
        "minute. The floor is a Python process with http.client and ssl that holds "
        "a stream and sends beats. A session more: the difference to a daemon with "
        f"{MANY} sessions.",
        targets={
            "resident": Target(unit="MB", below=45),
            "anonymous": Target(unit="MiB", below=26),
            "a session more": Target(unit="MiB", below=0.15),
        },
        measure=held,
    ),
    Row(
        name="idle",
        title="Processor at rest",
        note=f"a daemon {HALF_HOUR}, with one session: 120 s in real time, with a beat "
        "every 30 s and a keepalive every 15 s. The floor is the bare host of the "
        "memory row in the same minutes.",
        targets={"share of a core": Target(unit="%", below=0.1)},
        measure=idle,
    ),
)
