r"""Which characters are visible, and how to escape the others.

Text from the platform, or from a file, can contain characters that control a terminal (C0,
C1), reverse the reading direction, have no width, or end a line. Everything that shows
such text escapes it with this module.

::

    escape_line   \x9b \u202e   one line of a screen or a log
    escape_lines  \x9b \u202e   several lines: a diff, an error, a traceback
    toml_string   \u009B \u202E a text as TOML, quoted
    escape_toml   \u009B \u202E TOML from tomlkit; its strings keep their meaning

JSON needs none of them: `json.dumps` writes ASCII.
"""

import re
from collections.abc import Callable

LONGEST_LINE = 1000
"""Characters shown of a text on a terminal; a pipe and `--json` get the whole text."""

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
"""Printable for `str.isprintable` but invisible: fillers, selectors, blanks."""

_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
"""The escapes of TOML that have a letter."""


def is_visible(text: str) -> bool:
    """Whether every character is visible; of the blanks only the space is."""
    return text.isprintable() and not _INVISIBLE.search(text)


def escape_line(text: str, *, longest: int | None = None) -> str:
    """Return a text as one line of visible characters, cut to `longest` first."""
    return _escaped(_cut(text, longest), _python_escape)


def escape_lines(text: str, *, longest: int | None = None) -> str:
    r"""Escape each line of a text; its tabs and line ends (`\n`, `\r\n`) stay."""
    return "\n".join(_escape_content(line, longest) for line in text.split("\n"))


def toml_string(text: str) -> str:
    """Return a text as a basic string of TOML."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_escaped(text, _toml_escape)}"'


def escape_toml(text: str) -> str:
    """Return TOML whose strings and quoted keys name the characters nobody can see.

    Line feeds stay: they stand between statements. The text must hold such characters
    in basic strings only, which is how tomlkit writes them.
    """
    return "\n".join(_escaped(line, _toml_escape) for line in text.split("\n"))


def _escape_content(line: str, longest: int | None) -> str:
    content = line.removesuffix("\r")
    escaped = _escaped(_cut(content, longest), _python_escape, kept="\t")
    return escaped + line[len(content) :]


def _cut(text: str, longest: int | None) -> str:
    is_short = longest is None or len(text) <= longest
    return text if is_short else f"{text[:longest]}…"


def _escaped(text: str, escape: Callable[[str], str], *, kept: str = "") -> str:
    if is_visible(text):
        return text
    return "".join(
        mark if mark in kept or is_visible(mark) else escape(mark) for mark in text
    )


def _python_escape(mark: str) -> str:
    code = ord(mark)
    if code < 0x100:
        return mark.encode("unicode_escape").decode()
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _toml_escape(mark: str) -> str:
    if mark in _SHORT:
        return _SHORT[mark]
    code = ord(mark)
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
