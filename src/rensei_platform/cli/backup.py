"""`backup`: a copy of the database."""

import json
import os
from pathlib import Path

import click

from rensei_platform.cli.database import FILE, Setup, uses_setup
from rensei_platform.store.backup import back_up
from rensei_platform.store.schema import check_schema


@click.command("backup")
@uses_setup()
@click.argument("file", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def backup(setup: Setup, file: Path, as_json: bool) -> None:
    """Write a copy of the database to a new FILE. Servers may run meanwhile.

    The master key is not in it, and without the key no stored value can be read. Keep a
    copy of the key apart from the backup.

    Example: rensei-platform backup /var/backups/rensei-platform-2026-11-28.db
    """
    check_schema(setup.direct_database)
    back_up(setup.direct_database, file)
    size, key = file.stat().st_size, setup.master_key
    is_here = os.access(key, os.F_OK)
    if as_json:
        where = str(key) if is_here else None
        click.echo(json.dumps({"file": str(file), "bytes": size, "masterKey": where}))
    else:
        named = str(key) if is_here else f"(no {key} is seen here; a server has it)"
        click.echo(
            f"{file}: {size} bytes. The master key {named} is not in it: without the key "
            "the backup restores no stored value. Keep a copy of it elsewhere."
        )
