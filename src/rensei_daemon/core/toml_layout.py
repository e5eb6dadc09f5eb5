"""The lines of each statement of a TOML text, and the comments that belong to it.

`tomllib` says what a text means; this module says which lines say it, so that an edit can
replace whole lines and keep every other byte. Rules:

1. A section is a header and the lines up to the next header; lines before the first header
   belong to the root. A new line follows a statement of its own section, a new section
   only the end of another, so that neither captures a line.
2. A statement (header or key) owns the comments directly above it. A comment followed by a
   blank line belongs to nothing, and one directly under a header to the table.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property

from rensei_daemon.core.edit import ABSENT, Edit, Path
from rensei_daemon.core.toml_scanner import Item, Kind, read_items
from rensei_daemon.fast_dataclass import dataclass, field


@dataclass(slots=True)
class Node:
    """A key of the tree, and its statements."""

    children: dict[str, "Node"] = field(default_factory=dict)
    own: list[int] = field(default_factory=list)
    """Items whose path ends here."""
    under: list[int] = field(default_factory=list)
    """Items whose path ends here or below, in the order of the text."""


class Layout:
    """The items of one text, indexed by path."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.items = list(read_items(text))
        self.root = Node()
        self._sections: list[int] = []
        """The section number of each item; the root's is 0."""
        self._last_of_section = [-1]
        """The last statement of each section; -1 if the root has none."""
        for index, item in enumerate(self.items):
            if item.is_header:
                self._last_of_section.append(index)
            self._sections.append(len(self._last_of_section) - 1)
            if item.is_statement:
                self._last_of_section[-1] = index
                self._enter(index, item)

    def _enter(self, index: int, item: Item) -> None:
        node = self.root
        for key in item.path:
            node.under.append(index)
            node = node.children.setdefault(key, Node())
        node.under.append(index)
        node.own.append(index)

    # -- finding --

    def find(self, path: Path) -> Node | None:
        """Return the node at the path, if there is a statement for it."""
        node = self.root
        for key in path:
            if key not in node.children:
                return None
            node = node.children[key]
        return node

    def holder(self, path: Path) -> int | None:
        """Return the key whose inline value contains the path, if any."""
        node = self.root
        for key in path[:-1]:
            if key not in node.children:
                return None
            node = node.children[key]
            for index in node.own:
                if self.items[index].kind is Kind.KEY:
                    return index
        return None

    def header(self, node: Node) -> int | None:
        """Return the `[header]` of exactly this table, if any."""
        headers = (i for i in node.own if self.items[i].kind is Kind.HEADER)
        return next(headers, None)

    def key(self, node: Node) -> int | None:
        """Return the `key = value` whose value is exactly this node, if any."""
        is_key = bool(node.own) and self.items[node.own[0]].kind is Kind.KEY
        return node.own[0] if is_key else None

    # -- places for something new --

    def line_end(self, header: int) -> int:
        """Return the item that a new key under the header follows."""
        last = self._last_statement(header)
        return last if last != header else self._own_comments(header)

    def section_end(self, index: int) -> int:
        """Return the item that a section after this statement's section follows."""
        last = self._last_statement(index)
        if self.items[last].is_header:
            last = self._own_comments(last)
        return self._adjacent_comment_below(last)

    def _last_statement(self, index: int) -> int:
        return self._last_of_section[self._sections[index]]

    def _own_comments(self, header: int) -> int:
        """Return the last comment directly under a header, or the header."""
        last = header
        while last + 1 < len(self.items) and self.items[last + 1].kind is Kind.COMMENT:
            last += 1
        return last

    def _adjacent_comment_below(self, index: int) -> int:
        """Return the last comment directly below an item, unless a statement follows it."""
        last = self._own_comments(index)
        if last + 1 < len(self.items) and self.items[last + 1].is_statement:
            return index
        return last

    # -- what is whose --

    def first_owned(self, index: int) -> int:
        """Return the first comment directly above a statement, or the statement itself."""
        first = index
        while first > 0 and self.items[first - 1].kind is Kind.COMMENT:
            first -= 1
        is_under_a_header = first > 0 and self.items[first - 1].is_header
        return index if is_under_a_header else first

    def extent(self, index: int) -> set[int]:
        """Return the items to remove with a statement; a header includes its section."""
        first, last = self.first_owned(index), index
        if self.items[index].is_header:
            last = self.line_end(index)
        return set(range(first, last + 1)) - self._unowned_comments(index + 1, last)

    def lines_outside(self, edits: Iterable[Edit]) -> Iterator[str]:
        """Yield the lines outside these edits, each without its line feed.

        Blank lines are left out, because a section is separated from its neighbours
        by one.
        """
        edited: set[int] = set()
        for edit in edits:
            holder, node = self.holder(edit.path), self.find(edit.path)
            if holder is not None:
                edited.add(holder)
            elif node is None:
                continue
            elif edit.after is not ABSENT and (key := self.key(node)) is not None:
                edited.add(key)
            else:
                edited.update(*map(self.extent, node.under))
        for index, item in enumerate(self.items):
            if item.kind is not Kind.BLANK and index not in edited:
                yield from self.ended(self.text[item.start : item.end]).split("\n")[:-1]

    def ended(self, lines: str) -> str:
        """Return lines with a final line end like those of the text."""
        return lines if lines.endswith("\n") else lines + self.newline

    @cached_property
    def newline(self) -> str:
        """The line end of the first line."""
        first = self.text.find("\n")
        return "\r\n" if first > 0 and self.text[first - 1] == "\r" else "\n"

    def _unowned_comments(self, first: int, last: int) -> set[int]:
        """Return the comments between two items before a blank line, with that line."""
        loose: set[int] = set()
        run: set[int] = set()
        for index in range(first, min(last + 2, len(self.items))):
            kind = self.items[index].kind
            if kind is Kind.COMMENT:
                run.add(index)
                continue
            if kind is Kind.BLANK and run:
                loose |= run | {index}
            run = set()
        return loose
