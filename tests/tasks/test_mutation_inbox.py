"""What a platform delivers once only is on record before anything can wait."""

import sqlite3
import tomllib
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.board import Board, report
from rensei_daemon.core.health import ConfigHealth, HeartbeatHealth, WorkerHealth
from rensei_daemon.core.mutation_state import MutationCounts
from rensei_daemon.core.pending_mutation import PendingMutation, delivered
from rensei_daemon.disk.journal import Journal
from rensei_daemon.disk.journal_database import WAL_MOST_BYTES, Database
from rensei_daemon.mutation_inbox import MutationInbox

if TYPE_CHECKING:
    from rensei_platform.rules.mutations import Mutation
    from tasks.conftest import Home

BEAT = "/api/workers/wkr_"


def _deliver_once(home: "Home") -> None:
    home.platform.configure(deliver_once=True)


def _are_applied(home: "Home", mutations: "list[Mutation]") -> bool:
    return all(home.mutation(mutation).status == "applied" for mutation in mutations)


def _is_delivered(home: "Home", mutation: "Mutation") -> bool:
    return home.mutation(mutation).status == "delivered"


async def test_what_is_delivered_while_the_file_cannot_be_edited_is_kept(
    home: "Home",
) -> None:
    """Six mutations delivered while the file is broken are all applied later."""
    _deliver_once(home)
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        home.config.write_text("[")
        await daemon.until(lambda: "config.invalid" in daemon.conditions)
        asked: list[Mutation] = []
        for number in range(6):
            mutation = home.enqueue("project.enable", id=f"proj_{number}")
            asked.append(mutation)
            await daemon.until(partial(_is_delivered, home, mutation))
        assert daemon.board.mutations.applied == 0
        home.write()
        await daemon.until(lambda: _are_applied(home, asked))
        assert list(tomllib.loads(home.config.read_text())["projects"]) == [
            f"proj_{number}" for number in range(6)
        ]


async def test_what_is_delivered_while_the_journal_is_locked_is_kept(home: "Home") -> None:
    """Held in memory and shown in status, then stored when that is possible."""
    _deliver_once(home)
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        with closing(
            sqlite3.connect(home.state / "journal.db", isolation_level=None)
        ) as other:
            other.execute("BEGIN IMMEDIATE")
            asked = [home.enqueue("project.enable", id="proj_a")]
            await daemon.until(lambda: "storage" in daemon.conditions)
            assert daemon.conditions["storage"].message.startswith(
                "1 delivered mutation is held in memory, because the journal cannot"
            )
            asked.append(home.enqueue("project.enable", id="proj_b"))
            await daemon.until(lambda: home.mutation(asked[1]).status == "delivered")
            assert list(home.platform.log.acks) == []
            other.execute("ROLLBACK")
        await daemon.until(lambda: _are_applied(home, asked))
        await daemon.until(lambda: not daemon.conditions)


async def test_what_comes_with_a_beat_that_was_not_acknowledged_is_kept(
    home: "Home",
) -> None:
    """Its acks stay owed, and its mutations are applied."""
    _deliver_once(home)
    brought = [{"id": "dmut_1", "op": "project.enable", "params": {"id": "proj_a"}}]
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        answer = {"acknowledged": False, "pendingMutations": brought}
        home.platform.faults.add("POST", BEAT, status=200, body=answer)
        await daemon.until(lambda: home.platform.log.acks)
        assert [ack.mutation_id for ack in home.platform.log.acks] == ["dmut_1"]
        assert "proj_a" in tomllib.loads(home.config.read_text())["projects"]


async def test_a_delivery_outlives_a_daemon_that_is_stopped(home: "Home") -> None:
    """A cancelled heartbeat still stores the mutations of its response."""
    async with home.daemon() as daemon:
        mutation = PendingMutation(id="dmut_1", op="project.enable", params={"id": "p"})
        with anyio.CancelScope() as scope:
            scope.cancel()
            await daemon.heartbeat.inbox.put([mutation])
        assert daemon.journal.records.mutation("dmut_1") is not None


async def test_an_answer_of_more_than_a_round_is_applied_whole(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next round applies the rest, also after one that left the file as it was."""
    home.platform.configure(heartbeat_interval_ms=300_000, deliver_once=True)
    monkeypatch.setattr("rensei_daemon.disk.journal.Journal.undecided.__defaults__", (2,))
    asked = [home.enqueue("project.enable", id="proj_a") for _ in range(5)]
    async with home.daemon() as daemon:
        await daemon.until(lambda: _are_applied(home, asked))


async def test_room_is_made_before_a_delivery_is_stored(home: "Home") -> None:
    """Space is freed for the size of the delivery first."""
    old = {"id": "proj_a", "pad": "p" * 2**14}
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        inbox, journal = daemon.heartbeat.inbox, daemon.journal
        await inbox.put(
            [delivered(id=f"{n}", op="project.enable", params=old) for n in range(20)]
        )
        all_acked = MutationCounts(applied=20, failed=0, unacknowledged=0, waiting=0)
        await daemon.until(lambda: journal.records.counts() == all_acked)
        inbox._state_bytes = lambda: WAL_MOST_BYTES + 1_300_000
        await inbox.put([delivered(id="new", op="no.op", params="p" * 200_000)])
        assert all(m["params"] is not None for m in journal.records.mutations(100))
        many = [delivered(id=f"n{n}", op="no.op", params="p" * 200_000) for n in range(4)]
        await inbox.put(many)
        kept = [m["id"] for m in journal.records.mutations(100) if m["params"] is not None]
        assert kept[:5] == ["n3", "n2", "n1", "n0", "new"]
        assert kept[5:] == [f"{19 - n}" for n in range(len(kept) - 5)]
        assert 5 < len(kept) < 24
        assert (home.state / "journal.db").stat().st_size < 1_300_000


async def test_what_has_no_room_waits_until_what_is_stored_has_its_outcome(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A response larger than the space left is stored in parts; none is lost."""
    monkeypatch.setattr("rensei_daemon.tasks.mutations.STORE_AGAIN_SECONDS", 0.05)
    items = [{"id": f"m{n}", "op": "x", "params": "p" * 200_000} for n in range(12)]
    answer = {"acknowledged": True, "pendingMutations": items}
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        daemon.heartbeat.inbox._state_bytes = lambda: WAL_MOST_BYTES + 1_500_000
        home.platform.faults.add("POST", BEAT, status=200, body=answer)
        await daemon.until(lambda: "storage" in daemon.conditions)
        assert "7 delivered mutations are held" in daemon.conditions["storage"].message
        all_acked = MutationCounts(applied=0, failed=12, unacknowledged=0, waiting=0)
        await daemon.until(lambda: daemon.journal.records.counts() == all_acked)
        await daemon.until(lambda: "storage" not in daemon.conditions)
        assert (home.state / "journal.db").stat().st_size < 1_500_000


@pytest.mark.parametrize(("most", "most_bytes"), [(3, 2**20), (99, 310_000)])
async def test_no_more_is_held_than_memory_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, most_bytes: int
) -> None:
    """Limited by number and bytes; the condition counts what was left out."""
    monkeypatch.setattr("rensei_daemon.mutation_inbox.MOST_HELD", most)
    monkeypatch.setattr("rensei_daemon.mutation_inbox.MOST_HELD_BYTES", most_bytes)
    board = Board(
        version="1",
        pid=1,
        started_at=CLOCK.now(),
        config=ConfigHealth(path="/c", digest="d"),
        worker=WorkerHealth(platform_url="http://127.0.0.1"),
        heartbeat=HeartbeatHealth(interval_seconds=30),
    )
    journal = Journal(Database(tmp_path / "journal.db"))
    inbox = MutationInbox(journal, board)
    many = [delivered(id=f"m{n}", op="x", params="p" * 95_000) for n in range(5)]
    for _ in range(2):
        await inbox.put(many)
        found = report(board, CLOCK.now()).conditions
        (alarm,) = (condition for condition in found if condition.code == "storage")
        assert alarm.message.startswith(
            "3 delivered mutations are held in memory and 2 more were not taken up, "
            "because the journal cannot be written: "
        )


async def test_an_answer_may_be_larger_than_what_is_held(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit applies only to what the journal does not take."""
    monkeypatch.setattr("rensei_daemon.mutation_inbox.MOST_HELD", 3)
    async with home.daemon() as daemon:
        many = [PendingMutation(id=f"m{n}", op="x", params=None) for n in range(10)]
        await daemon.heartbeat.inbox.put(many)
        assert len(daemon.journal.records.mutations(100)) == 10


async def test_a_budget_that_is_used_up_takes_nothing_more(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in status, nothing is acknowledged, and heartbeats continue."""
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        monkeypatch.setattr(daemon.heartbeat.inbox, "_state_bytes", lambda: 1000)
        mutation = home.enqueue("project.enable", id="proj_a")
        await daemon.until(lambda: "storage" in daemon.conditions)
        assert "state_mib" in daemon.conditions["storage"].hint
        assert daemon.conditions["storage"].severity == "error"
        count = len(home.beats)
        await daemon.until(lambda: len(home.beats) > count + 2)
        assert home.mutation(mutation).status == "delivered"
        monkeypatch.setattr(daemon.heartbeat.inbox, "_state_bytes", lambda: 2**28)
        await daemon.until(lambda: _are_applied(home, [mutation]))
        await daemon.until(lambda: not daemon.conditions)


async def test_a_flood_is_a_condition(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many new mutations within an hour raise it."""
    monkeypatch.setattr("rensei_daemon.core.flood_meter.FLOOD", 20)
    items = [{"id": f"m{n}", "op": "x"} for n in range(21)]
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        answer = {"acknowledged": True, "pendingMutations": items}
        home.platform.faults.add("POST", BEAT, status=200, body=answer)
        await daemon.until(lambda: "platform.flood" in daemon.conditions)
        assert "21 new mutations" in daemon.conditions["platform.flood"].message
