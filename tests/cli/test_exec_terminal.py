"""`exec` under a shell's job control, on a real terminal."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from deadlines import HANG_SECONDS
from polling import until

from cli.conftest import PROGRAM

if TYPE_CHECKING:
    from cli.conftest import Host

pytestmark = pytest.mark.needs("bash")

# Says what it reads, and at USR1 how often it was interrupted; `quit` ends it.
WORKER = """
import os, signal, sys
token, count = os.environ.get("TOKEN"), 0
def say(*words): os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def interrupted(*_):
    global count
    count += 1
    say("interrupted", count)
signal.signal(signal.SIGINT, interrupted)
signal.signal(signal.SIGUSR1, lambda *_: say("count", count))
say("start", token, "below", os.getppid())
for line in sys.stdin:
    if line == "quit\\n": sys.exit(5)
    say("read", token, line)
"""
# As an interactive shell does: takes the terminal for a group of its own, turns the echo
# off, and does not end at TERM. Started anew it is a plain worker.
GREEDY = """
import os, signal, sys, termios
if os.environ.get("TOKEN") == "1":
    for number in (signal.SIGTERM, signal.SIGTTOU): signal.signal(number, signal.SIG_IGN)
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    modes = termios.tcgetattr(0)
    modes[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSANOW, modes)
"""


class Screen:
    """A terminal with a shell in it, and a person who types and reads."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._seen = self.all = b""

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._terminal, keys.encode())

    async def shows(self, text: str) -> str:
        """Wait for a text, and return what came before it."""
        while text.encode() not in self._seen:
            await anyio.wait_readable(self._terminal)
            self.all += (more := os.read(self._terminal, 4096))
            self._seen += more
        before, _, self._seen = self._seen.partition(text.encode())
        return before.decode()


@asynccontextmanager
async def shell() -> AsyncIterator[Screen]:
    """Run an interactive shell on a terminal of its own."""
    terminal, other = os.openpty()
    with anyio.fail_after(HANG_SECONDS):
        async with await anyio.open_process(
            ["setsid", "--ctty", "bash", "--norc", "--noprofile", "--noediting", "-i"],
            stdin=other,
            stdout=other,
            stderr=other,
            env={"PATH": os.environ["PATH"], "PS1": "$ "},
        ) as process:
            os.close(other)
            try:
                yield (screen := Screen(terminal))
            except BaseException as error:
                error.add_note(f"the screen: {screen.all!r}")
                raise
            finally:
                os.close(terminal)  # hangs up on whoever is left
                with anyio.move_on_after(HANG_SECONDS, shield=True):
                    await process.wait()


@asynccontextmanager
async def supervised(
    host: "Host", script: str, *, redirected: str = ""
) -> AsyncIterator[tuple[Screen, int]]:
    """Type an `exec` at a shell's prompt; with its process id, its first values there."""
    worker = Path(host.config).with_name("worker.py")
    worker.write_text(script)
    host.add("build")
    words = f"{PROGRAM} exec --config={host.config} --on-rotate=restart --grace=0.3"
    async with host.up():
        await host.rotate("build", TOKEN="1")
        async with shell() as screen:
            screen.type(f"{words} -- {sys.executable} -S -E {worker} {redirected}\n")
            await screen.shows("start 1 below ")
            pid = int(await screen.shows("\n"))
            yield screen, pid
        await until(lambda: _has_ended(pid))  # its shell does not wait for it


def _has_ended(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


async def _until_stopped(pid: int) -> None:
    """Wait until the children of a process are stopped too.

    The shell is told of `exec` alone. A worker that is still on its way to a stop would
    read what is typed to the shell.
    """
    await until(lambda: _are_stopped(pid))


def _are_stopped(pid: int) -> bool:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    stats = [Path(f"/proc/{child}/stat").read_text() for child in children]
    return bool(stats) and all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


async def test_job_control_works_as_without_exec(host: "Host") -> None:
    """Reading, Ctrl-Z and fg, Ctrl-C once, exit code."""
    async with supervised(host, WORKER) as (screen, pid):
        screen.type("one\n")
        await screen.shows("read 1 one")
        screen.type("\x1a")
        await screen.shows("Stopped")
        await screen.shows("$ ")
        await _until_stopped(pid)
        screen.type("fg\n")
        await screen.shows("worker.py")  # the shell says what it continues
        screen.type("two\n")
        await screen.shows("read 1 two")
        screen.type("\x03")
        await screen.shows("interrupted 1")
        os.kill(pid, signal.SIGUSR1)  # passed on after whatever came before
        await screen.shows("count 1")
        screen.type("quit\n")
        await screen.shows("$ ")
        screen.type("echo code $?\n")
        await screen.shows("code 5")


async def test_ctrl_c_reaches_a_command_once_when_its_input_is_no_terminal(
    host: "Host",
) -> None:
    """Whether we share its terminal does not depend on standard input."""
    loop = "while signal.pause() or True:\n    line = ''"
    script = WORKER.replace("for line in sys.stdin:", loop)
    async with supervised(host, script, redirected="</dev/null") as (screen, pid):
        screen.type("\x03")
        await screen.shows("interrupted 1")
        os.kill(pid, signal.SIGUSR1)
        await screen.shows("count 1")
        os.kill(pid, signal.SIGTERM)
        await screen.shows("$ ")


async def test_a_worker_started_anew_has_the_terminal(host: "Host") -> None:
    """It reads, echoes and is interrupted like the first, that was killed in front."""
    async with supervised(host, GREEDY + WORKER) as (screen, _):
        await host.rotate("build", TOKEN="2")
        await screen.shows("start 2")
        screen.type("three\n")
        assert "three" in await screen.shows("read 2 three")
        screen.type("\x03")
        await screen.shows("interrupted 1")
        screen.type("quit\n")
        await screen.shows("$ ")
        screen.type("echo code $?\n")
        await screen.shows("code 5")
