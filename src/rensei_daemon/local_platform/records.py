"""What the platform remembers, as plain values that fit a row of JSON.

Every time is text as the wire has it (`2026-09-01T00:00:00.000Z`), so that a record is
the same before and after the store. Nothing here decides anything.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, assert_never

Json = dict[str, Any]

ROLES = ("owner", "admin", "member", "auditor")
ADMIN_ROLES = ("owner", "admin")
OPS = (
    "project.add",
    "project.remove",
    "project.enable",
    "project.disable",
    "pool.deleted",
    "modelAccess.set",
    "modelAccess.clear",
)


def wire_time(moment: datetime) -> str:
    """Write an aware UTC time as the wire does, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret of the platform itself; the one there is signs runtime tokens."""

    id: str
    hex: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Org:
    """A tenant."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key, of which only the digest is kept."""

    id: str
    org_id: str
    role: str
    owner: str
    """Who asks when this key asks: a mutation's `requestedBy`."""
    prefix: str
    """The first twelve characters, for people."""
    digest: str = field(repr=False)
    is_revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A worker host: the row that mutations name, which outlives worker ids."""

    id: str
    org_id: str
    name: str
    created_at: str
    machine_id: str | None = None
    registrations: int = 0
    worker_id: str | None = None
    """The worker id of the latest registration."""
    status: Json | None = None
    """Sent as `hostStatus` on every beat; None sends none."""
    mirror: Json = field(default_factory=dict)
    """What the host last reported, key by key: an omitted key leaves the old value."""
    last_beat: Json | None = None
    last_beat_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One registration of a host."""

    id: str
    org_id: str
    host_id: str
    key_id: str
    created_at: str
    registration: Json
    is_forgotten: bool = False
    """The platform no longer knows it: 404, and the host must register anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """A change asked of one host."""

    id: str
    org_id: str
    host_id: str
    op: str
    params: Json
    requested_by: str
    created_at: str
    delivered_at: str | None = None
    cancelled_at: str | None = None
    acked_at: str | None = None
    error: str | None = None

    @property
    def status(self) -> str:
        """Where the mutation is: pending, delivered, applied, failed or cancelled."""
        if self.cancelled_at is not None:
            return "cancelled"
        if self.acked_at is not None:
            return "applied" if self.error is None else "failed"
        return "pending" if self.delivered_at is None else "delivered"

    @property
    def is_owed(self) -> bool:
        """Say whether the host must still be told: neither cancelled nor acked."""
        return self.cancelled_at is None and self.acked_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One environment variable of an org, or of a project or environment in it."""

    id: str
    org_id: str
    kind: str
    name: str
    value: str = field(repr=False)
    project_id: str | None = None
    env_name: str | None = None
    staged: str | None = field(default=None, repr=False)
    """The value the next rotation brings; None means a random one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """What a host said of a mutation, each time it did; error None is applied."""

    id: str
    at: str
    host_id: str
    mutation_id: str
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what; names and ids only, never a value."""

    id: str
    at: str
    org_id: str
    actor: str
    action: str
    detail: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A heartbeat as it came; kept in memory only."""

    at: str
    host_id: str
    worker_id: str
    body: Json


Record = Secret | Org | Key | Host | Worker | Mutation | Credential | Ack | AuditEntry
RECORD_TYPES: tuple[type[Record], ...] = (
    Secret,
    Org,
    Key,
    Host,
    Worker,
    Mutation,
    Credential,
    Ack,
    AuditEntry,
)


@dataclass(slots=True)
class Tables:
    """Every record by its id, in the order they were first put."""

    secrets: dict[str, Secret] = field(default_factory=dict)
    orgs: dict[str, Org] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    mutations: dict[str, Mutation] = field(default_factory=dict)
    credentials: dict[str, Credential] = field(default_factory=dict)
    acks: dict[str, Ack] = field(default_factory=dict)
    audit: dict[str, AuditEntry] = field(default_factory=dict)

    def put(self, record: Record) -> None:
        """Add a record, or replace the one with its id."""
        self._table(record)[record.id] = record

    def _table(self, record: Record) -> dict[str, Any]:  # noqa: C901 - one arm a table
        match record:
            case Secret():
                return self.secrets
            case Org():
                return self.orgs
            case Key():
                return self.keys
            case Host():
                return self.hosts
            case Worker():
                return self.workers
            case Mutation():
                return self.mutations
            case Credential():
                return self.credentials
            case Ack():
                return self.acks
            case AuditEntry():
                return self.audit
            case _:
                assert_never(record)
