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
    return any(seen > newest + LATE for _, seen in former)
