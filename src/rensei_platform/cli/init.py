"""`init`: a new database, or a new organization in it."""

import json
from pathlib import Path

import anyio
import click
from sqlalchemy import URL

from rensei_platform.cli.database import Setup, master_key_option, uses_setup
from rensei_platform.cli.key_file import (
    key_fields,
    new_key_file,
    shown_key,
    write_key_option,
)
from rensei_platform.cli.output import shows_once
from rensei_platform.ids import new_id
from rensei_platform.ownership import give_to_owner_of_directory
from rensei_platform.rules.fields import check_id, check_name, email
from rensei_platform.rules.times import wire_time
from rensei_platform.sealing import Sealer
from rensei_platform.services.administration import (
    MadeKey,
    found_org,
    link_of_owner,
    only_org_of,
    recover_key,
)
from rensei_platform.services.opening import check_master_key, ensure_master_key
from rensei_platform.services.platform import utc_now
from rensei_platform.services.users import Link
from rensei_platform.store.engine import Store
from rensei_platform.store.lock import exclusive
from rensei_platform.store.schema import check_schema, migrate


@click.command("init")
@uses_setup("master_key")
@master_key_option
@click.option("--org", "name", help="Name of the first organization.")
@click.option("--org-id", metavar="ID", help="Its id. Default: a random one.")
@click.option("--owner", required=True, metavar="EMAIL", help="Its first owner.")
@click.option("--recover", is_flag=True, help="Make a key for an owner who lost theirs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@write_key_option
def init(
    setup: Setup,
    name: str | None,
    org_id: str | None,
    owner: str,
    recover: bool,
    as_json: bool,
    new_key: Path | None,
) -> None:
    """Create the database, an organization and its owner; print the owner's key once.

    With --recover, on the database's host: print another key for an owner; a server may run
    meanwhile, and the lost key works until it is revoked.

    Example: rensei-platform init --database sqlite:////var/lib/rensei-platform/platform.db
    --org Acme --owner ada@acme.test
    """
    owner = email(owner)
    if not recover and name is None:
        raise click.UsageError("--org NAME is missing")
    name = None if name is None else check_name(name, "--org")
    org_id = None if org_id is None else check_id(org_id, "--org-id")
    with new_key_file(new_key):
        if name is None or recover:
            org_id, made, link = anyio.run(_recover, setup.direct_database, org_id, owner)
        else:
            url, org_id = setup.direct_database, org_id or new_id("org")
            made, link = anyio.run(_initialize, url, setup.master_key, org_id, name, owner)
            _show_master_key(url, setup.master_key)
        another = (
            "The organization is there. Make its owner another key and link: "
            f"rensei-platform init --recover --org-id {org_id} --owner {owner}"
        )
        with shows_once(another):
            shown = shown_key(made.text, new_key)
    with shows_once(another):
        if as_json:
            click.echo(json.dumps({"orgId": org_id, **key_fields(made.text, new_key)}))
        else:
            click.echo(f"organization: {org_id}\nkey of {owner}, {shown}")
            click.echo(
                f"link to set a password, until {wire_time(link.expires_at)}: {link.text}\n"
                "Give it to `rensei-platform user set-password`, or to /console/password."
            )


def _create(url: URL) -> None:
    migrate(url)
    if url.drivername == "sqlite":  # what SQLite keeps beside it follows its owner
        give_to_owner_of_directory(Path(str(url.database)))


async def _initialize(
    url: URL, master_key: Path, org_id: str, name: str, owner: str
) -> tuple[MadeKey, Link]:
    if url.drivername == "sqlite":
        Path(str(url.database)).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with exclusive(url):
        ensure_master_key(master_key)
        sealer = Sealer.from_file(master_key)
        await anyio.to_thread.run_sync(_create, url)
        store = Store(url)
        try:
            await check_master_key(store, sealer, master_key)
            made = await found_org(store, org_id, name, owner, utc_now(), is_operator=True)
            return made, await link_of_owner(store, org_id, owner, utc_now())
        finally:
            await store.close()


async def _recover(url: URL, org_id: str | None, owner: str) -> tuple[str, MadeKey, Link]:
    await anyio.to_thread.run_sync(check_schema, url)
    store = Store(url)
    try:
        org_id = org_id or await only_org_of(store, owner)
        made, others, link = await recover_key(store, org_id, owner, utc_now())
    finally:
        await store.close()
    for key_id in others:
        click.echo(f"still valid: {key_id} (rensei-platform key revoke {key_id})", err=True)
    return org_id, made, link


def _show_master_key(url: URL, path: Path) -> None:
    """Say on stderr where the key is: stdout is for who parses it."""
    where = (
        "" if url.drivername == "sqlite" else "; copy it to every server of the database"
    )
    click.echo(
        f"master key: {path}{where}. A backup of the database is of no use without it.",
        err=True,
    )
