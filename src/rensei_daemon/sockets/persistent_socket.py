"""A private socket whose file is restored if somebody removes or alters it.

A cleaner of temporary files would otherwise leave a listening daemon that nobody can reach.
Existing connections are kept.
"""

import os
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from socket import socket
from types import TracebackType
from typing import Any, NamedTuple

import anyio
import anyio.to_thread

from rensei_daemon.disk.directories import RUNTIME_MODE, prepare_directory
from rensei_daemon.errors import RenseiError
from rensei_daemon.sockets.private_socket import private_socket

CHECK_SECONDS = 10.0

Accept = Callable[[socket], Coroutine[Any, Any, None]]
"""Accepts connections until cancelled; connections continue after that."""
Report = Callable[[RenseiError | None], None]
"""Called with the error why the file cannot be restored, or with None when it has been."""


def ignore(error: RenseiError | None) -> None:
    """Ignore the report."""


class _Bound(NamedTuple):
    listening: socket
    file: os.stat_result
    closing: ExitStack


class PersistentSocket:
    """A socket file that exists while the `with` block runs."""

    def __init__(self, path: Path, gid: int | None, report: Report = ignore) -> None:
        """Prepare a socket; entering the block raises what `private_socket` raises."""
        self._path = path
        self._gid = gid
        self._report = report
        self._closing = ExitStack()

    def __enter__(self) -> "PersistentSocket":
        self._bound = self._bind()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    async def serve(self, accept: Accept) -> None:
        """Run `accept` on the socket that is bound now; never returns."""
        while True:
            async with anyio.create_task_group() as accepting:
                accepting.start_soon(accept, self._bound.listening)
                renewed = await self._until_bound_again()
                accepting.cancel_scope.cancel()
            self._bound.closing.close()
            self._bound = renewed

    def _bind(self) -> _Bound:
        closing = ExitStack()
        listening = closing.enter_context(private_socket(self._path, self._gid))
        self._closing.push(closing)
        return _Bound(listening, self._path.lstat(), closing)

    async def _until_bound_again(self) -> _Bound:
        while True:
            await anyio.sleep(CHECK_SECONDS)
            if self._is_in_place():
                continue
            try:
                bound = await anyio.to_thread.run_sync(self._bind_again)
            except RenseiError as error:
                self._report(error)
            else:
                self._report(None)
                return bound

    def _bind_again(self) -> _Bound:
        prepare_directory(self._path.parent, mode=RUNTIME_MODE)
        if self._is_ours():  # and altered: it would be taken for another process's
            self._path.unlink(missing_ok=True)
        return self._bind()

    def _is_ours(self) -> bool:
        try:
            return os.path.samestat(self._path.lstat(), self._bound.file)
        except OSError:
            return False

    def _is_in_place(self) -> bool:
        try:
            found = self._path.lstat()
        except OSError:
            return False
        return _access(found) == _access(self._bound.file) and self._is_ours()


def _access(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_mode, found.st_uid, found.st_gid
