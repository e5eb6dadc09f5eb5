"""A command of platform.toml that prints one JSON object of fields.

No shell, no argument from outside: what is wanted stands in the environment. The command's
whole process group is killed when it has answered, or has not in time.
"""

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import IO

import anyio
from anyio.abc import ByteReceiveStream
from pydantic import Field, SecretStr

from rensei_platform.errors import SettingsError
from rensei_platform.providers.base import (
    BadAnswerError,
    Location,
    ProviderUnavailableError,
    Resolved,
)
from rensei_platform.providers.fields import parse_fields, select
from rensei_platform.providers.options import Limits, Options, parse_options

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MOST_ERROR_BYTES = 4096
MOST_DETAIL_LENGTH = 200
CLOSE_SECONDS = 2.0
"""For how long stderr is read on, and a killed command is waited for."""


class ExecOptions(Options):
    """Keys of a `[providers.NAME]` table with `type = "exec"`."""

    command: list[str] = Field(min_length=1)
    environment: dict[str, SecretStr] = Field(default_factory=dict)


class ExecProvider:
    """Runs one command for every resolution."""

    def __init__(self, options: Mapping[str, object], limits: Limits) -> None:
        """Raise SettingsError if an option is wrong or there is no such command."""
        parsed = parse_options(ExecOptions, options)
        program = Path(parsed.command[0])
        if not program.is_absolute() or not os.access(program, os.X_OK) or program.is_dir():
            raise SettingsError(f"command: {program}: not the absolute path of a program")
        self._command = parsed.command
        self._secrets = {
            name: secret.get_secret_value() for name, secret in parsed.environment.items()
        }
        self._most_bytes = limits.most_bytes

    async def resolve(self, location: Location) -> Resolved:
        """Return the fields that the command printed."""
        environment = {"PATH": PATH, "LANG": "C.UTF-8", **self._secrets}
        environment["RENSEI_ORG_ID"] = location.org_id
        environment["RENSEI_CREDENTIAL_KIND"] = location.kind
        environment["RENSEI_CREDENTIAL_PATH"] = "/".join(location.path)
        printed, complaint, status = await self._run(environment)
        if status != 0:
            ended = (
                f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
            )
            raise ProviderUnavailableError(
                f"the command {ended}", detail=self._first_line(complaint, printed)
            )
        return Resolved(select(parse_fields(printed), location.names))

    async def _run(self, environment: Mapping[str, str]) -> tuple[bytes, bytes, int]:
        """Return what the command printed to stdout and stderr, and how it exited."""
        status, complaint = 0, Complaint()
        async with _started(self._command, environment) as process:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            assert process.stderr is not None  # noqa: S101 - it was asked for
            async with anyio.create_task_group() as reading:
                reading.start_soon(complaint.read, _Pipe(process.stderr))
                printed = await _read(_Pipe(process.stdout), self._most_bytes)
                if len(printed) <= self._most_bytes:
                    status = await _ended(process)
                if status != 0:
                    with anyio.move_on_after(CLOSE_SECONDS):
                        await complaint.ended.wait()
                reading.cancel_scope.cancel()
        if len(printed) > self._most_bytes:
            raise BadAnswerError(f"the answer is larger than {self._most_bytes} bytes")
        return printed, bytes(complaint.kept), status

    def _first_line(self, complaint: bytes, printed: bytes) -> str:
        """Return stderr's first line; empty if it repeats a word of stdout or a secret."""
        line = complaint.partition(b"\n")[0].decode(errors="replace").strip()
        words = printed.decode(errors="replace").replace('"', " ").split()
        if any(word in line for word in [*words, *self._secrets.values()] if len(word) > 2):
            return ""
        return ascii(line[:MOST_DETAIL_LENGTH])[1:-1]


@asynccontextmanager
async def _started(
    command: list[str], environment: Mapping[str, str]
) -> AsyncIterator[Popen[bytes]]:
    """Start the command in a group of its own, and kill the group in the end.

    Not by anyio: uvloop, which the server runs on, refuses a umask.
    """
    try:
        process = Popen(  # noqa: S603, ASYNC220 - the operator's command; uvloop blocks too
            command,
            bufsize=0,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            umask=0o077,
        )
    except OSError as error:
        raise ProviderUnavailableError(
            f"the command cannot be started: {error.strerror}"
        ) from error
    try:
        yield process
    finally:
        # What is left of the group keeps its id from being given to another one.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await _ended(process)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


async def _ended(process: Popen[bytes]) -> int:
    """Wait for the end of a process, and return its exit status."""
    if process.poll() is None:
        descriptor = os.pidfd_open(process.pid)
        try:
            await anyio.wait_readable(descriptor)
        finally:
            os.close(descriptor)
    return process.wait()


class _Pipe(ByteReceiveStream):
    """The reading end of a pipe; who has opened it closes it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._descriptor = pipe.fileno()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what is there. Raise EndOfStream at the end."""
        await anyio.wait_readable(self._descriptor)
        if chunk := os.read(self._descriptor, max_bytes):
            return chunk
        raise anyio.EndOfStream

    async def aclose(self) -> None:
        """Leave it open."""


async def _read(stream: ByteReceiveStream, most_bytes: int) -> bytes:
    """Return all of it; if it is too large, a part that is too large as well."""
    printed = bytearray()
    async for chunk in stream:
        printed += chunk
        if len(printed) > most_bytes:
            break
    return bytes(printed)


class Complaint:
    """The start of stderr. The rest is read too, so that the command never waits."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.ended = anyio.Event()

    async def read(self, stream: ByteReceiveStream) -> None:
        """Read to the end."""
        async for chunk in stream:
            self.kept += chunk[: MOST_ERROR_BYTES - len(self.kept)]
        self.ended.set()
