"""Sees from outside when outcomes are durable: as a reader of the journal does.

    journal_watch.py DATABASE

A line `[COUNT]` on stdin asks for the moment when so many outcomes are recorded; what
another connection can read of a database with WAL and synchronous=FULL was flushed before.
"""

import json
import sqlite3
import sys
import time

LOOK_SECONDS = 0.0002
LONGEST_SECONDS = 120.0
DECIDED = (
    "SELECT coalesce(sum(n), 0) FROM totals WHERE state NOT IN ('received', 'intended')"
)


def main() -> None:
    """Answer until stdin ends."""
    database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=30)

    def decided() -> int:
        return int(database.execute(DECIDED).fetchone()[0])

    decided()
    print('"ready"', flush=True)
    for line in sys.stdin:
        (count,) = json.loads(line)
        count += decided()
        print('"waiting"', flush=True)
        deadline = time.monotonic() + LONGEST_SECONDS
        while decided() < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{decided()} of {count}")
            time.sleep(LOOK_SECONDS)
        print(json.dumps(time.perf_counter()), flush=True)


if __name__ == "__main__":
    main()
