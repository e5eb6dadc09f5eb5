"""The whole daemon as a process: its main job, its signals, and how it will not start."""

import json
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from deadlines import HANG_SECONDS
from forked import ended

if TYPE_CHECKING:
    from e2e.conftest import Lab

HOST = "h1"
BEAT = "/api/workers/wkr_"


async def test_the_main_job(lab: "Lab") -> None:
    """A mutation reaches the file, a rotation the env file, and status says ok."""
    async with lab.daemon(forked=False) as daemon:
        asked = lab.enqueue("project.add", id="proj_b", repository="https://github.com/b")
        await lab.until(lambda: lab.status_of(asked) == "applied")
        text = lab.config.read_text()
        assert "# The operator's own words.\n" in text
        assert "# payments team\n" in text
        assert "# since 2019\n" in text
        assert 'proj_b = { repositories = ["https://github.com/b"] }\n' in text

        await lab.becomes(lab.runtime / "build.env", 'TOKEN="canary-one-7f3a"\n')
        await lab.until(lambda: lab.platform.streams)
        lab.platform.rotate("github", TOKEN="canary-two-9c21")
        await lab.becomes(lab.runtime / "build.env", 'TOKEN="canary-two-9c21"\n')

        status = await lab.call("status", "--json")
        told = json.loads(status.stdout)
        assert (status.returncode, told["state"], told["pid"]) == (
            0,
            "ok",
            daemon.process.pid,
        )
        assert told["projects"] == {"enabled": 2, "disabled": 0}
        assert told["sessions"][0]["stream"] == "live"
        cmdline = daemon.cmdline
        assert await daemon.stop() == 0
    _hold_no_secret(lab, [status.stdout.encode(), cmdline])


def _hold_no_secret(lab: "Lab", said: list[bytes]) -> None:
    """Look for every secret there is in everything that is not meant to hold one."""
    saved = json.loads((lab.runtime / "token").read_text())
    secrets = [b"canary-", lab.key.encode(), saved["token"].encode()]
    meant = {lab.runtime / "token", lab.runtime / "build.env", lab.place / "key"}
    for path in lab.place.rglob("*"):
        if path.is_file() and path not in meant:
            said.append(path.read_bytes())
    assert len(said) >= 8
    for text in said:
        assert [secret for secret in secrets if secret in text] == []


@pytest.mark.slow
async def test_sigterm_says_goodbye(lab: "Lab") -> None:
    """The last beat is a draining one, sockets are gone, and the exit is clean."""
    async with lab.daemon() as daemon:
        await lab.until(lambda: lab.beats)
        assert await daemon.stop() == 0
    assert [beat["status"] for beat in lab.beats[-1:]] == ["draining"]
    assert {beat["status"] for beat in lab.beats[:-1]} == {"idle"}
    assert not (lab.runtime / "control.sock").exists()
    assert json.loads((lab.state / "status.json").read_text())["state"] == "stopping"
    gone = await lab.call("status")
    assert gone.returncode == 3


@pytest.mark.slow
async def test_sigterm_is_obeyed_though_nobody_answers(lab: "Lab") -> None:
    """A platform that holds the last beat back holds up nothing else."""
    async with lab.daemon() as daemon:
        await lab.until(lambda: lab.beats)
        for _ in range(5):
            lab.platform.faults.hold("POST", BEAT)
        count = len(lab.beats)
        await lab.until(lambda: len(lab.beats) > count)
        assert await daemon.stop() == 0


@pytest.mark.slow
async def test_sigterm_is_obeyed_though_an_editor_has_the_file(lab: "Lab") -> None:
    """A mutation that waits for a writer waits on past the restart, and is applied."""
    async with lab.daemon() as daemon:
        await lab.until(lambda: lab.beats)
        with lab.config.open("a") as editor:
            editor.write("# not done")
            editor.flush()
            asked = lab.enqueue("project.disable", id="proj_a")
            await lab.until(lambda: lab.status_of(asked) == "delivered")
            count = len(lab.beats)
            await lab.until(lambda: len(lab.beats) > count + 1)
            assert await daemon.stop() == 0
            assert lab.status_of(asked) == "delivered"
            editor.write(" yet\n")
    async with lab.daemon():
        await lab.until(lambda: lab.status_of(asked) == "applied")
    assert lab.config.read_text().endswith("# not done yet\n")


@pytest.mark.slow
async def test_sigint_ends_it_as_well(lab: "Lab") -> None:
    """As a person at a terminal does it."""
    async with lab.daemon() as daemon:
        assert await daemon.stop(signal.SIGINT) == 0


async def test_sighup_reloads(lab: "Lab") -> None:
    """The service manager hears of it, and the new text is in force."""
    async with lab.daemon() as daemon:
        await lab.until(lambda: lab.beats)
        text = lab.config.read_text()
        lab.config.write_text(text.replace("[projects]\n", "[projects]\nnew = {}\n"))
        daemon.process.send_signal(signal.SIGHUP)
        await daemon.told(b"RELOADING=1")
        await daemon.told(b"READY=1")
        status = json.loads((await lab.call("status", "--json")).stdout)
        assert status["projects"] == {"enabled": 2, "disabled": 0}
        lab.config.write_text(text + "[")
        daemon.process.send_signal(signal.SIGHUP)
        await daemon.told(b"RELOADING=1")
        await daemon.told(b"READY=1")
        refused = await lab.call("reload")
        assert refused.returncode != 0
        assert f"config.toml:{text.count(chr(10)) + 1}:2: " in refused.stderr
        lab.config.write_text(text)
        assert (await lab.call("reload")).returncode == 0
        assert await daemon.stop() == 0


@pytest.mark.slow
@pytest.mark.needs("root")
async def test_it_never_holds_the_library_that_validates(lab: "Lab") -> None:
    """Neither at start, nor for an edit, a reload or a mutation; no process stays."""
    async with lab.daemon(forked=False) as daemon:
        pid = daemon.process.pid
        lab.config.write_text(lab.config.read_text() + "by_hand = {}\n")
        assert (await lab.call("reload")).returncode == 0
        asked = lab.enqueue("project.add", id="proj_b", repository="https://github.com/b")
        await lab.until(lambda: lab.status_of(asked) == "applied")
        status = json.loads((await lab.call("status", "--json")).stdout)
        assert status["projects"] == {"enabled": 3, "disabled": 0}
        proc = anyio.Path(f"/proc/{pid}")
        held = await (proc / "maps").read_text()
        threads = [thread async for thread in (proc / "task").glob("*/children")]
        children = "".join([await thread.read_text() for thread in threads])
        assert await daemon.stop() == 0
    assert ("_ssl" in held, "pydantic" in held, children) == (True, False, "")


async def test_a_kill_loses_nothing(lab: "Lab") -> None:
    """Killed as often as it gets going, every mutation has one outcome and one effect."""
    asked = [
        lab.enqueue("project.add", id=f"proj_{n}", repository=f"https://github.com/{n}")
        for n in range(3)
    ]
    for _ in range(3):
        async with lab.daemon() as daemon:
            await lab.until(lambda: any(lab.status_of(m) != "pending" for m in asked))
            daemon.process.kill()
            await ended(daemon.process)
    async with lab.daemon() as daemon:
        await lab.until(lambda: all(lab.status_of(m) == "applied" for m in asked))
        assert await daemon.stop() == 0
    assert {ack.error for ack in lab.platform.log.acks} == {None}
    text = lab.config.read_text()
    assert [text.count(f"https://github.com/{n}") for n in range(3)] == [1, 1, 1]
    assert list(lab.place.glob(".config.toml.*.tmp")) == []
    # A changed project set registers anew, perhaps before the next kill: the same host.
    assert set(lab.platform.rows.workers()) == set(lab.platform.rows.workers(lab.host.id))


@pytest.mark.slow
async def test_status_says_what_holds_a_daemon_that_does_not_answer(lab: "Lab") -> None:
    """The kernel knows that it is stopped; the hint is the command that lets it go on."""
    async with lab.daemon() as daemon:
        daemon.process.send_signal(signal.SIGSTOP)
        shown = await lab.call("status")
        told = json.loads((await lab.call("status", "--json")).stdout)
        daemon.process.send_signal(signal.SIGCONT)
        assert await daemon.stop() == 0
    pid = daemon.process.pid
    assert shown.returncode == 2
    what, todo = shown.stderr.splitlines()
    assert re.search(rf": pid {pid} is stopped by a signal; it was started .* ago", what)
    assert todo == f"  resume it: kill -CONT {pid}"
    assert (told["process"]["pid"], told["process"]["state"]) == (pid, "T")


@pytest.mark.slow
@pytest.mark.needs("root")
async def test_the_doctor_goes_by_the_environment_of_the_daemon(lab: "Lab") -> None:
    """What this shell sets is not what the daemon runs with."""
    async with lab.daemon() as daemon:
        done = await lab.call("doctor", "--json", RENSEI_DAEMON_LOG__LEVEL="wrong")
        assert await daemon.stop() == 0
    checks = json.loads(done.stdout)["checks"]
    assert [c["verdict"] for c in checks if c["code"] == "config"] == ["pass"]
    (route,) = [c["evidence"] for c in checks if c["code"] == "platform.route"]
    assert route == f"{lab.platform.url}: direct (the platform is on this host)"


@pytest.mark.slow
async def test_a_second_daemon_is_turned_away(lab: "Lab") -> None:
    """The first one holds the state, and goes on."""
    async with lab.daemon() as daemon:
        second = await lab.call("run")
        assert second.returncode == 75
        assert second.stderr.splitlines() == [
            f"rensei-daemon: another rensei-daemon (pid {daemon.process.pid}) "
            f"holds {lab.state}",
            "  stop it first, or give this one its own [paths]",
        ]
        count = len(lab.beats)
        await lab.until(lambda: len(lab.beats) > count + 1)


@pytest.mark.slow
async def test_a_configuration_is_one_daemons_too(lab: "Lab") -> None:
    """With other directories, such as root's, a second one would be this host as well."""
    other = {
        "RENSEI_DAEMON_PATHS__STATE": str(lab.state.with_name("other")),
        "RENSEI_DAEMON_PATHS__RUNTIME": str(lab.state.with_name("other-run")),
    }
    async with lab.daemon() as daemon:
        second = await lab.call("run", **other)
        assert second.returncode == 75
        assert second.stderr.splitlines() == [
            f"rensei-daemon: another rensei-daemon (pid {daemon.process.pid}) runs by "
            f"{lab.config}, with its state in {lab.state}",
            "  stop it first, or give this one a configuration of its own",
        ]
        assert not lab.state.with_name("other").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "mode", "complaint"),
    [
        (None, 0, "no such file"),
        ("", 0o600, "the API key is empty"),
        ("canary-not-a-key", 0o600, "this is no API key of the platform"),
        ("rsk_live_canary", 0o644, "others can read the API key (mode 0644)"),
    ],
)
async def test_without_a_good_key_it_does_not_start(
    lab: "Lab", key: str | None, mode: int, complaint: str
) -> None:
    """Exit 78, one line what and one line what to do, without a word of the key."""
    file = lab.place / "key"
    file.unlink()
    if key is not None:
        file.write_text(key)
        file.chmod(mode)
    refused = await lab.call("run")
    assert refused.returncode == 78
    what, todo = [line for line in refused.stderr.splitlines() if not line.startswith("{")]
    assert what == f"rensei-daemon: {file}: {complaint}"
    assert todo.startswith("  ")
    assert "canary" not in refused.stderr + refused.stdout


@pytest.mark.slow
async def test_the_example_as_it_is_does_not_start(lab: "Lab") -> None:
    """It names no platform, and the key is sent to nobody."""
    lab.config.write_text((Path(__file__).parents[2] / "config.example.toml").read_text())
    refused = await lab.call("run", RENSEI_API_KEY=lab.key)
    assert refused.returncode == 78
    what, todo = refused.stderr.splitlines()
    assert re.fullmatch(
        rf"rensei-daemon: {lab.config}:\d+:1: platform\.url is not set", what
    )
    assert todo == "  set platform.url to the address of your platform"


@pytest.mark.slow
async def test_a_new_key_is_taken_up_by_a_reload(lab: "Lab") -> None:
    """The answer says so, once, and what follows is asked for with it."""
    async with lab.daemon() as daemon:
        lab.write_key(lab.platform.add_key())
        assert "the API key" in (await lab.call("reload")).stdout
        assert "the API key" not in (await lab.call("reload")).stdout
        count = len(lab.beats)
        await lab.until(lambda: len(lab.beats) > count + 1)
        assert await daemon.stop() == 0


@pytest.mark.slow
async def test_a_key_that_cannot_be_read_costs_no_reload(lab: "Lab") -> None:
    """The file is taken up all the same, and what is wrong with the key is said."""
    async with lab.daemon() as daemon:
        text = lab.config.read_text()
        lab.config.write_text(text.replace("[projects]", "[projects]\nproj_b = {}"))
        lab.place.joinpath("key").chmod(0o644)
        refused = await lab.call("reload")
        assert refused.returncode == 78
        assert "others can read the API key" in refused.stderr
        status = json.loads((await lab.call("status", "--json")).stdout)
        assert status["projects"]["enabled"] == 2
        assert '"event": "key.not_read"' in lab.output.read_text()
        assert await daemon.stop() == 0


@pytest.mark.slow
async def test_a_misspelt_key_says_what_was_meant(lab: "Lab") -> None:
    """Exit 78, with the place and the nearest key there is."""
    lab.config.write_text(lab.config.read_text() + "\n[machin]\n")
    refused = await lab.call("run")
    assert refused.returncode == 78
    line = lab.config.read_text().count("\n")
    assert f"{lab.config}:{line}:" in refused.stderr
    assert "machine" in refused.stderr.splitlines()[0]
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
async def test_a_platform_that_is_not_there_is_waited_for(lab: "Lab") -> None:
    """It runs, says what is wrong, has not forgotten anything, and stops cleanly."""
    url, nowhere = lab.platform.url, "http://127.0.0.1:9"
    lab.config.write_text(lab.config.read_text().replace(url, nowhere))
    async with lab.daemon() as daemon:
        with anyio.fail_after(HANG_SECONDS):
            while not (
                told := json.loads((await lab.call("status", "--json")).stdout)["heartbeat"]
            )["consecutive_failures"]:
                pass
        assert "127.0.0.1:9" in told["last_error"]
        assert await daemon.stop() == 0
    assert b"Traceback" not in lab.output.read_bytes()


@pytest.mark.slow
async def test_the_files_are_nobody_elses(lab: "Lab") -> None:
    """Directories and files have the modes the operator was promised."""
    async with lab.daemon() as daemon:
        await lab.becomes(lab.runtime / "build.env", 'TOKEN="canary-one-7f3a"\n')
        modes = {
            str(path.relative_to(lab.place)): oct(path.stat().st_mode & 0o777)
            for directory in (lab.state, lab.runtime)
            for path in (directory, *directory.iterdir())
        }
        assert modes.pop("state") == "0o700"
        assert modes.pop("run") == "0o711"
        assert modes.pop("run/build.env") == "0o440"
        assert set(modes.values()) == {"0o600"}
        assert await daemon.stop() == 0


@pytest.mark.slow
async def test_a_crowd_of_signals_is_no_trouble(lab: "Lab") -> None:
    """Reloads on end and two goodbyes: one clean exit."""
    async with lab.daemon() as daemon:
        for _ in range(20):
            daemon.process.send_signal(signal.SIGHUP)
        await daemon.told(b"READY=1")
        daemon.process.send_signal(signal.SIGTERM)
        assert await daemon.stop() == 0
    assert b"Traceback" not in lab.output.read_bytes()


@pytest.mark.slow
async def test_the_log_level_changes_while_it_runs(lab: "Lab") -> None:
    """Debug from now on, shown in status, then the file's again; who is on record."""
    async with lab.daemon() as daemon:
        await lab.until(lambda: lab.beats)
        changed = await lab.call("logs", "--set-level", "debug")
        assert (changed.returncode, changed.stdout) == (
            0,
            "log level: debug, until a restart; the configuration says info\n"
            "  go back to it: rensei-daemon logs --set-level config\n",
        )
        status = json.loads((await lab.call("status", "--json")).stdout)
        assert (status["log"]["level"], status["log"]["dropped"]) == ("debug", 0)
        assert "log.level" in {c["code"] for c in status["conditions"]}
        back = await lab.call("logs", "--set-level", "config", "--json")
        assert json.loads(back.stdout) == {"level": "info", "configured_level": "info"}
        wrong = await lab.call("logs", "--set-level", "loud")
        assert (wrong.returncode, wrong.stderr) == (
            64,
            "rensei-daemon: 'loud' is no log level\n"
            "  debug, info, warning, error or config\n",
        )
        assert await daemon.stop() == 0
    shown = await lab.call("logs", "--event", "log.level_changed", "--json")
    events = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [(e["was"], e["to"], e["uid"]) for e in events] == [
        ("info", "debug", os.geteuid()),
        ("debug", "info", os.geteuid()),
    ]


@pytest.mark.slow
async def test_every_event_of_a_life_is_in_the_catalogue(lab: "Lab") -> None:
    """What is logged has no field that the page does not name."""
    page = (Path(__file__).parents[2] / "docs/events.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| [^|]* \| ([^|]*) \|", page, re.MULTILINE)
    known = {name: set(re.findall(r"`([^`]+)`", fields)) for name, fields in rows}
    async with lab.daemon() as daemon:
        await lab.call("logs", "--set-level", "debug")
        asked = lab.enqueue("project.add", id="proj_b", repository="https://github.com/b")
        lab.platform.rows.add_mutation(HOST, "project.add", {"id": "proj_b"})
        await lab.until(lambda: lab.status_of(asked) == "applied")
        await lab.call("sync")
        await lab.call("reload")
        assert await daemon.stop() == 0
    lines = (lab.state / "log.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    assert len({event["event"] for event in logged}) > 8
    always = {"timestamp", "level", "event", "exception"}
    for event in logged:
        assert event.keys() - always == known[event["event"]]
