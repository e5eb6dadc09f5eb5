"""Migrated PostgreSQL databases, which tests use one after the other.

To copy a template writes 300 files; to empty a database that an earlier test has used,
which holds a few rows, takes a tenth of the time, and its catalogue is cached already.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import psycopg
from postgresql import ROLE, Cluster
from sqlalchemy import URL

from rensei_platform.store.schema import migrate
from rensei_platform.store.tables import metadata

_TEMPLATE = "template_of_tests"
_MOST_BYTES = 65_536
"""A table that has grown larger is truncated: it would keep its size."""
_EMPTY = "".join(f"DELETE FROM {table};" for table in metadata.tables)  # noqa: S608 - ours
_TRUNCATE = f"TRUNCATE {', '.join(metadata.tables)}"
_RESTART = """
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false)
FROM pg_sequences
"""
_LARGEST = """
SELECT max(pg_relation_size(oid)) FROM pg_class
WHERE relnamespace = 'public'::regnamespace
"""
_SHAPE = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()),
       (SELECT count(*) FROM pg_attribute WHERE attrelid >= 16384 AND NOT attisdropped),
       (SELECT count(*) FROM pg_statistic WHERE starelid >= 16384),
       (SELECT string_agg(version_num, '') FROM alembic_version)
"""
"""Connections, columns, statistics and the schema's version: what rows leave as it is."""


class DatabasePool:
    """Lends databases without rows."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._count = 0
        self._free: list[str] = []
        cluster.sql(f"CREATE DATABASE {_TEMPLATE}")
        migrate(self._url(_TEMPLATE))
        with self._connected(_TEMPLATE) as connection:
            self._shape = connection.execute(_SHAPE).fetchone()

    @contextmanager
    def lent(self) -> Iterator[URL]:
        """Lend a database while the block runs."""
        name = self._free.pop() if self._free else self.copied(_TEMPLATE)
        yield self._url(name)
        with suppress(psycopg.Error), self._connected(name) as connection:
            if self._emptied(connection):
                self._free.append(name)

    def lend_new(self) -> URL:
        """Make a database without tables."""
        return self._url(self.copied("template1"))

    def copied(self, template: str) -> str:
        """Copy a database; return the name of the copy."""
        self._count += 1
        name = f"test_{self._count}"
        self._cluster.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _emptied(self, connection: psycopg.Connection) -> bool:
        """Empty a database; tell whether it is then as it was new."""
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '5s'")
            connection.execute("SET LOCAL session_replication_role = replica")
            (largest,) = connection.execute(_LARGEST).fetchone() or (0,)
            connection.execute(_TRUNCATE if largest > _MOST_BYTES else _EMPTY)
            connection.execute(_RESTART)
        return connection.execute(_SHAPE).fetchone() == self._shape

    def _connected(self, name: str) -> closing[psycopg.Connection]:
        host = str(self._cluster.directory)
        return closing(psycopg.connect(host=host, user=ROLE, dbname=name, autocommit=True))

    def _url(self, name: str) -> URL:
        query = {"host": str(self._cluster.directory)}
        return URL.create("postgresql+psycopg", username=ROLE, database=name, query=query)
