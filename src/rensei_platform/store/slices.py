"""Many rows, read while other tasks have their turn."""

from collections.abc import AsyncIterator
from typing import Any

import anyio.lowlevel
from sqlalchemy import CursorResult, RowMapping

ROWS = 256
"""Until another task may go on: a millisecond or two of reading."""


async def each_row(found: CursorResult[Any]) -> AsyncIterator[RowMapping]:
    """Yield the rows of a query."""
    for part in found.mappings().partitions(ROWS):
        for row in part:
            yield row
        await anyio.lowlevel.checkpoint()
