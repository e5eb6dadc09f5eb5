"""The identity on its way to the disk."""

import threading
from pathlib import Path

import anyio
import anyio.to_thread
from boards import empty_board
from deadlines import HANG_SECONDS

from rensei_daemon.core.worker import Worker
from rensei_daemon.disk.identity_file import IdentityFile
from rensei_daemon.tasks.identity_saver import IdentitySaver

OLD, NEW = Worker(id="wkr_old", machine_id="m"), Worker(id="wkr_new", machine_id="m")


class SlowDisk(IdentityFile):
    """Takes its time with the old worker."""

    def __init__(self, place: Path) -> None:
        super().__init__(place / "identity.json", place / "token")
        self.began, self.may_end = threading.Event(), threading.Event()

    def save(self, worker: Worker) -> None:
        """Save the worker; the old one once it is let."""
        if worker is OLD:
            self.began.set()
            assert self.may_end.wait(HANG_SECONDS)
        super().save(worker)


async def test_a_slow_save_does_not_come_out_over_a_newer_one(tmp_path: Path) -> None:
    """Otherwise the next daemon would start with an outdated identity."""
    disk = SlowDisk(tmp_path)
    board = empty_board()
    safe = IdentitySaver(disk, board, register_secrets=lambda _: None)
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as saving:
            saving.start_soon(safe.save, OLD)
            await anyio.to_thread.run_sync(disk.began.wait)
            saving.start_soon(safe.save, NEW)
            await anyio.wait_all_tasks_blocked()
            disk.may_end.set()
    saved = disk.read()
    assert saved is not None
    assert saved.id == "wkr_new"
