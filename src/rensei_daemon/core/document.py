"""The edit: a few places of a person's file changed, every other byte left alone.

Rules of this file:

1. A `Document` is text. What it means is read from the text, never kept beside it.
2. An edit splices whole lines, or the value of one line. The spelling found is kept: a
   table written as sub-tables, dotted keys or inline goes on that way.
3. Nothing is believed: the new text is parsed again and must mean the old values with
   exactly the edits made, and the settings model must accept it. Otherwise the mutation
   fails and the text stays as it was.
4. A batch is parsed once and rendered once. One mutation that cannot be made fails alone.
"""

import hashlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from rensei_daemon.core.edit import (
    ABSENT,
    Edit,
    apply_edits,
    differences,
    look_up,
    same,
    thawed,
)
from rensei_daemon.core.inline import render_key
from rensei_daemon.core.layout import Layout
from rensei_daemon.core.mutation import Mutation, PoolRestored
from rensei_daemon.core.operations import edits_for
from rensei_daemon.core.splice import Draft
from rensei_daemon.errors import ConflictingMutationError, MutationError, RenseiError

Accept = Callable[[Mapping[str, Any]], None]
"""The settings model's check of a whole file; raises `RenseiError`."""


@dataclass(frozen=True)
class Document:
    """One exact text of the configuration file."""

    text: str

    @cached_property
    def tree(self) -> dict[str, Any]:
        """What the text means; raises `tomllib.TOMLDecodeError` for nonsense."""
        return tomllib.loads(self.text)

    @cached_property
    def digest(self) -> str:
        """Name this text: hex SHA-256."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one mutation: its edits (none: all of it already held), or why not."""

    edits: tuple[Edit, ...] = ()
    error: MutationError | None = None


def apply_all(
    mutations: Sequence[Mutation | PoolRestored],
    document: Document,
    accept: Accept,
    now: datetime,
) -> tuple[Document, list[Outcome]]:
    """Apply mutations in their order; return the new document and an outcome for each.

    When the whole batch cannot be made, its halves are tried apart, so that what fails is
    only what cannot be made, and the cost stays a few parses. Raises
    `ConflictingMutationError` when today's text is not TOML at all.
    """
    try:
        tree = thawed(document.tree)
    except (ValueError, RecursionError) as error:
        raise ConflictingMutationError(f"the file is not valid TOML: {error}") from error
    outcomes = [_apply(mutation, tree, now) for mutation in mutations]
    # In the order they were first touched; a dict, because a set has none.
    touched = dict.fromkeys(edit.path[0] for outcome in outcomes for edit in outcome.edits)
    net = [
        edit
        for top in touched
        for edit in differences(
            look_up(document.tree, (top,)), tree.get(top, ABSENT), (top,)
        )
    ]
    try:
        return edited(document, net, accept), outcomes
    except MutationError as error:
        if len(mutations) == 1:
            return document, [Outcome(error=error)]
        half = len(mutations) // 2
        middle, first = apply_all(mutations[:half], document, accept, now)
        last, second = apply_all(mutations[half:], middle, accept, now)
        return last, first + second


def _apply(
    mutation: Mutation | PoolRestored, tree: dict[str, Any], now: datetime
) -> Outcome:
    try:
        edits = edits_for(mutation, tree, now)
    except MutationError as error:
        return Outcome(error=error)
    apply_edits(tree, edits)
    return Outcome(edits=tuple(edits))


def edited(document: Document, edits: Sequence[Edit], accept: Accept) -> Document:
    """Return the document with exactly these edits made.

    Raises `ConflictingMutationError` when the text cannot be made to mean that, or when
    the settings model does not accept the result.
    """
    if not edits:
        return document
    expected = thawed(document.tree)
    apply_edits(expected, edits)
    try:
        result = _spliced(document, edits)
        if not same(result.tree, expected):
            # A table that lost its last line is spelled again, empty.
            result = _spliced(result, list(differences(result.tree, expected)))
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        raise _cannot_edit(edits) from error
    if not same(result.tree, expected):
        raise _cannot_edit(edits)
    try:
        accept(result.tree)
    except RenseiError as error:
        message = f"the result would not be a valid configuration: {error}"
        raise ConflictingMutationError(message) from error
    return result


def _cannot_edit(edits: Sequence[Edit]) -> ConflictingMutationError:
    return ConflictingMutationError(
        f"cannot edit {render_key(edits[0].path)} as it is spelled in the file; "
        "the file was left unchanged"
    )


def _spliced(document: Document, edits: Sequence[Edit]) -> Document:
    draft = Draft(Layout(document.text))
    for edit in edits:
        draft.make(edit)
    return Document(draft.text())
