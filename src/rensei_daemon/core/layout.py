"""Where each statement of a TOML text stands, and which comments are its own.

`tomllib` says what a text means; this file says where it says so, so that an edit can
splice whole lines and leave every other byte alone. Rules:

1. The text is valid TOML: `tomllib` has read it before anybody asks for its layout.
2. An item is a run of whole lines: a blank, a comment, a `[header]`, a `key = value`.
   Items follow one another without a gap: joined, they are the text.
3. A statement (header or key) owns the comments glued above it. A comment followed by a
   blank line is nobody's, and the one directly under a header is the table's.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

Path = tuple[str, ...]


class Kind(Enum):
    """What a run of lines is."""

    BLANK = auto()
    COMMENT = auto()
    HEADER = auto()
    ARRAY_HEADER = auto()
    """`[[a.b]]`: never edited, and nothing below it is."""
    KEY = auto()


@dataclass(frozen=True, slots=True)
class Item:
    """A run of whole lines, by offsets into the text."""

    kind: Kind
    start: int
    end: int
    """One past the newline, or the end of the text."""
    path: Path = ()
    """Of a statement: the whole path from the root."""
    table: Path = ()
    """Of a key: the path of the header it stands under."""
    value: tuple[int, int] = (0, 0)
    """Of a key: where its value stands."""

    @property
    def is_statement(self) -> bool:
        """Whether it says something."""
        return self.kind not in (Kind.BLANK, Kind.COMMENT)


@dataclass(slots=True)
class Node:
    """One key of the tree, and the statements that speak of it."""

    children: dict[str, "Node"] = field(default_factory=dict)
    own: list[int] = field(default_factory=list)
    """Items whose path ends here."""
    under: list[int] = field(default_factory=list)
    """Items whose path ends here or below, in the order of the text."""


_BLANK = re.compile(r"[ \t\r]*\n|[ \t\r]+\Z")
_COMMENT = re.compile(r"[ \t]*#[^\n]*(?:\n|\Z)")
_HEADER = re.compile(r"[ \t]*\[(\[)?")
_HEADER_END = re.compile(r"[ \t]*\]\]?[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)")
_KEY_PART = re.compile(
    r"""[ \t]*(?:([A-Za-z0-9_-]+)|("(?:[^"\\\n]|\\.)*")|'([^'\n]*)')[ \t]*(\.)?"""
)
_EQUALS = re.compile(r"=[ \t]*")
_TOKEN = re.compile(
    r'''(?P<string>"""(?:[^"\\]|\\[\s\S]|"{1,2}(?!"))*"{3,5}|"(?:[^"\\\n]|\\.)*"'''
    r"""|'''(?:[^']|'{1,2}(?!'))*'{3,5}|'[^'\n]*')"""
    r"""|(?P<comment>#[^\n]*)|(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)"""
    r"""|(?P<space>[ \t\r]+)|(?P<newline>\n)|(?P<word>[^"'#\[\]{},\s]+)"""
)


class Layout:
    """The items of one text, and an index of them by path."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.items = list(_scan(text))
        self.root = Node()
        for index, item in enumerate(self.items):
            if item.is_statement:
                self._enter(index, item)

    def _enter(self, index: int, item: Item) -> None:
        node = self.root
        for key in item.path:
            node.under.append(index)
            node = node.children.setdefault(key, Node())
        node.under.append(index)
        node.own.append(index)

    def find(self, path: Path) -> Node | None:
        """Return the node at the path, if any statement speaks of it."""
        node = self.root
        for key in path:
            if key not in node.children:
                return None
            node = node.children[key]
        return node

    def holder(self, path: Path) -> int | None:
        """Return the key whose inline value holds the path, if one does."""
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
        """Return the `[header]` that opens exactly this table, if there is one."""
        headers = (i for i in node.own if self.items[i].kind is Kind.HEADER)
        return next(headers, None)

    def last_key(self, header: int) -> int:
        """Return the last key under a header, or the header when there is none."""
        last = header
        for index in range(header + 1, len(self.items)):
            kind = self.items[index].kind
            if kind is Kind.KEY:
                last = index
            elif kind in (Kind.HEADER, Kind.ARRAY_HEADER):
                break
        return last

    def section_end(self, header: int) -> int:
        """Return the item behind which a new key under the header belongs."""
        last = self.last_key(header)
        return last if last != header else self.glued_below(header)

    def glued_below(self, index: int) -> int:
        """Return the last comment glued below an item, unless it leads into a statement."""
        last = index
        while last + 1 < len(self.items) and self.items[last + 1].kind is Kind.COMMENT:
            last += 1
        if last + 1 < len(self.items) and self.items[last + 1].is_statement:
            return index
        return last

    def first_owned(self, index: int) -> int:
        """Return the first comment glued above a statement, or the statement itself."""
        first = index
        while first > 0 and self.items[first - 1].kind is Kind.COMMENT:
            first -= 1
        headers = (Kind.HEADER, Kind.ARRAY_HEADER)
        under_a_header = first > 0 and self.items[first - 1].kind in headers
        return index if under_a_header else first


def _scan(text: str) -> Iterator[Item]:
    at = 0
    table: Path = ()
    while at < len(text):
        if trivia := _BLANK.match(text, at):
            yield Item(Kind.BLANK, at, trivia.end())
            at = trivia.end()
        elif trivia := _COMMENT.match(text, at):
            yield Item(Kind.COMMENT, at, trivia.end())
            at = trivia.end()
        elif header := _HEADER.match(text, at):
            table, after = read_key(text, header.end())
            end = _expect(_HEADER_END, text, after)
            yield Item(Kind.ARRAY_HEADER if header[1] else Kind.HEADER, at, end, table)
            at = end
        else:
            path, after = read_key(text, at)
            start = _expect(_EQUALS, text, after)
            value_end, end = _value_ends(text, start)
            yield Item(Kind.KEY, at, end, table + path, table, (start, value_end))
            at = end


def _expect(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    if found is None:
        raise ValueError(f"not TOML at offset {at}")
    return found.end()


def read_key(text: str, at: int) -> tuple[Path, int]:
    """Read a dotted key; return its parts and the offset after it."""
    parts = []
    while True:
        found = _KEY_PART.match(text, at)
        if found is None:
            raise ValueError(f"no key at offset {at}")
        bare, basic, literal, dot = found.groups()
        parts.append(_unquote(basic) if basic else bare if bare is not None else literal)
        at = found.end()
        if not dot:
            return tuple(parts), at


def _unquote(basic: str) -> str:
    if "\\" not in basic:
        return basic[1:-1]
    key = tomllib.loads(f"key = {basic}")["key"]
    return str(key)


def tokens(text: str, at: int) -> Iterator[re.Match[str]]:
    """Yield the tokens of a value; `lastgroup` names each one's sort."""
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"not TOML at offset {at}")
        yield found
        at = found.end()


def _value_ends(text: str, at: int) -> tuple[int, int]:
    """Return where the value that starts here ends, and where its last line does."""
    depth, end = 0, at
    for token in tokens(text, at):
        sort = token.lastgroup
        depth += (sort == "open") - (sort == "close")
        if sort == "newline" and depth == 0:
            return end, token.end()
        if sort not in ("space", "newline", "comment"):
            end = token.end()
    return end, len(text)
