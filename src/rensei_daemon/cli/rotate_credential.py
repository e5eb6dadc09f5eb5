"""`credentials rotate KIND`: have the platform resolve a credential again and send it."""

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rensei_daemon.cli.options import Seconds, config_option
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.cli.progress import Progress, progress
from rensei_daemon.cli.terminal import clean
from rensei_daemon.core.worker import claims
from rensei_daemon.disk.identity_file import IdentityFile
from rensei_daemon.errors import UsageError

if TYPE_CHECKING:  # `credentials list` and `wait` need nothing of a request
    from rensei_daemon.cli.operator_access import OperatorAccess
    from rensei_daemon.platform_api.operator_client import Rotation
    from rensei_daemon.platform_api.rotation_receipt import Receipt


@click.command("rotate")
@click.argument("kind")
@click.option("--org", metavar="ID", help="The organisation, instead of this host's own.")
@click.option("--wait", is_flag=True, help="Follow it until the old value can be revoked.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=Seconds(min=0),
    default=300.0,
    show_default=True,
    metavar="S",
    help="With --wait: give up after so many seconds.",
)
@click.option(
    "--accept-unknown",
    is_flag=True,
    help="With --wait: pass sessions that cannot tell.",
)
@click.option(
    "--without",
    multiple=True,
    metavar="HOST",
    help="With --wait: a host that does not count, by name or id; may be repeated.",
)
@config_option
@json_option
def rotate(
    kind: str,
    org: str | None,
    wait: bool,
    timeout_seconds: float,
    accept_unknown: bool,
    without: tuple[str, ...],
    config: Path | None,
    as_json: bool,
) -> None:
    """Have the platform resolve KIND again and send it to every session.

    With --wait it names who is behind, and ends with 0 only when it is safe to revoke the
    old value; with 1 if it is not in time, or if the platform cannot tell. Then it says
    what is known of this host.

    Example: rensei-daemon credentials rotate anthropic --wait
    """
    from rensei_daemon.cli.follow_rotation import Patience, follow
    from rensei_daemon.cli.operator_access import operator_access

    asking = operator_access(config)
    org_id = org or _org_of(asking)
    done = asking.ask(lambda platform: platform.rotate_credential(org_id, kind))
    if not as_json:
        count = done.session_count
        sessions = "1 session" if count == 1 else f"{count} sessions"
        click.echo(f"rotated {clean(done.kind)}: sent to {sessions}")
    receipt: Receipt | None = None
    if wait and done.id:
        with progress() as shown:
            patience = Patience(
                seconds=timeout_seconds,
                accept_unknown=accept_unknown,
                without=without,
                show=(lambda _: None) if as_json else partial(_echo_over, shown),
                wait=shown.show,
            )
            receipt = asking.ask(lambda platform: follow(platform, done.id, patience))
    if as_json:
        _print_result(done, org_id, receipt)
        if wait and not (receipt and receipt.is_safe):
            sys.exit(1)
    elif wait:
        _conclude(asking, done.id, receipt)


def _echo_over(shown: Progress, line: str) -> None:
    shown.erase()
    click.echo(line)


def _print_result(done: "Rotation", org_id: str, receipt: "Receipt | None") -> None:
    print_json(
        {
            "kind": done.kind,
            "org_id": org_id,
            "sessions": done.session_count,
            "rotated_at": done.rotated_at or None,
            "rotation_id": done.id or None,
            "receipt": receipt and asdict(receipt),
        }
    )


def _conclude(
    asking: "OperatorAccess", rotation_id: str, receipt: "Receipt | None"
) -> None:
    """Say whether the old value can be revoked, or what is known of this host alone."""
    from rensei_daemon.cli.follow_rotation import conclude, show_this_host

    if receipt is not None:
        conclude(receipt, rotation_id)
    else:
        show_this_host(asking.locations if asking.is_of_this_host else None)


def _org_of(asking: "OperatorAccess") -> str:
    """Return the organisation of the environment, the file or the runtime token."""
    if asking.org_id:
        return asking.org_id
    org: object = None
    if asking.is_of_this_host:
        locations = asking.locations
        worker = IdentityFile(locations.identity, locations.token).read()
        org = claims(worker.token).get("org") if worker else None
    if not isinstance(org, str) or not org:
        raise UsageError(
            "which organisation? Neither RENSEI_ORG_ID, the file nor a runtime token says",
            hint="name it with --org, or once and for all: platform.org_id",
        )
    return org
