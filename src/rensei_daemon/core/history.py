"""The record of changes to the file: what it shows, and how to undo a change.

A change is what one mutation, one rollback or the daemon itself did to the file. This
module knows what a record means, who wrote an entry and which edits undo a change; it does
not know where records are stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from io import StringIO
from typing import Any, TypedDict

from rensei_daemon.core.config_entries import editable_entries
from rensei_daemon.core.edit import (
    ABSENT,
    Edit,
    Path,
    apply_edits,
    copy_tables,
    look_up,
    same,
)
from rensei_daemon.core.toml_rendering import render, render_key
from rensei_daemon.errors import ConflictingMutationError, UsageError


class EditRecord(TypedDict):
    """A path of the file with its values before and after."""

    path: str
    """A dotted key as TOML spells it."""
    before: Any
    """None: there was no value."""
    after: Any


class ChangeRecord(TypedDict):
    """A change of the file, as `config history` shows it."""

    number: int
    at: str
    cause: str
    """The op, `rollback of change N`, or what the daemon did by itself."""
    mutation_id: str | None
    requested_by: str
    edits: list[EditRecord]
    text_kept: bool
    """Whether the texts before and after are still stored."""


class ChangeDetail(ChangeRecord):
    """A change with the texts before and after."""

    together_with: list[int]
    """The changes made by the same replacement of the file."""
    before: str | None
    after: str | None


class MutationRecord(TypedDict):
    """All steps of one mutation; None for what has not happened."""

    id: str
    op: str
    params: Any
    """None once deleted, a month after the outcome was confirmed."""
    state: str
    outcome: str | None
    """`applied` or `failed`."""
    error: str | None
    requested_by: str
    requested_at: str
    received_at: str
    intended_at: str | None
    decided_at: str | None
    acked_at: str | None
    came_again_changed: bool
    change: int | None
    """The change it made; None if nothing had to change."""


class MutationDetail(TypedDict):
    """A mutation and its change of the file."""

    mutation: MutationRecord
    ignored: list[str]
    """Dotted names of params that were ignored; empty once the params are deleted."""
    change: ChangeDetail | None


class BlameRecord(TypedDict):
    """Who last wrote an entry; all but the path are None if it was edited by hand."""

    path: str
    change: int | None
    cause: str | None
    mutation_id: str | None
    requested_by: str | None
    at: str | None


class BlameChange(TypedDict):
    """A change, as far as blame needs it."""

    record: ChangeRecord
    entries: list[Edit]
    """The complete entries it wrote, as it left them (`after`)."""


def written_entries(edits: Sequence[Edit], tree: Mapping[str, Any]) -> tuple[Edit, ...]:
    """Return the entries these edits wrote, with their values after the edits."""
    written: dict[Path, None] = {}
    for edit in edits:
        for value in (edit.before, edit.after):
            branch: dict[str, Any] = {}
            apply_edits(branch, [Edit(edit.path, ABSENT, value)])
            written |= dict.fromkeys(editable_entries(branch))
    return tuple(Edit(path, ABSENT, look_up(tree, path)) for path in written)


def blame(
    tree: Mapping[str, Any], newest_first: Iterable[BlameChange]
) -> list[BlameRecord]:
    """Return for every entry of the current file which change last wrote it.

    An entry that no change wrote, or that differs from what the last change left, was
    edited by hand.
    """
    found = editable_entries(tree)
    writers: dict[Path, ChangeRecord | None] = {}
    for made in newest_first:
        for entry in made["entries"]:
            if entry.path in found and entry.path not in writers:
                is_unchanged = same(found[entry.path], entry.after)
                writers[entry.path] = made["record"] if is_unchanged else None
        if len(writers) == len(found):
            break
    return [_blamed(path, writers.get(path)) for path in found]


def _blamed(path: Path, writer: ChangeRecord | None) -> BlameRecord:
    return BlameRecord(
        path=render_key(path),
        change=writer["number"] if writer else None,
        cause=writer["cause"] if writer else None,
        mutation_id=writer["mutation_id"] if writer else None,
        requested_by=writer["requested_by"] if writer else None,
        at=writer["at"] if writer else None,
    )


def reversal(number: int, edits: Sequence[Edit], tree: Mapping[str, Any]) -> list[Edit]:
    """Return the edits that undo a change of the current values.

    Raises `ConflictingMutationError`, with the difference, if the current values are no
    longer those the change wrote.
    """
    today = copy_tables(tree)
    undone: list[Edit] = []
    differing: list[str] = []
    for edit in reversed(edits):
        value = look_up(today, edit.path)
        if same(value, edit.after):
            undone.append(edit.reversed)
            apply_edits(today, undone[-1:])
        else:
            differing.append(
                f"{render_key(edit.path)}: change {number} left {_show_value(edit.after)}, "
                f"today it is {_show_value(value)}"
            )
    if differing:
        raise ConflictingMutationError(
            f"change {number} cannot be rolled back, the file has changed since\n  "
            + "\n  ".join(reversed(differing)),
            hint="edit the file by hand, or roll back the later changes first",
        )
    return undone


def _show_value(value: Any) -> str:
    return "absent" if value is ABSENT else render(value)


def edit_records(edits: Sequence[Edit]) -> list[EditRecord]:
    """Return edits for people and scripts."""
    return [
        EditRecord(
            path=render_key(edit.path), before=_json(edit.before), after=_json(edit.after)
        )
        for edit in edits
    ]


def _json(value: Any) -> Any:
    if value is ABSENT:
        return None
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    return value


def unified(before: str, after: str, *, name: str) -> str:
    """Return the unified diff of two texts of the file; empty if they are equal."""
    # Imported here: only the command line needs it, and the daemon stays smaller.
    from difflib import unified_diff

    lines = unified_diff(
        list(StringIO(before, newline="\n")),
        list(StringIO(after, newline="\n")),
        f"{name} (before)",
        f"{name} (after)",
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in lines
    )


def no_change(number: int | None) -> UsageError:
    """Return the error that a change is not on record."""
    if number is None:
        hint = "mutations and rollbacks are recorded, edits by hand are not"
        return UsageError("no change is on record yet", hint=hint)
    hint = "see which there are: rensei-daemon config history"
    return UsageError(f"there is no change {number} on record", hint=hint)


def no_mutation(mutation_id: str) -> UsageError:
    """Return the error that a mutation is not on record."""
    return UsageError(
        f"there is no mutation {mutation_id} on record here",
        hint="see which there are: rensei-daemon mutations list",
    )
