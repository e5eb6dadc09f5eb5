"""What a mutation would do to today's file: parsed, guarded and edited, never written."""

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rensei_daemon.cli.config_file import read_config
from rensei_daemon.core.document import Document, ValidConfig, apply_all
from rensei_daemon.core.guards import Guards
from rensei_daemon.core.mutation import parse_mutation
from rensei_daemon.errors import ConflictingMutationError
from rensei_daemon.settings.loading import check_settings, load


def preview(
    config: Path, op: str, params: Mapping[str, Any], *, now: datetime
) -> tuple[Document, Document]:
    """Return today's text and what the mutation would make of it.

    Raises `MutationError` with the text it would fail with, and `SettingsError` for a
    file that cannot be used, and so not be edited, `NotPermittedError` for one that this
    user may not read.
    """
    before = read_config(config)
    settings = load(before.text, path=config, environ=os.environ)
    mutations = settings.mutations
    guards = Guards(allow=mutations.allow, protected_projects=mutations.protected_projects)
    mutation = parse_mutation(op, params)
    guards.check(op, mutation)
    config_now = ValidConfig(before, settings)
    after, [outcome] = apply_all([mutation], config_now, check_settings, now)
    if outcome.error:
        raise ConflictingMutationError(outcome.error)
    return before, after.document
