"""Where this host's identity is kept, and how it gets there in spite of a full disk."""

from collections.abc import Callable, Iterable

import anyio
import anyio.to_thread

from rensei_daemon.core.backoff import Draw
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.retry_policy import RETRY
from rensei_daemon.core.worker import Worker
from rensei_daemon.disk.identity_file import IdentityFile
from rensei_daemon.errors import StorageError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.tasks.wake_event import WakeEvent


class IdentitySaver:
    """Saves the worker this host is; what cannot be saved is tried again until it is.

    A full disk must not cost the host its token: it is used meanwhile, and the board says
    so. What is never saved is registered a second time by the next daemon.
    """

    def __init__(
        self,
        file: IdentityFile,
        board: Board,
        *,
        register_secrets: Callable[[Iterable[str]], None],
    ) -> None:
        """`register_secrets` is told every runtime token, to know them by sight."""
        self._file = file
        self._register_secrets = register_secrets
        self._owed: Worker | None = None
        self._failed = WakeEvent()
        self._turn = anyio.Lock()
        self._failures = FailureReporter(board=board, subject="identity")

    def read(self) -> Worker | None:
        """Return the worker this host was."""
        saved = self._file.read()
        if saved is not None:
            self._register_secrets([saved.token])
        return saved

    async def save(self, worker: Worker) -> None:
        """Save the worker, now or as soon as it can be."""
        self._register_secrets([worker.token])
        self._owed = worker
        await self._try(worker)

    async def run(self, draw: Draw) -> None:
        """Try again what failed; never returns."""
        while True:
            await self._failed.wait()
            retry = RETRY
            while self._owed is not None:
                wait, retry = retry.next(draw)
                await anyio.sleep(wait)
                if self._owed is not None:
                    await self._try(self._owed)

    async def _try(self, worker: Worker) -> None:
        async with self._turn:  # an older one must not come out on top
            if worker is self._owed:
                await self._save(worker)

    async def _save(self, worker: Worker) -> None:
        try:
            await anyio.to_thread.run_sync(self._file.save, worker)
        except StorageError as error:
            self._failures.report_error("worker.not_saved", error, alarm=Code.STORAGE)
            self._failed.set()
            return
        self._failures.report_recovery("worker.saved")
        if self._owed is worker:
            self._owed = None
