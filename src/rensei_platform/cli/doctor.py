"""`doctor`: whether a server can do its work here, and what is in the way."""

import json
import sys
from contextlib import suppress
from dataclasses import asdict

import anyio
import click

from rensei_platform.cli.database import Setup, master_key_option, uses_setup
from rensei_platform.cli.output import shown
from rensei_platform.doctor.database import check_database
from rensei_platform.doctor.machine import check_machine
from rensei_platform.doctor.providers import check_providers
from rensei_platform.doctor.result import Result

_MARKS = {"ok": "ok     ", "warning": "warning", "error": "error  "}


@click.command("doctor")
@uses_setup("master_key")
@master_key_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(setup: Setup, as_json: bool) -> None:
    """Check the configuration, the database, the master key and the providers.

    A server may run meanwhile. The exit code is 1 if something is wrong.

    Example: rensei-platform doctor --config /etc/rensei-platform/platform.toml
    """
    found = check_machine(setup.file, setup.config, setup.direct_database)
    found += anyio.run(check_database, setup.direct_database, setup.master_key)
    found += anyio.run(check_providers, setup.providers)
    with suppress(BrokenPipeError):  # the exit code is not the reader's that has gone
        if as_json:
            click.echo(json.dumps({"checks": [asdict(one) for one in found]}, indent=2))
        else:
            for one in found:
                _print(one)
    sys.exit(any(one.state == "error" for one in found))


def _print(found: Result) -> None:
    click.echo(f"{_MARKS[found.state]}  {found.name}: {shown(found.message)}")
    if found.hint:
        click.echo(f"         {found.hint}")
