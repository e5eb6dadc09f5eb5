"""`exec` owns all that came of its command."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from deadlines import HANG_SECONDS

from cli.conftest import PROGRAM, Command
from rensei_daemon.cli.process_tree import ProcessTree
from rensei_daemon.cli.process_tree_stop import TreeStop

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from cli.conftest import Host

# Says its values, its pid and the signals it gets; ends at TERM.
WORKER = """
import os, signal, sys
def say(word): os.write(1, f"{word} {os.environ.get('TOKEN')} {os.getpid()}\\n".encode())
def end(*_): say("term"); sys.exit(9)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, lambda *_: (say("int"), sys.exit(3)))
say("start")
while True: signal.pause()
"""
# Leaves a daemon in a session of its own that does not end at TERM, and stays or goes once
# the daemon has written its line: when it goes, the daemon is killed.
FORKER = """
import os, signal, sys
daemon_has_written, has_written = os.pipe()
if not os.fork():
    os.setsid()
    if os.fork(): os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(1, f"daemon {os.environ.get('TOKEN')} {os.getpid()}\\n".encode())
    os.close(has_written)
    while True: signal.pause()
os.wait()
os.close(has_written)
os.read(daemon_has_written, 1)
if sys.argv[1:] == ["go"]: sys.exit(4)
while True: signal.pause()
"""
INTERPRETER = (sys.executable, "-S", "-E", "-c")


def _lives(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


@asynccontextmanager
async def supervised(host: "Host", *argv: str) -> AsyncIterator[Command]:
    """Run a command under `exec`, whose first rotation has been."""
    host.add("build")
    words = ("exec", "--config={config}", "--on-rotate=restart", *argv)
    with anyio.fail_after(HANG_SECONDS):
        async with host.up():
            await host.rotate("build", TOKEN="1")
            async with host.running(*words) as command:
                yield command


async def test_a_worker_behind_a_shell_is_replaced_and_ended(
    host: "Host", tmp_path: Path
) -> None:
    """After a rotation there is one worker, with the new value; after TERM none.

    Output ends when the last process that holds it has gone.
    """
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    shell = f"{sys.executable} -S -E {script}\necho worker ended"
    async with supervised(host, "--", "sh", "-c", shell) as command:
        word, value, first = (await command.line()).split()
        assert (word, value) == ("start", "1")
        await host.rotate("build", TOKEN="2")
        assert await command.line() == f"term 1 {first}"
        word, value, second = (await command.line()).split()
        assert (word, value, _lives(first)) == ("start", "2", False)
        command.process.terminate()
        code, out, err = await command.ended()
        assert (code, out, err) == (128 + signal.SIGTERM, f"term 2 {second}\n", "")
        assert not _lives(second)


async def test_a_daemon_of_the_commands_own_is_killed_after_the_grace(host: "Host") -> None:
    """Forked twice, in a session of its own, deaf to TERM: it goes all the same."""
    argv = ("--grace=0.3", "--", *INTERPRETER, FORKER)
    async with supervised(host, *argv) as command:
        word, value, first = (await command.line()).split()
        assert (word, value) == ("daemon", "1")
        await host.rotate("build", TOKEN="2")
        word, value, second = (await command.line()).split()
        assert (word, value, _lives(first)) == ("daemon", "2", False)
        command.process.terminate()
        assert await command.ended() == (128 + signal.SIGTERM, "", "")
        assert not _lives(second)


async def test_what_a_command_leaves_behind_is_ended_with_it(host: "Host") -> None:
    """Its exit code comes back once its daemon has gone too."""
    async with supervised(host, "--grace=0.3", "--", *INTERPRETER, FORKER, "go") as command:
        pid = (await command.line()).split()[2]
        assert await command.ended() == (4, "", "")
        assert not _lives(pid)


async def test_a_stop_signal_may_be_another(host: "Host") -> None:
    """For programs that end well at INT or QUIT: in a restart, and at TERM."""
    argv = ("--stop-signal=INT", "--", *INTERPRETER, WORKER)
    async with supervised(host, *argv) as command:
        first = (await command.line()).split()[2]
        await host.rotate("build", TOKEN="2")
        assert await command.line() == f"int 1 {first}"
        second = (await command.line()).split()[2]
        command.process.terminate()
        assert await command.ended() == (3, f"int 2 {second}\n", "")


async def test_a_stopped_command_hears_of_its_end(host: "Host") -> None:
    """One that Ctrl-Z or a debugger stopped is continued to end by itself."""
    async with supervised(host, "--", *INTERPRETER, WORKER) as command:
        pid = (await command.line()).split()[2]
        os.kill(int(pid), signal.SIGSTOP)
        command.process.terminate()
        assert await command.ended() == (9, f"term 1 {pid}\n", "")


async def test_a_second_term_is_passed_on_too(host: "Host") -> None:
    """A program may end at the second; the time until KILL is no longer for it."""
    deaf = WORKER.replace(
        'say("term"); sys.exit(9)', 'signal.signal(15, end2); say("term")'
    )
    deaf = deaf.replace("def end(", "def end2(*_): sys.exit(8)\ndef end(")
    async with supervised(host, "--", *INTERPRETER, deaf) as command:
        pid = (await command.line()).split()[2]
        command.process.terminate()
        assert await command.line() == f"term 1 {pid}"
        command.process.terminate()
        assert await command.ended() == (8, "", "")


async def test_a_command_is_told_to_end_once(host: "Host") -> None:
    """Whatever else happens meanwhile: to many programs a second TERM means hurry."""
    counting = """
import os, signal, sys
terms = 0
def term(*_):
    global terms
    terms += 1
    os.write(1, b"term\\n")
signal.signal(signal.SIGTERM, term)
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, f"{terms}\\n".encode()))
signal.signal(signal.SIGUSR2, lambda *_: sys.exit(7))
os.write(1, b"start\\n")
while True: signal.pause()
"""
    async with supervised(host, "--", *INTERPRETER, counting) as command:
        assert await command.line() == "start"
        command.process.terminate()
        assert await command.line() == "term"
        for _ in range(3):
            command.process.send_signal(signal.SIGUSR1)
            assert await command.line() == "1"
        command.process.send_signal(signal.SIGUSR2)
        assert await command.ended() == (7, "", "")


async def test_a_command_is_told_when_exec_is_killed(host: "Host") -> None:
    """The out-of-memory killer takes `exec` alone: no worker lives on with old values."""
    async with supervised(host, "--", *INTERPRETER, WORKER) as command:
        pid = (await command.line()).split()[2]
        command.process.kill()
        assert await command.ended() == (-signal.SIGKILL, f"term 1 {pid}\n", "")


async def test_other_children_of_the_process_are_left_alone(host: "Host") -> None:
    """A shell that had background jobs when it became `exec` keeps them."""
    words = f"{PROGRAM} exec --config={host.config} --on-rotate=restart -- true"
    host.add("build")
    with anyio.fail_after(HANG_SECONDS):
        async with host.up():
            await host.rotate("build", TOKEN="1")
            async with await anyio.open_process(
                ["sh", "-c", f"sleep 60 >/dev/null & echo $!; exec {words}"],
                stderr=subprocess.STDOUT,
            ) as process:
                pid = await Command(process).line()
                assert await process.wait() == 0
    assert _lives(pid)
    os.kill(int(pid), signal.SIGKILL)


@pytest.mark.parametrize("word", ["NOSUCH", "-1"])
async def test_a_stop_signal_must_be_one(host: "Host", word: str) -> None:
    """A usage error."""
    code, _, err = await host.run("exec", f"--stop-signal={word}", "--", "true")
    assert (code, f"{word} is no signal of this system" in err) == (64, True)


class _Immortal(ProcessTree):
    """A tree of one process that no signal reaches."""

    def __init__(self) -> None:
        """Adopt no process."""

    def members(self) -> list[int]:
        """Return an id that no process can have."""
        return [1 << 30]


def test_what_cannot_be_killed_is_named_and_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A restart does not wait for ever for another user's process."""
    monkeypatch.setattr("rensei_daemon.cli.process_tree_stop.GIVE_UP_SECONDS", 0.0)
    stopping = TreeStop(_Immortal(), signal.SIGTERM, grace_seconds=0.0)
    assert stopping.step()
    assert stopping.left == (1 << 30,)
