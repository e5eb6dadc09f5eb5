"""What happens to a fleet, and what it is measured by.

A scenario begins with a fleet that is well, or not started. Its trouble ends at a moment;
from then on it takes a time until every host beats, has values and a stream, and a time
until every host holds the newest value, which was announced amid the trouble. Mutations are
enqueued all the while, and none may be without an outcome in the end.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import anyio
import anyio.to_thread

from light_fleet.balancer import Arrival, Refusal
from light_fleet.fleet import Fleet, State

LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 150.0
"""After the trouble."""
HEALTHY_SECONDS = 90.0
ANSWER_SECONDS = 5.0
START_SECONDS = 5.0
"""For each host to be started; a machine that is very busy takes a tenth of it."""
PEAK_RATIO = 3.0
GONE_SECONDS = 60.0
LEAST_MEAN = 10.0
"""Arrivals a second; with fewer, chance alone makes a higher peak."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """When what happened was over, and when the newest value was announced."""

    over: float
    rotated: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something that happens to a fleet."""

    name: str
    happen: Callable[[Fleet], Awaitable[Trouble]]
    hold_seconds: float = HEALTHY_SECONDS
    """Within which every host must hold the newest value."""
    asks_to_wait: bool = False
    """Whether every 503 must have a Retry-After."""
    back_seconds: float = 0.0
    """Until hosts that were asked to wait are back."""


@dataclass
class Result:
    """What was measured; times in seconds from the end of the trouble."""

    name: str
    size: int
    interval: float
    newest: str
    """The value that every host should hold in the end."""
    begun: float
    trouble: Trouble
    states: list[State]
    arrivals: list[Arrival]
    healthy: float | None
    """None if some host never was."""
    holding: float | None
    scenario: Scenario
    enqueued: int
    lost: int
    misses: list[str] = field(default_factory=list)

    @property
    def rates(self) -> list[int]:
        """Arrivals of each second from the begin on."""
        if not self.arrivals:
            return []
        counts = Counter(int(one.at - self.begun) for one in self.arrivals)
        return [counts[second] for second in range(max(counts) + 1)]

    @property
    def settled_rates(self) -> list[int]:
        """Arrivals of each whole second after the first interval that followed."""
        back = self.trouble.over + self.scenario.back_seconds
        first = int(back - self.begun + self.interval) + 1
        return self.rates[first:-1]

    @property
    def mean(self) -> float:
        """Arrivals a second, after the first interval."""
        rates = self.settled_rates
        return sum(rates) / len(rates) if rates else 0.0

    @property
    def peak_ratio(self) -> float:
        """The peak of arrivals over their mean, after the first interval."""
        return max(self.settled_rates, default=0) / self.mean if self.mean else 0.0

    @property
    def refused(self) -> int:
        """How many requests were answered 5xx."""
        return sum(one.status >= 500 for one in self.arrivals)

    @property
    def abrupt(self) -> int:
        """How many of them had no Retry-After."""
        return sum(one.status >= 500 and not one.asks_to_wait for one in self.arrivals)

    @property
    def worst_answer(self) -> float:
        """The longest time to an answer, a refusal included."""
        return max((one.seconds for one in self.arrivals), default=0.0)

    def slow_answers(self) -> str:
        """Return how many answers of each kind took too long, and when the worst began."""
        slow = [one for one in self.arrivals if one.seconds > ANSWER_SECONDS]
        worst = max(slow, key=lambda one: one.seconds)
        return f"{_kinds(slow)}; the worst at {worst.at - self.begun:.0f} s"

    def busiest_second(self) -> str:
        """Return what arrived in the second of the peak, and when that was."""
        rates = self.settled_rates
        second = len(self.rates) - 1 - len(rates) + rates.index(max(rates))
        found = [one for one in self.arrivals if int(one.at - self.begun) == second]
        return f"{_kinds(found)} at {second} s"

    def judge(self) -> None:
        """Note every target that was missed."""
        hold_seconds = self.scenario.hold_seconds
        judged = (
            (_within(self.healthy, HEALTHY_SECONDS), "not all healthy in time"),
            (
                self.trouble.rotated is None or _within(self.holding, hold_seconds),
                "not all hold the new value in time",
            ),
            (self.worst_answer <= ANSWER_SECONDS, "an answer took too long"),
            (
                self.mean < LEAST_MEAN or self.peak_ratio < PEAK_RATIO,
                "arrivals are not spread",
            ),
            (self.lost == 0, "outcomes are lost"),
            (
                not self.scenario.asks_to_wait or not self.abrupt,
                f"{self.abrupt} answers of 503 without Retry-After",
            ),
        )
        self.misses = [what for passed, what in judged if not passed]
        if self.worst_answer > ANSWER_SECONDS:
            self.misses.append(self.slow_answers())
        if "arrivals are not spread" in self.misses:
            self.misses.append(self.busiest_second())
        if self.healthy is None:
            self.misses += [f"{n} x {e}" for e, n in self.states[-1].errors.most_common(3)]


def _kinds(arrivals: Sequence[Arrival]) -> str:
    counts = Counter(one.kind for one in arrivals).most_common()
    return " + ".join(f"{count} {kind}" for kind, count in counts)


def _within(seconds: float | None, limit: float) -> bool:
    return seconds is not None and seconds <= limit


# ---- what happens ------------------------------------------------------------------------


async def nothing(fleet: Fleet) -> Trouble:
    """Let the fleet run."""
    return Trouble(time.monotonic())


async def cold_start(fleet: Fleet) -> Trouble:
    """Start every host, as fast as this machine can; it is over with the last one."""
    await fleet.start_hosts()
    with anyio.fail_after(START_SECONDS * fleet.size):
        while (await fleet.state()).started < fleet.size:  # noqa: ASYNC110 - it takes requests
            await anyio.sleep(LOOK_SECONDS)
    over = time.monotonic()
    return Trouble(over, over)


async def rotation(fleet: Fleet) -> Trouble:
    """Announce a new value to all."""
    await _new_value(fleet)
    asked = await fleet.rotate()
    return Trouble(asked, asked)


async def restart(fleet: Fleet) -> Trouble:
    """Stop every server and start it again; announce a new value at once."""
    await _new_value(fleet)
    for port in fleet.servers.ports:
        await fleet.servers.stop(port)
        await fleet.servers.start(port)
    over = time.monotonic()
    return Trouble(over, await fleet.rotate())


async def killed(fleet: Fleet) -> Trouble:
    """Kill a server; announce a new value, and start it again when that was taken up."""
    await _new_value(fleet)
    port = fleet.servers.any_port()
    fleet.servers.kill(port)
    over = time.monotonic()
    if len(fleet.servers.ports) == 1:
        await fleet.servers.start(port)
        over = time.monotonic()
    rotated = await fleet.rotate()
    if port not in fleet.servers.processes:
        await fleet.servers.start(port)
    return Trouble(over, rotated)


def outage(
    seconds: float, retry_after: int | None
) -> Callable[[Fleet], Awaitable[Trouble]]:
    """Return: refuse everything for some time; announce a new value meanwhile."""

    async def happen(fleet: Fleet) -> Trouble:
        fleet.balancer.refuse(Refusal(retry_after))
        await anyio.sleep(seconds / 2)  # passes time
        await _new_value(fleet)
        rotated = await fleet.rotate()
        await anyio.sleep(seconds / 2)  # passes time
        fleet.balancer.refusal = None
        return Trouble(time.monotonic(), rotated)

    return happen


def database_gone(seconds: float) -> Callable[[Fleet], Awaitable[Trouble]]:
    """Return: stop PostgreSQL for some time; announce a new value when it is back."""

    async def happen(fleet: Fleet) -> Trouble:
        cluster = fleet.servers.cluster
        assert cluster is not None
        await anyio.to_thread.run_sync(cluster.stop)
        await anyio.sleep(seconds)  # passes time
        await anyio.to_thread.run_sync(cluster.start)
        over = time.monotonic()
        await _new_value(fleet)
        return Trouble(over, await fleet.rotate())

    return happen


async def _new_value(fleet: Fleet) -> None:
    await fleet.set_value(int(fleet.value.rpartition("-")[2] or 0) + 1)


def scenarios(outage_seconds: float, *, has_cluster: bool) -> list[Scenario]:
    """Return all, in the order in which they happen to one fleet."""
    gone = Scenario(
        f"no database for {GONE_SECONDS:g} s",
        database_gone(GONE_SECONDS),
        asks_to_wait=True,
    )
    return [
        *_on_every_database(outage_seconds),
        *([gone] if has_cluster else []),
    ]


def _on_every_database(outage_seconds: float) -> list[Scenario]:
    return [
        Scenario("cold start of all", cold_start),
        Scenario("steady state", nothing),
        Scenario("a rotation to all", rotation, hold_seconds=10.0),
        Scenario("restart of the platform", restart),
        Scenario("a server killed -9", killed),
        Scenario("503", outage(outage_seconds, None)),
        Scenario("503 with Retry-After: 30", outage(outage_seconds, 30), back_seconds=36.0),
    ]


# ---- how it is measured ------------------------------------------------------------------


async def measure(fleet: Fleet, scenario: Scenario, pace: float) -> Result:
    """Have a scenario happen; `pace` mutations a second are enqueued meanwhile."""
    fleet.balancer.arrivals = []
    begun, known = time.monotonic(), set(fleet.enqueued)
    states: list[State] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_watch, fleet, states)
        tasks.start_soon(_enqueue, fleet, pace)
        trouble = await scenario.happen(fleet)
        await _settle(fleet, trouble.over + scenario.back_seconds, states)
        tasks.cancel_scope.cancel()
    ids = set(fleet.enqueued) - known
    lost = await _lost(fleet, ids)
    held = states[-1].values.get(fleet.value, (0, 0.0))
    rotated = trouble.rotated
    is_healthy = states[-1].healthy == fleet.size
    result = Result(
        name=scenario.name,
        size=fleet.size,
        interval=fleet.interval,
        newest=fleet.value,
        begun=begun,
        trouble=trouble,
        states=states,
        arrivals=fleet.balancer.arrivals,
        healthy=max(0.0, states[-1].healthy_at - trouble.over) if is_healthy else None,
        holding=max(0.0, held[1] - max(rotated or 0.0, trouble.over))
        if held[0] == fleet.size
        else None,
        scenario=scenario,
        enqueued=len(ids),
        lost=len(lost),
    )
    result.judge()
    return result


async def _watch(fleet: Fleet, states: list[State]) -> None:
    while True:
        states.append(await fleet.state())
        await anyio.sleep(LOOK_SECONDS)


async def _enqueue(fleet: Fleet, pace: float) -> None:
    if not fleet.host_ids:
        return  # none has registered yet
    while True:
        await fleet.enqueue()
        await anyio.sleep(1 / pace)


async def _settle(fleet: Fleet, back: float, states: list[State]) -> None:
    """Wait until all is well, and for at least three intervals."""
    soonest = back + 3 * fleet.interval
    latest = max(soonest, time.monotonic() + PATIENCE_SECONDS)
    while time.monotonic() < latest:
        count, _ = states[-1].values.get(fleet.value, (0, 0.0)) if states else (0, 0.0)
        is_well = bool(states) and states[-1].healthy == fleet.size == count
        if is_well and time.monotonic() >= soonest:
            return
        await anyio.sleep(LOOK_SECONDS)


async def _lost(fleet: Fleet, ids: set[str]) -> set[str]:
    """Return what has no outcome although every host has had time for it."""
    left = ids
    with suppress(TimeoutError), anyio.fail_after(30 + 4 * fleet.interval):
        while left := await fleet.undecided(left):  # noqa: ASYNC110 - it takes requests
            await anyio.sleep(LOOK_SECONDS)
    return left
