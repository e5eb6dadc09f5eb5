"""The tables of the database.

Rules that hold for all of them: times are milliseconds (`Time`), ids are text made by us,
what belongs to an organization carries `org_id`, secrets stand in `sealed` columns only
(ciphertext that names its master key), and keys, links and cookies are kept
as SHA-256 digests. An absent project or environment of a credential is the empty string, so
that it can be part of a unique constraint.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from rensei_platform.store.types import JsonText, Time

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_SEQ = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database gives out; SQLite does so for INTEGER alone."""


def _org() -> Column[str]:
    return Column("org_id", Text, ForeignKey("orgs.id"), nullable=False)


# ---- organizations, users and keys -------------------------------------------------------

orgs = Table(
    "orgs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    # Grows whenever a resolved value of the organization changes or is announced.
    Column("values_version", BigInteger, nullable=False, server_default="0"),
    Column("last_rotated_at", Time),
)

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False, unique=True),  # lower case
    Column("password_hash", Text),
    Column("is_operator", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", Time, nullable=False),
    Column("disabled_at", Time),
)

members = Table(
    "members",
    metadata,
    Column("org_id", Text, ForeignKey("orgs.id"), primary_key=True),
    Column("user_id", Text, ForeignKey("users.id"), primary_key=True),
    Column("role", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Index(None, "user_id"),
)

password_links = Table(
    "password_links",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Column("used_at", Time),
    Index(None, "user_id"),
)

console_sessions = Table(
    "console_sessions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False),
    _org(),
    Column("csrf_token", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Column("seen_at", Time),  # written at most once a minute; null: not since it began
    Column("key_id", Text),  # of the key it began with; null: with a password
    Index(None, "user_id"),
    Index(None, "key_id"),
    Index(None, "expires_at"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    _org(),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False),
    Column("kind", Text, nullable=False),  # api_key or user_token
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),  # its first 12 characters, to be shown
    Column("digest", Text, nullable=False, unique=True),
    Column("scopes", JsonText, nullable=False),
    Column("projects", JsonText),  # null: every project
    Column("environments", JsonText),  # null: every environment
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("revoked_at", Time),
    Column("last_used_at", Time),  # written in batches
    Index(None, "org_id", "created_at"),
    # What a replica asks for every few seconds: the keys whose streams have to end.
    Index(
        "ix_keys_revoked",
        "revoked_at",
        sqlite_where=text("revoked_at IS NOT NULL"),
        postgresql_where=text("revoked_at IS NOT NULL"),
    ),
)

# ---- hosts -------------------------------------------------------------------------------

hosts = Table(
    "hosts",
    metadata,
    Column("id", Text, primary_key=True),
    _org(),
    Column("machine_id", Text),  # null: made before the machine registered
    # In the order of its bytes everywhere, so that names with a prefix are a range.
    Column(
        "hostname",
        Text().with_variant(Text(collation="C"), "postgresql"),
        nullable=False,
    ),
    Column("created_at", Time, nullable=False),
    Column("registered_at", Time),
    Column("registrations", Integer, nullable=False, server_default="0"),
    Column("version", Text),
    Column("region", Text),
    Column("capacity", Integer),
    Column("host_info", JsonText),
    Column("last_seq", BigInteger, nullable=False, server_default="0"),  # of its mutations
    # What the host reports (the mirror): an omitted field of a beat leaves the old value.
    Column("status", Text),
    Column("max_sessions", Integer),
    Column("allowlist", JsonText),
    Column("allowlist_hash", Text),
    Column("enabled_project_ids", JsonText),
    Column("admission_mode", Text),
    Column("reported_at", Time),  # when one of these changed last
    Column("uptake_at", Time),  # when its `uptake` last changed; null: never sent
    # What the host is told of itself (`hostStatus`); null: nothing.
    Column("host_status", JsonText),
    # From then on only its history is left: no worker, no machine id, nothing owed.
    Column("removed_at", Time),
    UniqueConstraint("org_id", "machine_id"),
    Index(None, "org_id", "hostname", "id"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host_id", Text, ForeignKey("hosts.id", ondelete="CASCADE"), nullable=False),
    _org(),
    Column("key_id", Text, ForeignKey("keys.id"), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("forgotten_at", Time),  # answered 404 from then on
    Column("seen_at", Time),  # written at most every few minutes; null: not yet
    Index(None, "host_id", "created_at"),
    Index(None, "key_id", "host_id"),
)

presence = Table(
    "presence",
    metadata,
    # Apart from `hosts`, and narrow: written in batches, for thousands of hosts at once.
    Column("host_id", Text, ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True),
    Column("last_seen_at", Time, nullable=False),
    Column("active_count", Integer, nullable=False, server_default="0"),
)

# ---- mutations ---------------------------------------------------------------------------

UNDECIDED = "status IN ('pending', 'delivered')"
"""The condition of the index of what hosts are owed; a query repeats it word for word."""

mutations = Table(
    "mutations",
    metadata,
    Column("host_id", Text, ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True),
    # Given out under a lock on the host's row, so the order of commits is the order of seq.
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    _org(),
    Column("op", Text, nullable=False),
    Column("params", JsonText, nullable=False),
    Column("size", Integer, nullable=False),  # bytes of params
    Column("status", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("key_id", Text),
    Column("created_at", Time, nullable=False),
    Column("delivered_at", Time),
    Column("decided_at", Time),
    Column("cancelled_at", Time),
    Column("error", Text),
    Index(
        "ix_mutations_undecided",
        "host_id",
        "seq",
        sqlite_where=text(UNDECIDED),
        postgresql_where=text(UNDECIDED),
    ),
)

outcome_counts = Table(
    "outcome_counts",
    metadata,
    # How many mutations came to which end on which day, kept when they are pruned.
    Column("org_id", Text, ForeignKey("orgs.id"), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),  # since 1970, UTC
    Column("status", Text, primary_key=True),
    # A count is in several rows, so that transactions do not wait for one another.
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("org_id", Text, ForeignKey("orgs.id"), primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("idempotency_key", Text, primary_key=True),
    Column("request_digest", Text, nullable=False),
    Column("mutation_id", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Index(None, "created_at"),
)

# ---- credentials -------------------------------------------------------------------------

credential_values = Table(
    "credential_values",
    metadata,
    # What the provider `database` keeps: an operator's own values.
    Column("org_id", Text, ForeignKey("orgs.id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("project_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("updated_by", Text, nullable=False),
)

bindings = Table(
    "bindings",
    metadata,
    Column("id", Text, primary_key=True),
    _org(),
    Column("kind", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("provider", Text, nullable=False),  # the name of an instance in platform.toml
    Column("path", Text, nullable=False),
    Column("names", JsonText, nullable=False),  # {environment variable: field}
    Column("watch_seconds", Integer),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    UniqueConstraint("org_id", "kind", "project_id", "environment"),
)

resolved_sets = Table(
    "resolved_sets",
    metadata,
    # What a binding resolved to last, for all replicas: a leased secret is minted once.
    Column(
        "binding_id", Text, ForeignKey("bindings.id", ondelete="CASCADE"), primary_key=True
    ),
    _org(),
    Column("version", BigInteger, nullable=False),  # the organization's, when it was stored
    Column("sealed", Text, nullable=False),  # JSON: {name: value}
    Column("resolved_at", Time, nullable=False),
    Column("stale_at", Time, nullable=False),  # resolve again from then on
    Column("sealed_lease", Text),
    Column("lease_expires_at", Time),
    Column("due_at", Time),  # renew, revoke or look again from then on; null: never
    Index(None, "org_id"),
    Index(None, "resolved_at"),
    Index(None, "due_at"),
)

# ---- sessions, rotations and what became of them -----------------------------------------

session_scopes = Table(
    "session_scopes",
    metadata,
    # Which scopes a session has taken snapshots of: one row a scope, so that two hosts
    # which share a key and a session id are noticed.
    Column("key_id", Text, ForeignKey("keys.id"), primary_key=True),
    Column("session_id", Text, primary_key=True),
    Column("project_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    _org(),
    Column("snapshot_at", Time, nullable=False),
    Column("version", BigInteger, nullable=False),  # of the values in that snapshot
    Index(None, "org_id", "snapshot_at"),
)

rotations = Table(
    "rotations",
    metadata,
    Column("org_id", Text, ForeignKey("orgs.id"), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("rotated_at", Time, nullable=False),
    Column("session_count", Integer),  # null until every replica has answered
    Column("duration_ms", Integer),  # until the last of them was notified
    Index(None, "org_id", "kind", "version"),
)

rotation_replicas = Table(
    "rotation_replicas",
    metadata,
    # How many sessions each replica has notified of a rotation.
    Column("rotation_id", Text, primary_key=True),
    Column("replica_id", Text, primary_key=True),
    Column("session_count", Integer, nullable=False),
    Column("at", Time, nullable=False),
)

uptake = Table(
    "uptake",
    metadata,
    # What hosts say of the values that their sessions hold and use.
    Column("host_id", Text, ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True),
    Column("session_id", Text, primary_key=True),
    _org(),
    Column("version", BigInteger, nullable=False),
    Column("confirmed", Integer, nullable=False),
    Column("received", Integer, nullable=False),
    Column("unknown", Integer, nullable=False),
    Column("behind", JsonText, nullable=False),
    Column("settled_version", BigInteger),
    Column("settled_as", Text, nullable=False),
    Column("key_id", Text, nullable=False),  # of the worker that reported it
    Column("reported_at", Time, nullable=False),
    Column("ended_at", Time),
    Index(None, "org_id", "version"),
)

# ---- master keys, replicas and audit -----------------------------------------------------

master_keys = Table(
    "master_keys",
    metadata,
    # Which keys the values of this database are sealed with; ids, never the keys.
    Column("id", Text, primary_key=True),
    Column("created_at", Time, nullable=False),
)

replicas = Table(
    "replicas",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("started_at", Time, nullable=False),
    Column("seen_at", Time, nullable=False),
    Column("stream_count", Integer, nullable=False, server_default="0"),
    Column("schema", Text),  # the newest migration that it knows; null: an older program
    Index(None, "seen_at"),
)

schema_steps = Table(
    "schema_steps",
    metadata,
    # The migrations that were made, for programs that do not know the latest one.
    Column("revision", Text, primary_key=True),
    Column("previous", Text),
    Column("serves_previous", Boolean, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    Column("org_id", Text),  # null: no organization could be told
    Column("at", Time, nullable=False),
    Column("actor", Text, nullable=False),
    Column("key_id", Text),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("count", Integer, nullable=False, server_default="1"),
    Column("address", Text, nullable=False),
    Column("details", JsonText),
    Index(None, "org_id", "seq"),
    Index(None, "org_id", "actor", "seq"),
    Index(None, "org_id", "action", "seq"),
)
