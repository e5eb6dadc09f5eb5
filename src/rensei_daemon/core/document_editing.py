"""Edit a few values of an operator's file and keep every other byte.

Rules of this module:

1. An edit replaces whole lines, or the value in a line. The spelling found is kept: a
   table written as sub-tables, dotted keys or inline stays so.
2. The result is verified: the new text is parsed again and must mean the old values with
   exactly these edits, every line outside the edited entries must be unchanged, and the
   settings model must accept it. Otherwise the mutation fails and the text is unchanged.
3. A batch is parsed once and rendered once. A mutation that cannot be made fails alone.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rensei_daemon.core.config_entries import without_empty_containers
from rensei_daemon.core.document import Document, SettingsT, ValidConfig
from rensei_daemon.core.edit import ABSENT, Edit, apply_edits, copy_tables, differences
from rensei_daemon.core.length_limits import MAX_CONFIG_BYTES
from rensei_daemon.core.mutation import ModelAccessSet, Mutation, PoolRestored
from rensei_daemon.core.mutation_state import Outcome
from rensei_daemon.core.operations import edits_for
from rensei_daemon.core.toml_edit import TomlEditor
from rensei_daemon.core.toml_layout import Layout
from rensei_daemon.core.toml_rendering import render_key
from rensei_daemon.errors import (
    ConflictingMutationError,
    MutationError,
    RenseiError,
    UncheckedError,
)

Validate = Callable[[Document], SettingsT]
"""Returns the settings of an edited text; raises `SettingsError` if it has none."""


def apply_all(
    mutations: Sequence[Mutation | PoolRestored | MutationError],
    before: ValidConfig[SettingsT],
    validate: Validate[SettingsT],
    now: datetime,
) -> tuple[ValidConfig[SettingsT], list[Outcome]]:
    """Apply mutations in their order; return the new config and an outcome for each.

    A mutation that could not be parsed stands as its error. When the whole batch cannot be
    applied, its two halves are tried separately: only what cannot be applied fails, and
    the cost stays a few parses. Raises `ConflictingMutationError` when the text is not
    TOML at all.
    """
    try:
        tree = copy_tables(before.document.tree)
    except (ValueError, RecursionError) as error:
        raise ConflictingMutationError(f"the file is not valid TOML: {error}") from error
    outcomes = [_apply(mutation, tree, now) for mutation in mutations]
    try:
        return rewritten(before, tree, validate), outcomes
    except MutationError as error:
        if len(mutations) == 1:
            return before, [Outcome(error=str(error))]
        half = len(mutations) // 2
        middle, first = apply_all(mutations[:half], before, validate, now)
        last, second = apply_all(mutations[half:], middle, validate, now)
        return last, first + second


def _apply(
    mutation: Mutation | PoolRestored | MutationError, tree: dict[str, Any], now: datetime
) -> Outcome:
    try:
        if isinstance(mutation, MutationError):
            raise mutation
        edits = edits_for(mutation, tree, now)
    except MutationError as error:
        return Outcome(error=str(error))
    apply_edits(tree, edits)
    ignored = mutation.ignored if isinstance(mutation, ModelAccessSet) else ()
    return Outcome(edits=tuple(edits), ignored=ignored)


def rewritten(
    before: ValidConfig[SettingsT],
    values: Mapping[str, Any],
    validate: Validate[SettingsT],
) -> ValidConfig[SettingsT]:
    """Return the config that means these values, edited where it means others.

    Raises `ConflictingMutationError` when the text cannot be made to mean them, or when
    the settings model does not accept the result, and `UncheckedError` when nobody can
    tell whether it does.
    """
    document = before.document
    wanted = without_empty_containers(values, but=document.tree)
    edits = list(differences(document.tree, wanted))
    if not edits:
        return before
    try:
        result = _respelled(document, edits, wanted)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        raise _cannot_edit(edits) from error
    if len(result.text.encode()) > MAX_CONFIG_BYTES:
        raise ConflictingMutationError(
            f"the file would be larger than {MAX_CONFIG_BYTES // 2**20} MiB, "
            "and could not be read again"
        )
    try:
        return ValidConfig(result, validate(result))
    except UncheckedError:
        raise
    except RenseiError as error:
        message = f"the result would not be a valid configuration: {error}"
        raise ConflictingMutationError(message) from error


def _respelled(
    document: Document, edits: Sequence[Edit], wanted: Mapping[str, Any]
) -> Document:
    """Return the document with exactly these edits; raises ValueError."""
    layout = Layout(document.body)
    result = document.with_body(_spliced(layout, edits))
    missing = _missing(result, wanted)
    if missing and all(_is_empty_table(edit) for edit in missing):
        # A removed key was the only text of a table that has to stay.
        result = document.with_body(_spliced(Layout(result.body), missing))
        missing = _missing(result, wanted)
    if missing:
        raise ValueError("the edited text does not have the intended values")
    remaining = iter(layout.ended(result.body).split("\n"))
    if not all(line in remaining for line in layout.lines_outside(edits)):
        raise ValueError("a line that was not to be edited is gone")
    return result


def _missing(document: Document, wanted: Mapping[str, Any]) -> list[Edit]:
    """Return the edits that a document still lacks."""
    wanted = without_empty_containers(wanted, but=document.tree)
    return list(differences(document.tree, wanted))


def _is_empty_table(edit: Edit) -> bool:
    return edit.before is ABSENT and _is_empty(edit.after)


def _is_empty(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_empty, value.values()))


def _spliced(layout: Layout, edits: Sequence[Edit]) -> str:
    draft = TomlEditor(layout)
    for edit in edits:
        draft.make(edit)
    return draft.text()


def _cannot_edit(edits: Sequence[Edit]) -> ConflictingMutationError:
    return ConflictingMutationError(
        f"cannot edit {render_key(edits[0].path)} as it is spelled in the file; "
        "the file was left unchanged"
    )
