"""From the event of a rotation to the socket client and the env file."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread

from host_rows.frame import Measured, Row, Run, Target, quantile
from host_rows.processes import helper
from host_rows.scene import EVERYONES, HALF_HOUR, Scene, scene

SESSIONS = 50
HERE = Path(__file__).parent
PAUSE_SECONDS = 0.15
ALL_PAUSE_SECONDS = 0.5
"""Long enough for what one rotation brings with it to be over: 50 hooks take 0.15 s."""
MS = 1000


@dataclass
class Times:
    """Seconds from the event, of each session and of the last of each rotation."""

    told: list[float] = field(default_factory=list)
    replaced: list[float] = field(default_factory=list)
    last_told: list[float] = field(default_factory=list)
    last_replaced: list[float] = field(default_factory=list)

    def add(self, start: float, seen: Mapping[str, list[float]]) -> None:
        """Add one rotation."""
        self.told += (at - start for at in seen["told"])
        self.replaced += (at - start for at in seen["replaced"])
        self.last_told.append(max(seen["told"]) - start)
        self.last_replaced.append(max(seen["replaced"]) - start)


async def one_of_fifty(run: Run) -> Mapping[str, Measured]:
    """Rotate what a single session has."""
    times, floor = await _measured(run, "s7", run.samples(200))
    return {
        f"{what}, {name}": Measured(
            quantile(getattr(times, field), share) * MS,
            quantile(getattr(floor, field), share) * MS,
        )
        for what, field in (("socket client", "told"), ("env file", "replaced"))
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }


async def all_of_fifty(run: Run) -> Mapping[str, Measured]:
    """Rotate what every session has."""
    times, floor = await _measured(run, None, run.samples(40))
    return {
        f"last {what}, p50": Measured(
            quantile(getattr(times, field), 0.5) * MS,
            quantile(getattr(floor, field), 0.5) * MS,
        )
        for what, field in (
            ("socket client", "last_told"),
            ("env file", "last_replaced"),
        )
    }


async def _measured(run: Run, session: str | None, rounds: int) -> tuple[Times, Times]:
    """Return the times of a daemon and of the bare agent, in the same run."""
    async with scene(run) as one:
        one.configure(SESSIONS)
        async with one.aged_daemon():
            times = await _rotations(one, session, rounds)
        one.runtime.joinpath("credentials.sock").unlink(missing_ok=True)
        with _bare_agent(one):
            return times, await _rotations(one, session, rounds)


@contextmanager
def _bare_agent(one: Scene) -> Iterator[None]:
    script = HERE / "bare_agent.py"
    asked = (one.platform.url, one.ca_file, one.key, one.runtime, *one.sessions)
    with helper(one.run.bin / "python", script, *asked):
        yield


async def _rotations(one: Scene, session: str | None, rounds: int) -> Times:
    """Rotate again and again; the readers are a process of their own."""
    times = Times()
    kind = session or EVERYONES
    count = 1 if session else len(one.sessions)
    script = HERE / "readers.py"
    with helper(one.run.bin / "python", script, one.runtime, *one.sessions) as readers:
        for number in range(rounds):
            value = f"v-{number:08}"
            one.store(kind, value, project=f"p-{session}" if session else "")
            readers.ask(count)
            assert await anyio.to_thread.run_sync(readers.answer) == "waiting"
            start = time.perf_counter()
            one.platform.send_update(session, **{f"{kind.upper()}_TOKEN": value})
            times.add(start, await anyio.to_thread.run_sync(readers.answer))
            await anyio.sleep(PAUSE_SECONDS if session else ALL_PAUSE_SECONDS)
    return times


ROWS = (
    Row(
        name="rotation",
        title="A rotation event to one of 50 sessions",
        note="a daemon with 50 sessions, each with a socket client, an env file on "
        f"tmpfs and a hook, {HALF_HOUR}; 200 rotations. From the moment the "
        "platform is asked to send the event until a process of the readers has "
        "the line, and sees the file renamed. The floor is a process of blocking "
        "sockets with TLS in the daemon's place, which passes the line on and "
        "writes, flushes and renames the file; same platform, readers and file "
        "system.",
        targets={
            "socket client, p50": Target(unit="ms", below=3, calm_floor=0.6),
            "socket client, p99": Target(unit="ms", below=15),
            "env file, p50": Target(unit="ms", below=3, calm_floor=0.7),
            "env file, p99": Target(unit="ms", below=15),
        },
        measure=one_of_fifty,
    ),
    Row(
        name="fanout",
        title="One event that rotates all 50 of 50 sessions",
        note="as above, 40 rotations; until the last session has it.",
        targets={
            "last socket client, p50": Target(unit="ms", ratio=2),
            "last env file, p50": Target(unit="ms"),
        },
        measure=all_of_fifty,
    ),
)
