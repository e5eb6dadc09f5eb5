"""A session's deliveries: newest first, in order, and again when they failed."""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel
import pytest
from boards import empty_board
from deadlines import HANG_SECONDS
from structlog.testing import capture_logs

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.counters import SessionCounters
from rensei_daemon.core.credential import Credentials, Difference
from rensei_daemon.core.health import ConsumerHealth
from rensei_daemon.delivery.delivery_protocol import Delivery, ignore_uptake
from rensei_daemon.delivery.turns import Turns
from rensei_daemon.errors import DeliveryError
from rensei_daemon.tasks.session_deliveries import SessionDeliveries
from rensei_daemon.wake_event import WakeEvent

FAILED = (Code.DELIVERY_FAILED, "build:fake:fake")
LAGGING = (Code.CONSUMER_LAGGING, "build:fake:fake")


class FakeDelivery:
    """A delivery that records what it gets, and fails if configured to."""

    def __init__(
        self,
        kind: str = "fake",
        *,
        after: Delivery | None = None,
        retries: tuple[float, ...] | None = None,
    ) -> None:
        self.on_uptake: Callable[[], None] = ignore_uptake
        self.kind = self.name = kind
        self.after = after
        self.retries = retries
        self.splay_seconds = 0.0
        self.failing = 0
        """How many times it fails from now on."""
        self.is_news = True
        self.takes_turns = False
        self.is_quick = False
        self.handed: list[tuple[int, tuple[str, ...]]] = []
        """(generation, changed names) of every try."""
        self.alteration = ""
        """What a look finds."""
        self.checked: list[int] = []
        self.confirmed: list[int] = []
        self.looking = anyio.Event()
        self.looking.set()
        self.gate = anyio.Event()
        self.gate.set()
        self._tried = anyio.Event()

    @property
    def consumers(self) -> tuple[ConsumerHealth, ...]:
        done = self.handed[-1][0] if self.handed and not self.failing else None
        return (ConsumerHealth(kind=self.kind, name=self.name, generation=done),)

    def deliver_at_once(self, credentials: Credentials) -> bool | None:
        if not self.is_quick:
            return None
        self.handed.append((credentials.generation, ()))
        return True

    async def deliver(self, credentials: Credentials, difference: Difference) -> bool:
        self.handed.append((credentials.generation, difference.names))
        self._tried.set()
        self._tried = anyio.Event()
        await self.gate.wait()
        if self.failing:
            self.failing -= 1
            raise DeliveryError("no luck", hint="try harder")
        self.on_uptake()
        return self.is_news

    async def check(self, credentials: Credentials) -> str:
        self.checked.append(credentials.generation)
        await self.looking.wait()
        return self.alteration

    def confirm(self, credentials: Credentials) -> None:
        """Note that the consumer has had these values."""
        self.confirmed.append(credentials.generation)

    async def withdraw(self) -> None:
        self.handed.append((-1, ()))

    async def tries(self, count: int) -> None:
        """Wait until it has been tried so often, and whatever follows has happened."""
        while len(self.handed) < count:
            await self._tried.wait()
        await anyio.wait_all_tasks_blocked()


@pytest.fixture
def board() -> Board:
    """A board with nothing on it."""
    return empty_board()


@asynccontextmanager
async def kept(
    board: Board, *deliveries: Delivery, draw: Callable[[float, float], float] = min
) -> AsyncIterator[SessionDeliveries]:
    """Keep these deliveries while the block runs."""
    turns = Turns()
    session_deliveries = SessionDeliveries(deliveries, "build", board, draw, turns)
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turns.run)
            tasks.start_soon(session_deliveries.run, ignore_uptake)
            await anyio.wait_all_tasks_blocked()
            yield session_deliveries
            tasks.cancel_scope.cancel()


def generations(*values: str) -> list[Credentials]:
    """Return the generations in which A has these values, one after the other."""
    made = [Credentials()]
    for value in values:
        made.append(made[-1].replaced({"A": value}))
    return made[1:]


async def test_what_was_overtaken_is_never_delivered(board: Board) -> None:
    """After 200 generations during one delivery only the newest follows."""
    delivery = FakeDelivery()
    delivery.gate = anyio.Event()
    async with kept(board, delivery) as session_deliveries:
        rotations = generations(*(str(number) for number in range(200)))
        session_deliveries.offer(rotations[0])
        await delivery.tries(1)
        for credentials in rotations[1:]:
            session_deliveries.offer(credentials)
        delivery.gate.set()
        await delivery.tries(2)
    assert delivery.handed == [(1, ("A",)), (200, ("A",))]
    assert board.alarms == {}


async def test_what_takes_no_waiting_is_delivered_on_the_spot(board: Board) -> None:
    """Before `offer` returns; what depends on it is not delayed either."""
    delivery = FakeDelivery()
    follower = FakeDelivery("follower", after=delivery)
    async with kept(board, delivery, follower) as session_deliveries:
        one, two = generations("1", "2")
        session_deliveries.offer(one)
        await follower.tries(1)
        delivery.is_quick = follower.is_quick = True
        session_deliveries.offer(two)
        assert delivery.handed == follower.handed == [(1, ("A",)), (2, ())]
        await anyio.wait_all_tasks_blocked()
    assert delivery.handed == [(1, ("A",)), (2, ())]


async def test_what_takes_turns_comes_after_the_sockets_of_all_sessions(
    board: Board,
) -> None:
    """Once, and the newest; what depends on it follows."""
    file, follower = FakeDelivery("file"), FakeDelivery("hook")
    follower.after = file
    async with kept(board, file, follower) as session_deliveries:
        one, two, three = generations("1", "2", "3")
        session_deliveries.offer(one)
        await follower.tries(1)
        file.takes_turns = file.is_quick = True
        session_deliveries.offer(two)
        await anyio.lowlevel.checkpoint()
        session_deliveries.offer(three)
        assert file.handed == [(1, ("A",))]
        await follower.tries(2)
    assert file.handed == [(1, ("A",)), (3, ())]
    assert follower.handed == [(1, ("A",)), (3, ("A",))]


async def test_what_cannot_be_done_in_its_turn_is_delivered_by_a_task(board: Board) -> None:
    """A failure is retried and told of by the task."""
    file = FakeDelivery("file")
    async with kept(board, file) as session_deliveries:
        one, two = generations("1", "2")
        session_deliveries.offer(one)
        await file.tries(1)
        file.takes_turns = True
        session_deliveries.offer(two)
        await file.tries(2)
    assert file.handed == [(1, ("A",)), (2, ("A",))]


async def test_a_turn_is_left_out_if_a_check_has_delivered_before_it(board: Board) -> None:
    """The newest values went to the file with what it put right."""
    file = FakeDelivery("file")
    async with kept(board, file) as session_deliveries:
        one, two = generations("1", "2")
        session_deliveries.offer(one)
        await file.tries(1)
        file.takes_turns = file.is_quick = True
        file.alteration = "was removed"
        session_deliveries.offer(two)
        await session_deliveries.check()
        await file.tries(2)
    assert file.handed == [(1, ("A",)), (2, ("A",))]


async def test_a_session_that_has_ended_takes_no_turn(board: Board) -> None:
    """Its file may have been removed, or be another session's by now."""
    file, turns = FakeDelivery("file"), Turns()
    session_deliveries = SessionDeliveries([file], "build", board, min, turns)
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session_deliveries.run, ignore_uptake)
            one, two = generations("1", "2")
            session_deliveries.offer(one)
            await file.tries(1)
            file.takes_turns = file.is_quick = True
            session_deliveries.offer(two)
            tasks.cancel_scope.cancel()
        await turns.wait_idle()
    assert file.handed == [(1, ("A",))]


async def test_a_consumer_that_lags_is_told_of(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the time since when; it clears when the newest is delivered."""
    monkeypatch.setattr("rensei_daemon.tasks.session_deliveries.LOOK_SECONDS", 0.3)
    changed = WakeEvent()
    board.on_change = changed.set
    delivery = FakeDelivery()
    delivery.gate = anyio.Event()
    async with kept(board, delivery) as session_deliveries:
        before = datetime.now(UTC)
        session_deliveries.offer(generations("1")[0])
        await changed.wait()
        assert LAGGING in board.alarms
        assert (board.alarms[LAGGING].since - before).total_seconds() < 0.5
        delivery.gate.set()
        await changed.wait()
        assert board.alarms == {}


async def test_what_is_taken_up_after_the_end_is_told_nobody(board: Board) -> None:
    """A delivery may outlive its session: its readers leave later."""
    delivery = FakeDelivery()
    heard: list[str] = []
    session_deliveries = SessionDeliveries([delivery], "build", board, min, Turns())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session_deliveries.run, lambda: heard.append("uptake"))
        await anyio.wait_all_tasks_blocked()
        delivery.on_uptake()
        tasks.cancel_scope.cancel()
    delivery.on_uptake()
    assert heard == ["uptake"]


async def test_a_delivery_is_a_task_only_while_it_has_work(board: Board) -> None:
    """At rest, each would take 5 KB of every session; a retry and new values wake it."""
    slow, failing = FakeDelivery("slow"), FakeDelivery("failing", retries=())
    slow.gate, failing.failing = anyio.Event(), 1
    async with kept(board, slow, failing) as session_deliveries:
        assert _working() == set()
        first, second = generations("1", "2")
        session_deliveries.offer(first)
        await slow.tries(1)
        await failing.tries(1)  # and given up
        assert _working() == {"slow slow"}
        slow.gate.set()
        await anyio.wait_all_tasks_blocked()
        assert _working() == set()
        session_deliveries.offer(second)
        await failing.tries(2)
        assert [slow.handed, failing.handed] == [[(1, ("A",)), (2, ("A",))]] * 2
        assert _working() == set()
    session_deliveries.offer(first)  # its session is over: nothing is begun


def _working() -> set[str | None]:
    names = {task.name for task in anyio.get_running_tasks()}
    return {name for name in names if name in ("slow slow", "failing failing")}


async def test_a_slow_delivery_holds_up_no_other(board: Board) -> None:
    """Each delivery has its own pace."""
    slow, quick = FakeDelivery("slow"), FakeDelivery("quick")
    slow.gate = anyio.Event()
    async with kept(board, slow, quick) as session_deliveries:
        for number, credentials in enumerate(generations("1", "2", "3")):
            session_deliveries.offer(credentials)
            await quick.tries(number + 1)
    assert [generation for generation, _ in quick.handed] == [1, 2, 3]
    assert [generation for generation, _ in slow.handed] == [1]


async def test_one_comes_after_another(board: Board) -> None:
    """The second gets a generation after the first has delivered it."""
    first = FakeDelivery("first")
    second = FakeDelivery("second", after=first)
    first.gate = anyio.Event()
    async with kept(board, first, second) as session_deliveries:
        session_deliveries.offer(generations("1")[0])
        await first.tries(1)
        assert second.handed == []
        first.gate.set()
        await second.tries(1)
    assert second.handed == [(1, ("A",))]


async def test_newer_values_take_a_random_wait_over(board: Board) -> None:
    """One delivery follows it, of the newest; the wait is shown, and is no lag."""
    hook = FakeDelivery("hook")
    hook.splay_seconds = 0.2
    shown: list[bool] = []
    async with kept(board, hook, draw=max) as session_deliveries:
        hook.on_uptake = lambda: shown.append(
            session_deliveries.consumers[0].waits_until is not None
        )
        one, two, three = generations("1", "2", "3")
        started = anyio.current_time()
        session_deliveries.offer(one, started - 30)
        await anyio.wait_all_tasks_blocked()
        session_deliveries.offer(two)
        await anyio.wait_all_tasks_blocked()
        session_deliveries.offer(three)
        session_deliveries.report()
        assert (hook.handed, shown, board.alarms) == ([], [True], {})
        await hook.tries(1)
        assert 0.2 <= anyio.current_time() - started < 0.2 + HANG_SECONDS
        assert (hook.handed, shown) == ([(3, ("A",))], [True, False])


class _ClockAhead:
    """A clock that is a minute ahead of the daemon's, or behind it."""

    def __init__(self, minutes: int) -> None:
        self._by = timedelta(minutes=minutes)

    def now(self) -> datetime:
        return CLOCK.now() + self._by


async def test_a_random_wait_is_no_lag(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while it lasts nor right after it, however long it was."""
    hook = FakeDelivery("hook")
    hook.splay_seconds = 0.2
    hook.gate = anyio.Event()
    async with kept(board, hook, draw=max) as session_deliveries:
        with monkeypatch.context() as patched:
            patched.setattr("rensei_daemon.tasks.delivery_worker.CLOCK", _ClockAhead(-1))
            session_deliveries.offer(generations("1")[0])
            await anyio.wait_all_tasks_blocked()
        session_deliveries.report()
        assert board.alarms == {}
        await hook.tries(1)
        session_deliveries.report()
        assert board.alarms == {}


async def test_a_random_wait_is_no_time_of_the_delivery(board: Board) -> None:
    """The histogram shows what a delivery takes, from the arrival of the values."""
    counters, hook = SessionCounters(), FakeDelivery("hook")
    hook.splay_seconds = 0.2
    session_deliveries = SessionDeliveries([hook], "build", board, max, Turns(), counters)
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session_deliveries.run, ignore_uptake)
            started = anyio.current_time()
            session_deliveries.offer(generations("1")[0])
            await hook.tries(1)
            took = anyio.current_time() - started
            tasks.cancel_scope.cancel()
    assert counters.durations["hook"].total_seconds <= took - 0.2


async def test_what_changed_nothing_is_not_passed_on(board: Board) -> None:
    """If the env file has these values already, the hook has run for them before."""
    first = FakeDelivery("first")
    second = FakeDelivery("second", after=first)
    first.is_news = False
    async with kept(board, first, second) as session_deliveries:
        session_deliveries.offer(generations("1")[0])
        await first.tries(1)
    assert (second.handed, second.confirmed) == ([], [1])


async def test_what_failed_before_is_not_done_with_the_next_values(board: Board) -> None:
    """A file that did not change spares a hook that ran for it, and no other."""
    first = FakeDelivery("first")
    second = FakeDelivery("second", after=first, retries=())
    async with kept(board, first, second) as session_deliveries:
        one, two, three = generations("1", "2", "3")
        second.failing = 1
        session_deliveries.offer(one)
        await second.tries(1)
        first.is_news = False
        session_deliveries.offer(two)
        await second.tries(2)
        session_deliveries.offer(three)
        await first.tries(3)
    assert [generation for generation, _ in second.handed] == [1, 2]
    assert second.confirmed == [3]


async def test_two_deliveries_of_a_kind_have_alarms_of_their_own(board: Board) -> None:
    """The success of one does not clear what the other one failed at."""
    one, other = FakeDelivery(), FakeDelivery(retries=())
    other.name, other.failing = "other", 1
    async with kept(board, one, other) as session_deliveries:
        session_deliveries.offer(generations("1")[0])
        await other.tries(1)
        await one.tries(1)
        assert set(board.alarms) == {(Code.DELIVERY_FAILED, "build:fake:other")}


async def test_a_failure_is_told_at_once_and_retried_for_ever(board: Board) -> None:
    """A full disk is a condition until there is space."""
    delivery = FakeDelivery()
    delivery.failing = 5
    async with kept(board, delivery) as session_deliveries:
        session_deliveries.offer(generations("1")[0])
        await delivery.tries(1)
        assert board.alarms[FAILED].message == "session build: no luck"
        assert board.alarms[FAILED].hint == "try harder"
        await delivery.tries(6)
    assert board.alarms == {}


async def test_a_hook_is_tried_thrice_more_before_anybody_is_told(board: Board) -> None:
    """The condition follows the last attempt; no more until the next rotation."""
    delivery = FakeDelivery(retries=(0.01, 0.01, 0.01))
    delivery.failing = 4
    seen: list[bool] = []
    board.on_change = lambda: seen.append(FAILED in board.alarms)
    async with kept(board, delivery) as session_deliveries:
        one, two = generations("1", "2")
        session_deliveries.offer(one)
        await delivery.tries(3)
        assert FAILED not in board.alarms
        await delivery.tries(4)
        assert FAILED in board.alarms
        assert LAGGING not in board.alarms
        session_deliveries.offer(two)
        await delivery.tries(5)
    assert [generation for generation, _ in delivery.handed] == [1, 1, 1, 1, 2]
    assert board.alarms == {}


async def test_a_new_generation_does_not_wait_for_a_retry(board: Board) -> None:
    """The newest is tried at once; its age counts from its own arrival."""
    delivery = FakeDelivery(retries=(60.0, 60.0, 60.0))
    async with kept(board, delivery) as session_deliveries:
        start = Credentials().replaced({"A": "1", "B": "1"})
        one = start.replaced({"A": "2", "B": "1"})
        two = one.replaced({"A": "2", "B": "2"})
        session_deliveries.offer(start)
        await delivery.tries(1)
        delivery.failing = 1
        session_deliveries.offer(one)
        await delivery.tries(2)
        session_deliveries.offer(two)
        await delivery.tries(3)
    assert delivery.handed[1:] == [(2, ("A",)), (3, ("A", "B"))]


async def test_every_generation_has_tries_of_its_own(board: Board) -> None:
    """Failures of an older generation do not count for the newest."""
    delivery = FakeDelivery(retries=(60.0, 60.0, 60.0))
    delivery.failing = 5
    async with kept(board, delivery) as session_deliveries:
        for number, credentials in enumerate(generations("1", "2", "3", "4", "5")):
            session_deliveries.offer(credentials)
            await delivery.tries(number + 1)
        assert FAILED not in board.alarms


@pytest.mark.parametrize(
    ("kept_on", "withdrawn"),
    [((), ["one", "two"]), ([("two", "two")], ["one"])],
)
async def test_what_a_successor_carries_on_is_not_withdrawn(
    board: Board, kept_on: Collection[tuple[str, str]], withdrawn: list[str]
) -> None:
    """A session with changed settings keeps its unchanged deliveries without a gap."""
    deliveries = [FakeDelivery("one"), FakeDelivery("two")]
    await SessionDeliveries(deliveries, "build", board, min, Turns()).withdraw(kept_on)
    assert [d.name for d in deliveries if d.handed == [(-1, ())]] == withdrawn


async def test_what_ran_for_another_session_is_withdrawn(board: Board) -> None:
    """Sessions may have one program as their hook; each has a record of its own."""
    one, other = FakeDelivery("hook"), FakeDelivery("hook")
    successor = SessionDeliveries([other], "other", board, min, Turns())
    await SessionDeliveries([one], "one", board, min, Turns()).withdraw(successor.names)
    await SessionDeliveries([other], "other", board, min, Turns()).withdraw(successor.names)
    assert (one.handed, other.handed) == ([(-1, ())], [])


async def test_what_ran_for_another_file_is_withdrawn(board: Board) -> None:
    """A session may have the program of one file run for another one from now on."""
    file, directory = FakeDelivery("file"), FakeDelivery("directory")
    one, other = FakeDelivery("hook", after=file), FakeDelivery("hook", after=directory)
    before = SessionDeliveries([file, one], "build", board, min, Turns())
    after = SessionDeliveries([file, directory, other], "build", board, min, Turns())
    await before.withdraw(after.names)
    assert (file.handed, one.handed) == ([], [(-1, ())])


async def test_deliveries_are_counted_and_timed(board: Board) -> None:
    """By kind and outcome; a follower's time counts from the arrival too."""
    counters = SessionCounters()
    first, then = FakeDelivery("file"), FakeDelivery("hook", retries=(0.01,))
    then.after, then.failing = first, 1
    session_deliveries = SessionDeliveries(
        [first, then], "build", board, min, Turns(), counters
    )
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session_deliveries.run, ignore_uptake)
            await anyio.wait_all_tasks_blocked()
            session_deliveries.offer(generations("one")[0], anyio.current_time() - 30)
            await then.tries(2)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert dict(counters.deliveries) == {
        ("build", "file", "ok"): 1,
        ("build", "hook", "failed"): 1,
        ("build", "hook", "ok"): 1,
    }
    assert 30 <= counters.durations["file"].total_seconds < 35
    assert 30 <= counters.durations["hook"].total_seconds < 35


async def test_the_time_of_what_was_overtaken_counts_from_the_first(board: Board) -> None:
    """It counts from the oldest values that were not delivered."""
    counters, delivery = SessionCounters(), FakeDelivery()
    session_deliveries = SessionDeliveries(
        [delivery], "build", board, min, Turns(), counters
    )
    one, two, three = generations("one", "two", "three")
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session_deliveries.run, ignore_uptake)
            await anyio.wait_all_tasks_blocked()
            now = anyio.current_time()
            session_deliveries.offer(one, now - 30)
            session_deliveries.offer(two, now)
            await delivery.tries(1)
            await anyio.wait_all_tasks_blocked()
            assert 30 <= counters.durations["fake"].total_seconds < 35
            session_deliveries.offer(three, anyio.current_time())
            await delivery.tries(2)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert 30 <= counters.durations["fake"].total_seconds < 35
    assert counters.durations["fake"].count == 2


async def test_a_delivery_that_keeps_failing_fills_no_log(board: Board) -> None:
    """The first failure and the recovery are logged, across generations."""
    delivery = FakeDelivery()
    delivery.failing = 5
    with capture_logs() as events:
        async with kept(board, delivery) as session_deliveries:
            for number, credentials in enumerate(generations("1", "2", "3"), start=1):
                session_deliveries.offer(credentials)
                await delivery.tries(2 * number)
    assert [
        (event["event"], event["count"])
        for event in events
        if event["log_level"] != "debug"
    ] == [("delivery.failed", 1), ("delivery.recovered", 5)]


async def test_what_was_altered_is_put_right_and_runs_no_hook(board: Board) -> None:
    """The board shows it until it is restored; no rotation, so no hook."""
    file = FakeDelivery("file")
    hook = FakeDelivery("hook", after=file)
    with capture_logs() as events:
        async with kept(board, file, hook) as session_deliveries:
            await session_deliveries.check()
            assert file.checked == []  # nothing has been delivered
            session_deliveries.offer(generations("1")[0])
            await hook.tries(1)
            await session_deliveries.check(until_tried=True)
            assert file.handed == [(1, ("A",))]
            file.alteration = "was removed"
            file.gate = anyio.Event()
            await session_deliveries.check()
            await file.tries(2)
            (alarm,) = board.alarms.values()
            assert (alarm.code, alarm.subject) == (Code.DELIVERY_FAILED, "build:file:file")
            assert alarm.message == (
                "session build: file was removed; it is being put right"
            )
            await session_deliveries.check(
                until_tried=True
            )  # it is at work: nobody asks again
            file.gate.set()
            await anyio.wait_all_tasks_blocked()
            assert board.alarms == {}
            await session_deliveries.check(until_tried=True)
    assert file.handed == [(1, ("A",)), (1, ()), (1, ())]
    assert hook.handed == [(1, ("A",))]
    altered = [event for event in events if event["event"] == "delivery.altered"]
    assert [(e["what"], e["count"], e["log_level"]) for e in altered] == [
        ("was removed", 1, "warning"),
        ("was removed", 2, "debug"),
    ]


async def test_a_look_that_a_rotation_overtook_says_nothing(board: Board) -> None:
    """It may have seen the file that was just being replaced."""
    delivery = FakeDelivery()
    delivery.alteration = "was changed"
    async with kept(board, delivery) as session_deliveries:
        one, two = generations("1", "2")
        session_deliveries.offer(one)
        await delivery.tries(1)
        delivery.looking = anyio.Event()
        async with anyio.create_task_group() as looks:
            looks.start_soon(session_deliveries.check)
            await anyio.wait_all_tasks_blocked()
            await session_deliveries.check()  # one at a time
            session_deliveries.offer(two)
            await delivery.tries(2)
            delivery.looking.set()
        await anyio.wait_all_tasks_blocked()
    assert delivery.checked == [1]
    assert delivery.handed == [(1, ("A",)), (2, ("A",))]
    assert board.alarms == {}


async def test_a_look_that_the_end_overtook_says_nothing(board: Board) -> None:
    """It sees that the file is withdrawn; nobody would put it right, or end the alarm."""
    delivery = FakeDelivery()
    delivery.alteration = "was removed"
    async with anyio.create_task_group() as looks:
        async with kept(board, delivery) as session_deliveries:
            session_deliveries.offer(generations("1")[0])
            await delivery.tries(1)
            delivery.looking = anyio.Event()
            looks.start_soon(lambda: session_deliveries.check(until_tried=True))
            await anyio.wait_all_tasks_blocked()
        delivery.looking.set()
    assert delivery.checked == [1]
    assert board.alarms == {}


async def test_deliveries_are_looked_at_without_being_asked(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are checked four times a minute."""
    monkeypatch.setattr("rensei_daemon.tasks.session_deliveries.LOOK_SECONDS", 0.01)
    delivery = FakeDelivery()
    delivery.alteration = "was changed"
    async with kept(board, delivery) as session_deliveries:
        session_deliveries.offer(generations("1")[0])
        await delivery.tries(3)
    assert delivery.handed[:3] == [(1, ("A",)), (1, ()), (1, ())]
