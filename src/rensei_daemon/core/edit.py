"""What a change means, apart from its spelling in a file.

A change consists of edits, each of one path in the tree of values. Trees are plain dicts
from `tomllib`; an edit has the values before and after, so it can be checked, shown and
reversed.
"""

import json
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from datetime import date, datetime, time
from enum import Enum
from typing import Any, Final

from rensei_daemon.errors import ConflictingMutationError
from rensei_daemon.fast_dataclass import dataclass

Path = tuple[str, ...]


class _Absent(Enum):
    ABSENT = "absent"


ABSENT: Final = _Absent.ABSENT
"""No value at the path; TOML has no null."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A path with its values before and after; either may be `ABSENT`."""

    path: Path
    before: Any
    after: Any

    @property
    def reversed(self) -> "Edit":
        """The edit that undoes this one."""
        return Edit(self.path, self.after, self.before)


def look_up(tree: Mapping[str, Any], path: Path) -> Any:
    """Return the value at the path, or `ABSENT`.

    Raises `ConflictingMutationError` if the path leads through a value that is not a
    table.
    """
    value: Any = tree
    for key in path:
        if not isinstance(value, Mapping):
            message = (
                f"{'.'.join(path)} cannot be edited: a table above it is a plain value"
            )
            raise ConflictingMutationError(message)
        if key not in value:
            return ABSENT
        value = value[key]
    return value


def look_up_table(tree: Mapping[str, Any], path: Path) -> Mapping[str, Any] | None:
    """Return the table at the path, or None; raises if the value is not a table."""
    value = look_up(tree, path)
    if value is not ABSENT and not isinstance(value, Mapping):
        raise ConflictingMutationError(f"{'.'.join(path)} is not a table")
    return None if value is ABSENT else value


def differences(before: Any, after: Any, path: Path = ()) -> Iterator[Edit]:
    """Yield the smallest edits that turn one value into the other.

    Tables are compared key by key, everything else (including lists) as a whole. Types
    count: `1` equals neither `true` nor `1.0`.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in before:
            yield from differences(before[key], after.get(key, ABSENT), (*path, key))
        for key in after:
            if key not in before:
                yield Edit((*path, key), ABSENT, after[key])
    elif not same(before, after):
        yield Edit(path, before, after)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal, including their types, at every depth."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if type(left) is not type(right):
        return False
    return bool(left == right) or (
        left != left and right != right
    )  # NaN does not equal itself


def apply_edits(tree: MutableMapping[str, Any], edits: Sequence[Edit]) -> None:
    """Apply the edits to a tree, in order; missing tables are created.

    A table that an edit empties stays, empty.
    """
    for edit in edits:
        table: Any = tree
        for key in edit.path[:-1]:
            table = table.setdefault(key, {})
        if edit.after is ABSENT:
            table.pop(edit.path[-1], None)
        else:
            table[edit.path[-1]] = copy_tables(edit.after)


def edited_copy(tree: Mapping[str, Any], edits: Sequence[Edit]) -> dict[str, Any]:
    """Return the values after the edits; the tree is unchanged."""
    copy = dict(copy_tables(tree))
    apply_edits(copy, edits)
    return copy


def copy_tables(value: Any) -> Any:
    """Copy the tables of a value; lists are shared, since no edit changes one."""
    return (
        {k: copy_tables(v) for k, v in value.items()}
        if isinstance(value, Mapping)
        else value
    )


def dump_edits(edits: Sequence[Edit]) -> str:
    """Return edits as JSON; a type that JSON lacks becomes an object with one `$` key."""
    return json.dumps(
        [[list(e.path), _to_json(e.before), _to_json(e.after)] for e in edits]
    )


def _to_json(value: Any) -> Any:
    match value:
        case _Absent():
            return {"$absent": True}
        case datetime():  # before date, because a datetime is a date
            return {"$time": value.isoformat()}
        case date():
            return {"$date": value.isoformat()}
        case time():
            return {"$clock": value.isoformat()}
        case dict():
            plain = {key: _to_json(item) for key, item in value.items()}
            # A table of the file that looks like our encoding must not be
            # decoded as one.
            return {"$table": plain} if any(key[:1] == "$" for key in value) else plain
        case list():
            return [_to_json(item) for item in value]
        case _:
            return value


def load_edits(text: str) -> list[Edit]:
    """Return the edits in the text from `dump_edits`."""
    return [
        Edit(tuple(path), _from_json(before), _from_json(after))
        for path, before, after in json.loads(text)
    ]


def _from_json(value: Any) -> Any:
    match value:
        case {"$absent": True, **rest} if not rest:
            return ABSENT
        case {"$time": str(moment), **rest} if not rest:
            return datetime.fromisoformat(moment)
        case {"$date": str(day), **rest} if not rest:
            return date.fromisoformat(day)
        case {"$clock": str(clock), **rest} if not rest:
            return time.fromisoformat(clock)
        case {"$table": dict(table), **rest} if not rest:
            return {key: _from_json(item) for key, item in table.items()}
        case dict():
            return {key: _from_json(item) for key, item in value.items()}
        case list():
            return [_from_json(item) for item in value]
        case _:
            return value
