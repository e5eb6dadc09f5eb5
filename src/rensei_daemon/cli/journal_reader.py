"""Reads the record: through the daemon, or from its journal while it is down or hangs."""

import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from rensei_daemon.cli import PROGRAM
from rensei_daemon.cli.control import send_command
from rensei_daemon.cli.terminal import clean_lines
from rensei_daemon.control_api.schema import Endpoint
from rensei_daemon.core.history import EditRecord, unified
from rensei_daemon.disk.journal_records import JournalRecords, open_records
from rensei_daemon.errors import (
    ControlError,
    DaemonNotRunningError,
    DaemonSilentError,
    NotPermittedError,
    StorageError,
)
from rensei_daemon.locations import Locations

TIMEOUT_SECONDS = 15.0

_T = TypeVar("_T")


def read_records(
    locations: Locations, endpoint: Endpoint[_T], read: Callable[[JournalRecords], _T]
) -> _T:
    """Return the daemon's answer, or what `read` finds in its journal if there is none.

    Of a daemon that hangs this is said on stderr, because its journal may be behind.
    Raises what `control.send_command` does, but `DaemonNotRunningError` only if there is
    no journal either, and `NotPermittedError` if the caller may not read it.
    """
    try:
        return send_command(locations, endpoint, timeout_seconds=TIMEOUT_SECONDS)
    except DaemonNotRunningError as error:
        try:
            with open_records(locations.journal) as records:
                return read(records)
        except FileNotFoundError:
            raise error from None
    except ControlError as error:
        if not isinstance(error.__cause__, DaemonSilentError):
            raise
        try:
            with open_records(locations.journal) as records:
                found = read(records)
        except (FileNotFoundError, NotPermittedError, StorageError):
            raise error from None  # what has to be corrected first
        print(f"{PROGRAM}: {error}; this is from its journal", file=sys.stderr)
        return found


def show_diff(before: str | None, after: str | None, *, name: str) -> str:
    """Return the unified diff, or a line that says why there is none."""
    if before is None or after is None:
        return (
            "(the texts before and after are no longer kept: only the last 50 changes')\n"
        )
    return clean_lines(unified(before, after, name=name)) or "(the text is the same)\n"


def edit_lines(edits: list[EditRecord]) -> list[str]:
    """Return a line for each edit: `projects.a.enabled: true -> false`."""
    return [
        f"{edit['path']}: {_told(edit['before'])} -> {_told(edit['after'])}"
        for edit in edits
    ]


def _told(value: Any) -> str:
    return "(absent)" if value is None else json.dumps(value, ensure_ascii=False)
