"""Credentials: snapshots, rotations, and what an operator stores and binds."""

import random
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
)
from rensei_platform.ids import new_id
from rensei_platform.providers.base import BadAnswerError, Binding, ResolveError
from rensei_platform.providers.database import ValueScope
from rensei_platform.providers.fields import check_values
from rensei_platform.providers.instances import DATABASE
from rensei_platform.providers.options import Limits
from rensei_platform.rules.callers import (
    Access,
    Caller,
    require_access,
    require_admin,
    require_org,
    require_visible,
)
from rensei_platform.rules.credentials import BLOCKED_NAMES, Scope, snapshot
from rensei_platform.rules.fields import Json
from rensei_platform.rules.refresh import refresh_until
from rensei_platform.rules.times import wire_time
from rensei_platform.services.platform import Platform
from rensei_platform.services.snapshot_notes import SnapshotNote
from rensei_platform.store import audit, credentials, resolved_sets
from rensei_platform.store.credentials import StoredBinding
from rensei_platform.store.resolved_sets import Pair

LONGEST_TRIAL_SECONDS = 15.0
"""For which who binds a kind waits for its provider; a command gives up after 30."""

# ---- what a session asks for -------------------------------------------------------------


async def take_snapshot(
    platform: Platform, caller: Caller, org_id: str, session_id: str | None, scope: Scope
) -> tuple[Json, SnapshotNote | None]:
    """Return everything a scope sees now, and note that the session stands there.

    With it comes what is left to be noted after the answer. Raise ForbiddenError for
    another organization or a scope beyond the key's limits, UnavailableError if a provider
    fails and nothing of it is still good.
    """
    require_org(caller, org_id)
    require_access(caller, Access.SNAPSHOT)
    require_visible(caller, scope.project_id or None, scope.environment)
    values = await platform.values.for_scope(org_id, scope)
    env, now = snapshot(values.sets, scope), platform.now()
    chance = random.random()  # noqa: S311 - not a secret
    expires_at = values.expires_at(scope)
    refresh_at = refresh_until(now, expires_at, platform.settings.refresh_interval, chance)
    content = {
        "env": env,
        "refreshUntil": wire_time(refresh_at),
        "version": values.version,
    }
    note = SnapshotNote(caller, session_id, scope, values.version, now, tuple(sorted(env)))
    if await platform.snapshot_notes.is_new(note):
        await platform.snapshot_notes.add(note)
        return content, None
    return content, note


# ---- what an operator stores and binds ---------------------------------------------------


async def set_values(
    platform: Platform, caller: Caller, scope: ValueScope, values: Mapping[str, str]
) -> None:
    """Store values, encrypted, and bind the kind to them. It tells no session."""
    require_admin(caller, Access.ADMIN)
    for name in values:
        if name in BLOCKED_NAMES:
            raise InvalidRequestError(f"{name} is a name of the platform's own")
    now = platform.now()

    async def write(db: AsyncConnection) -> None:
        await _check_resolvable(db, platform, scope, values)
        await _bind_to_database(db, scope, now)
        rows = [
            {
                "org_id": scope.org_id,
                "kind": scope.kind,
                "project_id": scope.project_id,
                "environment": scope.environment,
                "name": name,
                "sealed": platform.sealer.seal(value, scope.identity(name)),
                "updated_at": now,
                "updated_by": caller.name,
            }
            for name, value in values.items()
        ]
        await credentials.put_values(db, rows)
        await audit.add_entry(
            db, caller, "credential.set", scope.path, now, names=sorted(values)
        )

    where = Scope(scope.project_id, scope.environment)
    await platform.values.change(scope.org_id, scope.kind, where, write)


async def _check_resolvable(
    db: AsyncConnection, platform: Platform, scope: ValueScope, values: Mapping[str, str]
) -> None:
    """Raise InvalidRequestError if a scope with these values too could not be resolved."""
    sealed = await credentials.sealed_values(
        db, scope.org_id, scope.kind, scope.project_id, scope.environment
    )
    stored = {
        name: platform.sealer.unseal(text, scope.identity(name))
        for name, text in sealed.items()
    }
    try:
        check_values({**stored, **values}, Limits().most_bytes)
    except BadAnswerError as error:
        raise InvalidRequestError(error.reason) from None


async def _bind_to_database(db: AsyncConnection, scope: ValueScope, now: datetime) -> None:
    """Bind a kind to stored values. Raise ConflictError if another provider is bound."""
    for one in await credentials.find_bindings(db, scope.org_id, scope.kind):
        if (one.project_id, one.environment) == (scope.project_id, scope.environment):
            if one.provider != DATABASE:
                raise ConflictError(
                    f"{scope.kind} is bound to the provider {one.provider}; unbind it first"
                )
            return
    await credentials.put_binding(db, _to_database(scope), now)


def _to_database(scope: ValueScope) -> StoredBinding:
    return StoredBinding(
        id=new_id("bind"),
        org_id=scope.org_id,
        kind=scope.kind,
        project_id=scope.project_id,
        environment=scope.environment,
        provider=DATABASE,
        path=scope.path,
        names={},
    )


async def bind(
    platform: Platform, caller: Caller, binding: StoredBinding
) -> ResolveError | None:
    """Bind a kind to a path of a provider, and return why it cannot be resolved now.

    No session that sees it gets a snapshot before it can. A provider that may take long is
    not asked before the first need.
    """
    require_admin(caller, Access.ADMIN)
    platform.registry.check(
        Binding(
            org_id=binding.org_id,
            kind=binding.kind,
            provider=binding.provider,
            path=binding.path,
            names=binding.names,
        )
    )
    now = platform.now()

    async def write(db: AsyncConnection) -> None:
        await credentials.put_binding(db, binding, now)
        await audit.add_entry(
            db, caller, "credential.bind", binding.kind, now, provider=binding.provider
        )

    where = Scope(binding.project_id, binding.environment)
    await platform.values.change(binding.org_id, binding.kind, where, write)
    if platform.registry.limits(binding.provider).timeout_seconds > LONGEST_TRIAL_SECONDS:
        return None
    try:
        await platform.values.try_out(binding)
    except ResolveError as error:
        return error
    except UnavailableError:
        pass  # it is bound, and will be asked for
    return None


async def unbind(
    platform: Platform, caller: Caller, kind: str, project_id: str, environment: str
) -> None:
    """Remove a binding. Raise NotFoundError if there is none."""
    require_admin(caller, Access.ADMIN)
    now = platform.now()

    async def write(db: AsyncConnection) -> None:
        if not await credentials.remove_binding(
            db, caller.org_id, kind, project_id, environment
        ):
            raise NotFoundError(f"Credential kind {kind} is not configured")
        await audit.add_entry(db, caller, "credential.unbind", kind, now)

    where = Scope(project_id, environment)
    await platform.values.change(caller.org_id, kind, where, write)


async def list_bindings(platform: Platform, caller: Caller) -> list[Pair]:
    """Return the bindings of the caller's organization, with what they resolved to."""
    require_access(caller, Access.ADMIN)
    async with platform.store.read() as db:
        pairs = await resolved_sets.of_organization(db, caller.org_id)
    return sorted(
        pairs,
        key=lambda one: (
            one.binding.kind,
            one.binding.project_id,
            one.binding.environment,
        ),
    )
