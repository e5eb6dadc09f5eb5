"""The record of changes, from a mutation on the platform to the operator's screen."""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rig.host import Host, open_host

pytestmark = pytest.mark.slow

BODY = """\
[projects]
proj_b = { repositories = [] }
# payments team
proj_a = { repositories = ["https://github.com/acme/api"] } # core
"""
WITHOUT_A = "[projects]\nproj_b = { repositories = [] }\n"
LOOKS = (
    ("config", "history"),
    ("config", "diff"),
    ("config", "blame"),
    ("mutations", "list"),
)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """A host with two projects, its daemon running."""
    async with open_host(tmp_path, body=BODY, forks=True) as host:
        await host.start()
        yield host


async def _json(host: Host, *arguments: str) -> Any:
    code, out, err = await host.command(*arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def _without_ack(record: Any) -> Any:
    """Leave out what a beat may have changed between two looks."""
    for mutation in (record.get("mutation"), *record.get("mutations", ())):
        if mutation:
            del mutation["acked_at"], mutation["state"]
    return record


async def test_a_change_is_told_by_whom_and_undone_comments_and_all(host: Host) -> None:
    """History, diff, show and blame name the mutation; a rollback restores the text."""
    [removed] = await host.settled([host.enqueue("project.remove", id="proj_a")])
    assert host.config.read_text() == host.head() + WITHOUT_A

    [change] = (await _json(host, "config", "history"))["changes"]
    assert {key: change[key] for key in ("number", "cause", "mutation_id")} == {
        "number": 1,
        "cause": "project.remove",
        "mutation_id": removed.id,
    }
    assert change["requested_by"] == "ada"
    assert change["edits"] == [
        {
            "path": "projects.proj_a",
            "before": {"repositories": ["https://github.com/acme/api"]},
            "after": None,
        }
    ]
    shown = await _json(host, "mutations", "show", removed.id)
    life = shown["mutation"]
    times = [life[f"{step}_at"] for step in ("received", "intended", "decided")]
    assert times == sorted(times)
    assert (life["outcome"], life["params"]) == ("applied", {"id": "proj_a"})
    assert shown["change"] == await _json(host, "config", "diff", "1")
    removed_lines = [
        line for line in shown["change"]["diff"].splitlines() if line.startswith("-")
    ][1:]
    assert removed_lines == [f"-{line}" for line in BODY.splitlines()[2:]]

    code, out, _ = await host.command("config", "rollback", "1", "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "change 1 would be rolled back")
    assert host.config.read_text() == host.head() + WITHOUT_A
    code, _, _ = await host.command("config", "rollback", "1")
    assert code == 0
    assert host.config.read_text() == host.head() + BODY

    newest, _ = (await _json(host, "config", "history"))["changes"]
    assert (newest["cause"], newest["mutation_id"]) == ("rollback of change 1", None)
    entries = (await _json(host, "config", "blame"))["entries"]
    assert [(e["path"], e["cause"]) for e in entries] == [
        ("projects.proj_b", None),
        ("projects.proj_a", "rollback of change 1"),
    ]


async def test_a_hand_edit_is_blamed_on_a_person_and_never_rolled_over(host: Host) -> None:
    """What is no longer as the change left it is by hand, and refuses a rollback."""
    await host.settled([host.enqueue("project.disable", id="proj_b")])
    [entry] = [
        e
        for e in (await _json(host, "config", "blame"))["entries"]
        if e["path"] == "projects.proj_b"
    ]
    assert (entry["cause"], entry["requested_by"]) == ("project.disable", "ada")

    text = host.config.read_text()
    edited = text.replace("enabled = false", "enabled = true")
    host.config.write_text(edited)
    entries = (await _json(host, "config", "blame"))["entries"]
    assert [e["cause"] for e in entries] == [None, None]
    code, _, err = await host.command("config", "rollback", "1")
    assert code == 1
    assert err.splitlines() == [
        "rensei-daemon: change 1 cannot be rolled back, the file has changed since",
        "  projects.proj_b.enabled: change 1 left false, today it is true",
        "  edit the file by hand, or roll back the later changes first",
    ]
    assert host.config.read_text() == edited


async def test_the_record_is_read_without_a_daemon_too(host: Host) -> None:
    """A stopped daemon's journal is read as it is, also what a crash left in its log."""
    settled = await host.settled(
        [host.enqueue("project.add", id="proj_c", repository="https://g/c.git")]
    )
    shown = ("mutations", "show", settled[0].id)
    running = [await _json(host, *words) for words in (*LOOKS, shown)]
    await host.end()
    stopped = [await _json(host, *words) for words in (*LOOKS, shown)]
    assert list(map(_without_ack, stopped)) == list(map(_without_ack, running))
    code, _, err = await host.command("config", "rollback", "1")
    assert code == 3
    assert err.startswith("rensei-daemon: the daemon is not running")
    code, _, err = await host.command("config", "diff", "7")
    assert (code, err.splitlines()[0]) == (
        64,
        "rensei-daemon: there is no change 7 on record",
    )
    await host.start()


async def test_the_record_is_read_while_the_daemon_hangs(host: Host) -> None:
    """That it may be behind is said, and what nobody has asked for is an error as ever."""
    await host.settled([host.enqueue("project.disable", id="proj_a")])
    before = await _json(host, "mutations", "list")
    assert host.process is not None
    host.process.send_signal(signal.SIGSTOP)
    try:
        code, out, err = await host.command("mutations", "list", "--json")
        said = "the daemon runs but has not answered for 2 s; this is from its journal"
        assert (code, err) == (0, f"rensei-daemon: {said}\n")
        assert _without_ack(json.loads(out)) == _without_ack(before)
        code, _, err = await host.command("config", "diff", "7")
        assert code == 64
        assert err.startswith("rensei-daemon: there is no change 7 on record\n")
    finally:
        host.process.send_signal(signal.SIGCONT)


async def test_a_daemon_without_its_file_is_found_and_says_so(host: Host) -> None:
    """Where it runs was in the file alone; the lock beside it remembers."""
    unset = dict.fromkeys(
        ("RENSEI_DAEMON_PATHS__STATE", "RENSEI_DAEMON_PATHS__RUNTIME"), ""
    )
    host.config.unlink()
    code, _, err = await host.command("reload", environ=unset)
    assert code == 78
    assert f"{host.config}: there is no such file" in err
    _, out, _ = await host.command("status", "--json", environ=unset)
    (condition,) = [
        c for c in json.loads(out)["conditions"] if c["code"] == "config.invalid"
    ]
    assert condition["message"].startswith(f"{host.config}: there is no such file; ")
