"""`exec`: start a worker with its session's credentials, and follow their rotations."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rensei_daemon.cli import PROGRAM
from rensei_daemon.cli.completion import command_line, one_of
from rensei_daemon.cli.control import find_daemon
from rensei_daemon.cli.credential_feed import CredentialFeed
from rensei_daemon.cli.merged_sessions import Rename, Values, merged, parse_rename
from rensei_daemon.cli.options import config_option, sessions_option
from rensei_daemon.cli.progress import waiting_for
from rensei_daemon.cli.session_lookup import session_state
from rensei_daemon.cli.sessions_feed import SessionsFeed
from rensei_daemon.cli.supervisor import Command, Reaction, Supervisor, become
from rensei_daemon.core.child_environment import child_environment
from rensei_daemon.core.escaping import escape_line
from rensei_daemon.delivery.credential_reader import CredentialReader, first_values
from rensei_daemon.errors import (
    ControlError,
    DaemonNotRunningError,
    DeliveryError,
    NotInTimeError,
    UsageError,
)
from rensei_daemon.fast_dataclass import dataclass
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


def _parse_renames(
    _: click.Context, __: click.Parameter, texts: Sequence[str]
) -> list[Rename]:
    try:
        return [parse_rename(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


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
@sessions_option
@click.option(
    "--rename",
    "renames",
    multiple=True,
    callback=_parse_renames,
    metavar="[SESSION:]OLD=NEW",
    help="Give CMD a value under another name; may be repeated.",
)
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
    "--fail-after",
    "fail_after_seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="In the place of --wait: exit with 75 then, so that a container is started "
    "again later.",
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
    "--splay",
    "splay_seconds",
    type=click.FloatRange(min=0, max=86_400),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait a random time of up to so long before each restart or signal.",
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
    session_ids: Sequence[str],
    renames: Sequence[Rename],
    wait_seconds: float,
    fail_after_seconds: float | None,
    without_credentials: bool,
    on_rotate: Reaction | None,
    splay_seconds: float,
    stop_signal: signal.Signals,
    grace_seconds: float,
    config: Path | None,
    argv: Sequence[str],
) -> int:
    """Start CMD with the credentials of its sessions in its environment.

    With --on-rotate none, CMD takes this process's place. Else it is supervised: signals
    go to it, its exit code comes back (128+n after signal n), and a rotation restarts it
    or sends it the signal; one of several sessions is enough, and if they rotate
    together it is done once.
    A restart, TERM, or the end of CMD itself ends everything that CMD started, daemons
    of its own too: the stop signal to each, and KILL after the grace.
    Exit codes: those of CMD; 127 CMD not found, 126 not startable; 3 the daemon is not
    running, 64 no such session, or two values of one name, 77 not permitted, 1 no
    credentials in time; 75 in the place of 1 and 3 with --fail-after.

    \b
    Examples:
      rensei-daemon exec -- ./worker --jobs 4
      rensei-daemon exec --session build --on-rotate HUP -- ./worker
      rensei-daemon exec --session a --session b --rename b:TOKEN=B_TOKEN -- ./worker
    """  # noqa: D301 - \b is click's mark for a paragraph to leave alone
    if without_credentials and fail_after_seconds is not None:
        raise UsageError("--fail-after and --without-credentials exclude each other")
    locations = find_daemon(config)
    request = _Request(
        session_ids,
        wait_seconds if fail_after_seconds is None else fail_after_seconds,
        without_credentials,
        supervises=on_rotate is not None,
    )
    try:
        feeds = _ask(locations, request)
    except (ControlError, DeliveryError) as error:
        if fail_after_seconds is None:
            raise
        raise NotInTimeError(
            f"no credentials within {fail_after_seconds:g} s: {error}", hint=error.hint
        ) from None
    make = partial(_environment, locations, [f.reader.session_id for f in feeds], renames)
    if on_rotate is None or not feeds:
        become(argv, make(tuple(feed.values for feed in feeds)))
    supervised = Command(argv, on_rotate, stop_signal, grace_seconds)
    feed = SessionsFeed(feeds, make, splay_seconds=splay_seconds)
    return Supervisor(supervised, feed).run()


def _environment(
    locations: Locations,
    session_ids: Sequence[str],
    renames: Sequence[Rename],
    values: Values,
) -> dict[str, str]:
    return child_environment(
        callers_environment(),
        merged(session_ids, values, renames),
        socket=str(locations.credential_socket),
        session_id=session_ids[0] if session_ids else None,
        is_whole=bool(values) and None not in values,
    )


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
class _Request:
    session_ids: Sequence[str]
    """Empty: the only one."""
    wait_seconds: float
    without_credentials: bool
    """Whether to go on without those that cannot be had."""
    supervises: bool


def _ask(locations: Locations, request: _Request) -> list[CredentialFeed]:
    """Return the sessions with their first values; none if no session can be found."""
    deadline = time.monotonic() + request.wait_seconds
    ids = list(dict.fromkeys(request.session_ids))
    with waiting_for("the daemon and its first snapshot"):
        if not ids:
            with _tolerated(locations, request):
                state = session_state(locations, None, wait_seconds=request.wait_seconds)
                ids.append(state.id)
        feeds = []
        for id_ in ids:
            path = locations.credential_socket
            reader = CredentialReader(path, id_, acknowledges=request.supervises)
            feed = CredentialFeed(reader, None)
            feeds.append(feed)
            with _tolerated(locations, request):
                left = max(deadline - time.monotonic(), 0.0)
                feed.values = first_values(reader, wait_seconds=left)
        return feeds


@contextmanager
def _tolerated(locations: Locations, request: _Request) -> Iterator[None]:
    """Say what fails, and go on, if that was asked for."""
    try:
        yield
    except (ControlError, DeliveryError) as error:
        if isinstance(error, DaemonNotRunningError):
            error.hint = f"start it: {locations.start_command}"
        if not request.without_credentials:
            raise
        click.echo(
            f"{PROGRAM}: {escape_line(str(error))}; going on without credentials", err=True
        )
