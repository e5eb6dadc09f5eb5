"""Opening a platform: the database, the master key, the providers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import URL

from rensei_platform.master_key import (
    CREDENTIAL,
    MasterKeyError,
    create_master_key_file,
    default_master_key_path,
    systemd_credential,
)
from rensei_platform.providers.database import DatabaseProvider, ValueScope
from rensei_platform.providers.registry import Registry
from rensei_platform.sealing import Sealer
from rensei_platform.services.platform import Platform, utc_now
from rensei_platform.services.values import Values
from rensei_platform.settings import ServerSettings
from rensei_platform.store import credentials, master_keys
from rensei_platform.store.engine import Store
from rensei_platform.store.lock import exclusive
from rensei_platform.store.locks import Locks
from rensei_platform.store.schema import check_schema
from rensei_platform.tokens import Tokens


def master_key_path(url: URL, configured: Path | None, state: Path) -> Path:
    """Return where the master key is: as configured, passed by systemd, or by default."""
    database = Path(url.database or "") if url.drivername == "sqlite" else None
    return (
        configured
        or systemd_credential(CREDENTIAL)
        or default_master_key_path(database, state)
    )


def ensure_master_key(path: Path) -> bool:
    """Create the master key if there is none; whether this call did."""
    try:
        create_master_key_file(path)
    except MasterKeyError:
        if not path.exists():
            raise
        return False
    return True


@asynccontextmanager
async def opened(
    url: URL, settings: ServerSettings, master_key: Path
) -> AsyncIterator[Platform]:
    """Lend a platform that is ready to serve.

    Raise StartError if another process holds the database, SchemaError if its schema is
    not this version's, SettingsError for a wrong provider, or for a master key that is not
    the one of this database.
    """
    sealer = Sealer.from_file(master_key)
    with exclusive(url):
        check_schema(url)
        store = Store(url)
        try:
            await check_master_key(store, sealer, master_key)
            locks = Locks(store)
            registry = Registry(DatabaseProvider(_Rows(store), sealer), settings.providers)
            yield Platform(
                settings=settings,
                store=store,
                sealer=sealer,
                tokens=Tokens(sealer, settings.token_lifetime),
                registry=registry,
                values=Values(store, sealer, registry, locks, utc_now),
                locks=locks,
            )
        finally:
            await store.close()


async def check_master_key(store: Store, sealer: Sealer, path: Path) -> None:
    """Raise MasterKeyError unless this database's values are sealed with one of these keys.

    The first key that a database is used with is noted in it. So a server with another key
    is stopped before it seals what its neighbours cannot open.
    """
    async with Locks(store).hold("master keys"), store.write() as db:
        noted = await master_keys.note_first(db, sealer.keys[0].id, utc_now())
    if not noted & {key.id for key in sealer.keys}:
        raise MasterKeyError(
            f"{path}: this is not the master key of the database",
            hint="Copy the file from another server of this database, or from its backup.",
        )


class _Rows:
    """The stored values, for the provider that decrypts them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def sealed_values(self, scope: ValueScope) -> Mapping[str, str]:
        """Return the sealed values of a scope by name."""
        async with self._store.read() as db:
            return await credentials.sealed_values(
                db, scope.org_id, scope.kind, scope.project_id, scope.environment
            )
