"""From the platform's queue to the file and back, over real HTTP."""

import json
import threading
import tomllib
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import anyio.lowlevel
from deadlines import HANG_SECONDS
from structlog.testing import capture_logs
from valid_texts import dying_validator, local_validator

from rensei_daemon.core.admission import AdmissionReport
from rensei_daemon.core.admission import report as admission_report
from rensei_daemon.core.document import Document
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.errors import StorageError
from rensei_daemon.settings import fitting
from rensei_daemon.tasks.reload import reload
from rensei_platform.rules.mutations import Mutation

if TYPE_CHECKING:
    import pytest
    from anyio.abc import TaskGroup

    from tasks.conftest import Home

CASES = Path(__file__).parents[1] / "core" / "cases"
HOST = "h1"
BEAT = "/api/workers/wkr_"
PROJECTS = """\

[projects]
# payments team

proj_a = { repositories = ["https://github.com/acme/api"] } # since 2019
"""


def _far_off(low: float, high: float) -> float:
    """Draw retries that no test waits for, so that only news can bring one."""
    return 60.0 if low == 0 else low


def _is_applied(home: "Home", mutation: Mutation) -> bool:
    return home.mutation(mutation).status == "applied"


def _tree(home: "Home") -> dict[str, Any]:
    return tomllib.loads(home.config.read_text())


async def test_every_op_travels(home: "Home") -> None:
    """Each is applied in order and acknowledged, and no comment is lost."""
    home.write(PROJECTS)
    asked = [
        home.enqueue("project.add", id="proj_b", repository="https://github.com/acme/b"),
        home.enqueue("project.disable", id="proj_b"),
        home.enqueue("project.enable", id="proj_b"),
        home.enqueue("modelAccess.set", policy={"authOrder": ["local"]}),
        home.enqueue("modelAccess.set", workload="qa", policy={"authOrder": ["byok"]}),
        home.enqueue("modelAccess.clear", workload="qa"),
        home.enqueue("project.remove", id="proj_b"),
        home.enqueue("pool.deleted", poolId="pool_a", candidatePoolIds=["pool_b"]),
    ]
    async with home.daemon() as daemon:
        await daemon.until(lambda: all(home.mutation(m).decided_at for m in asked))
        assert [home.mutation(m).status for m in asked] == ["applied"] * 8
        await daemon.until(lambda: "pool.deleted" in daemon.conditions)
        assert daemon.board.pool.candidates == ("pool_b",)
        assert daemon.board.mutations.applied == 8
    text = home.config.read_text()
    assert text.startswith(home.base + PROJECTS)
    assert _tree(home)["model_access"] == {"default": {"auth_order": ["local"]}}
    assert _tree(home)["pool"]["id"] == "pool_a"


async def test_a_text_is_parsed_once_and_validated_once(
    home: "Home", monkeypatch: "pytest.MonkeyPatch"
) -> None:
    """The applier does both; neither the reload after it nor the watcher repeats it."""
    home.write(PROJECTS)
    calls: list[str] = []

    def count(owner: object, name: str) -> None:
        original = getattr(owner, name)

        def counted(*args: Any) -> Any:
            calls.append(name)
            return original(*args)

        monkeypatch.setattr(owner, name, counted)

    async with home.daemon(without=("sessions",)) as daemon:
        configuration = daemon.configuration
        read = configuration.file.read

        def counted_read() -> Document:
            calls.append("read")
            anyio.from_thread.run_sync(daemon.wake)
            return read()

        monkeypatch.setattr(configuration.file, "read", counted_read)
        await daemon.until(lambda: calls)  # the watcher's first look
        count(tomllib, "loads")
        count(fitting, "build")
        home.enqueue("project.disable", id="proj_a")
        await daemon.until(lambda: calls.count("read") == 3)
        async with configuration.turn:
            assert calls == ["read", "read", "loads", "build", "read"]
        assert configuration.document.text == home.config.read_text()
        assert not configuration.settings.projects["proj_a"].enabled


async def test_the_report_of_a_text_is_made_once_and_in_a_thread(
    home: "Home", monkeypatch: "pytest.MonkeyPatch"
) -> None:
    """With 10,000 projects it takes 50 ms, and every heartbeat asks for it."""
    home.write(PROJECTS)
    threads: list[threading.Thread] = []

    def counted(*args: Any, **options: Any) -> AdmissionReport:
        threads.append(threading.current_thread())
        return admission_report(*args, **options)

    async with home.daemon(without=("sessions",)) as daemon:
        assert daemon.configuration.report is daemon.configuration.report
        monkeypatch.setattr("rensei_daemon.settings.configuration.report", counted)
        home.enqueue("project.disable", id="proj_a")
        await daemon.until(lambda: "proj_a" not in daemon.configuration.report.enabled_ids)
        assert len(threads) == 1
        assert threads != [threading.main_thread()]


async def test_an_edit_by_hand_is_not_overtaken_by_an_earlier_text(
    home: "Home", monkeypatch: "pytest.MonkeyPatch"
) -> None:
    """A person saves and reloads before the applier has finished."""
    home.write(PROJECTS)
    by_hand = home.base + PROJECTS + "by_hand = { repositories = [] }\n"
    async with home.daemon(without=("sessions", "configuration")) as daemon:
        configuration = daemon.configuration
        replace = configuration.file.replace
        is_reloaded = anyio.Event()

        async def reload_by_hand() -> None:
            await reload(configuration, daemon.board)
            is_reloaded.set()

        async def edit(tasks: "TaskGroup") -> None:
            home.config.write_text(by_hand)
            tasks.start_soon(reload_by_hand)
            turn = configuration.turn
            while not is_reloaded.is_set() and not turn.statistics().tasks_waiting:
                await anyio.wait_all_tasks_blocked()

        async with anyio.create_task_group() as tasks:

            def replace_and_edit(before: Document, after: Document) -> None:
                replace(before, after)
                anyio.from_thread.run(edit, tasks)

            monkeypatch.setattr(configuration.file, "replace", replace_and_edit)
            home.enqueue("project.disable", id="proj_a")
            with anyio.fail_after(HANG_SECONDS):
                await is_reloaded.wait()
        await daemon.until(lambda: daemon.board.mutations.applied)
        assert configuration.document.text == by_hand


async def test_a_bad_one_fails_alone(home: "Home") -> None:
    """The platform gets its error; the mutation beside it is applied."""
    bad = home.enqueue("modelAccess.set", workload="cooking", policy={})
    good = home.enqueue("project.enable", id="proj_a")
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.mutation(good).status == "applied")
        error = home.mutation(bad).error
        assert error is not None
        assert error.startswith('unknown workload "cooking": not in the shared workload')
        assert daemon.board.mutations.failed == 1


async def test_guards_of_the_file_take_effect_live(home: "Home") -> None:
    """A forbidden mutation fails by the guard's name; after an edit the next passes."""
    home.write("[mutations]\nallow = []\n")
    forbidden = home.enqueue("project.enable", id="proj_a")
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.mutation(forbidden).status == "failed")
        assert home.mutation(forbidden).error == (
            "this host does not allow project.enable (mutations.allow in its config.toml)"
        )
        home.write("[mutations]\nallow = ['project.*']\n")
        await daemon.until(lambda: daemon.configuration.settings.mutations.allow)
        allowed = home.enqueue("project.enable", id="proj_a")
        await daemon.until(lambda: home.mutation(allowed).status == "applied")


async def test_a_broken_file_holds_mutations_up_until_it_is_mended(home: "Home") -> None:
    """Nothing is acknowledged, the position is shown, and a fix is enough."""
    async with home.daemon(draw=_far_off) as daemon:
        await daemon.until(lambda: home.beats)
        broken = home.base + "\n[projects\n"
        home.config.write_text(broken)
        waiting = home.enqueue("project.enable", id="proj_a")
        await daemon.until(lambda: "config.invalid" in daemon.conditions)
        count = len(home.beats)
        await daemon.until(lambda: len(home.beats) >= count + 3)
        assert home.mutation(waiting).status == "delivered"
        assert home.config.read_text() == broken
        line = home.base.count("\n") + 2
        message = daemon.conditions["config.invalid"].message
        assert message.startswith(f"{home.config}:{line}:10: ")
        assert message.endswith("; the last good text stays in force")
        home.write(PROJECTS)
        await daemon.until(lambda: home.mutation(waiting).status == "applied")
        await daemon.until(lambda: not daemon.conditions)


async def test_a_mended_file_is_enough(home: "Home") -> None:
    """Waiting mutations are applied without another heartbeat, and acknowledged at once."""
    home.last_good.save(Document(home.base), home.key)
    home.platform.configure(heartbeat_interval_ms=300_000)
    home.config.write_text("[")
    waiting = home.enqueue("project.enable", id="proj_a")
    async with home.daemon(draw=_far_off) as daemon:
        await daemon.until(lambda: home.mutation(waiting).status == "delivered")
        await daemon.until(lambda: daemon.board.mutations.waiting)  # a round has failed
        home.write()
        await daemon.until(lambda: home.mutation(waiting).status == "applied")
        assert len(home.beats) == 2


async def test_mutations_need_no_process_that_validates(home: "Home") -> None:
    """Batches, a pool and a rollback, after an edit by hand that was read meanwhile."""
    home.write(PROJECTS)
    async with home.daemon() as daemon:
        home.write(PROJECTS + "by_hand = {}\n")
        await daemon.until(lambda: daemon.board.projects.enabled == 2)
        daemon.configuration._validator = dying_validator(home.locations, fits=True)
        first = home.enqueue("project.disable", id="by_hand")
        await daemon.until(lambda: home.mutation(first).status == "applied")
        pool = home.enqueue("pool.deleted", poolId="p")
        policy = {"matrix": {"*": {"byok": {"allowed": False}}}}
        access = home.enqueue("modelAccess.set", policy=policy)
        await daemon.until(lambda: home.mutation(access).status == "applied")
        await daemon.until(lambda: home.mutation(pool).status == "applied")
        await daemon.mutations.roll_back(1, requested_by="ada", dry_run=False)
        settings = daemon.configuration.settings
        document = Document(home.config.read_text())
        assert settings == local_validator(home.locations).load(document)
        assert settings.projects["by_hand"].enabled
        assert settings.model_access is not None


async def test_a_validation_that_died_fails_no_mutation(home: "Home") -> None:
    """The model has to look at a time that is a text: the mutation waits for that."""
    home.write('[pool]\nid = "p"\nsince = "2026-11-23T16:00:00Z"\n')
    async with home.daemon(draw=_far_off) as daemon:
        validator = daemon.configuration._validator
        daemon.configuration._validator = dying_validator(home.locations)
        asked = home.enqueue("project.enable", id="proj_a")
        await daemon.until(lambda: "config.invalid" in daemon.conditions)
        assert home.mutation(asked).status == "delivered"
        daemon.configuration._validator = validator
        home.config.write_text(home.config.read_text() + "# look again\n")
        await daemon.until(lambda: home.mutation(asked).status == "applied")


async def test_a_start_finishes_what_is_recorded_without_an_outcome(home: "Home") -> None:
    """No heartbeat and no edit has to come first."""
    async with home.daemon(without=("heartbeat", "mutations")) as daemon:
        mutation = PendingMutation(id="dmut_1", op="project.enable", params={"id": "p"})
        await daemon.inbox.put([mutation])
    async with home.daemon(without=("heartbeat",), draw=_far_off) as daemon:
        await daemon.until(lambda: daemon.board.mutations.applied)
    assert "p" in _tree(home)["projects"]


async def test_a_rollback_is_reported_at_once(home: "Home") -> None:
    """The platform need not wait for the next heartbeat."""
    home.platform.configure(heartbeat_interval_ms=300_000)
    home.enqueue("project.enable", id="proj_a")
    async with home.daemon() as daemon:
        await daemon.until(lambda: len(home.beats) == 2)
        await daemon.until(lambda: not daemon.board.mutations.unacknowledged)
        await daemon.mutations.roll_back(1, requested_by="ada", dry_run=True)
        assert "proj_a" in _tree(home)["projects"]
        await daemon.mutations.roll_back(1, requested_by="ada", dry_run=False)
        await daemon.until(lambda: len(home.beats) == 3)
    assert "proj_a" not in _tree(home).get("projects", {})


async def test_a_redelivery_with_other_content_is_a_condition(home: "Home") -> None:
    """The recorded outcome is sent again, and a condition shows it."""
    first = home.enqueue("project.enable", id="proj_a")
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.mutation(first).status == "applied")
        answer = {
            "acknowledged": True,
            "pendingMutations": [
                {"id": first.id, "op": "project.remove", "params": {"id": "proj_a"}}
            ],
        }
        home.platform.faults.add("POST", BEAT, status=200, body=answer)
        acks = len(home.platform.log.acks)
        await daemon.until(lambda: len(home.platform.log.acks) > acks)
        assert home.platform.log.acks[-1].mutation_id == first.id
        assert home.platform.log.acks[-1].error is None
        assert "proj_a" in _tree(home)["projects"]
        await daemon.until(lambda: "mutation.conflict" in daemon.conditions)
        assert daemon.conditions["mutation.conflict"].severity == "warning"


async def test_the_ok_of_the_acking_beat_is_not_enough(home: "Home") -> None:
    """It may be older than the ack; the next ok removes the pool."""
    home.platform.configure(heartbeat_interval_ms=300_000)
    home.platform.set_host_status(HOST, "ok")
    deletion = home.enqueue("pool.deleted", poolId="pool_a", reason="moved")
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.mutation(deletion).status == "applied")
        await daemon.until(lambda: daemon.board.mutations.unacknowledged == 0)
        assert [body.get("appliedMutations") for body in home.beats].count(
            [deletion.id]
        ) == 1
        hold = home.platform.faults.hold("POST", BEAT)
        daemon.wake_heartbeat.set()
        await hold.until_ready()
        assert "pool" in _tree(home)
        hold.release()
        await daemon.until(lambda: "pool" not in _tree(home) and not daemon.conditions)


async def test_no_word_on_the_pool_leaves_it_deleted(home: "Home") -> None:
    """Also after a restart: the file has the pool, and the condition stays."""
    deletion = home.enqueue("pool.deleted", poolId="pool_a", reason="moved")
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.mutation(deletion).status == "applied")
    async with home.daemon() as daemon:
        await daemon.until(lambda: daemon.board.heartbeat.last_ok_at)
        count = len(home.beats)
        await daemon.until(lambda: len(home.beats) >= count + 3)
        assert _tree(home)["pool"]["status"] == "deleted"
        assert "moved" in daemon.conditions["pool.deleted"].message
        home.platform.set_host_status(HOST, "unauthorized")
        await daemon.until(lambda: len(home.beats) >= count + 6)
        assert "pool" in _tree(home)
        home.platform.set_host_status(HOST, " OK ")
        await daemon.until(lambda: "pool" not in _tree(home))


async def test_a_full_disk_is_said_and_got_over(
    home: "Home", monkeypatch: "pytest.MonkeyPatch"
) -> None:
    """An error, no acks, heartbeats continue; free space is enough to recover."""
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        file = daemon.configuration.file
        replace, is_full = file.replace, True

        def limited(before: Document, after: Document) -> None:
            if is_full:
                raise StorageError("config.toml: No space left on device", hint="df -h")
            replace(before, after)

        monkeypatch.setattr(file, "replace", limited)
        text = home.config.read_text()
        waiting = home.enqueue("project.enable", id="proj_a")
        await daemon.until(lambda: "storage" in daemon.conditions)
        assert daemon.conditions["storage"].message == (
            "config.toml: No space left on device"
        )
        count = len(home.beats)
        await daemon.until(lambda: len(home.beats) >= count + 3)
        assert home.mutation(waiting).status == "delivered"
        assert home.config.read_text() == text
        is_full = False
        await daemon.until(lambda: home.mutation(waiting).status == "applied")
        await daemon.until(lambda: not daemon.conditions)


async def test_a_hand_edit_and_a_mutation_both_stay(home: "Home") -> None:
    """After alternating edits and mutations, file and report have all of both."""
    home.write(PROJECTS)
    async with home.daemon() as daemon:
        for number in range(4):
            text = home.config.read_text()
            draft = home.config.with_suffix(".draft")
            draft.write_text(
                f"# edit {number}\n{text}by_{number} = {{ repositories = [] }}\n"
            )
            draft.replace(home.config)
            asked = home.enqueue("project.enable", id=f"proj_{number}")
            await daemon.until(partial(_is_applied, home, asked))
    projects = set(_tree(home)["projects"])
    wanted = {"proj_a"} | {f"by_{n}" for n in range(4)} | {f"proj_{n}" for n in range(4)}
    assert projects == wanted
    assert all(f"# edit {number}\n" in home.config.read_text() for number in range(4))


async def test_a_password_in_a_url_reaches_no_file_beat_or_log(home: "Home") -> None:
    """Such mutations are refused without quoting it; a user name is applied."""
    sent = json.loads((CASES / "user_info.mutations.json").read_text())
    sent[0]["params"]["repository"] += "?access_token=canary"
    asked = [home.enqueue(raw["op"], **raw["params"]) for raw in sent]
    with capture_logs() as events:
        async with home.daemon() as daemon:
            await daemon.until(lambda: all(home.mutation(m).decided_at for m in asked))
    answers = [home.mutation(m) for m in asked]
    assert [m.status for m in answers] == ["failed"] * 3 + ["applied"]
    told = [repr(events), *(repr(m.error) for m in answers)]
    told += [p.read_bytes().decode(errors="replace") for p in home.place.rglob("*.*")]
    assert len(told) > 6
    assert not any("canary" in text.lower() for text in told)


async def test_many_outcomes_are_told_in_turns(home: "Home") -> None:
    """At most 32 lines are logged in a row before other tasks run."""
    items = [{"id": f"m{n}", "op": "x"} for n in range(100)]
    items += [{"id": f"m {n}", "op": "x"} for n in range(100)]  # they fail on receipt
    answer = {"acknowledged": True, "pendingMutations": items}
    seen = [0]

    async def watch() -> None:
        while True:
            seen.append(sum(line["event"] == "mutation.failed" for line in lines))
            await anyio.lowlevel.checkpoint()

    async with home.daemon() as daemon, anyio.create_task_group() as tasks:
        await daemon.until(lambda: home.beats)
        home.platform.faults.add("POST", BEAT, status=200, body=answer)
        with capture_logs() as lines:
            tasks.start_soon(watch)
            await daemon.until(lambda: seen[-1] == 200)
        tasks.cancel_scope.cancel()
    assert max(after - before for before, after in pairwise(seen)) <= 32
