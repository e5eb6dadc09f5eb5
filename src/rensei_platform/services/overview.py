"""Hosts as a person looks at them: found by name, with what waits for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import RowMapping

from rensei_platform.errors import NotFoundError
from rensei_platform.rules.callers import Access, Caller, require_access
from rensei_platform.rules.drift import ProjectState
from rensei_platform.rules.mutations import Mutation
from rensei_platform.rules.receipts import SessionUptake
from rensei_platform.services import comparison
from rensei_platform.services.clones import cloned_hosts
from rensei_platform.services.platform import Platform
from rensei_platform.store import hosts, mutations, outcome_counts, uptake

FIRST = ("", "")
"""The place before every host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSummary:
    """A host in a list."""

    row: RowMapping
    seen_at: datetime | None
    active: int
    """Sessions that it ran at its last heartbeat."""
    waiting: int
    """Mutations that it is owed or has not decided."""
    drifted: int
    """Projects in another state than they were asked for."""


async def find_hosts(
    platform: Platform, caller: Caller, prefix: str, after: tuple[str, str], limit: int
) -> list[HostSummary]:
    """Return the next hosts whose name begins with a text, or the one with it as id."""
    require_access(caller, Access.READ_MUTATIONS)
    async with platform.store.read() as db:
        rows: Sequence[RowMapping] = ()
        if prefix and after == FIRST:
            exact = await hosts.get_host(db, caller.org_id, prefix)
            rows = [] if exact is None else [exact]
        if not rows:
            rows = await hosts.list_by_prefix(db, caller.org_id, prefix, after, limit)
        ids = [row["id"] for row in rows]
        seen = {row["id"]: _presence(platform, row) for row in rows}
        waiting = await mutations.count_waiting(db, ids)
        drifted = await comparison.count_drifts(
            platform, db, rows, {id_: at for id_, (at, _) in seen.items()}
        )
    return [
        HostSummary(
            row=row,
            seen_at=seen[row["id"]][0],
            active=seen[row["id"]][1],
            waiting=waiting.get(row["id"], 0),
            drifted=drifted[row["id"]],
        )
        for row in rows
    ]


def _presence(platform: Platform, row: RowMapping) -> tuple[datetime | None, int]:
    """Return when a host was seen last, and how many sessions were active."""
    newer = platform.presence.get(row["id"])
    return newer or (row["last_seen_at"], row["active_count"] or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDetails:
    """Everything that is known of one host, and a part of its history."""

    summary: HostSummary
    is_cloned: bool
    """Whether two daemons report as this host."""
    projects: tuple[ProjectState, ...]
    sessions: list[SessionUptake]
    history: list[Mutation]
    """Newest first."""


async def host_details(
    platform: Platform, caller: Caller, host_id: str, before: int | None, limit: int
) -> HostDetails:
    """Return a host with its mutations before a place in its history.

    Raise NotFoundError.
    """
    require_access(caller, Access.READ_MUTATIONS)
    async with platform.store.read() as db:
        row = await hosts.get_host(db, caller.org_id, host_id)
        if row is None:
            raise NotFoundError("Worker host not found")
        history = await mutations.history(db, host_id, limit, before)
        waiting = await mutations.count_waiting(db, [host_id])
        sessions = await uptake.of_host(db, host_id)
        clones = await cloned_hosts(db, platform.now(), host_id)
    seen_at, active = _presence(platform, row)
    projects = await comparison.project_states(platform, row, seen_at)
    return HostDetails(
        summary=HostSummary(
            row=row,
            seen_at=seen_at,
            active=active,
            waiting=waiting.get(host_id, 0),
            drifted=sum(state.is_drift for state in projects),
        ),
        is_cloned=bool(clones),
        projects=projects,
        sessions=sorted(sessions, key=lambda session: session.session_id),
        history=history,
    )


DAYS = 14
"""Of outcomes that are shown, today among them."""


@dataclass(frozen=True, slots=True)
class OutcomesOfDay:
    """How many mutations came to which end on a day; UTC."""

    day: date
    counts: Mapping[str, int]


async def outcomes_a_day(platform: Platform, caller: Caller) -> list[OutcomesOfDay]:
    """Return the outcomes of the last days, the oldest first."""
    require_access(caller, Access.READ_MUTATIONS)
    now = platform.now()
    first = outcome_counts.day_of(now) - DAYS + 1
    async with platform.store.read() as db:
        rows = await outcome_counts.since(db, caller.org_id, first)
    counts: dict[int, dict[str, int]] = {}
    for row in rows:
        counts.setdefault(row["day"], {})[row["status"]] = int(row["total"])
    begun = now.date() - timedelta(days=DAYS - 1)
    return [
        OutcomesOfDay(begun + timedelta(days=n), counts.get(first + n, {}))
        for n in range(DAYS)
    ]


AGES = (
    timedelta(minutes=2),
    timedelta(hours=1),
    timedelta(days=1),
    timedelta(days=7),
)


@dataclass(frozen=True, slots=True)
class HostAges:
    """How many hosts were seen last within each time, longer ago, and never."""

    within: tuple[int, ...]
    """For each of `AGES`, those that were not seen within a shorter one."""
    longer: int
    never: int

    @property
    def total(self) -> int:
        """How many hosts there are."""
        return sum(self.within) + self.longer + self.never


async def host_ages(platform: Platform, caller: Caller) -> HostAges:
    """Return when the hosts of the caller's organization were seen last."""
    require_access(caller, Access.READ_MUTATIONS)
    now = platform.now()
    async with platform.store.read() as db:
        counts = await hosts.count_ages(db, caller.org_id, [now - age for age in AGES])
    *since, ever, total = counts
    within = [later - earlier for earlier, later in zip([0, *since], since, strict=False)]
    return HostAges(tuple(within), ever - since[-1], total - ever)
