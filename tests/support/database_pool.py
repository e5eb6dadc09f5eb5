"""Migrated PostgreSQL databases, which tests use one after the other.

To copy a template writes 300 files; to empty a database that an earlier test has used,
which holds a few rows, takes a tenth of the time, and its catalogue is cached already.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from kept_connections import connected, kept
from made_once import made_once
from polling import LOOK_SECONDS
from postgresql import ROLE, Cluster, made_from_new
from sqlalchemy import URL

from rensei_platform.store.schema import migrate
from rensei_platform.store.tables import metadata

_TEMPLATE = "template_of_tests"
_END_SECONDS = 2.0
"""For the process of a connection, which ends a moment after its client has closed it."""
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


def with_template() -> Path:
    """Return the directory of a cluster, to be copied, with a migrated database."""
    return made_once("postgresql-with-template", partial(made_from_new, _add_template))


def _add_template(cluster: Cluster) -> None:
    cluster.sql(f"CREATE DATABASE {_TEMPLATE}")
    migrate(_url_in(cluster, _TEMPLATE))


def _url_in(cluster: Cluster, name: str) -> URL:
    query = {"host": str(cluster.directory)}
    return URL.create("postgresql+psycopg", username=ROLE, database=name, query=query)


class DatabasePool:
    """Lends databases without rows."""

    def __init__(self, cluster: Cluster) -> None:
        """`cluster` is a copy of what `with_template` returns."""
        self._cluster = cluster
        self._count = 0
        self._free: list[URL] = []
        with connected(self._url(_TEMPLATE)) as connection:
            shape = connection.execute(_SHAPE).fetchone()
        assert shape is not None
        self._shape = shape

    @contextmanager
    def lent(self) -> Iterator[URL]:
        """Lend a database while the block runs."""
        url = self._free.pop() if self._free else self.lend_copy()
        kept.get(url)
        yield url
        with suppress(psycopg.Error):
            if self._emptied(kept.get(url)):
                self._free.append(url)
                return
        kept.close(url)

    def lend_copy(self) -> URL:
        """Make a database with tables, which nobody else will use."""
        return self._url(self.copied(_TEMPLATE))

    def lend_new(self) -> URL:
        """Make a database without tables."""
        return self._url(self.copied("template1"))

    def copied(self, template: str) -> str:
        """Copy a database; return the name of the copy."""
        self._count += 1
        name = f"test_{self._count}"
        statement = f"CREATE DATABASE {name} TEMPLATE {template}"
        kept.get(self._url("postgres")).execute(statement.encode())
        return name

    def _emptied(self, connection: psycopg.Connection) -> bool:
        """Empty a database; tell whether it is then as it was new."""
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '5s'")
            connection.execute("SET LOCAL session_replication_role = replica")
            (largest,) = connection.execute(_LARGEST).fetchone() or (0,)
            connection.execute(_TRUNCATE if largest > _MOST_BYTES else _EMPTY)
            connection.execute(_RESTART)
        return self._shape_of(connection) == self._shape

    def _shape_of(self, connection: psycopg.Connection) -> tuple[Any, ...]:
        """Return it as it is once the connections that the test has closed have ended."""
        deadline = time.monotonic() + _END_SECONDS
        while True:
            shape = connection.execute(_SHAPE).fetchone()
            assert shape is not None
            if shape[0] <= self._shape[0] or time.monotonic() > deadline:
                return shape
            time.sleep(LOOK_SECONDS)

    def _url(self, name: str) -> URL:
        return _url_in(self._cluster, name)
