"""What a mutation would do to the current file: parsed, checked and edited, not written."""

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rensei_daemon.cli.config_file import read_config
from rensei_daemon.core.document import Document, ValidConfig
from rensei_daemon.core.document_editing import apply_all
from rensei_daemon.core.guards import Guards
from rensei_daemon.core.mutation import parse_mutation
from rensei_daemon.errors import ConflictingMutationError
from rensei_daemon.settings.loading import check_settings, load


def preview(
    config: Path, op: str, params: Mapping[str, Any], *, now: datetime
) -> tuple[Document, Document]:
    """Return the current text and the text after the mutation.

    Raises `MutationError` with the text it would fail with, `SettingsError` if the file
    cannot be used and so not be edited, `NotPermittedError` if this user may not read it.
    """
    before = Document(read_config(config))
    settings = load(before.text, path=config, environ=os.environ)
    mutations = settings.mutations
    guards = Guards(allow=mutations.allow, protected_projects=mutations.protected_projects)
    mutation = parse_mutation(op, params)
    guards.check(op, mutation)
    config_now = ValidConfig(before, settings)
    after, [outcome] = apply_all(
        [mutation], config_now, lambda document: check_settings(document.tree), now
    )
    if outcome.error:
        raise ConflictingMutationError(outcome.error)
    return before, after.document
