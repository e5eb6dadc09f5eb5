"""Starts a worker with its sessions' credentials; `cli.exec` has its command line.

Imports little, and no library: it runs before every start of a worker, and most workers
take this process's place. What supervises others is imported for them.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rensei_daemon.cli import PROGRAM
from rensei_daemon.cli.command_start import become
from rensei_daemon.cli.control import find_daemon
from rensei_daemon.cli.merged_sessions import Rename, Values, merged, require_applicable
from rensei_daemon.cli.session_lookup import session_state
from rensei_daemon.core.child_environment import child_environment
from rensei_daemon.delivery.credential_reader import CredentialReader, first_values
from rensei_daemon.errors import (
    ControlError,
    DaemonNotRunningError,
    DeliveryError,
    NotInTimeError,
)
from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.locations import Locations

if TYPE_CHECKING:
    from rensei_daemon.cli.supervisor import Command

WAIT_SECONDS = 30.0
"""How long to wait for the daemon and its first snapshot, if nothing is said of it."""
REPORT_SECONDS = 5.0
"""After which a wait is reported; a daemon that just starts needs less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """How a worker is supervised that does not take this process's place."""

    command: "Command"
    splay_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What to start, and with what."""

    argv: Sequence[str]
    session_ids: Sequence[str] = ()
    """Empty: the only one."""
    renames: Sequence[Rename] = ()
    wait_seconds: float = WAIT_SECONDS
    is_tried_later: bool = False
    """Whether `NotInTimeError` says that there are no credentials in time."""
    without_credentials: bool = False
    """Whether to go on without those that cannot be had."""
    supervision: Supervision | None = None


@dataclass(slots=True)
class _Session:
    reader: CredentialReader
    values: Mapping[str, str] | None = field(default=None, repr=False)
    """None if there are none."""


def start_worker(worker: Worker, *, config: Path | None = None) -> int:
    """Become the worker, or supervise it and return its exit code.

    Raises `NotRunnableError`, and what finding the daemon and asking it raises.
    """
    locations = find_daemon(config)
    try:
        sessions = _ask(locations, worker)
    except (ControlError, DeliveryError) as error:
        if not worker.is_tried_later:
            raise
        raise NotInTimeError(
            f"no credentials within {worker.wait_seconds:g} s: {error}", hint=error.hint
        ) from None
    ids = [session.reader.session_id for session in sessions]
    make = partial(_environment, locations, ids, worker.renames)
    if worker.supervision is None or not sessions:
        become(worker.argv, make(tuple(session.values for session in sessions)))
    from rensei_daemon.cli.credential_feed import CredentialFeed
    from rensei_daemon.cli.sessions_feed import SessionsFeed
    from rensei_daemon.cli.supervisor import Supervisor

    feeds = [CredentialFeed(session.reader, session.values) for session in sessions]
    feed = SessionsFeed(feeds, make, splay_seconds=worker.supervision.splay_seconds)
    return Supervisor(worker.supervision.command, feed).run()


def _environment(
    locations: Locations,
    session_ids: Sequence[str],
    renames: Sequence[Rename],
    values: Values,
) -> dict[str, str]:
    return child_environment(
        _callers_environment(),
        merged(session_ids, values, renames),
        socket=str(locations.credential_socket),
        session_id=session_ids[0] if session_ids else None,
        is_whole=bool(values) and None not in values,
    )


def _callers_environment() -> dict[str, str]:
    """Return our original environment.

    In the C locale Python sets `LC_CTYPE` for itself, which a worker must not inherit.
    """
    environ = dict(os.environ)
    with suppress(OSError):
        given = Path("/proc/self/environ").read_bytes()
        if not any(entry.startswith(b"LC_CTYPE=") for entry in given.split(b"\0")):
            environ.pop("LC_CTYPE", None)
    return environ


def _ask(locations: Locations, worker: Worker) -> list[_Session]:
    """Return the sessions with their first values; none if no session can be found."""
    deadline = time.monotonic() + worker.wait_seconds
    ids = list(dict.fromkeys(worker.session_ids))
    with _waiting(worker.wait_seconds):
        if not ids:
            with _tolerated(locations, worker):
                state = session_state(locations, None, wait_seconds=worker.wait_seconds)
                ids.append(state.id)
        if ids:  # before a wait for values, which would be in vain
            require_applicable(ids, worker.renames)
        path, acknowledges = locations.credential_socket, worker.supervision is not None
        sessions = []
        for id_ in ids:
            session = _Session(CredentialReader(path, id_, acknowledges=acknowledges))
            sessions.append(session)
            with _tolerated(locations, worker):
                left = max(deadline - time.monotonic(), 0.0)
                session.values = first_values(session.reader, wait_seconds=left)
        return sessions


def _waiting(seconds: float) -> AbstractContextManager[None]:
    """Show what is waited for; where nobody looks, the log of a unit has it once."""
    if sys.stderr is None:
        return nullcontext()
    if not sys.stderr.isatty():
        return _reported_later(seconds)
    from rensei_daemon.cli.progress import waiting_for

    return waiting_for("the daemon and its first snapshot")


@contextmanager
def _reported_later(seconds: float) -> Iterator[None]:
    """Say that the block waits once it has for a while, by a timer of the process.

    A thread for it would make every start of a worker slower. A timer that the caller has
    set, as in `perl -e 'alarm 60; exec @ARGV'`, is the worker's.
    """
    if signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def report(*_: object) -> None:
        upto = f", for up to {seconds:g} s" if seconds < float("inf") else ""
        said = f"waiting for the daemon and its first snapshot{upto}"
        with suppress(OSError):  # nobody reads it
            print(f"{PROGRAM}: {said}", file=sys.stderr, flush=True)

    try:
        before = signal.signal(signal.SIGALRM, report)
    except ValueError:  # not the main thread of a process that has imported this
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, REPORT_SECONDS)
    try:
        yield
    finally:  # it would go on in the worker
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _tolerated(locations: Locations, worker: Worker) -> Iterator[None]:
    """Say what fails, and go on, if that was asked for."""
    try:
        yield
    except (ControlError, DeliveryError) as error:
        if isinstance(error, DaemonNotRunningError):
            error.hint = f"start it: {locations.start_command}"
        if not worker.without_credentials:
            raise
        from rensei_daemon.core.escaping import escape_line

        said = f"{escape_line(str(error))}; going on without credentials"
        print(f"{PROGRAM}: {said}", file=sys.stderr)
