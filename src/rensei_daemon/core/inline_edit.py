"""Edit a value in place.

An inline table is edited member by member and an array element by element, so that spacing,
quoting and comments are kept. A table is split once, however many edits it gets.
"""

from collections import defaultdict
from collections.abc import Iterator

from rensei_daemon.core.array_edit import edit_array
from rensei_daemon.core.edit import ABSENT, Edit, Path
from rensei_daemon.core.toml_rendering import render, render_key
from rensei_daemon.core.toml_scanner import read_key, tokens
from rensei_daemon.fast_dataclass import dataclass


@dataclass(slots=True)
class _Member:
    """A `key = value` of an inline table."""

    path: Path
    key: str
    """Its text before the value."""
    value: str
    gap: str
    """The text after it: a comma with spaces, or what is before the closing brace."""
    table: "InlineTable | None" = None
    """The value, once something in it is edited."""
    is_removed: bool = False

    @property
    def text(self) -> str:
        return self.key + (self.table.text if self.table else self.value)


class InlineTable:
    """The members of one inline table, and the edits made to them."""

    def __init__(self, text: str) -> None:
        first = _skip_spaces(text, 1)  # after the brace
        self._open, self._close = text[:first], text[first:]
        self._members: list[_Member] = []
        """The last one is never a removed one."""
        self._exact: dict[Path, _Member] = {}
        self._below: dict[Path, list[_Member]] = defaultdict(list)
        """The members that spell a table as dotted keys, by its path."""
        for member in _members(text, first):
            self._enter(member)
        if self._members:
            self._close, self._members[-1].gap = self._members[-1].gap, ""

    def _enter(self, member: _Member) -> None:
        self._members.append(member)
        self._exact[member.path] = member
        for length in range(1, len(member.path)):
            self._below[member.path[:length]].append(member)

    @property
    def text(self) -> str:
        """The table with all edits."""
        if not self._members:
            return self._open + self._close
        kept = (member for member in self._members if not member.is_removed)
        return self._open + "".join(m.text + m.gap for m in kept) + self._close

    def make(self, edit: Edit) -> None:
        """Make one edit; its path is relative to the table."""
        if (member := self._exact.get(edit.path)) is None:
            self._make_elsewhere(edit)
        elif edit.after is ABSENT:
            self._remove(member)
        else:
            value = member.table.text if member.table else member.value
            member.value, member.table = replace_value(value, edit), None

    def _make_elsewhere(self, edit: Edit) -> None:
        """Make an edit of something that is no member: it is in one, or it is new."""
        for length in range(1, len(edit.path)):
            if member := self._exact.get(edit.path[:length]):
                member.table = member.table or InlineTable(member.value)
                member.table.make(Edit(edit.path[length:], edit.before, edit.after))
                return
        if edit.after is ABSENT:
            for member in self._below.pop(edit.path, ()):
                self._remove(member)
        else:
            self._add(edit.path, render(edit.after))

    def _add(self, path: Path, value: str) -> None:
        if self._members:
            self._members[-1].gap = ", "
        else:
            self._open, self._close = "{ ", " }"
        self._enter(_Member(path, f"{render_key(path)} = ", value, ""))

    def _remove(self, member: _Member) -> None:
        """Remove a member with the gap after it; the last one with the gap before it."""
        if not member.is_removed:
            member.is_removed = True
            self._exact.pop(member.path)
        while self._members and self._members[-1].is_removed:
            self._members.pop()
        if self._members:
            self._members[-1].gap = ""
        else:
            self._open, self._close = "{", "}"


def replace_value(text: str, edit: Edit) -> str:
    """Return the text of a value replaced by another; an array is edited in place."""
    if isinstance(edit.before, list) and isinstance(edit.after, list):
        return edit_array(text, edit.before, [(item, render(item)) for item in edit.after])
    return render(edit.after)


def _members(text: str, at: int) -> Iterator[_Member]:
    """Yield the members from the offset of the first one, or of the closing brace."""
    while text[at] != "}":
        path, after = read_key(text, at)
        value = _skip_spaces(text, after + 1)
        end, stop = _member_ends(text, value)
        at_next = stop if text[stop] == "}" else _skip_spaces(text, stop + 1)
        is_last = text[at_next] == "}"
        gap = text[end:] if is_last else text[end:at_next]
        yield _Member(path, text[at:value], text[value:end], gap)
        at = at_next


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
