"""Memory that is free is given back to the kernel."""

from pathlib import Path

import anyio
from polling import until

from rensei_daemon.tasks.free_memory import keep_releasing

MIB = 2**20


def anonymous() -> int:
    """Return how much memory this process holds that cannot be dropped."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = next(line.split()[1] for line in lines if line.startswith("RssAnon"))
    return int(found) * 1024


async def test_free_memory_below_used_memory_is_released() -> None:
    """The C library would keep it until all above it is free too."""
    blocks = [bytes(4000) for _ in range(8000)]
    kept = blocks[::500]
    full = anonymous()
    del blocks
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep_releasing, 0.01)
        await until(lambda: anonymous() < full - 20 * MIB)
        tasks.cancel_scope.cancel()
    assert len(kept) == 16
