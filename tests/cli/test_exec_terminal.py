"""`exec` under a shell's job control, on a real terminal that may hang up."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import pytest
from deadlines import HANG_SECONDS
from polling import until

from cli.conftest import PROGRAM

if TYPE_CHECKING:
    from cli.conftest import Host

pytestmark = [pytest.mark.needs("bash"), pytest.mark.slow]

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
READS, PAUSES = "for line in sys.stdin:", "while line := str(signal.pause()):"
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


# Asked to end it says so, and does not, so that whoever restarts it waits.
STUBBORN = """
signal.signal(signal.SIGTERM, lambda *_: say("term"))
"""


class Screen:
    """A terminal with a shell in it, and a person who types and reads."""

    def __init__(self, terminal: int, process: anyio.abc.Process) -> None:
        self._terminal = terminal
        self._process = process
        self._seen = self.all = b""

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._terminal, keys.encode())

    async def hang_up(self) -> None:
        """Take the terminal away; return when the shell has ended, all signals sent."""
        if self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1
        with anyio.move_on_after(HANG_SECONDS, shield=True):
            await self._process.wait()

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
    """Run an interactive shell on a terminal of its own.

    A hang-up reaches what it runs also if the tests themselves are run by nohup.
    """
    terminal, other = os.openpty()
    words = ("env", "--default-signal=HUP", "setsid", "--ctty")
    with anyio.fail_after(HANG_SECONDS):
        async with await anyio.open_process(
            [*words, "bash", "--norc", "--noprofile", "--noediting", "-i"],
            stdin=other,
            stdout=other,
            stderr=other,
            env={"PATH": os.environ["PATH"], "PS1": "$ "},
        ) as process:
            os.close(other)
            screen = Screen(terminal, process)
            try:
                yield screen
            except BaseException as error:
                error.add_note(f"the screen: {screen.all!r}")
                raise
            finally:
                await screen.hang_up()  # on whoever is left


@asynccontextmanager
async def supervised(
    host: "Host", script: str, *, before: str = "", redirected: str = "", grace: float = 0.3
) -> AsyncIterator[tuple[Screen, int]]:
    """Type an `exec` at a shell's prompt; with its process id, its first values there."""
    worker = Path(host.config).with_name("worker.py")
    worker.write_text(script)
    host.add("build")
    words = f"{PROGRAM} exec --config={host.config} --on-rotate=restart --grace={grace}"
    async with host.up():
        await host.rotate("build", TOKEN="1")
        async with shell() as screen:
            screen.type(
                f"{before} {words} -- {sys.executable} -S -E {worker} {redirected}\n"
            )
            await screen.shows("start 1 below ")
            pid = int(await screen.shows("\n"))
            yield screen, pid
        await until(lambda: _has_ended(pid))  # its shell does not wait for it


def _children(pid: int) -> list[int]:
    return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


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
    stats = [Path(f"/proc/{child}/stat").read_text() for child in _children(pid)]
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
    script = WORKER.replace(READS, PAUSES)
    async with supervised(host, script, redirected="</dev/null") as (screen, pid):
        screen.type("\x03")
        await screen.shows("interrupted 1")
        os.kill(pid, signal.SIGUSR1)
        await screen.shows("count 1")


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


@pytest.mark.parametrize("before", ["", "exec"])
@pytest.mark.parametrize("redirected", ["", "</dev/null"])
async def test_a_hang_up_ends_exec_and_its_command(
    host: "Host", before: str, redirected: str
) -> None:
    """As a job of a shell, and in its place, where the kernel tells only us."""
    script = WORKER.replace(READS, PAUSES)
    async with supervised(host, script, before=before, redirected=redirected) as (s, pid):
        (worker,) = _children(pid)
        await s.hang_up()
        await until(lambda: _has_ended(pid) and _has_ended(worker))


async def test_a_hang_up_ends_a_stopped_exec_and_its_command(host: "Host") -> None:
    """The shell continues what it hangs up on."""
    async with supervised(host, WORKER) as (screen, pid):
        (worker,) = _children(pid)
        screen.type("\x1a")
        await screen.shows("$ ")
        await _until_stopped(pid)
        await screen.hang_up()
        await until(lambda: _has_ended(pid) and _has_ended(worker))


async def test_after_a_hang_up_a_command_is_not_started_anew(
    host: "Host", tmp_path: Path
) -> None:
    """The signal that came during a restart is not lost with the old command."""
    starts = tmp_path / "starts"
    note = f"\nwith open({str(starts)!r}, 'a') as file: file.write('start ')\n"
    script = WORKER.replace('say("start"', STUBBORN + note + 'say("start"')
    async with supervised(host, script, before="exec", grace=60) as (screen, pid):
        (worker,) = _children(pid)
        await host.rotate("build", TOKEN="2")
        await screen.shows("term")
        await screen.hang_up()
        await until(lambda: _has_ended(pid) and _has_ended(worker))
    assert starts.read_text() == "start "


@pytest.mark.parametrize("waits", [False, True])
async def test_a_hang_up_before_the_command_was_started(host: "Host", waits: bool) -> None:
    """While the program is imported, and while it waits for credentials."""
    host.add("build")
    subscribers = host.door.find("build")
    assert subscribers is not None
    asked: list[bool] = []

    def missing() -> str:
        asked.append(True)
        return "no credentials"

    subscribers.missing = missing
    words = f"{PROGRAM} exec --config={host.config} --on-rotate=restart"
    async with host.up(), shell() as screen:
        screen.type(f"sh -c 'echo p\"\"id $$; exec {words} -- cat' </dev/null\n")
        await screen.shows("pid ")
        pid = int(await screen.shows("\n"))
        if waits:
            await until(lambda: asked)
        await screen.hang_up()
        await until(lambda: _has_ended(pid))


async def test_nohup_outlives_its_terminal(host: "Host", tmp_path: Path) -> None:
    """The command ignores the hang-up as `exec` does, and is still informed of signals."""
    output = tmp_path / "output"
    host.add("build")
    worker = tmp_path / "worker.py"
    worker.write_text(
        WORKER.replace("for line in sys.stdin:", "while signal.pause() or 1:")
    )
    words = f"nohup {PROGRAM} exec --config={host.config} --on-rotate=restart"
    async with host.up():
        await host.rotate("build", TOKEN="1")
        async with shell() as screen:
            screen.type(f"{words} -- {sys.executable} -S -E {worker} ")
            screen.type(f"</dev/null >{output} 2>&1 &\n")
            await until(lambda: output.is_file() and output.read_text().endswith("\n"))
            pid = int(output.read_text().split()[-1])
            await screen.hang_up()
        os.kill(pid, signal.SIGUSR1)
        await until(lambda: "count 0" in output.read_text())
        os.kill(pid, signal.SIGTERM)
        await until(lambda: _has_ended(pid))
