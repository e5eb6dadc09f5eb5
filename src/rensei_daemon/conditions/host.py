"""Conditions of this host as the platform reports them: pool, objection, duplicate."""

from datetime import datetime
from functools import lru_cache

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.health import PoolHealth
from rensei_daemon.core.host_status import HostStatus
from rensei_daemon.settings.values import Pool

_SUBJECT = "heartbeat"


def post_pool(board: Board, pool: Pool | None, reported: HostStatus | None) -> None:
    """Show the state of the pool: the file's, else the platform's."""
    if pool is not None:
        line = PoolHealth(
            status=pool.status or "deleted",
            id=pool.id,
            reason=pool.reason,
            candidates=pool.candidates,
            since=pool.since and _steady(pool.since),
        )
    elif reported is not None and reported.suspends_claiming:
        since = None if board.pool.is_ok else board.pool.since
        line = PoolHealth(
            status=reported.name.removeprefix("pool_"),
            candidates=reported.candidate_pool_ids,
            action=reported.recommended_action or None,
            since=since or CLOCK.now(),
        )
    else:
        line = PoolHealth()
    board.post(line)


@lru_cache(maxsize=1)
def _steady(since: datetime) -> datetime:
    """Convert a time of the file, once: the wall clock may be set after that."""
    return CLOCK.steady(since)


def post_objection(board: Board, reported: HostStatus | None) -> None:
    """Raise or clear the alarm that the platform objects to this host."""
    if reported is None or not reported.is_objection:
        board.clear(Code.HOST_STATUS, _SUBJECT)
        return
    board.raise_alarm(
        Code.HOST_STATUS,
        f"the platform says of this host: {reported.status}",
        hint=reported.recommended_action or "ask who administers this organisation",
        now=CLOCK.now(),
        subject=_SUBJECT,
    )


def post_duplicate(board: Board, *, is_contested: bool) -> None:
    """Raise or clear the alarm that another host seems to have this machine id."""
    if not is_contested:
        board.clear(Code.HOST_DUPLICATE, _SUBJECT)
        return
    board.raise_alarm(
        Code.HOST_DUPLICATE,
        "this host's token is refused again and again soon after it was given: "
        "another host seems to use the same machine id",
        hint="if this machine was cloned, give it an id of its own: "
        "rm /etc/machine-id; systemd-machine-id-setup; restart the daemon",
        now=CLOCK.now(),
        subject=_SUBJECT,
    )
