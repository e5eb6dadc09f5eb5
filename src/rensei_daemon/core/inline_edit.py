"""Edit a value in place.

An inline table is edited member by member and an array element by element, so that spacing,
quoting and comments are kept.
"""

from collections.abc import Iterator

from rensei_daemon.core.array_edit import edit_array
from rensei_daemon.core.edit import ABSENT, Edit, Path
from rensei_daemon.core.toml_rendering import render, render_key
from rensei_daemon.core.toml_scanner import read_key, tokens
from rensei_daemon.fast_dataclass import dataclass


def edit_inline(text: str, edit: Edit) -> str:
    """Return the inline table with one value changed; `edit.path` is relative to it."""
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
        # Spelled as dotted members, which are all removed.
        for member in reversed(list(_members(text))):
            if member.path[: len(edit.path)] == edit.path:
                text = _without(text, member)
        return text
    return _with(text, f"{render_key(edit.path)} = {render(edit.after)}")


def replace_value(text: str, edit: Edit) -> str:
    """Return the text of a value replaced by another; an array is edited in place."""
    if isinstance(edit.before, list) and isinstance(edit.after, list):
        return edit_array(text, edit.before, [(item, render(item)) for item in edit.after])
    return render(edit.after)


@dataclass(frozen=True, slots=True)
class _Member:
    """A `key = value` of an inline table, by offsets."""

    path: Path
    start: int
    value: int
    end: int

    def value_of(self, text: str) -> str:
        return text[self.value : self.end]


def _members(text: str) -> Iterator[_Member]:
    at = 1  # after the brace
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
    """Return the end of the value, and the position of the comma or brace after it."""
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
