"""The splice: edits of values turned into edits of lines.

Where a new line goes and how it is spelled follows what stands beside it: the last
sibling's spelling, its indentation, the file's line ends. Where nothing stands yet, a
project and a model-access cell take one line, every other table a header.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from rensei_daemon.core.edit import ABSENT, Edit, Path
from rensei_daemon.core.inline import edit_inline, render, render_key, replace_value
from rensei_daemon.core.layout import Item, Kind, Layout, Node


def _is_inline(path: Path) -> bool:
    """Whether a new table at this path is written on one line: a project, a cell."""
    return (path[0] == "projects" and len(path) == 2) or (
        path[0] == "model_access" and len(path) > 3 and path[-3] == "matrix"
    )


class Draft:
    """The edits of one text, noted by item until they are written out together."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._items = layout.items
        self._removed: set[int] = set()
        self._values: dict[int, str] = {}
        self._before: dict[int, list[str]] = defaultdict(list)
        self._after: dict[int, list[str]] = defaultdict(list)

    def make(self, edit: Edit) -> None:
        """Note one edit."""
        holder = self._layout.holder(edit.path)
        node = self._layout.find(edit.path)
        if holder is not None:
            inside = edit.path[len(self._items[holder].path) :]
            value = edit_inline(self._value(holder), Edit(inside, edit.before, edit.after))
            self._values[holder] = value
        elif node is None:
            self._insert(edit.path, edit.after)
        elif edit.after is ABSENT:
            self._remove(node)
        elif node.own and self._items[node.own[0]].kind is Kind.KEY:
            key = node.own[0]
            self._values[key] = replace_value(self._value(key), edit)
        else:
            self._remove(node)
            self._insert(edit.path, edit.after)

    def text(self) -> str:
        """Write the text out."""
        parts = list(self._before[-1])
        for index, item in enumerate(self._items):
            parts += self._before[index]
            if index not in self._removed:
                parts.append(self._spelled(index, item))
            parts += self._after[index]
        return "".join(parts)

    def _spelled(self, index: int, item: Item) -> str:
        line = self._layout.text[item.start : item.end]
        if index in self._values:
            start, end = item.value[0] - item.start, item.value[1] - item.start
            line = line[:start] + self._values[index] + line[end:]
        is_followed = self._after[index] and not line.endswith("\n")
        return line + self._newline if is_followed else line

    @cached_property
    def _newline(self) -> str:
        first = self._layout.text.find("\n")
        return "\r\n" if first > 0 and self._layout.text[first - 1] == "\r" else "\n"

    def _value(self, key: int) -> str:
        start, end = self._items[key].value
        return self._values.get(key, self._layout.text[start:end])

    # -- removing --

    def _remove(self, node: Node) -> None:
        for index in node.under:
            is_key = self._items[index].kind is Kind.KEY
            first = self._layout.first_owned(index)
            last = index if is_key else self._layout.last_key(index)
            loose = self._loose(index + 1, last)
            if not is_key and not loose and self._stands_apart(first, last):
                self._removed.add(first - 1)
            self._removed.update(set(range(first, last + 1)) - loose)

    def _loose(self, first: int, last: int) -> set[int]:
        """Return the comments in between that are followed by a blank, and that blank."""
        loose: set[int] = set()
        run: set[int] = set()
        for index in range(first, last + 1):
            kind = self._items[index].kind
            if kind is Kind.COMMENT:
                run.add(index)
                continue
            if kind is Kind.BLANK and run:
                loose |= run | {index}
            run = set()
        return loose

    def _stands_apart(self, first: int, last: int) -> bool:
        """Whether taking these items out leaves two blanks, of which one is to go too."""
        is_blank_above = first > 0 and self._items[first - 1].kind is Kind.BLANK
        return is_blank_above and (
            last + 1 == len(self._items) or self._items[last + 1].kind is Kind.BLANK
        )

    # -- inserting --

    def _insert(self, path: Path, value: Any) -> None:
        parent = self._layout.find(path[:-1])
        if len(path) == 1:
            self._insert_block(len(self._items) - 1, path, value)
        elif parent is None or not parent.under:
            self._insert(path[:-1], {path[-1]: value})
        elif isinstance(value, Mapping):
            self._insert_table(parent, path, value)
        else:
            self._insert_value(parent, path, value)

    def _insert_table(self, parent: Node, path: Path, value: Mapping[str, Any]) -> None:
        """Write a table the way its last sibling is written."""
        header = self._layout.header(parent)
        sibling = self._last_table(parent)
        if sibling is not None and self._is_key_within(sibling.under[-1], path):
            self._insert_key(sibling.under[-1], path, value)
        elif sibling is None and header is not None and _is_inline(path):
            self._insert_key(self._layout.section_end(header), path, value, path[:-1])
        else:
            self._insert_block((sibling or parent).under[-1], path, value)

    def _last_table(self, parent: Node) -> Node | None:
        tables = [
            node
            for node in parent.children.values()
            if node.children or self._is_inline_table(node)
        ]
        return max(tables, key=lambda node: node.under[-1], default=None)

    def _is_inline_table(self, node: Node) -> bool:
        first = self._items[node.own[0]]
        return first.kind is Kind.HEADER or self._layout.text.startswith(
            "{", first.value[0]
        )

    def _is_key_within(self, index: int, path: Path) -> bool:
        item = self._items[index]
        return item.kind is Kind.KEY and len(item.table) < len(path)

    def _insert_value(self, parent: Node, path: Path, value: Any) -> None:
        header = self._layout.header(parent)
        keys = [i for i in parent.under if self._is_key_within(i, path)]
        if header is not None:
            self._insert_key(self._layout.section_end(header), path, value, path[:-1])
        elif keys:
            self._insert_key(keys[-1], path, value)
        else:
            first = self._layout.first_owned(parent.under[0])
            block = _block(path[:-1], {path[-1]: value})
            self._before[first].append(self._lines([*block, ""]))

    def _insert_key(
        self, anchor: int, path: Path, value: Any, table: Path | None = None
    ) -> None:
        """Write one line behind the anchor, under the anchor's own table."""
        item = self._items[anchor]
        table = item.table if table is None else table
        line = f"{render_key(path[len(table) :])} = {render(value)}"
        indent = self._indent(item) if item.kind is Kind.KEY else ""
        self._after[anchor].append(self._lines([indent + line]))

    def _indent(self, item: Item) -> str:
        found = re.compile(r"[ \t]*").match(self._layout.text, item.start)
        return found[0] if found else ""

    def _insert_block(self, anchor: int, path: Path, table: Mapping[str, Any]) -> None:
        """Write a table with headers behind the anchor, a blank line above it."""
        lines = _block(path, table)
        if anchor < 0:  # the file is empty
            self._before[anchor].append(
                self._lines(["", *lines] if self._before[anchor] else lines)
            )
            return
        anchor = self._layout.glued_below(anchor)
        is_blank_above = self._items[anchor].kind is Kind.BLANK and not self._after[anchor]
        self._after[anchor].append(self._lines(lines if is_blank_above else ["", *lines]))

    def _lines(self, lines: Sequence[str]) -> str:
        return "".join(line + self._newline for line in lines)


def _block(path: Path, table: Mapping[str, Any]) -> list[str]:
    """Spell a table with headers: its own keys first, then a block for each table in it."""
    keys = [
        f"{render_key((key,))} = {render(value)}"
        for key, value in table.items()
        if not isinstance(value, Mapping) or _is_inline((*path, key))
    ]
    blocks = [
        _block((*path, key), value)
        for key, value in table.items()
        if isinstance(value, Mapping) and not _is_inline((*path, key))
    ]
    own = [[f"[{render_key(path)}]", *keys]] if keys or not blocks else []
    lines: list[str] = []
    for part in own + blocks:
        lines += ["", *part] if lines else part
    return lines
