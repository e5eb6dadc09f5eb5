"""Runs a loop of the daemon beside a test."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
from deadlines import HANG_SECONDS


@asynccontextmanager
async def running(loop: Callable[[], Coroutine[Any, Any, object]]) -> AsyncIterator[None]:
    """Run it, until it waits, and then while the block runs."""
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(loop)
            await anyio.wait_all_tasks_blocked()
            yield
            tasks.cancel_scope.cancel()
