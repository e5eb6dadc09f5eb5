"""Connections to the databases of tests that stay open from one test to the next.

PostgreSQL forks a process for each new one, which has to read the catalogue anew: what a
test needs before and after it then takes ten times as long.
"""

import select
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import URL


class KeptConnections:
    """One connection to each database for which it was asked."""

    def __init__(self) -> None:
        self._open: dict[URL, psycopg.Connection] = {}

    def get(self, url: URL) -> psycopg.Connection:
        """Return the connection, or a new one if a test has ended it; it autocommits."""
        kept = self._open.get(url)
        if kept is None or _has_ended(kept):
            self.close(url)
            kept = self._open[url] = _connect(url)
        return kept

    def knows(self, url: URL) -> bool:
        """Whether there is a connection to this database."""
        return url in self._open

    def close(self, url: URL) -> None:
        """Close the connection to a database, if there is one."""
        if url in self._open:
            self._open.pop(url).close()

    def close_all(self) -> None:
        """Close every connection."""
        for url in list(self._open):
            self.close(url)


kept = KeptConnections()
"""Of this process."""


@contextmanager
def connected(url: URL) -> Iterator[psycopg.Connection]:
    """Lend the connection that is kept, or else one that is closed after the block."""
    if kept.knows(url):
        yield kept.get(url)
        return
    with _connect(url) as connection:
        yield connection


def _connect(url: URL) -> psycopg.Connection:
    host = str(url.query["host"])
    return psycopg.connect(
        host=host, user=url.username, dbname=url.database, autocommit=True
    )


def _has_ended(connection: psycopg.Connection) -> bool:
    """Whether the server has said something: on an idle connection that is its end."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
