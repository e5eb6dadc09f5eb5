"""An embedded database with an organization, made once a process and copied for a test."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import anyio
from sqlalchemy import URL

from rensei_platform.master_key import create_master_key_file
from rensei_platform.services.administration import found_org
from rensei_platform.services.platform import utc_now
from rensei_platform.store.engine import Store
from rensei_platform.store.schema import migrate

ORG = "org_acme"
OWNER = "ada@acme.test"
_DATABASE = "platform.db"


def sqlite_url(directory: Path) -> URL:
    """Return the URL of an embedded database in a directory."""
    return URL.create("sqlite", database=str(directory / _DATABASE))


def key_file_of(directory: Path) -> Path:
    """Return where the master key of the database in a directory is."""
    return directory / f"{_DATABASE}.key"


def copy_to(url: URL, key_file: Path) -> str:
    """Make an embedded database and its master key; return its owner's API key."""
    template, key = _template()
    shutil.copy(template / _DATABASE, str(url.database))
    shutil.copy(key_file_of(template), key_file)
    return key


@cache
def _template() -> tuple[Path, str]:
    directory = Path(tempfile.mkdtemp(prefix="platform-template-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    create_master_key_file(key_file_of(directory))
    migrate(sqlite_url(directory))
    with anyio.from_thread.start_blocking_portal() as portal:
        return directory, portal.call(add_org, sqlite_url(directory))


async def add_org(url: URL) -> str:
    """Add the organization to a database, and return its owner's API key."""
    store = Store(url)
    made = await found_org(store, ORG, "Acme", OWNER, utc_now(), is_operator=True)
    await store.close()
    return made.text
