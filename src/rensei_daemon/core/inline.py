"""Values as TOML text: written new, and edited where they stand.

An inline table is edited member by member and an array only ever grows at its end, so
that spacing, quoting and the comments inside an array survive. tomlkit spells keys and
plain values, and never sees more.
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from rensei_daemon.core.edit import ABSENT, Edit, Path, same
from rensei_daemon.core.layout import read_key, tokens


def render_key(path: Path) -> str:
    """Spell a key, dotted when it has parts, each quoted only if it must be."""
    return ".".join(_tomlkit().key(part).as_string() for part in path)


def render(value: Any) -> str:
    """Spell a value on one line."""
    if isinstance(value, Mapping):
        members = [f"{render_key((key,))} = {render(item)}" for key, item in value.items()]
        return f"{{ {', '.join(members)} }}" if members else "{}"
    if isinstance(value, list):
        return f"[{', '.join(render(item) for item in value)}]"
    return str(_tomlkit().item(value).as_string())


def _tomlkit() -> ModuleType:
    """Import tomlkit when an edit is made: without it an idle daemon is 1 MB smaller."""
    return importlib.import_module("tomlkit")


def edit_inline(text: str, edit: Edit) -> str:
    """Return the inline table with one place in it changed; `edit.path` starts inside."""
    for member in _members(text):
        if member.path == edit.path and edit.after is ABSENT:
            return _without(text, member)
        if member.path == edit.path:
            value = replace_value(member.value_of(text), edit)
            return _spliced(text, member.value, member.end, value)
        if member.path == edit.path[: len(member.path)]:
            inner = Edit(edit.path[len(member.path) :], edit.before, edit.after)
            return _spliced(
                text, member.value, member.end, edit_inline(member.value_of(text), inner)
            )
    if edit.after is ABSENT:
        # Spelled by dotted members, all of which go.
        for member in reversed(list(_members(text))):
            if member.path[: len(edit.path)] == edit.path:
                text = _without(text, member)
        return text
    return _with(text, f"{render_key(edit.path)} = {render(edit.after)}")


def replace_value(text: str, edit: Edit) -> str:
    """Return the text of a value that becomes another; an array that grows is kept."""
    before, after = edit.before, edit.after
    grows = (
        isinstance(before, list) and isinstance(after, list) and len(after) > len(before)
    )
    if grows and same(before, after[: len(before)]):
        return _grown(text, [render(item) for item in after[len(before) :]])
    return render(after)


def _grown(text: str, items: list[str]) -> str:
    """Return the text of an array with items added behind its last one.

    Where the array has a line for each item, so have the new ones.
    """
    last = _last_of(text)
    end_of_line = text.find("\n", last.end)
    if end_of_line < 0:
        glue = {"open": "", "comma": " "}.get(last.sort, ", ")
        return text[: last.end] + glue + ", ".join(items) + text[last.end :]
    newline = "\r\n" if text[end_of_line - 1] == "\r" else "\n"
    is_separated = last.sort in ("open", "comma")
    lines = f",{newline}".join(last.indent + item for item in items)
    lines += f",{newline}" if is_separated else newline
    rest_of_line = text[last.end : end_of_line + 1]
    comma = "" if is_separated else ","
    return text[: last.end] + comma + rest_of_line + lines + text[end_of_line + 1 :]


@dataclass(frozen=True, slots=True)
class _Last:
    """What stands last in an array: a value, the comma behind it, or the bracket."""

    sort: str
    end: int
    indent: str
    """Of the line it is on; of the line to come, where it is the bracket."""


def _last_of(text: str) -> _Last:
    depth, last = 0, _Last("open", 1, "  ")
    line_start = 0
    for token in tokens(text, 0):
        sort = token.lastgroup or ""
        depth += (sort == "open") - (sort == "close")
        if depth == 0:
            return last
        if sort == "newline":
            line_start = token.end()
        elif sort not in ("space", "comment") and token.start() > 0:
            is_comma = sort == "comma" and depth == 1
            start = _skip_spaces(text, line_start)
            indent = text[line_start:start] if line_start else "  "
            last = _Last("comma" if is_comma else "value", token.end(), indent)
    raise ValueError("an array does not end")


@dataclass(frozen=True, slots=True)
class _Member:
    """One `key = value` of an inline table, by offsets."""

    path: Path
    start: int
    value: int
    end: int

    def value_of(self, text: str) -> str:
        return text[self.value : self.end]


def _members(text: str) -> Iterator[_Member]:
    at = 1  # behind the brace
    while True:
        at = _skip_spaces(text, at)
        if text[at] == "}":
            return
        path, after = read_key(text, at)
        value = _skip_spaces(text, after + 1)
        end, stop = _member_ends(text, value)
        yield _Member(path, at, value, end)
        if text[stop] == "}":
            return
        at = stop + 1


def _skip_spaces(text: str, at: int) -> int:
    while text[at] in " \t":
        at += 1
    return at


def _member_ends(text: str, at: int) -> tuple[int, int]:
    """Return where the value ends, and where the comma or brace behind it stands."""
    depth, end = 0, at
    for token in tokens(text, at):
        sort = token.lastgroup
        if depth == 0 and sort in ("comma", "close"):
            return end, token.start()
        depth += (sort == "open") - (sort == "close")
        if sort != "space":
            end = token.end()
    raise ValueError("an inline table does not end")


def _spliced(text: str, start: int, end: int, new: str) -> str:
    return text[:start] + new + text[end:]


def _without(text: str, member: _Member) -> str:
    members = list(_members(text))
    index = next(i for i, other in enumerate(members) if other.start == member.start)
    if len(members) == 1:
        return "{}"
    if index + 1 < len(members):
        return text[: member.start] + text[members[index + 1].start :]
    return text[: members[index - 1].end] + text[member.end :]


def _with(text: str, member: str) -> str:
    last = None
    for last in _members(text):  # noqa: B007 - the last one is what we want
        pass
    if last is None:
        return f"{{ {member} }}"
    return f"{text[: last.end]}, {member}{text[last.end :]}"
