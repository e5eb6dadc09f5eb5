r"""Where in a TOML text a key stands.

The standard parser forgets positions once it has read a text, and an operator who is
told "unknown key" wants the line. This scanner follows the grammar of TOML 1.0 just far
enough to know which key is being set: it reads keys and headers, and steps over values.
It is only asked about text the real parser took, so it never judges; on text it cannot
follow it stops and keeps what it has.

Rules: a position is (line, column), both from 1, in characters; a key path is a tuple
of names, and of indices for elements of arrays and for `[[tables]]`.
"""

import contextlib
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rensei_daemon.core.toml_scanner import BYTE_ORDER_MARK

KeyPath = tuple[str | int, ...]
Position = tuple[int, int]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_STRING = re.compile(
    r'"""[^"\\]*+(?:(?:\\.|"{1,2}(?!"))[^"\\]*+)*"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")


class Positions:
    """Every key of one text and where it stands."""

    def __init__(self, text: str) -> None:
        self._text = text = text.removeprefix(BYTE_ORDER_MARK)
        self._offsets: dict[KeyPath, int] = {}
        # A bad escape in a key, a thousand brackets: what was read so far will do.
        with contextlib.suppress(RecursionError, tomllib.TOMLDecodeError):
            for path, offset in _Scanner(text).statements():
                self._offsets[path] = offset

    def find(self, path: Sequence[str | int]) -> Position:
        """Return where a key stands, else its nearest written parent, else the top."""
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
    """Return what a text consists of, comments apart, in order."""
    found: list[Statement] = []
    with contextlib.suppress(RecursionError, tomllib.TOMLDecodeError):
        found += _Scanner(text).whole_statements()
    return found


def position_of(text: str, offset: int) -> Position:
    """Return the line and column of an offset."""
    line_start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - line_start + 1


class _Scanner:
    """Reads one text from front to back; every method moves `at` past what it read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lengths: dict[KeyPath, int] = {}
        """How many elements each array of tables has so far."""

    def statements(self) -> Iterator[tuple[KeyPath, int]]:
        table: KeyPath = ()
        while self._skip(_BLANK) < len(self.text):
            before = self.at
            if self.text[self.at] == "[":
                start = self.at
                table = self._header()
                if table and isinstance(table[-1], int):
                    yield table[:-1], start
                yield table, start
            else:
                yield from self._assignment(table)
            if self.at == before:
                return

    def whole_statements(self) -> Iterator[Statement]:
        table: KeyPath = ()
        while (start := self._skip(_BLANK)) < len(self.text):
            is_header = self.text[start] == "["
            if is_header:
                path = table = self._header()
            else:
                path = (*table, *(key for key, _ in self._keys()))
                if self.text.startswith("=", self.at):
                    self.at += 1
                    for _ in self._value(path):
                        pass
            if self.at == start:
                return
            yield Statement(path, start, self.at, is_header)

    def _header(self) -> KeyPath:
        brackets = 2 if self.text.startswith("[[", self.at) else 1
        self.at += brackets
        keys = [key for key, _ in self._keys()]
        self.at += brackets
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self._into_last((*path, key))
        path = (*path, *keys[-1:])
        if brackets == 1:
            return path
        index = self.lengths.get(path, 0)
        self.lengths[path] = index + 1
        return (*path, index)

    def _into_last(self, path: KeyPath) -> KeyPath:
        """Return what a header means below an array: its latest element."""
        length = self.lengths.get(path)
        return path if length is None else (*path, length - 1)

    def _assignment(self, table: KeyPath) -> Iterator[tuple[KeyPath, int]]:
        path = table
        for key, start in self._keys():
            path = (*path, key)
            yield path, start
        if self.text.startswith("=", self.at):
            self.at += 1
            yield from self._value(path)

    def _keys(self) -> Iterator[tuple[str, int]]:
        """Read `a . "b" . c`, and stop at whatever ends it."""
        while True:
            start = self._skip(_SPACE)
            match = _STRING.match(self.text, start) or _BARE_KEY.match(self.text, start)
            if match is None:
                return
            self.at = match.end()
            yield _unquoted(match.group()), start
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return
            self.at += 1

    def _value(self, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
        start = self._skip(_SPACE)
        opening = self.text[start : start + 1]
        if opening == "[":
            yield from self._elements(path)
        elif opening == "{":
            yield from self._members(path)
        else:
            string = _STRING.match(self.text, start)
            match = string or _BARE_VALUE.match(self.text, start)
            self.at = match.end() if match else start

    def _elements(self, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
        for index, start in enumerate(self._items("]")):
            yield (*path, index), start
            yield from self._value((*path, index))

    def _members(self, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
        for _ in self._items("}"):
            yield from self._assignment(path)

    def _items(self, closing: str) -> Iterator[int]:
        """Step over brackets and commas; the caller reads what is between them."""
        self.at += 1
        while (start := self._skip(_BLANK)) < len(self.text):
            if self.text[start] == closing:
                self.at += 1
                return
            yield start
            after = self._skip(_BLANK)
            if self.text.startswith(",", after):
                self.at += 1
            elif after == start:
                return

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return self.at


def _unquoted(key: str) -> str:
    if key.startswith("'"):
        return key[1:-1]
    if not key.startswith('"'):
        return key
    # Only the real parser knows every escape.
    return next(iter(tomllib.loads(f"{key} = 0")))
