"""Saves the identity of this host, and retries while the disk is full."""

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
from rensei_daemon.wake_event import WakeEvent


class IdentitySaver:
    """Saves the worker that this host is, and retries until that succeeds.

    A full disk must not cost the host its token: the token is used meanwhile, and the board
    shows the failure. If it is never saved, the next daemon registers a second time.
    """

    def __init__(
        self,
        file: IdentityFile,
        board: Board,
        *,
        register_secrets: Callable[[Iterable[str]], None],
    ) -> None:
        """`register_secrets` is called with every runtime token, to redact it in logs."""
        self._file = file
        self._register_secrets = register_secrets
        self._owed: Worker | None = None
        self._failed = WakeEvent()
        self._lock = anyio.Lock()
        self._failures = FailureReporter(board=board, subject="identity")

    def read(self) -> Worker | None:
        """Return the worker saved last; None if absent or malformed."""
        saved = self._file.read()
        if saved is not None:
            self._register_secrets([saved.token])
        return saved

    async def save(self, worker: Worker) -> None:
        """Save the worker, now or as soon as possible."""
        self._register_secrets([worker.token])
        self._owed = worker
        await self._try(worker)

    async def run(self, draw: Draw) -> None:
        """Retry what failed; never return."""
        while True:
            await self._failed.wait()
            retry = RETRY
            while self._owed is not None:
                wait, retry = retry.next(draw)
                await anyio.sleep(wait)
                if self._owed is not None:
                    await self._try(self._owed)

    async def _try(self, worker: Worker) -> None:
        async with self._lock:  # an older worker must not overwrite a newer one
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
