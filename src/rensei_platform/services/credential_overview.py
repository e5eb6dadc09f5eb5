"""Kinds of credentials as a person looks at them: where they come from, never a value."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping

from rensei_platform.rules.callers import Access, Caller, require_access
from rensei_platform.rules.credentials import Scope, is_seen
from rensei_platform.rules.receipts import Progress, progress
from rensei_platform.services import credentials as bindings
from rensei_platform.services.platform import Platform
from rensei_platform.store import credentials, uptake


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingView:
    """Where the values of one kind and scope come from."""

    project: str
    environment: str
    provider: str
    path: str
    names: tuple[str, ...]
    """Of the variables, as far as they are known without asking the provider."""
    resolved_at: datetime | None
    failure: str | None
    """What the provider has answered last; None if it works."""
    failed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KindView:
    """A kind of credential."""

    kind: str
    bindings: tuple[BindingView, ...]
    last: RowMapping | None
    """Its newest rotation."""


async def list_kinds(platform: Platform, caller: Caller) -> list[KindView]:
    """Return the kinds of the caller's organization by name."""
    require_access(caller, Access.READ_MUTATIONS)
    pairs = await bindings.list_bindings(platform, caller)
    async with platform.store.read() as db:
        stored = await credentials.value_names(db, caller.org_id)
        last = await credentials.newest_rotations(db, caller.org_id)
    failures = platform.values.resolver.failures
    views: dict[str, list[BindingView]] = {}
    for one, resolved in pairs:
        scope = (one.kind, one.project_id, one.environment)
        failure = failures.get(one.id)
        views.setdefault(one.kind, []).append(
            BindingView(
                project=one.project_id,
                environment=one.environment,
                provider=one.provider,
                path=one.path,
                names=tuple(sorted(one.names) or stored.get(scope, ())),
                resolved_at=resolved.resolved_at if resolved else None,
                failure=str(failure.error) if failure else None,
                failed_at=failure.at if failure else None,
            )
        )
    return [
        KindView(kind=kind, bindings=tuple(found), last=last.get(kind))
        for kind, found in sorted(views.items())
    ]


async def list_rotations(
    platform: Platform, caller: Caller, before: int | None, limit: int
) -> Sequence[RowMapping]:
    """Return the rotations below a version, newest first."""
    require_access(caller, Access.READ_MUTATIONS)
    async with platform.store.read() as db:
        return await credentials.list_rotations(db, caller.org_id, limit, before)


async def progress_of(
    platform: Platform,
    caller: Caller,
    kinds: Sequence[KindView],
    rotations: Sequence[RowMapping],
) -> list[Progress]:
    """Return how far the sessions are with each of these rotations, by counts alone.

    One statement counts the sessions for all of them. A kind of which nothing is bound
    any more concerns every session, as does one that has taken no snapshot lately.
    """
    require_access(caller, Access.READ_MUTATIONS)
    async with platform.store.read() as db:
        groups = await uptake.groups_of_org(db, caller.org_id)
        newest = await credentials.values_version(db, caller.org_id)
    bound = {
        view.kind: [Scope(one.project, one.environment) for one in view.bindings]
        for view in kinds
    }
    concerned = {
        kind: [
            (group.like, group.count)
            for group in groups
            if _is_concerned(group.scopes, bound.get(kind))
        ]
        for kind in {rotation["kind"] for rotation in rotations}
    }
    return [
        progress(rotation["version"], concerned[rotation["kind"]], newest=newest)
        for rotation in rotations
    ]


def _is_concerned(scopes: Collection[Scope], bound: Sequence[Scope] | None) -> bool:
    if not scopes or bound is None:
        return True
    return any(is_seen(of_kind, scope) for of_kind in bound for scope in scopes)
