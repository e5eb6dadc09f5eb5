"""Follow mutations at the platform until their hosts have answered."""

import time
from collections.abc import Callable, Sequence
from enum import StrEnum

import anyio
import anyio.to_thread

from rensei_daemon.core.history import MutationRecord
from rensei_daemon.errors import TransientError
from rensei_daemon.fast_dataclass import dataclass, replace
from rensei_daemon.platform_api.operator_client import (
    OperatorClient,
    RemoteHost,
    RemoteMutation,
)

POLL_SECONDS = 0.5
ACK_SECONDS = 35.0
"""Longer than an interval of heartbeats, with which a host answers: a platform that has
not shown an outcome by then, and never says when it was decided, does not show any."""
_LONG_LIST = 500


class Outcome(StrEnum):
    """What became of a mutation, as far as it can be known here."""

    PENDING = "pending"
    DELIVERED = "delivered"
    APPLIED = "applied"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """A host has it, and the platform does not show what became of it."""


FINAL = (Outcome.APPLIED, Outcome.FAILED, Outcome.CANCELLED, Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A host that was asked for a mutation, and what has become of it."""

    host: RemoteHost
    mutation: RemoteMutation
    outcome: Outcome = Outcome.PENDING
    error: str = ""
    delivered_since: float | None = None
    """When it was first seen as delivered, by `time.monotonic`."""


ReadRecord = Callable[[str], MutationRecord | None]
"""Returns what the daemon of this host knows of a mutation, if it has it."""


def judge(asked: Asked, now: float) -> Asked:
    """Return it with the outcome that the platform's record says.

    `now` is the time by `time.monotonic`.
    """
    found = asked.mutation
    if found.status in (Outcome.APPLIED, Outcome.FAILED):
        return replace(asked, outcome=Outcome(found.status), error=found.error)
    if found.status == Outcome.CANCELLED or found.cancelled_at:
        return replace(asked, outcome=Outcome.CANCELLED)
    if found.status != Outcome.DELIVERED and not found.delivered_at:
        return replace(asked, outcome=Outcome.PENDING)
    since = now if asked.delivered_since is None else asked.delivered_since
    is_told = found.shows_outcome or now - since < ACK_SECONDS
    outcome = Outcome.DELIVERED if is_told else Outcome.UNKNOWN
    return replace(asked, outcome=outcome, delivered_since=since)


class Followers:
    """Looks at the mutations of some hosts until each has its outcome."""

    def __init__(self, platform: OperatorClient, read_record: ReadRecord) -> None:
        self._platform = platform
        self._read_record = read_record

    async def follow(
        self, asked: Sequence[Asked], *, seconds: float, show: Callable[[Asked], None]
    ) -> list[Asked]:
        """Return the mutations as they are when all are final, or when the time is over.

        `show` is called with each that is not final, whenever it was looked at.
        """
        deadline = time.monotonic() + seconds
        states = list(asked)
        while True:
            for index, state in enumerate(states):
                if state.outcome not in FINAL:
                    states[index] = await self._look(state, deadline)
                    show(states[index])
            is_over = time.monotonic() + POLL_SECONDS > deadline
            if is_over or all(state.outcome in FINAL for state in states):
                return states
            await anyio.sleep(POLL_SECONDS)

    async def _look(self, state: Asked, deadline: float) -> Asked:
        """Return the newest state; the old one while the platform is out of reach."""
        try:
            found = await self._find(state.mutation)
        except TransientError:
            if time.monotonic() + POLL_SECONDS > deadline:
                raise
            return state
        seen = judge(replace(state, mutation=found), time.monotonic())
        if seen.outcome is Outcome.DELIVERED and not found.shows_outcome:
            return await self._ask_daemon(seen)
        return seen

    async def _find(self, mutation: RemoteMutation) -> RemoteMutation:
        """Return the platform's record; the wire has only lists of a host's mutations."""
        for limit in (100, _LONG_LIST):
            listed = await self._platform.list_mutations(
                mutation.worker_host_id, limit=limit
            )
            for found in listed:
                if found.id == mutation.id:
                    return found
            if len(listed) < limit:
                break
        return mutation

    async def _ask_daemon(self, state: Asked) -> Asked:
        record = await anyio.to_thread.run_sync(self._read_record, state.mutation.id)
        if record is None or not record["outcome"]:
            return state
        outcome = Outcome(record["outcome"])
        return replace(state, outcome=outcome, error=record["error"] or "")
