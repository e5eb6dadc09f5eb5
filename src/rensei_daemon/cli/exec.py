"""`exec`: start a worker with its session's credentials, and follow their rotations."""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rensei_daemon.cli.completion import command_line, one_of
from rensei_daemon.cli.merged_sessions import Rename, parse_rename
from rensei_daemon.cli.options import Seconds, config_option, sessions_option
from rensei_daemon.cli.start_worker import WAIT_SECONDS, Supervision, Worker, start_worker
from rensei_daemon.cli.supervisor import Command, Reaction
from rensei_daemon.errors import UsageError

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
    type=Seconds(min=0),
    default=WAIT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the daemon and its first snapshot.",
)
@click.option(
    "--fail-after",
    "fail_after_seconds",
    type=Seconds(min=0),
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
    type=Seconds(min=0, max=86_400),
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
    type=Seconds(min=0),
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
    supervision = None
    if on_rotate is not None:
        command = Command(argv, on_rotate, stop_signal, grace_seconds)
        supervision = Supervision(command=command, splay_seconds=splay_seconds)
    worker = Worker(
        argv=argv,
        session_ids=session_ids,
        renames=renames,
        wait_seconds=wait_seconds if fail_after_seconds is None else fail_after_seconds,
        is_tried_later=fail_after_seconds is not None,
        without_credentials=without_credentials,
        supervision=supervision,
    )
    return start_worker(worker, config=config)
