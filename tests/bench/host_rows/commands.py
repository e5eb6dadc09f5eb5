"""Commands that are called most, and the start of the daemon: processor time."""

import statistics
from collections.abc import Mapping
from functools import partial

import anyio.to_thread

from host_rows.frame import Measured, Row, Run, Target
from host_rows.processes import commands_cost, cpu_seconds
from host_rows.scene import HALF_HOUR, scene

MS = 1000
IMPORTS = "import httpx, pydantic_settings, structlog, anyio"


async def check(run: Run) -> Mapping[str, Measured]:
    """Measure `config check`, which needs no daemon."""
    async with scene(run) as one:
        one.configure()
        words = {"config check": [str(one.program), "config", "check"]}
        return await _costs(run, words, dict(one.environ))


async def commands(run: Run) -> Mapping[str, Measured]:
    """Measure the commands that ask a daemon."""
    async with scene(run) as one:
        one.configure()
        program = str(one.program)
        words = {
            "status": [program, "status"],
            "exec -- true": [program, "exec", "--", "/bin/true"],
        }
        async with one.aged_daemon():
            return await _costs(run, words, dict(one.environ))


async def _costs(
    run: Run, words: dict[str, list[str]], environ: dict[str, str]
) -> dict[str, Measured]:
    python = run.bin / "python"
    words = {"floor": [str(python), "-c", "pass"], **words}
    costs = await anyio.to_thread.run_sync(
        commands_cost, python, words, environ, run.samples(40)
    )
    cpu = {name: statistics.median(c.cpu for c in costs[name]) * MS for name in costs}
    floor = cpu.pop("floor")
    return {f"{name}: processor time": Measured(cpu[name], floor) for name in cpu}


async def start(run: Run) -> Mapping[str, Measured]:
    """Measure a daemon's start until READY, and until its first env file."""
    python, rounds = run.bin / "python", run.samples(15)
    ready, file, floor, walls, floor_walls = [], [], [], [], []
    async with scene(run) as one:
        one.configure()
        env_file = one.runtime / "s0.env"
        for _ in range(rounds + 1):
            words = {"floor": [str(python), "-c", IMPORTS]}
            (cost,) = (
                await anyio.to_thread.run_sync(
                    partial(commands_cost, python, words, one.environ, 1)
                )
            )["floor"]
            env_file.unlink(missing_ok=True)
            with one.daemon() as begun:
                while not env_file.exists():  # noqa: ASYNC110 - as soon as can be seen
                    await anyio.sleep(0.001)
                cpu = cpu_seconds(begun.process.pid) + begun.children_cpu
                file.append(cpu * MS)
            ready.append((begun.cpu + begun.children_cpu) * MS)
            walls.append(begun.seconds * MS)
            floor.append(cost.cpu * MS)
            floor_walls.append(cost.wall * MS)
    # The first round fills the caches.
    series = (ready, file, walls, floor, floor_walls)
    at_ready, at_file, wall, least, least_wall = (statistics.median(s[1:]) for s in series)
    return {
        "READY: processor time": Measured(at_ready, least),
        "first env file: processor time": Measured(at_file, least),
        "READY: wall time": Measured(wall, least_wall),
    }


ROWS = (
    Row(
        name="check",
        title="`config check`",
        note="from fork to exit, median of 40; the floor is `python -c pass` of the "
        "same interpreter, run in turn with it.",
        targets={"config check: processor time": Target(unit="ms", ratio=15)},
        measure=check,
    ),
    Row(
        name="commands",
        title="`status` and `exec -- true`",
        note=f"beside a daemon {HALF_HOUR}; from fork to exit, median of 40 each; the "
        "floor is `python -c pass` of the same interpreter, run in turn with them.",
        targets={
            "status: processor time": Target(unit="ms", ratio=4.5),
            "exec -- true: processor time": Target(unit="ms", ratio=4.5),
        },
        measure=commands,
    ),
    Row(
        name="start",
        title="Start",
        note="of a daemon with one session; median of 15; the floor is `python -c "
        f"'{IMPORTS}'`, run in turn with it. Processor time is of all threads, "
        "until READY=1 was read and until the env file was there, and of processes that "
        "the daemon has started and that have ended.",
        targets={
            "READY: processor time": Target(unit="ms", ratio=1.1),
            "first env file: processor time": Target(unit="ms", ratio=1.2),
            "READY: wall time": Target(unit="ms"),
        },
        measure=start,
    ),
)
