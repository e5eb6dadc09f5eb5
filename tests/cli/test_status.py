"""`status` as a shell sees it: exit codes, and the output without a daemon."""

import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus
from deadlines import HANG_SECONDS
from structlog.testing import capture_logs

from rensei_daemon import __version__
from rensei_daemon.cli.control import ask
from rensei_daemon.cli.main import main
from rensei_daemon.cli.show_status import redraw
from rensei_daemon.control_api.schema import RELOAD, STATUS, SYNC, Endpoint
from rensei_daemon.control_api.server import serve_control
from rensei_daemon.control_api.wire import Request, Routes
from rensei_daemon.errors import DaemonNotRunningError, SettingsError
from rensei_daemon.locations import Locations


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the command line to a host of our own."""
    monkeypatch.setenv("RENSEI_DAEMON_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("RENSEI_DAEMON_PATHS__STATE", str(tmp_path))
    monkeypatch.setenv("RENSEI_DAEMON_PATHS__RUNTIME", str(tmp_path))
    return tmp_path


def run(*arguments: str) -> int:
    """Run the command line in this process, and return its exit code."""
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    code = exited.value.code
    return code if isinstance(code, int) else 0


async def run_aside(*arguments: str) -> int:
    """Run the command line while the daemon's side goes on."""
    return await anyio.to_thread.run_sync(lambda: run(*arguments))


@asynccontextmanager
async def daemon(host: Path, routes: Routes) -> AsyncIterator[None]:
    """Serve these routes on the host's control socket."""

    async def serve(*, task_status: TaskStatus[None]) -> None:
        await serve_control(host / "control.sock", routes, task_status=task_status)

    with anyio.fail_after(HANG_SECONDS), capture_logs():
        async with anyio.create_task_group() as group:
            await group.start(serve)
            yield
            group.cancel_scope.cancel()


def answering(endpoint: Endpoint[Any], answer: Any) -> Routes:
    """Make routes of one endpoint with one answer."""

    async def handler(request: Request) -> Any:
        return answer

    return {endpoint: handler}


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("ok", 0),
        ("starting", 1),
        ("degraded", 1),
        ("stopping", 1),
        ("failed", 2),
        ("unheard-of", 1),
    ],
)
async def test_the_exit_code_is_the_state(host: Path, state: str, code: int) -> None:
    """A script needs no more than the code."""
    async with daemon(host, answering(STATUS, {"state": state})):
        assert await run_aside("status") == code


async def test_json_is_the_daemons_own(
    host: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is left out, and nothing added while it runs the program that asks."""
    said = {"state": "failed", "conditions": [], "note": "größer"}
    async with daemon(host, answering(STATUS, said)):
        assert await run_aside("status", "--json") == 2
    assert json.loads(capsys.readouterr().out) == said


async def test_a_daemon_older_than_the_program_is_told(
    host: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An upgrade that forgot the restart: a note with the command, and no other state."""
    said = {"state": "ok", "version": "0.0.9", "conditions": []}
    async with daemon(host, answering(STATUS, said)):
        assert await run_aside("status") == 0
        screen = " ".join(capsys.readouterr().out.split())
        assert await run_aside("status", "--json") == 0
    restart = f"end it, then: rensei-daemon run --config {host}/config.toml"
    told = f"version 0.0.9 runs, and {__version__} is installed"
    assert f"note {told} ({restart})" in screen
    [condition] = json.loads(capsys.readouterr().out)["conditions"]
    assert condition.pop("since").endswith("Z")
    assert condition == {
        "code": "program.outdated",
        "severity": "info",
        "message": told,
        "hint": restart,
        "subject": "",
        "because_of": None,
    }


async def test_the_screen_is_plain_in_a_pipe(
    host: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No escape sequence where no terminal is."""
    async with daemon(host, answering(STATUS, {"state": "ok", "version": __version__})):
        await run_aside("status")
    said = f"● OK  rensei-daemon {__version__}, up 0 s"
    assert capsys.readouterr().out.startswith(said)


def test_without_a_daemon_or_a_trace_of_one_there_is_a_hint(
    host: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line what, one line what to do, exit 3."""
    assert run("status") == 3
    assert capsys.readouterr().err == (
        f"rensei-daemon: the daemon is not running ({host}/control.sock: "
        "No such file or directory)\n"
        f"  start it: rensei-daemon run --config {host}/config.toml\n"
    )


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00"])
def test_a_torn_last_state_is_none(host: Path, content: str) -> None:
    """A file that cannot be read is as good as missing."""
    (host / "status.json").write_text(content)
    assert run("status") == 3


def test_without_a_daemon_the_last_state_is_shown_as_past(
    host: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The screen says when it was true, and the code that it is no more."""
    then = datetime.now(UTC) - timedelta(minutes=12)
    last = {"state": "ok", "reported_at": then.isoformat()}
    (host / "status.json").write_text(json.dumps(last))
    assert run("status") == 3
    out = capsys.readouterr().out
    assert out.startswith("○ NOT RUNNING  last status: ok, 12 min ago\n")
    assert out.endswith(f"  start it: rensei-daemon run --config {host}/config.toml\n")


@pytest.mark.parametrize("reported", [True, False])
def test_the_last_state_in_json_cannot_be_taken_for_todays(
    host: Path, capsys: pytest.CaptureFixture[str], reported: bool
) -> None:
    """The top-level state is null; the last one is kept apart, with its age."""
    then = datetime.now(UTC) - timedelta(minutes=12)
    last = {"state": "ok"} | ({"reported_at": then.isoformat()} if reported else {})
    (host / "status.json").write_text(json.dumps(last))
    assert run("status", "--json") == 3
    answer = json.loads(capsys.readouterr().out)
    assert (answer["state"], answer["last"]) == (None, last)
    assert (answer["age_seconds"] or 0) // 60 == (12 if reported else 0)


def test_json_of_a_silent_daemon_cannot_be_taken_for_a_status(
    host: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says no state, why, and what the last one was."""
    (host / "status.json").write_text('{"state": "ok"}')
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(host / "control.sock"))
        hung.listen()
        assert run("status", "--json") == 2
    answer = json.loads(capsys.readouterr().out)
    assert (answer["state"], answer["last"]) == (None, {"state": "ok"})
    assert "not answered" in answer["error"]


@pytest.mark.parametrize(
    ("scope", "hint"),
    [
        ("system", "start it: systemctl start rensei-daemon"),
        ("user", "start it: systemctl --user start rensei-daemon"),
        (None, "start it: rensei-daemon run --config /c.toml"),
    ],
)
def test_the_hint_starts_this_very_daemon(
    tmp_path: Path, scope: str | None, hint: str
) -> None:
    """A user's daemon and one by hand are not started by the system's unit."""
    places = Locations(
        config=Path("/c.toml"), state=tmp_path, runtime=tmp_path, unit_scope=scope
    )
    with pytest.raises(DaemonNotRunningError) as caught:
        ask(places, STATUS)
    assert caught.value.hint == hint


@pytest.mark.parametrize(("command", "code"), [("status", 2), ("reload", 1), ("sync", 1)])
def test_silence_has_a_code_of_its_own_for_status_alone(
    host: Path, command: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a command that wants something done, no answer is a failure like another."""
    monkeypatch.setattr("rensei_daemon.cli.reload.TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr("rensei_daemon.cli.sync.TIMEOUT_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(host / "control.sock"))
        stopped.listen()
        assert run(command) == code


async def test_a_watch_goes_on_until_it_is_interrupted(host: Path) -> None:
    """It outlives the daemon's absence, asks every second, and ends as one interrupted."""
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "rensei_daemon", "status", "--watch"]
    with anyio.fail_after(HANG_SECONDS):
        async with await anyio.open_process(command, env=environ) as watch:
            assert watch.stdout is not None
            seen = await _read_until(watch.stdout.receive, b"not running")
            async with daemon(host, answering(STATUS, {"state": "ok"})):
                seen = await _read_until(watch.stdout.receive, b"OK")
            watch.send_signal(signal.SIGINT)
            assert await watch.wait() == 130
    assert b"\x1b" not in seen


def test_a_screen_is_drawn_over_the_last_one() -> None:
    """Nothing of the old one shows, beside the new lines or below them."""
    assert redraw("● OK\nheartbeat\n") == "\x1b[H● OK\x1b[K\nheartbeat\x1b[K\n\x1b[J"


async def _read_until(receive: Callable[[], Any], word: bytes) -> bytes:
    seen = b""
    while word not in seen:
        seen += await receive()
    return seen


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"applied": [], "needs_restart": []}, "nothing has changed\n"),
        (
            {"applied": ["log.level", "projects"], "needs_restart": ["platform.url"]},
            "in effect now: log.level, projects\n"
            "needs a restart: platform.url\n"
            "  end the daemon, then: rensei-daemon run --config {config}\n",
        ),
    ],
)
async def test_reload_says_what_it_brought(
    host: Path, capsys: pytest.CaptureFixture[str], answer: Any, said: str
) -> None:
    """The output separates what is in effect from what needs a restart."""
    async with daemon(host, answering(RELOAD, answer)):
        assert await run_aside("reload") == 0
    assert capsys.readouterr().out == said.format(config=host / "config.toml")


async def test_reload_of_a_broken_file_is_a_configuration_error(
    host: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The daemon's words arrive with their hint and their exit code."""

    async def refuse(request: Request) -> Any:
        raise SettingsError("config.toml:3:1: no such key", hint="remove it")

    async with daemon(host, {RELOAD: refuse}):
        assert await run_aside("reload") == 78
    assert capsys.readouterr().err == (
        "rensei-daemon: config.toml:3:1: no such key\n  remove it\n"
    )


SESSION = {"id": "build", "generation": 8, "changed": [], "error": None}


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (
            {"beat_error": None, "sessions": [SESSION]},
            0,
            "heartbeat: sent\nsession build: unchanged, generation 8\n",
        ),
        (
            {"beat_error": None, "sessions": [{**SESSION, "changed": ["A", "B"]}]},
            0,
            "heartbeat: sent\nsession build: generation 8, changed A, B\n",
        ),
        (
            {"beat_error": "connection refused", "sessions": []},
            1,
            "heartbeat: failed: connection refused\n",
        ),
        (
            {"beat_error": None, "sessions": [{**SESSION, "error": "404"}]},
            1,
            "heartbeat: sent\nsession build: failed: 404\n",
        ),
    ],
)
async def test_sync_says_how_each_part_went(
    host: Path, capsys: pytest.CaptureFixture[str], answer: Any, code: int, said: str
) -> None:
    """One line for the beat, one for each session; an older daemon says no more: 1."""
    async with daemon(host, answering(SYNC, answer)):
        assert await run_aside("sync") == code
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("beat", "session", "code"),
    [
        (None, None, 0),
        ("unreachable", "timeout", 69),
        (None, "unavailable", 69),
        (None, "unauthorized", 77),
        ("forbidden", "unauthorized", 77),
        ("unreachable", "unauthorized", 1),
        (None, "refused", 1),
        ("storage", None, 1),
        ("of a newer daemon", None, 1),
    ],
)
async def test_the_exit_code_of_a_sync_says_what_failed(
    host: Path, beat: str | None, session: str | None, code: int
) -> None:
    """As those of every command: the platform is out of reach, or refuses the key."""
    answer = {
        "beat_error": beat and "e",
        "beat_failure": beat,
        "sessions": [{**SESSION, "error": session and "e", "failure": session}],
    }
    async with daemon(host, answering(SYNC, answer)):
        assert await run_aside("sync") == code


@pytest.mark.parametrize("name", ["status", "reload", "sync"])
def test_help_shows_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An example teaches faster than a list of options."""
    assert run(name, "--help") == 0
    assert f"rensei-daemon {name}" in capsys.readouterr().out.partition("xample")[2]


@pytest.mark.parametrize("command", ["status", "doctor", "logs", "reload"])
def test_a_config_that_is_named_and_is_not_there_is_said(
    host: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Another daemon, found by the defaults, must not answer for a slip of the pen."""
    missing = host / "no-such.toml"
    assert run(command, "--config", str(missing)) == SettingsError.exit_code
    assert capsys.readouterr().err == (
        f"rensei-daemon: --config: {missing}: there is no such file\n"
        "  name the daemon's own configuration file, or omit --config\n"
    )
