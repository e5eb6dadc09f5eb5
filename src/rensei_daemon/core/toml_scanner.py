"""Split a TOML text into runs of whole lines, and values into tokens.

Rules of this module:

1. The text is valid TOML: `tomllib` has parsed it before.
2. An item is a run of whole lines: a blank, a comment, a `[header]`, a `key = value`.
   Items follow one another without gaps: joined, they are the text.
"""

import re
import tomllib
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

from rensei_daemon.core.edit import Path
from rensei_daemon.fast_dataclass import dataclass

BYTE_ORDER_MARK = "\ufeff"
"""What some editors put before a UTF-8 text; TOML parsers reject it."""


class ScanError(ValueError):
    """The text is not TOML at the offset `at`."""

    def __init__(self, at: int) -> None:
        super().__init__(f"not TOML at offset {at}")
        self.at = at


class Kind(Enum):
    """The kind of an item."""

    BLANK = auto()
    COMMENT = auto()
    HEADER = auto()
    ARRAY_HEADER = auto()
    """`[[a.b]]`: neither it nor anything below it is ever edited."""
    KEY = auto()


@dataclass(frozen=True, slots=True)
class Item:
    """A run of whole lines, by offsets into the text."""

    kind: Kind
    start: int
    end: int
    """After the newline, or the end of the text."""
    path: Path = ()
    """Of a statement: the complete path from the root."""
    table: Path = ()
    """Of a key: the path of its header."""
    value: tuple[int, int] = (0, 0)
    """Of a key: the offsets of its value."""

    @property
    def is_header(self) -> bool:
        """Whether it is a `[header]` or an `[[array header]]`."""
        return self.kind in (Kind.HEADER, Kind.ARRAY_HEADER)

    @property
    def is_statement(self) -> bool:
        """Whether it is a statement, not a comment or blank."""
        return self.kind not in (Kind.BLANK, Kind.COMMENT)


_BLANK = re.compile(r"[ \t\r]*\n|[ \t\r]+\Z")
_COMMENT = re.compile(r"[ \t]*#[^\n]*(?:\n|\Z)")
_HEADER = re.compile(r"[ \t]*\[(\[)?")
_HEADER_END = re.compile(r"[ \t]*\]\]?[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)")
_KEY_PART = re.compile(
    r"""[ \t]*(?P<part>[A-Za-z0-9_-]+|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*"|'[^'\n]*')"""
    r"""[ \t]*(?P<dot>\.)?"""
)
_EQUALS = re.compile(r"=[ \t]*")
# No group is possessive, as in (?:a|b)*+: Python 3.11.2 matches those wrongly.
_TOKEN = re.compile(
    r'''(?P<string>"""[^"\\]*+(?:(?:\\[\s\S]|"{1,2}(?!"))[^"\\]*+)*"{3,5}'''
    r'''|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*"'''
    r"""|'''[^']*+(?:'{1,2}(?!')[^']*+)*'{3,5}|'[^'\n]*')"""
    r"""|(?P<comment>#[^\n]*)|(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)"""
    r"""|(?P<space>[ \t\r]+)|(?P<newline>\n)|(?P<word>[^"'#\[\]{},\s]+)"""
)


def read_items(text: str, at: int = 0) -> Iterator[Item]:
    """Yield the items of a text from the line at `at`, in order."""
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
            start = value_start(text, after)
            value_end, end = _value_ends(text, start)
            yield Item(Kind.KEY, at, end, table + path, table, (start, value_end))
            at = end


def _expect(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    if found is None:
        raise ScanError(at)
    return found.end()


class KeyPart(NamedTuple):
    """A part of a dotted key."""

    name: str
    start: int
    end: int
    """After the part, the white space and the dot that follow it."""


def key_parts(text: str, at: int) -> Iterator[KeyPart]:
    """Yield the parts of a dotted key."""
    has_more = True
    while has_more:
        found = _KEY_PART.match(text, at)
        if found is None:
            raise ScanError(at)
        at = found.end()
        yield KeyPart(_unquote(found["part"], found.start("part")), found.start("part"), at)
        has_more = found["dot"] is not None


def read_key(text: str, at: int) -> tuple[Path, int]:
    """Read a dotted key; return its parts and the offset after it."""
    parts = list(key_parts(text, at))
    return tuple(part.name for part in parts), parts[-1].end


def _unquote(part: str, at: int) -> str:
    if part[0] not in "'\"":
        return part
    if "\\" not in part or part[0] == "'":
        return part[1:-1]
    try:
        return str(tomllib.loads(f"key = {part}")["key"])
    except tomllib.TOMLDecodeError as error:  # an escape that does not exist
        raise ScanError(at) from error


def value_start(text: str, at: int) -> int:
    """Return where the value starts, given the offset after its key."""
    return _expect(_EQUALS, text, at)


def token_at(text: str, at: int) -> re.Match[str]:
    """Return the token of a value at this offset; `lastgroup` is its kind."""
    found = _TOKEN.match(text, at)
    if found is None:
        raise ScanError(at)
    return found


def tokens(text: str, at: int) -> Iterator[re.Match[str]]:
    """Yield the tokens of a value."""
    while at < len(text):
        token = token_at(text, at)
        yield token
        at = token.end()


def _value_ends(text: str, at: int) -> tuple[int, int]:
    """Return the end of the value that starts here, and the end of its last line."""
    depth, end = 0, at
    for token in tokens(text, at):
        sort = token.lastgroup
        depth += (sort == "open") - (sort == "close")
        if sort == "newline" and depth == 0:
            return end, token.end()
        if sort not in ("space", "newline", "comment"):
            end = token.end()
    return end, len(text)
