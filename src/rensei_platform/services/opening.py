"""Opening a platform: the database, the master key, the providers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import URL

from rensei_platform.errors import SettingsError
from rensei_platform.master_key import create_master_key_file, systemd_credential
from rensei_platform.providers.database import DatabaseProvider, ValueScope
from rensei_platform.providers.registry import Registry
from rensei_platform.sealing import Sealer
from rensei_platform.services.platform import Platform, utc_now
from rensei_platform.services.values import Values
from rensei_platform.settings import ServerSettings
from rensei_platform.store import credentials
from rensei_platform.store.engine import Store
from rensei_platform.store.lock import exclusive
from rensei_platform.store.locks import Locks
from rensei_platform.store.schema import check_schema
from rensei_platform.tokens import Tokens

CREDENTIAL = "master-key"
"""The name under which systemd passes the master key."""


def master_key_path(url: URL, configured: Path | None) -> Path:
    """Return where the master key is. Raise SettingsError if nobody has said it.

    An embedded database has it beside itself, unless systemd or a setting names another.
    """
    if found := configured or systemd_credential(CREDENTIAL):
        return found
    if url.drivername == "sqlite":
        return Path(f"{url.database}.key")
    raise SettingsError(
        "a platform on PostgreSQL needs its master key named",
        hint="Name its file with --master-key, the same key for every server.",
    )


def ensure_master_key(path: Path) -> None:
    """Create the master key, if there is none."""
    if not path.exists():
        create_master_key_file(path)


@asynccontextmanager
async def opened(
    url: URL, settings: ServerSettings, master_key: Path | None = None
) -> AsyncIterator[Platform]:
    """Lend a platform that is ready to serve.

    Raise StartError if another process holds the database, SchemaError if its schema is
    not this version's, SettingsError for a wrong key or provider.
    """
    sealer = Sealer.from_file(master_key_path(url, master_key))
    with exclusive(url):
        check_schema(url)
        store = Store(url)
        try:
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
