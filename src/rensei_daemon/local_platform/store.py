"""Where records live: one SQLite table of JSON rows, in memory or in a file.

Owns the file, its mode (it holds credentials, so only its owner may read it) and the
order of the rows. It refuses to know what a record means.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Self

from rensei_daemon.local_platform.records import RECORD_TYPES, Record

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, id)
)
"""
# An upsert, unlike a replace, leaves the row where it is: order is order of arrival.
_SAVE = """
INSERT INTO records (kind, id, body) VALUES (?, ?, ?)
ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body
"""
_TYPES = {record_type.__name__: record_type for record_type in RECORD_TYPES}


class Store:
    """The platform's memory; the caller closes it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path | None) -> Self:
        """Open `path` (0600 when new), or memory; raise sqlite3.Error or OSError."""
        if path is not None:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(":memory:" if path is None else path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return cls(connection)

    def load(self) -> Iterator[Record]:
        """Return every record, in the order they first came."""
        rows = self._connection.execute("SELECT kind, body FROM records ORDER BY rowid")
        for kind, body in rows:
            yield _TYPES[kind](**json.loads(body))

    def save(self, records: Sequence[Record]) -> None:
        """Write the records in one transaction."""
        if not records:
            return
        rows = [(type(r).__name__, r.id, json.dumps(asdict(r))) for r in records]
        with self._connection:
            self._connection.executemany(_SAVE, rows)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
