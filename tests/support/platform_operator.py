"""What an operator does with a control plane, as plain methods that return when done."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from platform_template import ORG
from stored_rows import StoredRows

from rensei_platform.rules.mutations import Mutation

ADMIN = "bo@acme.test"


class PlatformOperator(ABC):
    """Acts as the owner of each organization."""

    rows: StoredRows

    def __init__(self, owner_key: str) -> None:
        self._owner_keys = {ORG: owner_key}
        self._key_ids: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None, *, org: str = ORG) -> Any:
        """Call the API as an owner, and return its answer's JSON."""
        return self.ask_as(self._owner_keys[org], method, path, body)

    @abstractmethod
    def ask_as(self, key: str, method: str, path: str, body: Any = None) -> Any:
        """Call the API with a key, and return its answer's JSON."""

    def add_org(self, org: str) -> None:
        """Add an organization with an owner."""
        body = {"id": org, "name": org, "owner": f"owner@{org.replace('_', '-')}.test"}
        self._owner_keys[org] = self.ask("POST", "/api/admin/orgs", body)["key"]

    def add_key(self, role: str = "admin", *, org: str = ORG, owner: str = ADMIN) -> str:
        """Return a new API key of a member with this role."""
        return self.know_key(self.make_key(role, org=org, owner=owner))

    def make_key(
        self, role: str = "admin", *, org: str = ORG, owner: str = ADMIN
    ) -> dict[str, Any]:
        """Make such a key, and return the answer that has it."""
        body = {"name": "a host's", "owner": owner, "role": role}
        made: dict[str, Any] = self.ask("POST", "/api/admin/keys", body, org=org)
        return made

    def know_key(self, made: dict[str, Any]) -> str:
        """Remember a key that was made, so that it can be revoked; return it."""
        self._key_ids[made["key"]] = made["id"]
        return str(made["key"])

    def revoke_key(self, key: str) -> None:
        """Revoke a key that was made."""
        self.ask("DELETE", f"/api/admin/keys/{self._key_ids[key]}")

    def add_host(self, name: str, *, org: str = ORG, host_id: str | None = None) -> str:
        """Add a host before it registers, and return its id."""
        body = {"name": name, "id": host_id}
        return str(self.ask("POST", "/api/admin/hosts", body, org=org)["id"])

    def set_host_status(self, host: str, status: str | None, **more: Any) -> None:
        """Have a host told this `hostStatus` with each heartbeat. None: nothing."""
        path = f"/api/admin/hosts/{self.rows.host(host).id}/status"
        told = None if status is None else {"status": status, **more}
        self.ask("PUT", path, {"hostStatus": told})

    def set_credential(
        self, kind: str, name: str, value: str, *, org: str = ORG, project: str = ""
    ) -> None:
        """Store a value, and tell nobody."""
        self.set_credentials(kind, {name: value}, org=org, project=project)

    def set_credentials(
        self,
        kind: str,
        values: Mapping[str, str],
        *,
        org: str = ORG,
        project: str = "",
    ) -> None:
        """Store several values, and tell nobody."""
        body = {"values": values, "projectId": project or None}
        self.ask("PUT", f"/api/admin/credentials/{kind}/values", body, org=org)

    def unset_credentials(self, kind: str) -> None:
        """Remove a kind, and tell nobody."""
        self.ask("DELETE", f"/api/admin/credentials/{kind}/binding")

    def rotate(self, kind: str, *, org: str = ORG, **values: str) -> int:
        """Store values, rotate their kind, and return how many sessions were told."""
        if values:
            self.set_credentials(kind, values, org=org)
        body = {"orgId": org, "kind": kind}
        answer = self.ask("POST", "/api/daemon/credentials/rotate", body, org=org)
        return int(answer["sessionCount"])

    def enqueue(self, host: str, op: str, *, org: str = ORG, **params: Any) -> Mutation:
        """Ask a host for a change."""
        body = {"workerHostId": self.rows.host(host).id, "op": op, "params": params}
        made = self.ask("POST", "/api/daemon/mutations", body, org=org)["mutation"]
        return self.rows.mutation(made["id"])
