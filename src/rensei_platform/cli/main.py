"""The command `rensei-platform` and its groups."""

import sys

import click

from rensei_platform.cli.access import audit, key, org
from rensei_platform.cli.backup import backup
from rensei_platform.cli.credential import credential
from rensei_platform.cli.database import migrate_command
from rensei_platform.cli.doctor import doctor
from rensei_platform.cli.host import host
from rensei_platform.cli.init import init
from rensei_platform.cli.master_key import rotate_master
from rensei_platform.cli.mutations import mutations
from rensei_platform.cli.output import shown
from rensei_platform.cli.provider import provider
from rensei_platform.cli.rotation import rotation
from rensei_platform.cli.serve import serve
from rensei_platform.cli.user import user
from rensei_platform.errors import PlatformError
from rensei_platform.version import version

_USAGE = 64
_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="rensei-platform")
def commands() -> None:
    """Run and administer the control plane of a fleet of hosts."""


for command in (
    init,
    serve,
    migrate_command,
    backup,
    doctor,
    credential,
    provider,
    host,
    user,
    key,
    org,
    mutations,
    rotation,
    audit,
):
    commands.add_command(command)
key.add_command(rotate_master)


def main() -> None:
    """Run a command; print an error and end with its exit code."""
    try:
        commands(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(_USAGE if isinstance(error, click.UsageError) else error.exit_code)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(_INTERRUPTED)
    except PlatformError as error:
        hint = f"\n{error.hint}" if error.hint else ""
        lines = f"error: {error}{hint}".splitlines()
        click.echo("\n".join(map(shown, lines)), err=True)
        sys.exit(error.exit_code)
