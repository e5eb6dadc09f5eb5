"""The rules of workers: how a host gets its id and token, and its beats answered."""

import math
from dataclasses import dataclass, replace
from datetime import timedelta

from rensei_daemon.local_platform import mutations, tokens
from rensei_daemon.local_platform.access import Caller
from rensei_daemon.local_platform.ledger import Ledger
from rensei_daemon.local_platform.records import Beat, Host, Json, Worker, wire_time

_REPORTED = (
    "allowlist",
    "allowlistHash",
    "enabledProjectIds",
    "maxSessions",
    "projectAdmissionMode",
)
"""Keys of a beat that the mirror of a host is made of."""

_SCOPES = ("worker:register", "worker:poll", "worker:heartbeat", "worker:session")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a host says of itself."""

    hostname: str
    machine_id: str | None
    body: Json
    """The whole request, less any token in it."""


def register(ledger: Ledger, caller: Caller, registration: Registration) -> Worker:
    """Give the host a new worker id; its row is found by machine, then by name."""
    host = _matching_host(ledger, caller.org_id, registration) or Host(
        id=ledger.new_id("host"),
        org_id=caller.org_id,
        name=registration.hostname,
        created_at=ledger.now_text(),
    )
    worker = Worker(
        id=ledger.new_id("wkr"),
        org_id=caller.org_id,
        host_id=host.id,
        key_id=caller.key_id,
        created_at=ledger.now_text(),
        registration=registration.body,
    )
    host = replace(
        host,
        worker_id=worker.id,
        machine_id=registration.machine_id or host.machine_id,
        registrations=host.registrations + 1,
    )
    ledger.put(host, worker)
    return worker


def _matching_host(ledger: Ledger, org_id: str, registration: Registration) -> Host | None:
    """Find the host's row: a row made in advance has a name and no machine yet."""
    hosts = [host for host in ledger.tables.hosts.values() if host.org_id == org_id]
    machine_id = registration.machine_id
    for host in hosts:
        if machine_id is not None and host.machine_id == machine_id:
            return host
    for host in hosts:
        is_same_machine = None in (host.machine_id, machine_id)
        if host.name == registration.hostname and is_same_machine:
            return host
    return None


def issue_token(ledger: Ledger, worker: Worker) -> tuple[str, str]:
    """Return a runtime token for the worker, and the wire's time of its expiry."""
    now = ledger.clock()
    expires = now + timedelta(seconds=ledger.settings.token_ttl_seconds)
    claims = {
        "jti": ledger.new_id("jti"),
        "sub": worker.id,
        "org": worker.org_id,
        "proj": None,
        "reg": worker.key_id,
        "scope": list(_SCOPES),
        "iat": now.timestamp(),
        "exp": expires.timestamp(),
    }
    return tokens.issue(claims, ledger.signing_secret()), wire_time(expires)


def whole_seconds(milliseconds: int) -> int:
    """Return an interval for the older wire, which counts in seconds: rounded up."""
    return math.ceil(milliseconds / 1000)


def note_beat(ledger: Ledger, worker: Worker, body: Json) -> Host:
    """Remember a heartbeat, as it came; return the row of the host it came from."""
    at = ledger.now_text()
    host = ledger.tables.hosts[worker.host_id]
    mirror = host.mirror | {key: body[key] for key in _REPORTED if key in body}
    host = replace(host, mirror=mirror, last_beat=body, last_beat_at=at)
    ledger.put(host)
    ledger.note_beat(Beat(at=at, host_id=host.id, worker_id=worker.id, body=body))
    return host


def short_answer(ledger: Ledger) -> Json:
    """Answer a heartbeat with what both of its endpoints say."""
    return {
        "acknowledged": True,
        "serverTime": ledger.now_text(),
        "pendingWorkCount": 0,
    }


def answer_beat(
    ledger: Ledger, worker: Worker, body: Json, outcomes: mutations.Outcomes
) -> Json:
    """Settle what the beat acks, and answer with what its host is owed.

    Everything unsettled is sent on every beat, in the order it was asked for; the first
    time closes its cancel window.
    """
    host = note_beat(ledger, worker, body)
    mutations.settle(ledger, host, outcomes)
    answer = short_answer(ledger)
    if host.status is not None:
        answer["hostStatus"] = host.status
    answer["pendingMutations"] = [
        mutations.for_host(mutation) for mutation in mutations.deliver(ledger, host)
    ]
    return answer
