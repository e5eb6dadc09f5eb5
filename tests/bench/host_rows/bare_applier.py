"""The floor of a mutation: the least that keeps what was delivered and replaces the file.

For each answer: its mutations are stored, the file is parsed and replaced by one of the
same size, and the outcomes are stored, each step flushed. It edits nothing, checks nothing
and acknowledges nothing. Standard library only.

    bare_applier.py PORT CA_FILE CONFIG DATABASE
"""

import json
import os
import socket
import sqlite3
import ssl
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

SCHEMA = """\
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE mutations (id TEXT, params TEXT, state TEXT);
CREATE TABLE totals (state TEXT PRIMARY KEY, n INTEGER NOT NULL);
INSERT INTO totals VALUES ('received', 0), ('applied', 0);
"""


def answers(port: str, ca_file: str) -> Iterator[list[dict[str, object]]]:
    """Yield the mutations of each answer."""
    tls = ssl.create_default_context(cafile=ca_file)
    plain = socket.create_connection(("127.0.0.1", int(port)))
    with tls.wrap_socket(plain, server_hostname="127.0.0.1") as stream:
        print('"ready"', flush=True)
        for line in stream.makefile("rb"):
            yield json.loads(line)["pendingMutations"]


def replace(file: Path) -> None:
    """Parse the file, and replace it durably."""
    content = file.read_bytes()
    tomllib.loads(content.decode())
    temporary = file.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    os.write(descriptor, content)
    os.fsync(descriptor)
    os.close(descriptor)
    temporary.rename(file)
    directory = os.open(file.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def main() -> None:
    """Apply what comes until the stream ends."""
    port, ca_file, config, path = sys.argv[1:]
    database = sqlite3.connect(path)
    database.executescript(SCHEMA)
    for mutations in answers(port, ca_file):
        rows = [(one["id"], json.dumps(one["params"])) for one in mutations]
        with database:
            database.executemany("INSERT INTO mutations VALUES (?, ?, 'received')", rows)
        replace(Path(config))
        with database:
            database.execute("UPDATE mutations SET state = 'applied'")
            database.execute(
                "UPDATE totals SET n = n + ? WHERE state = 'applied'", [len(rows)]
            )


if __name__ == "__main__":
    main()
