"""Reading many rows beside other tasks."""

from pathlib import Path

import anyio
from platform_server import running, sqlite_url
from sqlalchemy import text

from rensei_platform.store.slices import ROWS, each_row

_MANY = text(
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION SELECT n + 1 FROM c LIMIT :most) "
    "SELECT n FROM c"
)


async def test_others_have_their_turn(tmp_path: Path) -> None:
    """Between two slices of rows every other task may go on."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with (
        running(sqlite_url(tmp_path), tmp_path / "k") as server,
        server.platform.store.read() as db,
        anyio.create_task_group() as tasks,
    ):
        found = await db.execute(_MANY, {"most": 5 * ROWS})
        tasks.start_soon(count)
        rows = [row["n"] async for row in each_row(found)]
        tasks.cancel_scope.cancel()
    assert rows == list(range(1, 5 * ROWS + 1))
    assert turns >= 4
