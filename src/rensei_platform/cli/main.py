"""The command `rensei-platform` and its groups."""

import sys

import click

from rensei_platform.cli.access import audit, key, org
from rensei_platform.cli.credential import credential
from rensei_platform.cli.host import host
from rensei_platform.cli.mutations import mutations
from rensei_platform.cli.rotation import rotation
from rensei_platform.cli.server import init, migrate_command, serve
from rensei_platform.errors import PlatformError
from rensei_platform.version import version


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="rensei-platform")
def commands() -> None:
    """Run and administer the control plane of a fleet of hosts."""


for command in (
    init,
    serve,
    migrate_command,
    credential,
    host,
    key,
    org,
    mutations,
    rotation,
    audit,
):
    commands.add_command(command)


def main() -> None:
    """Run a command; print an error and end with its exit code."""
    try:
        commands()
    except PlatformError as error:
        hint = f"\n{error.hint}" if error.hint else ""
        click.echo(f"error: {error}{hint}", err=True)
        sys.exit(error.exit_code)
