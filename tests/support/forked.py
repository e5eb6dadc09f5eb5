"""Runs programs of ours as processes that need not import anything first.

    test --> Forked (a Popen) --> one process that has imported a program --> its fork

A fork is a real process with streams, signals, locks and an exit code of its own; it is
spared the start of the interpreter and the imports, most of what a short command costs.
Its /proc/PID/cmdline is that of the process it is a fork of. The process that runs the
tests is its parent, as with every Popen: it adopts orphans (`leftovers.py`).
"""

import array
import atexit
import inspect
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

import anyio
import anyio.to_thread
import leftovers
from deadlines import HANG_SECONDS
from fork_server import Order

SERVER = Path(__file__).with_name("fork_server.py")


class Forked(subprocess.Popen[str]):
    """A program of ours, by the name of its package and its arguments.

    Its streams are text. Of the other options of a Popen it knows `cwd`.
    """

    def __init__(
        self,
        *argv: str,
        env: Mapping[str, str],
        cwd: Path | None = None,
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
    ) -> None:
        super().__init__(
            argv, env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr, text=True
        )

    def _execute_child(self, *values: Any) -> None:
        """Take the place of the fork and exec of a Popen."""
        started = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]
        given = started.bind(self, *values).arguments
        streams = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        streams = [own if stream == -1 else stream for own, stream in enumerate(streams)]
        program, *argv = given["args"]
        order = Order(
            program=program,
            argv=argv,
            env=dict(given["env"]),
            cwd=os.fspath(given["cwd"] or os.getcwd()),  # noqa: PTH109 - a text is wanted
            umask=_umask(),
        )
        try:
            self.pid = _server(program).fork(order, streams)
            self._child_created = True
        finally:
            both = [stream for name in _PIPES if (stream := given[name])]
            self._close_pipe_fds(*both)  # type: ignore[attr-defined]


def _umask() -> int:
    """Return this process's umask, which no call returns without changing it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("Umask:")[2].split()[0], 8)


_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")


def run(
    *argv: str,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    text: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; `text` is its input, and its output is captured."""
    pipe = subprocess.PIPE
    stdin = stdin if text is None else pipe
    with Forked(*argv, env=env, cwd=cwd, stdin=stdin, stdout=pipe, stderr=pipe) as process:
        try:
            out, errors = process.communicate(text, timeout=HANG_SECONDS)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(argv, process.returncode, out, errors)


async def run_async(
    *argv: str, env: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end while the event loop goes on."""
    return await anyio.to_thread.run_sync(lambda: run(*argv, env=env, cwd=cwd))


async def ended(process: subprocess.Popen[str]) -> int:
    """Wait for the end of a process, and return its exit code."""
    if process.poll() is None:
        pid = os.pidfd_open(process.pid)
        try:
            await anyio.wait_readable(pid)
        finally:
            os.close(pid)
    return process.wait()


class _Server:
    """The process that forks, which lives as long as this one."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(SERVER), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        leftovers.keep(self._process.pid)
        atexit.register(self.close)

    def fork(self, order: Order, streams: list[int]) -> int:
        """Have a program run on these streams, and return its process."""
        rights = socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams)
        self._socket.sendmsg([json.dumps(order).encode()], [rights])
        answer = self._socket.recv(64)
        assert answer, "the process that forks has ended"
        return int(answer)

    def close(self) -> None:
        """End the process; what it has forked goes on."""
        self._socket.close()
        self._process.wait()


@cache
def _server(_program: str) -> _Server:
    """Return the process that forks a program; one that has imported both forks slower."""
    return _Server()
