"""`credentials`, asked of a daemon's control socket."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import anyio
from deadlines import HANG_SECONDS

from rensei_daemon.cli.credentials import describe
from rensei_daemon.cli.terminal import Terminal

if TYPE_CHECKING:
    from cli.conftest import Host
    from rensei_daemon.core.session_report import SessionReport

ENV_FILE = {"kind": "env_file", "name": "/run/build.env", "generation": 3, "lag": 1}
READER = {"kind": "socket", "name": "worker (pid 7)", "generation": 4, "lag": 0}
HOOK = {"kind": "hook", "name": "/bin/reload", "generation": None, "lag": None}
SESSION: dict[str, Any] = {
    "id": "build",
    "generation": 4,
    "refreshed_at": "2020-01-01T00:00:00.000Z",
    "error": None,
    "variables": [
        {
            "name": "TOKEN",
            "fingerprint": "0123456789ab",
            "changed_at": "2020-01-01T00:00:00.000Z",
        }
    ],
    "consumers": [READER, ENV_FILE, HOOK],
}


async def test_the_list_shows_who_has_what(host: "Host") -> None:
    """Names, fingerprints, ages, and how far behind each consumer is."""
    host.sessions.append(SESSION)
    async with host.up():
        code, out, err = await host.run("credentials", "list", "--config={config}")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("session build: generation 4, refreshed ")
    assert lines[1:] == [
        "  TOKEN\t0123456789ab\t2020-01-01T00:00:00.000Z",
        "  worker (pid 7)\tsocket\t4",
        "  /run/build.env\tenv_file\t3 (1 behind)",
        "  /bin/reload\thook\tnone yet",
    ]


def test_the_list_is_drawn_as_tables_on_a_terminal() -> None:
    """With titles, and ages for times."""
    now = datetime(2020, 1, 2, tzinfo=UTC)
    terminal = Terminal(80, is_tty=True)
    text = describe(cast("SessionReport", SESSION), now, terminal, in_utc=False)
    assert text.splitlines()[1:] == [
        "  VARIABLE  FINGERPRINT   CHANGED",
        "  TOKEN     0123456789ab  1 d ago",
        "  CONSUMER        KIND      GENERATION",
        "  worker (pid 7)  socket    4",
        "  /run/build.env  env_file  3 (1 behind)",
        "  /bin/reload     hook      none yet",
    ]


async def test_the_list_is_json_for_programs(host: "Host") -> None:
    """The daemon's own answer, whole."""
    host.sessions.append(SESSION)
    async with host.up():
        code, out, _ = await host.run("credentials", "list", "--json", "--config={config}")
    assert code == 0
    assert json.loads(out) == {"sessions": [SESSION]}


async def test_the_list_says_why_there_is_nothing(host: "Host") -> None:
    """No sessions, or one whose snapshot the platform refuses."""
    argv = ("credentials", "list", "--config={config}")
    async with host.up():
        _, out, _ = await host.run(*argv)
        assert out == "no sessions are configured: [[credentials.sessions]]\n"
        host.add("build")
        host.sessions[0]["error"] = "the platform says no"
        _, out, _ = await host.run(*argv)
        assert out == "session build: no credentials yet\n  the platform says no\n"


async def test_a_wait_ends_when_everything_a_worker_reads_is_there(host: "Host") -> None:
    """A daemon, its first snapshot and the session's files, whichever comes last."""
    host.add("build")
    argv = ("credentials", "wait", "--config={config}")
    with anyio.fail_after(HANG_SECONDS):
        async with host.running(*argv) as waiting, host.up():
            host.missing["build"] = "/run/build.env is not written"
            code, _, err = await host.run(*argv, "--timeout", "0.2")
            assert code == 1
            assert "session build: /run/build.env is not written after 0.2 s" in err
            assert waiting.process.returncode is None
            host.missing["build"] = ""
            assert await waiting.ended() == (0, "", "")
            _, out, _ = await host.run(*argv, "--json")
            assert json.loads(out).keys() == {"session", "waited_seconds"}


async def test_a_wait_needs_the_credential_socket_alone(host: "Host") -> None:
    """A worker that may have the credentials may wait for them, without more rights."""
    host.add("build")
    async with host.up():
        await host.rotate("build", TOKEN="1")
        (host.runtime / "control.sock").unlink()
        assert await host.run("credentials", "wait", "--config={config}") == (0, "", "")


async def test_a_wait_in_vain_says_why(host: "Host") -> None:
    """No daemon, no such session, or a session without credentials."""
    argv = ("credentials", "wait", "--timeout", "0.2", "--config={config}")
    code, _, err = await host.run(*argv)
    assert code == 3
    assert "start it: rensei-daemon run --config" in err
    host.add("build")
    host.missing["build"] = "no credentials (the platform says no)"
    async with host.up():
        code, _, err = await host.run(*argv)
        assert code == 1
        assert "no credentials (the platform says no) after 0.2 s" in err
        code, _, err = await host.run(*argv, "--session", "nope")
        assert code == 64
        assert "there is no session nope" in err


async def test_a_wait_asks_ever_more_rarely(host: "Host") -> None:
    """The workers of a whole host may wait at once, and for long."""
    host.add("build")
    subscribers = host.door.find("build")
    assert subscribers is not None
    asked: list[str] = []

    def missing() -> str:
        asked.append("build")
        return "no credentials"

    subscribers.missing = missing
    argv = ("credentials", "wait", "--session=build", "--timeout=1", "--config={config}")
    async with host.up():
        assert (await host.run(*argv))[0] == 1
    assert 2 <= len(asked) <= 4  # at 0, 0.1, 0.3 and 0.7 s
