"""How long a mutation takes from the operator's request to the host, and to its outcome.

A real daemon beats every `INTERVAL_SECONDS`; each mutation is enqueued at a moment that has
nothing to do with its beats. The platform's own times say when it was delivered and when
its outcome came. The floor is a client that beats at once with what an operator enqueues,
in the same run: a request for each, and nothing applied. Run it by hand:
`.venv-dev/bin/python tests/bench/configuration_latency.py`; exit code 1 for a miss.
"""

import random
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

sys.path += [str(Path(__file__).parents[1] / place) for place in ("support", "soak")]
from platform_thread import PlatformThread
from rig.host import NAME, open_host

from rensei_platform.rules.mutations import Mutation

INTERVAL_SECONDS = 30.0
ROUNDS = 40
DELIVERED_P50, DECIDED_P50 = 0.3, 1.5
"""The numbers to reach, in seconds. A daemon sends at most one heartbeat a second, so the
outcome follows the delivery by that, and one more second lies before the delivery if a
heartbeat has just gone out."""


def enqueue(platform: PlatformThread, host: str, number: int) -> Mutation:
    """Ask a host to allow one more project."""
    repository = "github.com/acme/a"
    return platform.enqueue(host, "project.add", id=f"p{number}", repository=repository)


def is_decided(platform: PlatformThread, mutation_id: str) -> bool:
    """Whether a mutation's outcome has come."""
    return platform.rows.mutation(mutation_id).decided_at is not None


def seconds(duration: timedelta | None) -> float:
    """Return a duration in seconds; the platform's times are in whole milliseconds."""
    assert duration is not None
    return duration.total_seconds()


async def measure(platform: PlatformThread) -> tuple[list[float], list[float]]:
    """Return the seconds until each of some mutations was delivered, and was decided."""
    delivered, decided = [], []
    for number in range(ROUNDS):
        await anyio.sleep(random.uniform(1.5, 3.0))  # noqa: S311 - apart from any beat
        mutation = await anyio.to_thread.run_sync(enqueue, platform, NAME, number)
        with anyio.fail_after(2 * INTERVAL_SECONDS):
            await platform.until(partial(is_decided, platform, mutation.id))
        row = platform.rows.mutation(mutation.id)
        assert row.delivered_at is not None
        assert row.decided_at is not None
        delivered.append(seconds(row.delivered_at - row.created_at))
        decided.append(seconds(row.decided_at - row.created_at))
    return delivered, decided


def floor(platform: PlatformThread) -> list[float]:
    """Return the seconds of an enqueue and the beat that takes it, one after the other."""
    worker = platform.ask_as(
        platform.add_key(),
        "POST",
        "/api/workers/register",
        {"hostname": "floor", "machineId": "mid_floor", "capacity": 1},
    )
    path, token = f"/api/workers/{worker['workerId']}/heartbeat", worker["runtimeToken"]
    taken = []
    for number in range(ROUNDS):
        start = time.perf_counter()
        enqueue(platform, "floor", number)
        answer = platform.ask_as(token, "POST", path, {"activeCount": 0})
        taken.append(time.perf_counter() - start)
        applied = [one["id"] for one in answer["pendingMutations"]]
        platform.ask_as(
            token, "POST", path, {"activeCount": 0, "appliedMutations": applied}
        )
    return taken


def report(name: str, taken: list[float], limit: float) -> bool:
    """Print a row; return whether the median is below the limit."""
    cuts = statistics.quantiles(taken, n=100)
    is_met = cuts[49] < limit
    print(
        f"{name:<22} p50 {cuts[49] * 1000:7.1f} ms   p99 {cuts[98] * 1000:7.1f} ms"
        f"   p50 below {limit * 1000:.0f} ms: {'ok' if is_met else 'MISSED'}"
    )
    return is_met


async def main() -> int:
    """Measure, print, and return the exit code."""
    with tempfile.TemporaryDirectory() as directory:
        return await _measured(Path(directory))


async def _measured(place: Path) -> int:
    async with open_host(place, beat_ms=int(INTERVAL_SECONDS * 1000)) as one:
        await one.start()
        await one.platform.until(lambda: any(s.host_id for s in one.platform.all_streams))
        delivered, decided = await measure(one.platform)
        least = await anyio.to_thread.run_sync(floor, one.platform)
    print(f"floor: enqueue, beat   p50 {statistics.median(least) * 1000:7.1f} ms")
    is_met = report("enqueue to delivered", delivered, DELIVERED_P50)
    return 0 if report("enqueue to outcome", decided, DECIDED_P50) and is_met else 1


if __name__ == "__main__":
    sys.exit(anyio.run(main))
