"""`exec`: start a worker with its session's credentials, and follow their rotations."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rensei_daemon.cli import PROGRAM
from rensei_daemon.cli.completion import command_line, one_of
from rensei_daemon.cli.control import find_daemon
from rensei_daemon.cli.credential_feed import CredentialFeed
from rensei_daemon.cli.options import config_option, session_option
from rensei_daemon.cli.progress import waiting_for
from rensei_daemon.cli.session_lookup import session_state
from rensei_daemon.cli.supervisor import Command, Reaction, Supervisor, become
from rensei_daemon.core.child_environment import child_environment
from rensei_daemon.core.escaping import escape_line
from rensei_daemon.delivery.credential_reader import CredentialReader, first_values
from rensei_daemon.errors import ControlError, DaemonNotRunningError, DeliveryError
from rensei_daemon.fast_dataclass import dataclass, field, replace
from rensei_daemon.locations import Locations

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _parse_on_rotate(_: click.Context, __: click.Parameter, value: str) -> Reaction | None:
    if value == "none":
        return None
    if value == "restart":
        return Reaction()
    return Reaction(_signal(value))


def _parse_stop_signal(_: click.Context, __: click.Parameter, value: str) -> signal.Signals:
    return _signal(value)


def _signal(word: str) -> signal.Signals:
    name = word.upper().removeprefix("SIG")
    known = _signals() | {str(int(number)): number for number in signal.Signals}
    if name not in known:
        raise click.BadParameter(f"{word} is no signal of this system")
    return known[name]


def _signals() -> dict[str, signal.Signals]:
    return {number.name.removeprefix("SIG"): number for number in signal.Signals}


class _Exec(click.Command):
    """A command line that ends with another command's, which has its own completions."""

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> "list[CompletionItem[str]]":
        if ctx.params.get("argv"):  # options of the command are not ours
            return command_line(ctx)
        return super().shell_complete(ctx, incomplete)


@click.command(
    "exec",
    cls=_Exec,
    context_settings={"allow_interspersed_args": False},
    no_args_is_help=True,
)
@session_option
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the daemon and its first snapshot.",
)
@click.option(
    "--without-credentials",
    is_flag=True,
    help="Start CMD all the same when there are none; it sees "
    "RENSEI_CREDENTIAL_SNAPSHOT_FAILED=1.",
)
@click.option(
    "--on-rotate",
    default="none",
    show_default=True,
    callback=_parse_on_rotate,
    metavar="none|restart|SIGNAL",
    shell_complete=one_of(lambda: ["none", "restart", *sorted(_signals())]),
    help="What happens to CMD when a credential rotates.",
)
@click.option(
    "--stop-signal",
    default="TERM",
    show_default=True,
    callback=_parse_stop_signal,
    metavar="SIGNAL",
    shell_complete=one_of(lambda: sorted(_signals())),
    help="What asks CMD to end, in a restart and at TERM.",
)
@click.option(
    "--grace",
    "grace_seconds",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Between the stop signal and KILL.",
)
@config_option
@click.argument(
    "argv",
    nargs=-1,
    required=True,
    metavar="CMD…",
    type=click.UNPROCESSED,
    shell_complete=lambda ctx, _, __: command_line(ctx),
)
def command(
    session_id: str | None,
    wait_seconds: float,
    without_credentials: bool,
    on_rotate: Reaction | None,
    stop_signal: signal.Signals,
    grace_seconds: float,
    config: Path | None,
    argv: Sequence[str],
) -> int:
    """Start CMD with a session's credentials in its environment.

    With --on-rotate none, CMD takes this process's place. Else it is supervised: signals
    go to it, its exit code comes back (128+n after signal n), and a rotation restarts it
    or sends it the signal.
    A restart, TERM, or the end of CMD itself ends everything that CMD started, daemons
    of its own too: the stop signal to each, and KILL after the grace.
    Exit codes: those of CMD; 127 CMD not found, 126 not startable; 3 the daemon is not
    running, 64 no such session, 77 not permitted, 1 no credentials in time.

    \b
    Examples:
      rensei-daemon exec -- ./worker --jobs 4
      rensei-daemon exec --session build --on-rotate HUP -- ./worker
    """  # noqa: D301 - \b is click's mark for a paragraph to leave alone
    locations = find_daemon(config)
    had = _ask(
        locations,
        session_id,
        wait_seconds,
        without_credentials,
        supervises=on_rotate is not None,
    )
    environment = partial(
        child_environment,
        callers_environment(),
        socket=str(locations.credential_socket),
        session_id=had.session_id,
    )
    if on_rotate is None or had.reader is None:
        become(argv, environment(had.values))
    supervised = Command(argv, environment, on_rotate, stop_signal, grace_seconds)
    return Supervisor(supervised, CredentialFeed(had.reader, had.values)).run()


def callers_environment() -> dict[str, str]:
    """Return our original environment.

    In the C locale Python sets `LC_CTYPE` for itself, which a worker must not inherit.
    """
    environ = dict(os.environ)
    with suppress(OSError):
        given = Path("/proc/self/environ").read_bytes()
        if not any(entry.startswith(b"LC_CTYPE=") for entry in given.split(b"\0")):
            environ.pop("LC_CTYPE", None)
    return environ


@dataclass(frozen=True, slots=True)
class _SessionStart:
    """The values found at the start; without a session to follow, there is no reader."""

    session_id: str | None = None
    reader: CredentialReader | None = None
    values: Mapping[str, str] | None = field(default=None, repr=False)


def _ask(
    locations: Locations,
    session_id: str | None,
    wait_seconds: float,
    without_credentials: bool,
    *,
    supervises: bool,
) -> _SessionStart:
    deadline = time.monotonic() + wait_seconds
    had = _SessionStart(session_id)
    try:
        with waiting_for("the daemon and its first snapshot"):
            if session_id is None:
                session_id = session_state(locations, None, wait_seconds=wait_seconds).id
            path = locations.credential_socket
            reader = CredentialReader(path, session_id, acknowledges=supervises)
            had = _SessionStart(session_id, reader)
            left = max(deadline - time.monotonic(), 0.0)
            return replace(had, values=first_values(reader, wait_seconds=left))
    except (ControlError, DeliveryError) as error:
        if isinstance(error, DaemonNotRunningError):
            error.hint = f"start it: {locations.start_command}"
        if not without_credentials:
            raise
        click.echo(
            f"{PROGRAM}: {escape_line(str(error))}; going on without credentials", err=True
        )
        return had
