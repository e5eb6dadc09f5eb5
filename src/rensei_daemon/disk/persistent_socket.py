"""A private socket whose file is put back when somebody removes or alters it.

A cleaner of temporary files leaves a daemon that listens and that nobody can reach.
Whoever is connected by then stays connected.
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
from rensei_daemon.disk.private_socket import private_socket
from rensei_daemon.errors import RenseiError

LOOK_SECONDS = 10.0

Accept = Callable[[socket], Coroutine[Any, Any, None]]
"""Accepts connections until cancelled; what becomes of them does not end with it."""
Tell = Callable[[RenseiError | None], None]
"""Told why the file cannot be put back, and with None that it has been."""


def ignore(error: RenseiError | None) -> None:
    """Tell nobody."""


class _Bound(NamedTuple):
    listening: socket
    file: os.stat_result
    closing: ExitStack


class PersistentSocket:
    """A socket file, from `with` on; it goes at the end."""

    def __init__(self, path: Path, gid: int | None, tell: Tell = ignore) -> None:
        """Raise what `private_socket` does when the block is entered."""
        self._path = path
        self._gid = gid
        self._tell = tell
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
        """Have connections accepted from whatever socket is bound; never returns."""
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
            await anyio.sleep(LOOK_SECONDS)
            if self._is_in_place():
                continue
            try:
                bound = await anyio.to_thread.run_sync(self._bind_again)
            except RenseiError as error:
                self._tell(error)
            else:
                self._tell(None)
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
