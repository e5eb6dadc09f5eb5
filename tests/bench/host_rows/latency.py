"""From an operator's request for a mutation to the host, and to its outcome."""

import random
import statistics
from collections.abc import Mapping
from datetime import timedelta
from functools import partial

import anyio
import anyio.to_thread
from platform_thread import PlatformThread

from host_rows.at_rest import bare_host
from host_rows.frame import Measured, Row, Run, Target
from host_rows.scene import HALF_HOUR, NAME, scene

INTERVALS_MS = (30_000, 300_000)
ROUNDS = 15


async def latency(run: Run) -> Mapping[str, Measured]:
    """Enqueue at random moments; the platform's own times say when the rest happened."""
    found: dict[str, Measured] = {}
    for interval_ms in INTERVALS_MS:
        delivered, decided, least = await _at(run, interval_ms)
        where = f"beat every {interval_ms // 1000} s"
        at, acked = (statistics.median(column) for column in zip(*least, strict=True))
        found[f"{where}: delivered, p50"] = Measured(statistics.median(delivered), at)
        found[f"{where}: acked, p50"] = Measured(statistics.median(decided), acked)
    return found


async def _at(
    run: Run, interval_ms: int
) -> tuple[list[float], list[float], list[tuple[float, float]]]:
    rounds = run.samples(ROUNDS)
    delivered, decided = [], []
    async with scene(run) as one:
        one.configure()
        async with one.aged_daemon(beat_ms=interval_ms):
            platform = one.platform
            for number in range(rounds):
                await anyio.sleep(random.uniform(1.5, 3.0))  # noqa: S311 - apart from any beat
                where = {"id": f"p{number}", "repository": "https://git.example/acme/a"}
                asked = platform.enqueue(NAME, "project.add", **where)
                await one.until(partial(_is_decided, platform, asked.id))
                row = platform.rows.mutation(asked.id)
                assert row.delivered_at is not None
                assert row.decided_at is not None
                delivered.append((row.delivered_at - row.created_at) / timedelta(seconds=1))
                decided.append((row.decided_at - row.created_at) / timedelta(seconds=1))
        with bare_host(one) as bare:
            bare.ask("latency", platform.rows.host("bare").id, rounds)
            least = await anyio.to_thread.run_sync(bare.answer)
    return delivered, decided, least


def _is_decided(platform: PlatformThread, mutation_id: str) -> bool:
    return platform.rows.mutation(mutation_id).decided_at is not None


ROWS = (
    Row(
        name="latency",
        title="Enqueue to delivered, and to acked",
        note=f"a daemon {HALF_HOUR}, one host; {ROUNDS} mutations at moments that have "
        "nothing to do with its beats, for each interval. A daemon sends at most "
        "one heartbeat a second, so an outcome follows its delivery by that. The "
        "floor is a process that enqueues and at once sends a heartbeat, and one "
        "more with the outcome, and applies nothing.",
        targets={
            "beat every 30 s: delivered, p50": Target(unit="s", below=0.3),
            "beat every 30 s: acked, p50": Target(unit="s", below=1.5),
            "beat every 300 s: delivered, p50": Target(unit="s", below=0.3),
            "beat every 300 s: acked, p50": Target(unit="s", below=1.5),
        },
        measure=latency,
    ),
)
