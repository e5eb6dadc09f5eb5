"""`credentials rotate KIND`: have the platform resolve a credential again and send it."""

from pathlib import Path

import click

from rensei_daemon.cli.control import config_option
from rensei_daemon.cli.operator_access import OperatorAccess, operator_access
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.cli.terminal import clean
from rensei_daemon.core.worker import claims
from rensei_daemon.disk.identity_file import IdentityFile
from rensei_daemon.errors import UsageError


@click.command("rotate")
@click.argument("kind")
@click.option("--org", metavar="ID", help="The organisation, instead of this host's own.")
@config_option
@json_option
def rotate(kind: str, org: str | None, config: Path | None, as_json: bool) -> None:
    """Have the platform resolve the credential KIND anew and send it to every session.

    Example: rensei-daemon credentials rotate anthropic
    """
    asking = operator_access(config)
    org_id = org or _org_of(asking)
    done = asking.ask(lambda platform: platform.rotate_credential(org_id, kind))
    if as_json:
        answer = {"kind": done.kind, "org_id": org_id, "sessions": done.session_count}
        print_json({**answer, "rotated_at": done.rotated_at or None})
        return
    sessions = "1 session" if done.session_count == 1 else f"{done.session_count} sessions"
    click.echo(f"rotated {clean(done.kind)}: sent to {sessions}")


def _org_of(asking: OperatorAccess) -> str:
    """Return the organisation of the file, else that of the runtime token."""
    if asking.settings.platform.org_id:
        return asking.settings.platform.org_id
    locations = asking.locations
    worker = IdentityFile(locations.identity, locations.token).read()
    org = claims(worker.token).get("org") if worker else None
    if not isinstance(org, str) or not org:
        raise UsageError(
            "which organisation? Neither the file nor a runtime token here says",
            hint="name it with --org, or once and for all: platform.org_id",
        )
    return org
