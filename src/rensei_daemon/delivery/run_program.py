"""Run a foreign program with limits of time and output, and leave nothing running."""

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import ByteReceiveStream, Process

from rensei_daemon.fast_dataclass import dataclass

GRACE_SECONDS = 5.0
"""Between TERM and KILL, for a program that exceeded its time."""
STOPPING_GRACE_SECONDS = 1.0
"""The same while the daemon is stopping."""
DRAIN_SECONDS = 0.5
"""How long to read a pipe that a process outside the program's group holds open."""


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """How a program ended."""

    exit_code: int | None
    """Minus the signal that ended it; None if its time was up."""
    output: bytes
    """The end of its stdout and stderr, where a program that fails says why."""
    omitted_bytes: int
    """How much it wrote before that."""
    left_pid: int | None = None
    """The pid of a program that KILL did not end: another user's, or stuck in the kernel.
    """


class _Output:
    def __init__(self, keep_bytes: int) -> None:
        self.kept = bytearray()
        self.omitted_bytes = 0
        self.ended = anyio.Event()
        self._keep_bytes = keep_bytes

    async def collect(self, stream: ByteReceiveStream) -> None:
        # Read to the end even if it is not kept: a full pipe would block the
        # program.
        async for chunk in stream:
            self.kept += chunk
            excess = max(0, len(self.kept) - self._keep_bytes)
            del self.kept[:excess]
            self.omitted_bytes += excess
        self.ended.set()


async def run_program(
    argv: Sequence[str], env: Mapping[str, str], *, seconds: float, keep_bytes: int
) -> ProgramResult:
    """Run a program with exactly this environment, without a shell.

    It gets its own process group, no input, and `/` as its directory. When its time is
    up, the group gets TERM, then KILL; processes it leaves in its group are ended with
    it, so that nothing piles up. A process that KILL does not end is left behind.
    Raises `OSError` if it cannot start.
    """
    # If this is cancelled while it starts, the program would run on without us.
    with anyio.CancelScope(shield=True):
        process = await _start(argv, env)
    output = _Output(keep_bytes)
    assert process.stdout is not None  # noqa: S101 - it was asked for
    async with _closing(process), anyio.create_task_group() as reading:
        reading.start_soon(output.collect, process.stdout)
        grace = STOPPING_GRACE_SECONDS
        try:
            with anyio.move_on_after(seconds) as limit:
                await process.wait()
            grace = GRACE_SECONDS
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process, grace)
        with anyio.move_on_after(DRAIN_SECONDS):
            await output.ended.wait()
        reading.cancel_scope.cancel()
    code = None if limit.cancelled_caught else process.returncode
    left_pid = process.pid if process.returncode is None else None
    return ProgramResult(code, bytes(output.kept), output.omitted_bytes, left_pid)


async def _start(argv: Sequence[str], env: Mapping[str, str]) -> Process:
    return await anyio.open_process(
        list(argv),
        env=dict(env),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        umask=0o022,
    )


@asynccontextmanager
async def _closing(process: Process) -> AsyncIterator[None]:
    """Close our ends of its pipes, without waiting for a process that does not end."""
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is not None:
                await process.aclose()
            elif process.stdout is not None:
                await process.stdout.aclose()


async def _end(process: Process, grace_seconds: float) -> None:
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGTERM)
        with anyio.move_on_after(grace_seconds):
            await process.wait()
    _signal_group(process.pid, signal.SIGKILL)
    with anyio.move_on_after(grace_seconds):  # a process stuck in the kernel is left to it
        await process.wait()


def _signal_group(leader: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
