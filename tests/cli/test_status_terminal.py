"""`status` as a real terminal shows it: tmux is asked what is on its screen."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.cli.terminal import Style
from rensei_daemon.control_api.schema import STATUS
from rensei_daemon.control_api.server import serve_control
from rensei_daemon.control_api.wire import Request

pytestmark = [pytest.mark.needs("tmux"), pytest.mark.slow]

GOLDEN = sorted((Path(__file__).parent / "golden").glob("status-*.txt"))
PROGRAM = Path(sys.executable).with_name("rensei-daemon")
LONG_ID = "nightly-release-of-the-whole-of-the-monorepo"

Show = Callable[..., str]


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Show]:
    """Run a command in a terminal of a given width; return its screen, once it is done."""
    place = tmp_path_factory.mktemp("tmux")
    server = ("tmux", "-u", "-S", str(place / "tmux.sock"), "-f", "/dev/null")
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "screen-256color"}

    def tmux(*words: str) -> str:
        done = subprocess.run(
            [*server, *words],
            env=environ,
            cwd=place,
            capture_output=True,
            text=True,
            check=True,
            timeout=HANG_SECONDS,
        )
        return done.stdout

    def show(*command: str, columns: int, colour: bool = False, **more: str) -> str:
        settings = [f"{name}={value}" for name, value in more.items()]
        line = shlex.join(["env", *settings, *command])
        told = shlex.join([*server, "wait-for", "-S", "done"])
        size = ("-x", str(columns), "-y", "140")
        session = tmux(
            *("new-session", "-d", "-P", *size, f"{line}; {told}; exec cat")
        ).strip()
        tmux("wait-for", "done")
        screen = tmux("capture-pane", "-p", *(["-e"] if colour else []), "-t", session)
        tmux("kill-session", "-t", session)
        return screen.rstrip("\n") + "\n"

    tmux("new-session", "-d", "exec cat")  # or the server would end with each screen
    yield show
    tmux("kill-server")


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_screen_is_what_a_terminal_shows(show: Show, golden: Path) -> None:
    """No line is wrapped or cut, and no sign is wider than we count it."""
    columns = 200 if golden.stem.endswith("-200") else 80
    assert show("cat", str(golden), columns=columns) == golden.read_text()


def painted(screen: str) -> list[tuple[str, frozenset[str]]]:
    """Return every sign of a captured screen with the SGR parameters it is shown in."""
    signs: list[tuple[str, frozenset[str]]] = []
    now: set[str] = set()
    for parameters, text in re.findall(r"\x1b\[([\d;]*)m|([^\x1b]+)", screen):
        for parameter in parameters.split(";") if not text else ():
            if parameter in ("", "0"):
                now.clear()
            elif parameter in ("39", "49"):
                now -= {known for known in now if known[0] == parameter[0]}
            else:
                now.add(parameter)
        signs += ((sign, frozenset(now)) for sign in text)
    return signs


def shown_in(signs: list[tuple[str, frozenset[str]]], style: Style) -> str:
    """Return what is shown in a style."""
    wanted = frozenset(style.split(";"))
    return "".join(sign for sign, found in signs if found == wanted)


def status(state: str) -> dict[str, Any]:
    """What a daemon in a state answers, with one session."""
    since = "2026-11-24T11:00:00+00:00"
    trouble = {"code": "x.bad", "severity": "error", "message": "bad", "since": since}
    session = {
        "id": LONG_ID,
        "stream": "live",
        "since": since,
        "generation": 2,
        "refreshed_at": since,
        "refresh_until": None,
        "names": [],
        "consumers": [],
    }
    conditions = [trouble] if state == "failed" else []
    return {"state": state, "sessions": [session], "conditions": conditions}


STATES = {
    "ok": (" ● OK ", Style.GOOD),
    "starting": (" ◌ STARTING ", Style.WATCH),
    "degraded": (" ▲ DEGRADED ", Style.WATCH),
    "stopping": (" ◌ STOPPING ", Style.WATCH),
    "failed": (" ✖ FAILED ", Style.BAD),
}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Where the command finds a daemon of ours."""
    return {
        "RENSEI_DAEMON_CONFIG": str(tmp_path / "config.toml"),
        "RENSEI_DAEMON_PATHS__STATE": str(tmp_path),
        "RENSEI_DAEMON_PATHS__RUNTIME": str(tmp_path),
    }


async def asked(
    show: Show, environ: dict[str, str], state: str, columns: int, **more: str
) -> str:
    """Return the coloured screen of the command, with a daemon in this state."""

    async def answer(_: Request) -> Any:
        return status(state)

    path = Path(environ["RENSEI_DAEMON_PATHS__RUNTIME"]) / "control.sock"
    command = partial(
        show, str(PROGRAM), "status", columns=columns, colour=True, **environ, **more
    )
    async with anyio.create_task_group() as tasks:
        await tasks.start(serve_control, path, {STATUS: answer})
        screen = await anyio.to_thread.run_sync(command)
        tasks.cancel_scope.cancel()
    return screen


@pytest.mark.parametrize("state", STATES)
async def test_the_state_alone_stands_in_its_colour(
    show: Show, environ: dict[str, str], state: str
) -> None:
    """The banner is painted to its edges, and what follows it is not."""
    banner, style = STATES[state]
    signs = painted(await asked(show, environ, state, 80))
    assert shown_in(signs, style) == banner
    strong = "ERROR  x.bad, for " if state == "failed" else ""
    assert shown_in(signs, Style.STRONG).startswith(strong)
    assert bool(strong) == bool(shown_in(signs, Style.STRONG))


async def test_the_sessions_are_a_table_where_one_fits(
    show: Show, environ: dict[str, str]
) -> None:
    """On a wide terminal a table with a faint head; else lines, and nothing is cut."""
    wide, narrow = [
        painted(await asked(show, environ, "ok", columns)) for columns in (200, 40)
    ]
    assert shown_in(wide, Style.FAINT).split()[:2] == ["SESSION", "STREAM"]
    assert shown_in(narrow, Style.FAINT) == ""
    for signs in (wide, narrow):
        assert LONG_ID in "".join(sign for sign, _ in signs).replace("\n", "")


@pytest.mark.parametrize("refusal", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
async def test_a_terminal_may_do_without_colour(
    show: Show, environ: dict[str, str], refusal: dict[str, str]
) -> None:
    """NO_COLOR and a dumb terminal get the same words, unpainted."""
    screen = await asked(show, environ, "failed", 80, **refusal)
    assert "\x1b" not in screen
    assert screen.startswith("✖ FAILED for ")


def test_a_daemon_that_is_gone_is_shown_in_red(
    show: Show, environ: dict[str, str], tmp_path: Path
) -> None:
    """Whatever its last status was."""
    (tmp_path / "status.json").write_text(json.dumps(status("ok")))
    screen = show(str(PROGRAM), "status", columns=80, colour=True, **environ)
    assert shown_in(painted(screen), Style.BAD) == " ○ NOT RUNNING "
