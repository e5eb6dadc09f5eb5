"""Turn edits of values into edits of lines.

The place and the spelling of a new line follow its neighbours: the last sibling's spelling,
its indentation, the file's line ends. Without siblings, a project and a model-access cell
take one line, every other table a header. A line is inserted after a statement of its own
section, a section where another ends (`Layout.section_end`), so that no existing line
changes its section.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rensei_daemon.core.edit import ABSENT, Edit, Path
from rensei_daemon.core.inline_edit import InlineTable, replace_value
from rensei_daemon.core.toml_layout import Layout, Node
from rensei_daemon.core.toml_rendering import (
    dotted_lines,
    is_inline,
    render,
    render_key,
    section,
)
from rensei_daemon.core.toml_scanner import Kind
from rensei_daemon.fast_dataclass import dataclass

_INDENT = re.compile(r"[ \t]*")


@dataclass(frozen=True, slots=True)
class _Piece:
    """Lines of the new text."""

    kind: Kind
    """The kind of the first line."""
    lines: str
    item: int | None = None
    """The item of the old text; None for a new one."""


class TomlEditor:
    """The edits of one text, collected by item and applied together."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._items = layout.items
        self._removed: set[int] = set()
        self._values: dict[int, str] = {}
        self._tables: dict[int, InlineTable] = {}
        self._lines: dict[int, list[str]] = defaultdict(list)
        """New lines after an item, in its section."""
        self._sections: dict[int, list[str]] = defaultdict(list)
        """New sections after an item that ends one; -1: at the top."""

    def make(self, edit: Edit) -> None:
        """Record one edit."""
        holder = self._layout.holder(edit.path)
        node = self._layout.find(edit.path)
        if holder is not None:
            inside = edit.path[len(self._items[holder].path) :]
            self._table(holder).make(Edit(inside, edit.before, edit.after))
        elif node is None:
            self._insert(edit.path, edit.after)
        elif edit.after is ABSENT:
            self._remove(node)
        elif (key := self._layout.key(node)) is not None:
            self._values[key] = replace_value(self._value(key), edit)
        else:
            self._remove(node)
            self._insert(edit.path, edit.after)

    def _table(self, key: int) -> InlineTable:
        """Return the inline table of a key, which is split at its first edit."""
        if key not in self._tables:
            self._tables[key] = InlineTable(self._value(key))
        return self._tables[key]

    def _value(self, key: int) -> str:
        start, end = self._items[key].value
        return self._values.get(key, self._layout.text[start:end])

    # -- writing out --

    def text(self) -> str:
        """Return the new text."""
        parts: list[str] = []
        before = _Piece(Kind.BLANK, "")
        for piece in self._pieces():
            if before.lines and not before.lines.endswith("\n"):
                parts.append(self._layout.newline)
            if _need_a_blank(before, piece):
                parts.append(self._layout.newline)
            parts.append(piece.lines)
            before = piece
        return "".join(parts)

    def _pieces(self) -> Iterator[_Piece]:
        yield from self._new_pieces(-1)
        for index, item in enumerate(self._items):
            if index not in self._removed:
                yield _Piece(item.kind, self._spelled(index), index)
            yield from self._new_pieces(index)

    def _new_pieces(self, index: int) -> Iterator[_Piece]:
        yield from (_Piece(Kind.KEY, lines) for lines in self._lines.get(index, ()))
        yield from (_Piece(Kind.HEADER, lines) for lines in self._sections.get(index, ()))

    def _spelled(self, index: int) -> str:
        item = self._items[index]
        line = self._layout.text[item.start : item.end]
        if index in self._tables:
            self._values[index] = self._tables[index].text
        if index in self._values:
            start, end = item.value[0] - item.start, item.value[1] - item.start
            line = line[:start] + self._values[index] + line[end:]
        return line

    # -- removing --

    def _remove(self, node: Node) -> None:
        for index in node.under:
            extent = self._layout.extent(index)
            self._removed |= extent
            if self._items[index].kind is not Kind.KEY:
                self._remove_blank_above(min(extent), max(extent))

    def _remove_blank_above(self, first: int, last: int) -> None:
        """Remove one of two blank lines that would be adjacent after a removal."""
        is_blank_above = first > 0 and self._items[first - 1].kind is Kind.BLANK
        is_blank_below = (
            last + 1 == len(self._items) or self._items[last + 1].kind is Kind.BLANK
        )
        is_whole = self._removed.issuperset(range(first, last + 1))
        if is_blank_above and is_blank_below and is_whole:
            self._removed.add(first - 1)

    # -- inserting --

    def _insert(self, path: Path, value: Any) -> None:
        parent = self._layout.find(path[:-1])
        if len(path) == 1:
            self._insert_section(len(self._items) - 1, path, value)  # the end of the text
        elif parent is None or not parent.under:
            self._insert(path[:-1], {path[-1]: value})
        elif isinstance(value, Mapping):
            self._insert_table(parent, path, value)
        else:
            self._insert_value(parent, path, value)

    def _insert_table(self, parent: Node, path: Path, value: Mapping[str, Any]) -> None:
        """Insert a table in the spelling of its last sibling, else of its parent."""
        header = self._layout.header(parent)
        sibling = self._last_table(parent, path)
        last = (sibling or parent).under[-1]
        if sibling is not None and self._is_key_within(last, path):
            is_dotted = not sibling.own
            lines = dotted_lines(path, value, depth=1) if is_dotted else [(path, value)]
            self._insert_lines(last, lines, self._items[last].table)
        elif sibling is None and header is not None and is_inline(path):
            self._insert_lines(self._layout.line_end(header), [(path, value)], path[:-1])
        elif sibling is None and header is None and self._is_key_within(last, path):
            self._insert_lines(last, dotted_lines(path, value), self._items[last].table)
        else:
            self._insert_section(self._layout.section_end(last), path, value)

    def _last_table(self, parent: Node, path: Path) -> Node | None:
        """Return the last table beside this path in the text."""
        for index in reversed(parent.under):
            item = self._items[index]
            if len(item.path) >= len(path):
                node = parent.children[item.path[len(path) - 1]]
                if node.children or self._is_table(node):
                    return node
        return None

    def _is_table(self, node: Node) -> bool:
        first = self._items[node.own[0]]
        return first.kind is Kind.HEADER or self._layout.text.startswith(
            "{", first.value[0]
        )

    def _is_key_within(self, index: int, path: Path) -> bool:
        """Whether the item is a key of a section that may contain this path."""
        item = self._items[index]
        return item.kind is Kind.KEY and len(item.table) < len(path)

    def _insert_value(self, parent: Node, path: Path, value: Any) -> None:
        header = self._layout.header(parent)
        keys = [i for i in parent.under if self._is_key_within(i, path)]
        if header is not None:
            self._insert_lines(self._layout.line_end(header), [(path, value)], path[:-1])
        elif keys:
            self._insert_lines(keys[-1], [(path, value)], self._items[keys[-1]].table)
        else:
            above = self._layout.first_owned(parent.under[0]) - 1
            self._insert_section(above, path[:-1], {path[-1]: value})

    def _insert_lines(
        self, anchor: int, lines: Iterable[tuple[Path, Any]], table: Path
    ) -> None:
        """Insert lines after the anchor, which is in the table's section."""
        item = self._items[anchor]
        indent = _INDENT.match(self._layout.text, item.start)
        margin = indent[0] if indent and item.kind is Kind.KEY else ""
        for path, value in lines:
            line = f"{margin}{render_key(path[len(table) :])} = {render(value)}"
            self._lines[anchor].append(self._joined([line]))

    def _insert_section(self, place: int, path: Path, table: Mapping[str, Any]) -> None:
        """Insert a table with headers after an item that ends a section."""
        self._sections[place].append(self._joined(section(path, table)))

    def _joined(self, lines: Iterable[str]) -> str:
        return "".join(line + self._layout.newline for line in lines)


def _need_a_blank(above: _Piece, below: _Piece) -> bool:
    """Whether two pieces need a blank line between them.

    A new section is separated, and no comment may follow a header or comment directly
    that it did not follow before: it would become the table's.
    """
    is_new_section = below.kind is Kind.HEADER and below.item is None
    if is_new_section or (above.kind is Kind.HEADER and above.item is None):
        return Kind.BLANK not in (above.kind, below.kind)
    could_be_taken = above.kind in (Kind.HEADER, Kind.ARRAY_HEADER, Kind.COMMENT)
    return could_be_taken and below.kind is Kind.COMMENT and _were_apart(above, below)


def _were_apart(above: _Piece, below: _Piece) -> bool:
    return above.item is None or below.item != above.item + 1
