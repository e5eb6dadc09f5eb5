"""`credentials get`: one value, for a script that needs it once."""

import sys
from contextlib import closing
from pathlib import Path

import click

from rensei_daemon.cli.control import find_daemon
from rensei_daemon.cli.options import Seconds, config_option, session_option
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.cli.session_lookup import session_state
from rensei_daemon.core.escaping import escape_line
from rensei_daemon.delivery.credential_reader import CredentialReader, first_values
from rensei_daemon.errors import DaemonNotRunningError, DeliveryError, UsageError


@click.command("get")
@click.argument("name")
@session_option
@click.option(
    "--timeout",
    "timeout_seconds",
    type=Seconds(min=0),
    default=5.0,
    show_default=True,
    metavar="S",
    help="How long to wait for the daemon and its first snapshot.",
)
@click.option("--reveal", is_flag=True, help="Print it on a terminal too.")
@config_option
@json_option
def get(
    name: str,
    session_id: str | None,
    timeout_seconds: float,
    reveal: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Print one value of a session to a pipe, exactly as it is, without a line end.

    On a terminal it is refused, because a value on a screen is in its history too. A value
    in a shell's variable is read once: a worker that runs on follows the socket instead.

    Exit codes: 0 printed; 1 no such name, or no credentials in time; 3 the daemon is not
    running, 64 no such session, or a terminal; 77 not permitted.

    \b
    Example:
      rensei-daemon credentials get DB_PASSWORD --session build | psql-login
    """  # noqa: D301 - \b is click's mark for a paragraph to leave alone
    is_terminal = sys.stdout.isatty()
    if is_terminal and not reveal:
        raise UsageError(
            "a credential is not printed on a terminal",
            hint="send it through a pipe, or add --reveal",
        )
    value = _value(name, session_id, timeout_seconds, config)
    if as_json:
        print_json({"name": name, "value": value})
        return
    sys.stdout.buffer.write(value.encode())
    if is_terminal:
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def _value(
    name: str, session_id: str | None, wait_seconds: float, config: Path | None
) -> str:
    locations = find_daemon(config)
    if session_id is None:
        session_id = session_state(locations, None, wait_seconds=wait_seconds).id
    with closing(CredentialReader(locations.credential_socket, session_id)) as reader:
        try:
            values = first_values(reader, wait_seconds=wait_seconds)
        except DaemonNotRunningError as error:
            error.hint = f"start it: {locations.start_command}"
            raise
    if name not in values:
        raise DeliveryError(
            f"session {session_id} has no {escape_line(name)}",
            hint="see the names: rensei-daemon credentials list",
        )
    return values[name]
