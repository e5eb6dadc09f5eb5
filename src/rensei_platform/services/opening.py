"""Opening a platform: the database, the master key, the providers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy import URL

from rensei_platform.bus.hub import Hub
from rensei_platform.bus.local import LocalBus
from rensei_platform.bus.messages import Bus, Topic
from rensei_platform.errors import UnavailableError
from rensei_platform.ids import new_id
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
from rensei_platform.services.availability import Availability
from rensei_platform.services.changes import Changes
from rensei_platform.services.fan_out_state import FanOutState
from rensei_platform.services.pending_hosts import PendingHosts
from rensei_platform.services.platform import Platform, utc_now
from rensei_platform.services.snapshot_notes import SnapshotNotes
from rensei_platform.services.tally import Tally
from rensei_platform.services.values import Values
from rensei_platform.settings import ServerSettings
from rensei_platform.store import credentials, master_keys, replicas
from rensei_platform.store.engine import Store, listening_conninfo
from rensei_platform.store.lock import exclusive
from rensei_platform.store.locks import Locks
from rensei_platform.store.schema import check_schema, newest_revision
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
    url: URL, settings: ServerSettings, master_key: Path, listen_url: URL | None = None
) -> AsyncIterator[Platform]:
    """Lend a platform that is ready to serve.

    With `listen_url`, which leads to PostgreSQL itself, `url` may lead to a pooler.
    Raise StartError if another process holds the database, SchemaError if its schema is
    not this version's, SettingsError for a wrong provider, or for a master key that is not
    the one of this database.
    """
    sealer = Sealer.from_file(master_key)
    with exclusive(url):
        check_schema(listen_url or url)
        store = Store(url, is_pooled=listen_url is not None, logs_trouble=True)
        try:
            await check_master_key(store, sealer, master_key)
            yield _platform(listen_url or url, settings, store, sealer)
        finally:
            await store.close()


def _platform(url: URL, settings: ServerSettings, store: Store, sealer: Sealer) -> Platform:
    locks, hub, replica_id = Locks(store), Hub(), new_id("replica")
    registry = Registry(DatabaseProvider(_Rows(store), sealer), settings.providers)
    bus, tally = _bus(url, store, replica_id), Tally()
    bus.subscribe(Topic.KEY_REVOKED, lambda message: hub.end_of_keys(message.ids))
    return Platform(
        settings=settings,
        store=store,
        sealer=sealer,
        tokens=Tokens(sealer, settings.token_lifetime),
        registry=registry,
        values=Values(store, sealer, registry, locks, utc_now),
        snapshot_notes=SnapshotNotes(store, tally),
        locks=locks,
        bus=bus,
        hub=hub,
        availability=Availability(
            store.check,
            bus,
            hub,
            away_seconds=settings.away_seconds,
            spread_seconds=settings.stop_seconds,
        ),
        fan_out=FanOutState(bus, utc_now()),
        changes=Changes(bus),
        tally=tally,
        pending_hosts=PendingHosts(bus),
        id=replica_id,
        schema=newest_revision(),
    )


def _bus(url: URL, store: Store, replica_id: str) -> Bus:
    """Return how this server hears of the others: an embedded database has no others."""
    if store.is_sqlite:
        return LocalBus()

    # An embedded database does without the driver's 10 MB.
    from rensei_platform.bus.postgresql import PostgresqlBus

    async def send(channel: str, payload: str) -> None:
        with suppress(UnavailableError):
            async with store.read() as db:
                await replicas.notify(db, channel, payload)

    return PostgresqlBus(listening_conninfo(url), replica_id, send)


async def check_master_key(store: Store, sealer: Sealer, path: Path) -> None:
    """Raise MasterKeyError unless this database's values are sealed with one of these keys.

    The first key that a database is used with is noted in it. So a server with another key
    is stopped before it seals what its neighbours cannot open.
    """
    async with store.read() as db:
        noted = await master_keys.noted(db)
    if not noted:
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
