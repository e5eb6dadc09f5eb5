"""The rules of handing out credentials: snapshots, rotations, word to the streams."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from rensei_daemon.local_platform.credentials import (
    BLOCKED_NAMES,
    Scope,
    fresh_value,
    merged,
)
from rensei_daemon.local_platform.ledger import Ledger
from rensei_daemon.local_platform.records import Credential, Json, wire_time
from rensei_daemon.local_platform.refusal import not_found


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What a rotation did."""

    kind: str
    session_count: int
    """Live streams that were told."""
    rotated_at: str
    names: tuple[str, ...]


def snapshot(ledger: Ledger, org_id: str, scope: Scope) -> Json:
    """Return the flat environment a scope sees now, and when to ask again."""
    visible = merged(_of_org(ledger, org_id), scope)
    refresh = ledger.clock() + timedelta(seconds=ledger.settings.refresh_seconds)
    return {
        "env": {name: credential.value for name, credential in visible.items()},
        "refreshUntil": wire_time(refresh),
    }


def rotate(ledger: Ledger, org_id: str, kind: str) -> Rotation:
    """Give every credential of the kind a new value, and tell the org's live streams.

    A stream is told the new values its session sees, by the scope of the session's last
    snapshot; all of them when it never took one. No stream at all is no error.
    """
    before = [c for c in _of_org(ledger, org_id) if c.kind == kind]
    if not before:
        raise not_found(f"Credential kind {kind}")
    after = [_rotated(credential) for credential in before]
    ledger.put(*after)
    now = ledger.now_text()
    rotated = {credential.id for credential in after}
    told = 0
    for stream in ledger.streams:
        if stream.org_id != org_id:
            continue
        scope = ledger.session_scopes.get((org_id, stream.session_id))
        delta = _delta(_of_org(ledger, org_id), rotated, scope)
        if delta:
            stream.send("UPDATE", {"type": "UPDATE", "delta": delta, "rotatedAt": now})
            told += 1
    names = tuple(sorted({credential.name for credential in after}))
    return Rotation(kind=kind, session_count=told, rotated_at=now, names=names)


def _rotated(credential: Credential) -> Credential:
    value = credential.staged
    if value is None:
        value = fresh_value(credential.value)
    return replace(credential, value=value, staged=None)


def _delta(
    credentials: Iterable[Credential], rotated: set[str], scope: Scope | None
) -> dict[str, str]:
    if scope is None:
        fresh = [c for c in credentials if c.id in rotated]
        return {c.name: c.value for c in fresh if c.name not in BLOCKED_NAMES}
    visible = merged(credentials, scope)
    return {name: c.value for name, c in visible.items() if c.id in rotated}


def _of_org(ledger: Ledger, org_id: str) -> list[Credential]:
    return [c for c in ledger.tables.credentials.values() if c.org_id == org_id]
