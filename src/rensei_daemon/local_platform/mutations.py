"""The rules of mutations: asked for, cancelled or delivered, delivered until acked."""

from dataclasses import dataclass, replace

from rensei_daemon.local_platform.ledger import Ledger
from rensei_daemon.local_platform.records import OPS, Ack, Host, Json, Mutation
from rensei_daemon.local_platform.refusal import invalid, not_found


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What one beat says of mutations."""

    applied: tuple[str, ...] = ()
    """Ids of the applied ones."""
    failed: tuple[tuple[str, str], ...] = ()
    """Ids of the failed ones, each with its error."""


def enqueue(
    ledger: Ledger, host: Host, op: str, params: Json, *, requested_by: str
) -> Mutation:
    """Ask a host for a change; it is pending until the host's next beat."""
    if op not in OPS:
        raise invalid(f"op must be one of: {', '.join(OPS)}")
    mutation = Mutation(
        id=ledger.new_id("dmut"),
        org_id=host.org_id,
        host_id=host.id,
        op=op,
        params=params,
        requested_by=requested_by,
        created_at=ledger.now_text(),
    )
    ledger.put(mutation)
    return mutation


def listed(ledger: Ledger, host: Host, limit: int) -> list[Mutation]:
    """Return the latest mutations of a host, newest first."""
    found = (m for m in reversed(ledger.tables.mutations.values()))
    return [m for m in found if m.host_id == host.id][:limit]


def cancel(ledger: Ledger, org_id: str, mutation_id: str) -> bool:
    """Cancel a mutation of the org; False when a beat has already picked it up."""
    mutation = ledger.tables.mutations.get(mutation_id)
    if mutation is None or mutation.org_id != org_id:
        raise not_found("Mutation")
    if mutation.delivered_at is not None:
        return False
    if mutation.cancelled_at is None:
        ledger.put(replace(mutation, cancelled_at=ledger.now_text()))
    return True


def deliver(ledger: Ledger, host: Host) -> list[Mutation]:
    """Return what the host is owed, oldest first, and stamp what goes out first now.

    The public documents disagree: owed until acked, or (`deliver_once`) until delivered.
    """
    now = ledger.now_text()
    owed = [
        mutation
        for mutation in ledger.tables.mutations.values()
        if mutation.host_id == host.id and mutation.is_owed
    ]
    fresh = [replace(m, delivered_at=now) for m in owed if m.delivered_at is None]
    if fresh:
        ledger.put(*fresh)
    if ledger.settings.deliver_once:
        owed = fresh
    return [ledger.tables.mutations[mutation.id] for mutation in owed]


def settle(ledger: Ledger, host: Host, outcomes: Outcomes) -> None:
    """Record what the host says of its mutations; the first word on each one counts."""
    said: list[tuple[str, str | None]] = [(id_, None) for id_ in outcomes.applied]
    said += outcomes.failed
    now = ledger.now_text()
    changed: dict[str, Mutation] = {}
    acks = []
    for mutation_id, error in said:
        acks.append(
            Ack(
                id=ledger.new_id("ack"),
                at=now,
                host_id=host.id,
                mutation_id=mutation_id,
                error=error,
            )
        )
        mutation = changed.get(mutation_id) or ledger.tables.mutations.get(mutation_id)
        if mutation is not None and _may_settle(mutation, host):
            changed[mutation_id] = replace(mutation, acked_at=now, error=error)
    if acks:
        ledger.put(*acks, *changed.values())


def _may_settle(mutation: Mutation, host: Host) -> bool:
    return (
        mutation.host_id == host.id
        and mutation.delivered_at is not None
        and mutation.is_owed
    )


def for_host(mutation: Mutation) -> Json:
    """Write a mutation as a heartbeat's answer carries it."""
    return {
        "id": mutation.id,
        "op": mutation.op,
        "params": mutation.params,
        "requestedAt": mutation.created_at,
        "requestedBy": mutation.requested_by,
    }


def for_operator(mutation: Mutation) -> Json:
    """Write a mutation as the operator's endpoints show it."""
    return {
        "id": mutation.id,
        "orgId": mutation.org_id,
        "workerHostId": mutation.host_id,
        "op": mutation.op,
        "params": mutation.params,
        "status": mutation.status,
        "requestedBy": mutation.requested_by,
        "deliveredAt": mutation.delivered_at,
        "cancelledAt": mutation.cancelled_at,
        "createdAt": mutation.created_at,
    }
