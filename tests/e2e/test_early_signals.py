"""Signals that come while the daemon is still on its feet for the first time."""

import signal
from pathlib import Path

import anyio
import pytest
from polling import until
from rig.host import open_host

pytestmark = pytest.mark.slow


async def test_a_reload_at_start_does_not_end_the_daemon(tmp_path: Path) -> None:
    """SIGHUP from the moment the state is locked is a reload, never the end."""
    async with open_host(tmp_path) as host, anyio.create_task_group() as tasks:

        async def hang_up() -> None:
            await until((host.state / "lock").exists)
            assert host.process is not None
            host.process.send_signal(signal.SIGHUP)

        tasks.start_soon(hang_up)
        await host.start()
        assert (await host.status())["state"] in ("starting", "ok")
        assert await host.end(signal.SIGTERM) == 0
