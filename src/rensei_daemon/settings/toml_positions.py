"""The line and column of each key of a TOML text.

The standard parser forgets positions, but an operator who reads "unknown key" needs the
line.

Rules:

1. A position is (line, column), both from 1, in characters.
2. A key path is a tuple of names, and of indices for the elements of arrays and for
   `[[tables]]`.
3. If the scanner cannot follow a text, the positions found before that are kept.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import NamedTuple

from rensei_daemon.core.toml_scanner import (
    BYTE_ORDER_MARK,
    Item,
    KeyPart,
    Kind,
    ScanError,
    key_parts,
    read_items,
    token_at,
    value_start,
)

KeyPath = tuple[str | int, ...]
Position = tuple[int, int]

_UNREADABLE = ("?",)
"""The path of a header with an error."""


class Positions:
    """The position of every key of one text."""

    def __init__(self, text: str) -> None:
        self._text = text = text.removeprefix(BYTE_ORDER_MARK)
        self._offsets: dict[KeyPath, int] = {}
        with contextlib.suppress(ScanError, IndexError):  # IndexError: a stray bracket
            for item, path in _resolved(read_items(text)):
                self._offsets.update(_offsets(text, item, path))

    def find(self, path: Sequence[str | int]) -> Position:
        """Return the position of a key, of its nearest written parent, or of the top."""
        for length in range(len(path), 0, -1):
            offset = self._offsets.get(tuple(path[:length]))
            if offset is not None:
                return position_of(self._text, offset)
        return 1, 1


class Statement(NamedTuple):
    """A header, or a key with its value."""

    path: KeyPath
    start: int
    end: int
    is_header: bool


def statements_of(text: str) -> list[Statement]:
    """Return the statements of a text in order, without those that are not TOML."""
    return [
        Statement(path, _start(text, item), item.value[1] or item.end, item.is_header)
        for item, path in _resolved(_readable_items(text))
    ]


def position_of(text: str, offset: int) -> Position:
    """Return the line and column of an offset."""
    line_start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - line_start + 1


def _readable_items(text: str) -> Iterator[Item]:
    """Yield the items of a text; after an error, continue on the next line.

    A header with an error still ends the section above it.
    """
    at = 0
    while at < len(text):
        try:
            for item in read_items(text, at):
                yield item
                at = item.end
        except ScanError as error:
            end = text.find("\n", error.at) + 1 or len(text)
            if text[at:end].lstrip().startswith("["):
                yield Item(Kind.HEADER, at, end, _UNREADABLE)
            at = end


def _resolved(items: Iterator[Item]) -> Iterator[tuple[Item, KeyPath]]:
    """Yield each statement with its path, in which an array of tables has its index."""
    lengths: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for item in items:
        if item.kind is Kind.KEY:
            yield item, (*table, *item.path[len(item.table) :])
        elif item.is_header:
            table = ()
            for key in item.path[:-1]:
                table = (*table, key)
                if table in lengths:
                    table = (*table, lengths[table] - 1)
            table = (*table, item.path[-1])
            if item.kind is Kind.ARRAY_HEADER:
                lengths[table] = lengths.get(table, 0) + 1
                table = (*table, lengths[table] - 1)
            yield item, table


def _start(text: str, item: Item) -> int:
    """Return the offset of a statement's first visible character."""
    if item.is_header:
        return text.index("[", item.start)
    return next(key_parts(text, item.start)).start


def _offsets(text: str, item: Item, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    """Yield what a statement sets, each with its offset."""
    if item.kind is Kind.KEY:
        table = path[: len(path) - len(item.path) + len(item.table)]
        yield from _key_offsets(key_parts(text, item.start), table)
        yield from _inline_offsets(text, *item.value, path)
        return
    if item.kind is Kind.ARRAY_HEADER:
        yield path[:-1], _start(text, item)
    yield path, _start(text, item)


def _key_offsets(parts: Iterable[KeyPart], path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    for part in parts:
        path = (*path, part.name)
        yield path, part.start


def _inline_offsets(
    text: str, at: int, end: int, path: KeyPath
) -> Iterator[tuple[KeyPath, int]]:
    """Yield the elements and keys inside the value of `path`."""
    containers: list[tuple[KeyPath, Iterator[int] | None]] = []
    """The open arrays, each with its next indices, and the open inline tables."""
    is_next = False
    """Whether an element or a key comes next."""
    while at < end:
        token = token_at(text, at)
        if token.lastgroup == "close":
            containers.pop()
            is_next = False
        elif token.lastgroup == "comma":
            is_next = True
        elif token.lastgroup not in ("space", "newline", "comment"):
            if is_next:
                path, indices = containers[-1]
                if indices is None:
                    parts = list(key_parts(text, at))
                    yield from _key_offsets(parts, path)
                    path += tuple(part.name for part in parts)
                    at = value_start(text, parts[-1].end)
                    token = token_at(text, at)
                else:
                    path = (*path, next(indices))
                    yield path, at
            is_next = token.lastgroup == "open"
            if is_next:
                containers.append((path, count() if token.group() == "[" else None))
        at = token.end()
