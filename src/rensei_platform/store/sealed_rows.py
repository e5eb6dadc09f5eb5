"""The sealed columns of the database, row by row."""

from typing import Any, NamedTuple

from sqlalchemy import Column, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection


class SealedRow(NamedTuple):
    """The primary key of a row, and what is sealed in it."""

    key: tuple[str, ...]
    sealed: str


async def find(
    db: AsyncConnection,
    column: Column[Any],
    *,
    but: str = "",
    after: tuple[str, ...] | None = None,
    limit: int,
) -> list[SealedRow]:
    """Return the next rows with a text in a column that does not begin with `but`."""
    keys = column.table.primary_key.columns.values()
    query = select(*keys, column).where(column.is_not(None)).order_by(*keys).limit(limit)
    if but:
        query = query.where(~column.startswith(but, autoescape=True))
    if after is not None:
        query = query.where(tuple_(*keys) > after)
    return [SealedRow(tuple(row[:-1]), row[-1]) for row in await db.execute(query)]


async def replace(
    db: AsyncConnection, column: Column[Any], row: SealedRow, sealed: str
) -> None:
    """Replace the text of a row, unless it has changed meanwhile."""
    keys = column.table.primary_key.columns.values()
    await db.execute(
        update(column.table)
        .where(tuple_(*keys) == row.key, column == row.sealed)
        .values({column: sealed})
    )
