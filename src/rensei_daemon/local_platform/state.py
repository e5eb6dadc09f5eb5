"""The platform's state with the plain methods that set it up and look into it.

For labs and tests: what the public wire has no endpoint for (an org, a key, a host's
status) is done here, and so is what it has one for, without a request. Whatever names
an org or a host takes its id or its name. The rules are elsewhere; see `ledger`.
"""

from collections.abc import Sequence
from dataclasses import replace

from rensei_daemon.local_platform import mutations, rotation
from rensei_daemon.local_platform.access import KEY_PREFIX, LEGACY_PREFIX, key_digest
from rensei_daemon.local_platform.ledger import Ledger
from rensei_daemon.local_platform.records import (
    ROLES,
    Ack,
    AuditEntry,
    Credential,
    Host,
    Json,
    Key,
    Mutation,
    Org,
    Worker,
)
from rensei_daemon.local_platform.refusal import RefusalError, invalid, not_found


class State(Ledger):
    """The ledger, with handles."""

    def add_org(self, name: str, *, id: str | None = None) -> Org:
        """Add a tenant."""
        org = Org(id=id or self.new_id("org"), name=name)
        for known in self.tables.orgs.values():
            _must_differ({org.id, org.name}, {known.id, known.name})
        self.put(org)
        return org

    def add_key(
        self,
        org: str,
        role: str = "admin",
        *,
        owner: str | None = None,
        token: str | None = None,
    ) -> str:
        """Add an API key and return its text, which is kept nowhere else."""
        if role not in ROLES:
            raise invalid(f"role must be one of: {', '.join(ROLES)}")
        text = token or self.new_key_text()
        if not text.startswith((KEY_PREFIX, LEGACY_PREFIX)):
            raise invalid(f"a key starts with {KEY_PREFIX} or {LEGACY_PREFIX}")
        key = Key(
            id=self.new_id("key"),
            org_id=self.org(org).id,
            role=role,
            owner=owner or self.new_id("usr"),
            prefix=text[:12],
            digest=key_digest(text),
        )
        self.put(key)
        return text

    def revoke_key(self, token: str) -> None:
        """Let a key be refused, with 401, from now on."""
        digest = key_digest(token)
        found = [key for key in self.tables.keys.values() if key.digest == digest]
        self.put(*(replace(key, is_revoked=True) for key in found))

    def add_host(self, org: str, name: str, *, id: str | None = None) -> Host:
        """Add a host's row before it has registered; it is matched by its hostname."""
        host = Host(
            id=id or self.new_id("host"),
            org_id=self.org(org).id,
            name=name,
            created_at=self.now_text(),
        )
        for known in self.tables.hosts.values():
            _must_differ({host.id}, {known.id})
            if known.org_id == host.org_id:
                _must_differ({host.name}, {known.name})
        self.put(host)
        return host

    def set_host_status(
        self,
        host: str,
        status: str | None,
        *,
        recommended_action: str | None = None,
        candidate_pool_ids: Sequence[str] | None = None,
    ) -> Host:
        """Send this `hostStatus` on each beat from now on; None sends none."""
        value: Json | None = None if status is None else {"status": status}
        if value is not None and recommended_action is not None:
            value["recommendedAction"] = recommended_action
        if value is not None and candidate_pool_ids is not None:
            value["candidatePoolIds"] = list(candidate_pool_ids)
        changed = replace(self.host(host), status=value)
        self.put(changed)
        return changed

    def set_credential(
        self,
        org: str,
        kind: str,
        name: str,
        value: str,
        *,
        project_id: str | None = None,
        env_name: str | None = None,
        is_staged: bool = False,
    ) -> Credential:
        """Set a credential's value, without a word to anyone.

        With `is_staged` the value waits for the next rotation of its kind.
        """
        org_id = self.org(org).id
        place = (org_id, name, project_id, env_name)
        for old in self.tables.credentials.values():
            if (old.org_id, old.name, old.project_id, old.env_name) == place:
                changed = (
                    replace(old, kind=kind, staged=value)
                    if is_staged
                    else replace(old, kind=kind, value=value)
                )
                self.put(changed)
                return changed
        if is_staged:
            raise not_found(f"Credential {name}")
        credential = Credential(
            id=self.new_id("cred"),
            org_id=org_id,
            kind=kind,
            name=name,
            value=value,
            project_id=project_id,
            env_name=env_name,
        )
        self.put(credential)
        return credential

    def rotate(self, org: str, kind: str) -> rotation.Rotation:
        """Rotate a kind, as POST /api/daemon/credentials/rotate does."""
        return rotation.rotate(self, self.org(org).id, kind)

    def enqueue(
        self, host: str, op: str, params: Json, *, requested_by: str = "lab"
    ) -> Mutation:
        """Ask a host for a change, as POST /api/daemon/mutations does."""
        return mutations.enqueue(
            self, self.host(host), op, params, requested_by=requested_by
        )

    def expire_tokens(self) -> None:
        """Let every runtime token issued so far be expired."""
        self.tokens_valid_from = self.clock().timestamp()

    def forget_worker(self, worker_id: str) -> None:
        """Answer 404 to this worker from now on."""
        self.put(replace(self.tables.workers[worker_id], is_forgotten=True))

    def drop_streams(self) -> int:
        """End every live rotate stream; return how many there were."""
        for stream in self.streams:
            stream.end()
        return len(self.streams)

    def org(self, ref: str) -> Org:
        """Return an org by id or name."""
        for org in self.tables.orgs.values():
            if ref in (org.id, org.name):
                return org
        raise not_found(f"Org {ref}")

    def host(self, ref: str) -> Host:
        """Return a host by id, worker id or name."""
        for host in self.tables.hosts.values():
            if ref in (host.id, host.worker_id, host.name):
                return host
        raise not_found(f"Host {ref}")

    @property
    def hosts(self) -> list[Host]:
        """Every host, the oldest first."""
        return list(self.tables.hosts.values())

    @property
    def workers(self) -> list[Worker]:
        """Every registration, the oldest first."""
        return list(self.tables.workers.values())

    @property
    def mutations(self) -> list[Mutation]:
        """Every mutation, in the order asked for."""
        return list(self.tables.mutations.values())

    @property
    def acks(self) -> list[Ack]:
        """Every ack, the repeated ones too, in the order they came."""
        return list(self.tables.acks.values())

    @property
    def audit(self) -> list[AuditEntry]:
        """The audit, the oldest entry first."""
        return list(self.tables.audit.values())


def _must_differ(new: set[str], known: set[str]) -> None:
    for name in new & known:
        raise RefusalError(409, f"{name} already exists")
