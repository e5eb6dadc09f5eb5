"""Writes that many requests ask for at once, in one transaction.

A fleet that comes back sends thousands of snapshots within a minute, and each is noted.
A statement for each takes a millisecond or two of the processor; many rows of one
statement take some microseconds each. So what arrives while a group is being written
gathers for the next one, and nothing waits that need not::

    first    write ─────▶ goes on
    second     (gathers)  write ─────▶ goes on
    third         (gathers)         └▶ goes on
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

from rensei_platform.errors import UnavailableError

MOST_TOGETHER = 500
"""Rows of a group: other writers wait for all of them."""

_T = TypeVar("_T")


@dataclass
class _Group(Generic[_T]):
    """Items that are written together."""

    items: list[_T] = field(default_factory=list)
    error: Exception | None = field(default_factory=UnavailableError)
    """Why none of them is written; None when they are."""
    ended: anyio.Event = field(default_factory=anyio.Event)


class Together(Generic[_T]):
    """Gathers items and has them written, group after group."""

    def __init__(self, write: Callable[[Sequence[_T]], Awaitable[None]]) -> None:
        """`write` writes all items in one transaction, or raises and writes none."""
        self._write = write
        self._gathering: _Group[_T] | None = None
        self._turn = anyio.Lock()

    async def add(self, item: _T) -> None:
        """Return when the item is written. Raise why it, or its whole group, is not."""
        group = self._gathering
        is_first = group is None
        if group is None:
            group = self._gathering = _Group()
        group.items.append(item)
        if len(group.items) >= MOST_TOGETHER:
            self._gathering = None
        if is_first:
            # The others depend on it: it goes on even if its own client has gone.
            with anyio.CancelScope(shield=True):
                await self._write_group(group)
        await group.ended.wait()
        if group.error is None:
            return
        if len(group.items) == 1 or isinstance(group.error, UnavailableError):
            raise group.error
        await self._write([item])  # what has failed may be a neighbour's

    async def _write_group(self, group: _Group[_T]) -> None:
        try:
            async with self._turn:
                if self._gathering is group:
                    self._gathering = None
                await self._write(group.items)
            group.error = None
        except Exception as error:  # noqa: BLE001 - it is each caller's
            group.error = error
        finally:
            group.ended.set()
