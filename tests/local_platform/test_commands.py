"""`rensei-daemon platform`: the process, and the commands that furnish it."""

import io
import json
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.cli.main import main
from rensei_daemon.local_platform.running import RunningPlatform

Run = Callable[..., Coroutine[Any, Any, tuple[int, str, str]]]
SERVE = (sys.executable, "-m", "rensei_daemon", "platform", "serve")


@pytest.fixture
def run(platform: RunningPlatform, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `platform ...` against the platform; return exit code, output and errors."""

    async def run(*words: str) -> tuple[int, str, str]:
        argv = ["platform", *words, "--url", platform.url]
        with pytest.raises(SystemExit) as caught:
            await anyio.to_thread.run_sync(main, argv)
        code = caught.value.code
        assert isinstance(code, int | None)
        out, err = capsys.readouterr()
        return code or 0, out, err

    return run


@contextmanager
def serving(*options: str, ready: Path) -> Iterator[subprocess.Popen[str]]:
    """Serve in a process of its own, which is over after the block in any case."""
    argv = [*SERVE, "--port", "0", "--ready-file", str(ready), *options]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, stop: signal.Signals) -> None:
    """One line and the ready file say where; a signal ends it quietly, with 0."""
    state, ready = tmp_path / "platform.db", tmp_path / "ready"
    with serving("--state", str(state), ready=ready) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.removeprefix("The local platform listens at ").strip()
        assert httpx.get(f"{url}/lab/state", trust_env=False).status_code == 200
        process.send_signal(stop)
        assert process.wait(HANG_SECONDS) == 0
        assert process.stdout.read() == ""
    assert ready.read_text() == f"{url}\n"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("options", "code", "error"),
    [
        (
            ("--host", "0.0.0.0"),
            64,
            "0.0.0.0 is not a loopback address: this platform is for one host",
        ),
        (
            ("--host", "example.org"),
            64,
            "example.org is not a loopback address: this platform is for one host",
        ),
        (
            ("--state", "/nowhere/platform.db"),
            1,
            "/nowhere/platform.db: No such file or directory",
        ),
        (
            ("--state", __file__),
            1,
            f"{__file__} cannot be used: file is not a database",
        ),
    ],
)
def test_what_cannot_be_served_is_one_line(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], code: int, error: str
) -> None:
    """A host that is not this one, and a file that cannot be used, end it at once."""
    with pytest.raises(SystemExit) as caught:
        main(["platform", "serve", "--port", "0", *options])
    assert caught.value.code == code
    assert capsys.readouterr().err.splitlines()[0] == f"rensei-daemon: {error}"


def test_a_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """It says which port, and how to take another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as caught:
            main(["platform", "serve", "--port", str(port)])
    assert caught.value.code == 1
    assert capsys.readouterr().err == (
        f"rensei-daemon: port {port} at 127.0.0.1 is in use\n"
        "  take another: --port N, or --port 0 for a free one\n"
    )


async def test_a_tenant_is_furnished_from_the_shell(
    platform: RunningPlatform, run: Run, tmp_path: Path
) -> None:
    """Each command prints what the next one needs, and no more."""
    code, out, _ = await run("org", "add", "acme", "--id", "org_acme")
    assert (code, out) == (0, "org_acme\n")
    code, out, _ = await run("key", "add", "--org", "acme", "--role", "admin")
    assert code == 0
    assert out.startswith("rsk_live_")
    code, out, _ = await run("host", "add", "--org", "org_acme", "h1")
    assert (code, out) == (0, f"{platform.state.host('h1').id}\n")
    code, out, _ = await run("host", "status", "h1", "pool_deleted", "--action", "move")
    assert (code, out) == (0, "h1: pool_deleted\n")
    assert platform.state.host("h1").status == {
        "status": "pool_deleted",
        "recommendedAction": "move",
    }
    assert (await run("host", "status", "h1", "none"))[1] == "h1: none\n"
    assert platform.state.host("h1").status is None


async def test_a_credential_s_value_comes_from_three_places(
    platform: RunningPlatform,
    run: Run,
    tmp_path: Path,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command line, a file, and standard input, less one final newline."""
    (tmp_path / "token").write_text("in a\nfile\n")
    stdin = io.TextIOWrapper(io.BytesIO(b"piped\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    kind = ("credential", "set", "--org", "acme", "--kind", "github")
    assert (await run(*kind, "A=plain=text"))[1] == "A set\n"
    assert (await run(*kind, f"B=@{tmp_path / 'token'}", "--project", "p"))[0] == 0
    assert (await run(*kind, "C=-", "--env", "staging"))[0] == 0
    assert (await run(*kind, "A=next", "--stage"))[1] == "A staged\n"
    found = platform.state.tables.credentials.values()
    assert [(c.name, c.value, c.project_id, c.env_name, c.staged) for c in found] == [
        ("A", "plain=text", None, None, "next"),
        ("B", "in a\nfile", "p", None, None),
        ("C", "piped", None, "staging", None),
    ]


@pytest.mark.parametrize(
    ("assignment", "error"),
    [
        ("A", "a credential is given as NAME=VALUE, NAME=@FILE or NAME=-"),
        ("=x", "a credential is given as NAME=VALUE, NAME=@FILE or NAME=-"),
        ("A=@/nowhere", "/nowhere cannot be read: No such file or directory"),
        (f"A=@{sys.executable}", f"{sys.executable} is not UTF-8"),
    ],
)
async def test_a_value_that_is_none_is_a_usage_error(
    run: Run, assignment: str, error: str
) -> None:
    """It says what is wrong, and exits 64."""
    words = ("credential", "set", "--org", "acme", "--kind", "k", assignment)
    hint = "see what the command takes: the same with --help"
    assert await run(*words) == (64, "", f"rensei-daemon: {error}\n  {hint}\n")


async def test_json_for_programs(run: Run) -> None:
    """With --json each command prints its answer whole."""
    _, out, _ = await run("org", "add", "acme", "--id", "org_acme", "--json")
    assert json.loads(out) == {"id": "org_acme", "name": "acme"}


async def test_a_refusal_is_one_line(run: Run) -> None:
    """What the platform refuses is said, with a way to see what there is: exit code 1."""
    code, out, err = await run("host", "add", "--org", "nobody", "h1")
    assert (code, out) == (1, "")
    assert err.startswith(
        "rensei-daemon: Org nobody not found\n  see what there is: curl http://127.0.0.1:"
    )


def test_no_platform_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a platform there is a hint to start one."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(SystemExit) as caught:
        main(["platform", "org", "add", "acme", "--url", url])
    assert caught.value.code == 69
    assert capsys.readouterr().err == (
        f"rensei-daemon: no local platform answers at {url}\n"
        "  start it: rensei-daemon platform serve\n"
    )


async def test_something_else_at_the_url_is_said_to_be_so(
    platform: RunningPlatform, run: Run
) -> None:
    """An answer that is no JSON is not a platform's."""
    platform.faults.add("POST", "/lab", status=200, body="<html>")
    code, _, err = await run("org", "add", "acme")
    assert code == 69
    assert err == (
        f"rensei-daemon: what answers at {platform.url} is not a local platform\n"
        "  is --url right?\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("serve",),
        ("org",),
        ("org", "add"),
        ("key",),
        ("key", "add"),
        ("host",),
        ("host", "add"),
        ("host", "status"),
        ("credential",),
        ("credential", "set"),
    ],
)
def test_help_shows_an_example(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """Every command's --help has a line to copy."""
    with pytest.raises(SystemExit) as caught:
        main(["platform", *words, "--help"])
    assert caught.value.code in (0, None)
    help_text = " ".join(capsys.readouterr().out.split())
    assert f"Example: rensei-daemon {' '.join(('platform', *words))} " in help_text
