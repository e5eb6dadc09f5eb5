"""The page for authors of workers: its clients run against a daemon."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
from deadlines import HANG_SECONDS
from polling import until

from rensei_daemon.core import credential_frames
from rensei_daemon.core.child_environment import child_environment

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from e2e.conftest import Lab

PAGE = (Path(__file__).parents[2] / "docs/workers.md").read_text()


def clients(language: str) -> list[str]:
    """Return the clients that the page has in a language, the short one first."""
    return re.findall(rf"```{language}\n([^`]{{1,3000}})```", PAGE)


async def line(output: IO[str] | None) -> str:
    """Return the next line."""
    assert output is not None
    with anyio.fail_after(HANG_SECONDS):
        return await anyio.to_thread.run_sync(output.readline, abandon_on_cancel=True)


@contextmanager
def running(
    lab: "Lab", *command: str, env: Mapping[str, str]
) -> "Iterator[subprocess.Popen[str]]":
    """Run a worker while the block runs."""
    worker = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, text=True, cwd=lab.place
    )
    with worker:
        try:
            yield worker
        finally:
            worker.terminate()


in_each_language = pytest.mark.parametrize(
    ("language", "command"),
    [
        ("python", (sys.executable, "-c")),
        pytest.param("js", ("node", "-e"), marks=pytest.mark.needs("node")),
    ],
)


def variables_of(lab: "Lab") -> Mapping[str, str]:
    """Return the variables of a worker of the session."""
    socket = str(lab.runtime / "credentials.sock")
    environ = {"PATH": os.environ["PATH"]}
    return child_environment(environ, {}, socket=socket, session_id="build")


@in_each_language
async def test_a_client_of_ten_lines(
    lab: "Lab", language: str, command: tuple[str, ...]
) -> None:
    """It gets the first values and a rotation, and ends with the daemon."""
    program = clients(language)[0]
    assert len(program.splitlines()) == 10
    async with lab.daemon() as daemon:
        await until((lab.runtime / "build.env").exists)
        with running(lab, *command, program, env=variables_of(lab)) as worker:
            assert await line(worker.stdout) == "INITIAL TOKEN\n"
            lab.platform.rotate("github", MORE="new", TOKEN="two")
            assert await line(worker.stdout) == "UPDATE MORE TOKEN\n"
            lab.platform.rotate("github", MORE="newer", TOKEN="two")
            assert await line(worker.stdout) == "UPDATE MORE TOKEN\n"
            assert await daemon.stop() == 0
            rest, _ = worker.communicate(timeout=HANG_SECONDS)
            assert rest in ("", "BYE MORE TOKEN\n")
            assert worker.returncode == 0


@in_each_language
async def test_a_client_that_connects_again(
    lab: "Lab", language: str, command: tuple[str, ...]
) -> None:
    """It gets the first values, a rotation, and the values of a daemon that returns."""
    program = clients(language)[1]
    # A file that anything may read makes a session's answer unknown.
    lab.config.write_text(lab.config.read_text().replace('env_file = "build.env"\n', ""))
    with running(lab, *command, program, env=variables_of(lab)) as worker:
        async with lab.daemon():
            assert await line(worker.stdout) == "INITIAL TOKEN\n"
            lab.platform.rotate("github", TOKEN="two")
            assert await line(worker.stdout) == "UPDATE TOKEN\n"
            if "ACK" in program:
                await until(lambda: _receipt(lab)["confirmed"] == 1)
        async with lab.daemon():
            assert await line(worker.stdout) == "INITIAL TOKEN\n"


def _receipt(lab: "Lab") -> Any:
    [rotation] = lab.platform.ask("GET", "/api/admin/rotations")["rotations"]
    return lab.platform.ask("GET", f"/api/admin/rotations/{rotation['id']}")["receipt"]


async def test_a_worker_in_the_shell(lab: "Lab") -> None:
    """It reads the env file again when that has been replaced."""
    env_file = lab.runtime / "build.env"
    async with lab.daemon():
        await lab.becomes(env_file, 'TOKEN="canary-one-7f3a"\n')
        command = ("sh", "-c", clients("sh")[0], "sh", str(env_file))
        with running(lab, *command, env={"PATH": os.environ["PATH"]}) as worker:
            assert await line(worker.stdout) == "INITIAL TOKEN\n"
            lab.platform.rotate("github", TOKEN="a $ in it", USER_NAME="b")
            assert await line(worker.stdout) == "UPDATE TOKEN USER_NAME\n"


async def test_the_variables_of_a_hook(lab: "Lab") -> None:
    """The page names each; one of them only when names are left out."""
    seen = lab.place / "seen"
    script = f"cat /proc/$$/environ > {seen}.part; mv {seen}.part {seen}"
    hook = f'on_rotate = ["/bin/sh", "-c", "{script}"]\n'
    text = lab.config.read_text()
    lab.config.write_text(text.replace("[projects]", f"{hook}[projects]"))
    async with lab.daemon():
        await until(seen.exists)
    names = {entry.partition("=")[0] for entry in seen.read_text().split("\0") if entry}
    assert names | {"RENSEI_CHANGED_NAMES_CUT"} == variables("The hook")


def test_the_variables_of_exec() -> None:
    """And the names in the other spelling."""
    no_values: dict[str, str] = {}
    for values in (no_values, None):
        given = child_environment({}, values, socket="s", session_id="b")
        ours = {name for name in given if name.startswith("RENSEI_")}
        assert len(given) == 2 * len(ours)
    assert ours == variables("`exec`")


def variables(title: str) -> set[str]:
    """Return the variables in the table of a section."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    cells = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([A-Z_]+)`", cell)}


def test_the_reasons_of_a_bye() -> None:
    """The page says of each what to do."""
    section = PAGE.partition("The reasons of BYE")[2].partition("\n\n")[0]
    told = set(re.findall(r"`([a-zA-Z ]+)`", section))
    reasons = {
        *(credential_frames.SHUTDOWN, credential_frames.NOTHING_YET),
        *(credential_frames.TOO_SLOW, credential_frames.TOO_MANY),
        *(credential_frames.SESSION_UNKNOWN, credential_frames.SESSION_REMOVED),
        *(credential_frames.NOT_PERMITTED, credential_frames.HELLO_LATE),
        credential_frames.HELLO_UNREADABLE,
    }
    assert told == reasons
