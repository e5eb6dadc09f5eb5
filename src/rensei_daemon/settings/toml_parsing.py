"""Reads a TOML text, and describes every syntax error in it.

The standard parser stops at the first error. This module leaves the error out and reads the
rest, where that is safe: a key or table that occurs twice, or a statement on one line.
"""

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from rensei_daemon.core.toml_scanner import BYTE_ORDER_MARK
from rensei_daemon.errors import Problem
from rensei_daemon.settings.problems import dotted
from rensei_daemon.settings.toml_positions import Positions, position_of, statements_of

_NOT_A_BREAK = re.compile(r"[^\n]")

MOST_REPEATS = 50
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_REPEATED_KEY = "Cannot overwrite a value"
_REPEATED_TABLE = re.compile(r"Cannot declare \(.*\) twice")
_PLAIN = {
    "Invalid value": "this is no value: a text needs quotes",
    "Unclosed array": "a list is not closed: ] is missing",
    "Unterminated string": "a text is not closed: a quote is missing",
    "Illegal character '\\n'": "a text is not closed: a quote is missing",
    "Invalid statement": "this is neither a key = value nor a [table]",
    "Invalid initial character for a key part": "a key is missing here",
    "Expected '=' after a key in a key/value pair": "a = is missing after the key",
    "Expected ']' at the end of a table declaration": "the table's name lacks its ]",
    "Expected newline or end of document after a statement": "there is more on the line "
    "than one value",
    "Cannot mutate immutable namespace": "this table was closed where it was written",
}


class TomlText(NamedTuple):
    """A text, parsed as far as possible."""

    tree: dict[str, Any] | None
    """The values of the rest; None if the errors cannot be separated from it."""
    problems: list[Problem]
    rest: str
    """The text with blanks in place of the errors, so that offsets stay the same."""
    is_whole: bool
    """Whether the tree only lacks repeated keys and tables."""


def read_toml(text: str, path: Path) -> TomlText:
    """Parse a text; `path` names the file in the problems, at most 51 of them."""
    problems: list[Problem] = []
    is_whole = True
    whole = rest = text.removeprefix(BYTE_ORDER_MARK)
    while True:
        try:
            return TomlText(tomllib.loads(rest), problems, rest, is_whole)
        except RecursionError:
            problems.append(Problem(file=str(path), message="values are nested too deeply"))
            return TomlText(None, problems, rest, is_whole=False)
        except tomllib.TOMLDecodeError as error:
            offset = _offset(rest, str(error))
            message = _PLACE.sub("", str(error))
        repeated = _without_repeated(rest, offset, message)
        if repeated is not None and len(problems) < MOST_REPEATS:
            start, complaint, rest = repeated
            problems.append(_problem(whole, start, complaint, path))
            continue
        complaint = _PLAIN.get(message, message[:1].lower() + message[1:])
        problems.append(_problem(whole, offset, complaint, path))
        line = _statement_line(rest, offset)
        if line is None or len(problems) > MOST_REPEATS:
            return TomlText(None, problems, rest, is_whole=False)
        is_whole = False
        rest = rest[: line.start] + " " * (line.stop - line.start) + rest[line.stop :]


def _statement_line(text: str, offset: int) -> slice | None:
    """Return the line at an offset, if other lines mean the same without it.

    A header gives the lines below it their meaning, and a bracket or a triple quote may
    continue below.
    """
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    line = text[start:] if end < 0 else text[start:end]
    is_header = line.lstrip().startswith("[")
    goes_on = any(line.count(a) != line.count(b) for a, b in ("[]", "{}"))
    if not line.strip() or is_header or goes_on or '"""' in line or "'''" in line:
        return None
    return slice(start, start + len(line))


def _problem(text: str, offset: int, message: str, path: Path) -> Problem:
    line, column = position_of(text, offset)
    return Problem(file=str(path), line=line, column=column, message=message)


def _offset(text: str, message: str) -> int:
    found = _PLACE.search(message)
    if found is None or not found[1]:
        return len(text)
    line, column = int(found[1]), int(found[2])
    start = 0
    for _ in range(line - 1):
        start = text.index("\n", start) + 1
    return start + column - 1


def _without_repeated(text: str, offset: int, message: str) -> tuple[int, str, str] | None:
    """Return (offset, message, text without it) of a repeated key or table."""
    is_table = _REPEATED_TABLE.fullmatch(message) is not None
    if not is_table and message != _REPEATED_KEY:
        return None
    known = statements_of(text)
    # The parser names the end of the key's value, or a place in the table's header.
    index = sum(statement.start < offset for statement in known) - 1
    if index < 0:
        return None
    again = known[index]
    end = again.end
    if is_table:
        headers = (later.start for later in known[index + 1 :] if later.is_header)
        end = next(headers, len(text))
    line, _ = Positions(text[: again.start]).find(again.path)
    name = f"[{dotted(again.path)}]" if is_table else f'the key "{dotted(again.path)}"'
    complaint = f"{name} is there twice; the first is on line {line}"
    blank = _NOT_A_BREAK.sub(" ", text[again.start : end])
    return again.start, complaint, text[: again.start] + blank + text[end:]
