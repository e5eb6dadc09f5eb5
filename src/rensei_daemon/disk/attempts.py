"""Which mutations were being applied when the daemon died, and how often.

`core.mutation_state` has the rules; this module stores the counts beside each mutation.
"""

from collections.abc import Sequence

from rensei_daemon.core.mutation_state import Attempt, after_crash
from rensei_daemon.disk.journal_database import Database


class Attempts:
    """The attempts under way; every method blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, ids: Sequence[str]) -> None:
        """Note that these mutations are about to be applied together."""
        with self._database.transaction() as run:
            for mutation_id in ids:
                run("UPDATE mutations SET flight = ? WHERE id = ?", (len(ids), mutation_id))

    def end(self) -> None:
        """Note that the current attempt did not crash the daemon."""
        with self._database.transaction() as run:
            run("UPDATE mutations SET flight = 0 WHERE flight > 0")

    def count_crashes(self, boot_id: str) -> None:
        """Count the attempts under way when the daemon died; called once, at start."""
        with self._database.transaction() as run:
            flown = run(
                "SELECT id, flight, deaths, boot_id FROM mutations WHERE flight > 0"
            )
            for row in flown.fetchall():
                attempt = Attempt(
                    size=row["flight"], crashes=row["deaths"], boot_id=row["boot_id"]
                )
                left = after_crash(attempt, boot_id)
                run(
                    "UPDATE mutations SET flight = 0, is_suspect = 1, deaths = ?,"
                    " boot_id = ? WHERE id = ?",
                    (left.crashes, left.boot_id, row["id"]),
                )

    def crashes(self, mutation_id: str) -> int:
        """Return how often the daemon died in this boot while applying this one alone."""
        rows = self._database.rows(
            "SELECT deaths FROM mutations WHERE id = ?", (mutation_id,)
        )
        return int(rows[0]["deaths"]) if rows else 0
