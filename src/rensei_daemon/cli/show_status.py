"""Shows whether the daemon is healthy, why not, and what to do."""

import json
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from rensei_daemon.cli.control import ask, find_daemon
from rensei_daemon.cli.daemon_address import daemon_at
from rensei_daemon.cli.status_screen import render
from rensei_daemon.cli.terminal import Terminal, clean_lines, measure, tolerate
from rensei_daemon.cli.unresponsive_daemon import (
    inspect_lock_holder,
    to_json,
    with_process_facts,
)
from rensei_daemon.control_api.schema import STATUS
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.iso_time import iso_time
from rensei_daemon.disk.last_status import read_last_status
from rensei_daemon.disk.processes import ProcessFacts
from rensei_daemon.errors import DaemonNotRunningError, DaemonSilentError, RenseiError
from rensei_daemon.locations import Locations
from rensei_daemon.version import difference

WATCH_SECONDS = 1.0
EXIT_CODES = {"ok": 0, "starting": 1, "degraded": 1, "stopping": 1, "failed": 2}
CLEAR_SCREEN, HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"


def show(*, as_json: bool, watch: bool, config: Path | None) -> int:
    """Print the state, and return the exit code; with `watch`, print it again and again."""
    locations = find_daemon(config)
    terminal = measure(sys.stdout, os.environ)
    tolerate(sys.stdout)
    if watch:
        _watch(locations, terminal, as_json)
    text, exit_code = look(locations, terminal, as_json)
    _print(text)
    return exit_code


def _print(text: str) -> None:
    print(text, end="", flush=True)


def _watch(locations: Locations, terminal: Terminal, as_json: bool) -> NoReturn:
    in_place = terminal.is_tty and not as_json
    if in_place:
        _print(CLEAR_SCREEN)
    while True:
        try:
            text, _ = look(locations, terminal, as_json)
        except RenseiError as error:
            # The daemon may come back, so keep watching.
            text = clean_lines(f"{error}\n  {error.hint}\n")
        _print(redraw(text) if in_place else text)
        time.sleep(WATCH_SECONDS)


def redraw(text: str) -> str:
    """Draw a screen over the one before, without clearing, which would flicker."""
    return HOME + text.replace("\n", f"{CLEAR_LINE}\n") + CLEAR_BELOW


def look(locations: Locations, terminal: Terminal, as_json: bool) -> tuple[str, int]:
    """Return (output, exit code) for the current daemon.

    If no daemon runs, it is the last status on disk, for users who may read it; for others
    DaemonNotRunningError.
    """
    now = datetime.now(UTC)
    try:
        status = ask(locations, STATUS)
    except (DaemonNotRunningError, DaemonSilentError) as error:
        last, facts = read_last_status(locations.status), None
        if isinstance(error, DaemonSilentError) and (
            facts := inspect_lock_holder(locations)
        ):
            error = with_process_facts(error, facts, last)
        error.hint = daemon_at(locations).hint(error.hint)
        is_silent = isinstance(error, DaemonSilentError)
        if not as_json if is_silent else last is None:
            raise error from None
        return _show_last(last, error, facts, terminal, as_json, now), error.exit_code
    if what := difference(status.get("version")):
        status.setdefault("conditions", []).append(_outdated(what, locations, now))
    exit_code = EXIT_CODES.get(status.get("state", ""), 1)
    if as_json:
        return json.dumps(status, indent=2) + "\n", exit_code
    screen = render(status, width=terminal.width, colour=terminal.colour, now=now)
    return screen, exit_code


def _outdated(what: str, locations: Locations, now: datetime) -> dict[str, Any]:
    """Return the one condition that a daemon cannot know: another version is installed."""
    return {
        "code": Code.PROGRAM_OUTDATED,
        "severity": Code.PROGRAM_OUTDATED.severity,
        "message": what,
        "hint": locations.restart_command,
        "since": iso_time(now),
        "subject": "",
        "because_of": None,
    }


def _show_last(
    last: Mapping[str, Any] | None,
    error: DaemonNotRunningError | DaemonSilentError,
    facts: ProcessFacts | None,
    terminal: Terminal,
    as_json: bool,
    now: datetime,
) -> str:
    if as_json:
        # null, so that a script that reads only `state` is not misled by `last`.
        answer = {
            "state": None,
            "error": str(error),
            "hint": error.hint,
            "process": to_json(facts),
            "age_seconds": _age_seconds(last, now) if last else None,
            "last": last,
        }
        return json.dumps(answer, indent=2) + "\n"
    screen = render(
        last or {}, width=terminal.width, colour=terminal.colour, now=now, alive=False
    )
    return f"{screen}\n" + clean_lines(f"{error}\n  {error.hint}\n")


def _age_seconds(last: Mapping[str, Any], now: datetime) -> int | None:
    if not last.get("reported_at"):
        return None
    return int((now - datetime.fromisoformat(last["reported_at"])).total_seconds())
