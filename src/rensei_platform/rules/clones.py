"""Whether two daemons report as one host, as a cloned machine does."""

from collections.abc import Iterable
from datetime import datetime, timedelta

LATE = timedelta(minutes=1)
"""How long after a worker was replaced its last heartbeat may arrive."""


def is_cloned(workers: Iterable[tuple[datetime, datetime]]) -> bool:
    """Whether a worker was seen after a newer one of the same host had registered.

    `workers` are those that were seen lately, one at least: (registered at, last seen at).
    A daemon that registers again leaves its former worker behind, so of one daemon the
    newest alone is seen from then on.
    """
    *former, (newest, _) = sorted(workers)
    return any(has_returned(seen, newest) for _, seen in former)


def has_returned(seen_at: datetime, replaced_at: datetime) -> bool:
    """Whether a worker that was replaced by a newer one was seen too long after that."""
    return seen_at > replaced_at + LATE
