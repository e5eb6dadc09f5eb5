"""`init`: a new database, or a new organization in it."""

import json
from pathlib import Path

import anyio
import click
from sqlalchemy import URL

from rensei_platform.cli.database import Setup, master_key_option, uses_setup
from rensei_platform.ids import new_id
from rensei_platform.sealing import Sealer
from rensei_platform.services.administration import MadeKey, found_org
from rensei_platform.services.opening import check_master_key, ensure_master_key
from rensei_platform.services.platform import utc_now
from rensei_platform.store.engine import Store
from rensei_platform.store.lock import exclusive
from rensei_platform.store.schema import migrate


@click.command("init")
@uses_setup("master_key")
@master_key_option
@click.option("--org", "name", required=True, help="Name of the first organization.")
@click.option("--org-id", metavar="ID", help="Its id. Default: a random one.")
@click.option("--owner", required=True, metavar="EMAIL", help="Its first owner.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def init(setup: Setup, name: str, org_id: str | None, owner: str, as_json: bool) -> None:
    """Create the database, an organization and its owner; print the owner's key once.

    Example: rensei-platform init --database sqlite:////var/lib/rensei-platform/platform.db
    --org Acme --owner ada@acme.test
    """
    url, org_id = setup.database, org_id or new_id("org")
    made = anyio.run(_initialize, url, setup.master_key, org_id, name, owner)
    _show_master_key(url, setup.master_key)
    if as_json:
        click.echo(json.dumps({"orgId": org_id, "key": made.text}))
    else:
        click.echo(f"organization: {org_id}\nkey of {owner}, shown once: {made.text}")


async def _initialize(
    url: URL, master_key: Path, org_id: str, name: str, owner: str
) -> MadeKey:
    if url.drivername == "sqlite":
        Path(str(url.database)).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with exclusive(url):
        ensure_master_key(master_key)
        sealer = Sealer.from_file(master_key)
        await anyio.to_thread.run_sync(migrate, url)
        store = Store(url)
        try:
            await check_master_key(store, sealer, master_key)
            return await found_org(store, org_id, name, owner, utc_now(), is_operator=True)
        finally:
            await store.close()


def _show_master_key(url: URL, path: Path) -> None:
    """Say on stderr where the key is: stdout is for who parses it."""
    where = (
        "" if url.drivername == "sqlite" else "; copy it to every server of the database"
    )
    click.echo(
        f"master key: {path}{where}. A backup of the database is of no use without it.",
        err=True,
    )
