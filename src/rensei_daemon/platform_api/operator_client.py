"""The platform's operations for operators: mutations and rotations, with an API key.

The daemon itself does not use them, and they need no registered worker.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from secrets import token_hex
from typing import Any
from urllib.parse import quote

from rensei_daemon.core.iso_time import iso_time
from rensei_daemon.errors import PlatformError, TransientError
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.platform_api.http import Http, Query
from rensei_daemon.platform_api.json_fields import (
    fields,
    is_id,
    pruned,
    text,
    unexpected_shape,
)
from rensei_daemon.platform_api.responses import PlatformResponse
from rensei_daemon.platform_api.rotation_receipt import Receipt, read_receipt

MUTATIONS = "/api/daemon/mutations"
ROTATE = "/api/daemon/credentials/rotate"
ROTATIONS = "/api/admin/rotations"
HOSTS = "/api/admin/hosts"
_PAGE = 500
MOST_HOSTS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteMutation:
    """A mutation at the platform; times are in ISO 8601 with Z, or empty."""

    id: str
    op: str
    params: Any
    status: str
    worker_host_id: str
    org_id: str
    requested_by: str
    created_at: str
    delivered_at: str
    cancelled_at: str
    decided_at: str = ""
    error: str = ""
    """Why the host refused it, in the host's words."""
    shows_outcome: bool = False
    """Whether the platform tells what became of a mutation that a host has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteHost:
    """A host at the platform."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """The platform's answer to a request for a rotation."""

    kind: str
    session_count: int
    """Sessions that were notified; 0 is not an error."""
    rotated_at: str
    id: str = ""
    """Empty if the platform cannot be asked what has become of it."""


class OperatorClient:
    """Calls the platform with an operator's API key.

    Every method raises `UnauthorizedError` (the key), `RefusedError` (403: the role or the
    organisation; 404, 409: see the method) and `TransientError`.
    """

    def __init__(self, http: Http, key: str) -> None:
        self._http = http
        self._key = key

    async def list_mutations(
        self, worker_host_id: str, *, limit: int = 100
    ) -> tuple[RemoteMutation, ...]:
        """Return the host's mutations, in the platform's order; `limit` is 1 to 500."""
        query = {"workerHostId": worker_host_id, "limit": str(limit)}
        answer = await self._call("GET", MUTATIONS, query=query)
        what = "a list of mutations"
        found = fields(answer.body, what)
        if not isinstance(found.raw.get("mutations"), list):
            raise unexpected_shape(what)
        return tuple(
            _mutation(item)
            for item in found.items("mutations")
            if isinstance(item, dict) and is_id(item.get("id"))
        )

    async def enqueue_mutation(
        self, worker_host_id: str, op: str, params: Mapping[str, Any]
    ) -> RemoteMutation:
        """Request a mutation of the host; the key must be an admin's or owner's.

        If the answer is lost, the request is sent once more with the same idempotency key,
        and so enqueues nothing twice. A platform without such keys would take it for
        another request, so it is sent again only where the host can be looked up: the
        platforms that show their hosts know the keys.
        """
        body = {"workerHostId": worker_host_id, "op": op, "params": dict(params)}
        send = partial(
            self._call, "POST", MUTATIONS, body=body, idempotency_key=token_hex(16)
        )
        try:
            answer = await send()
        except TransientError:
            if not await self._shows_hosts(worker_host_id):
                raise
            answer = await send()
        found = fields(answer.body, "a mutation").fields("mutation")
        if found is None:
            raise unexpected_shape("a mutation")
        if not is_id(found.raw.get("id")):
            raise TransientError("the platform answered with a mutation without an id")
        return _mutation(found.raw)

    async def _shows_hosts(self, host_id: str) -> bool:
        try:
            await self.get_host(host_id)
        except PlatformError:
            return False
        return True

    async def cancel_mutation(self, mutation_id: str) -> None:
        """Cancel a mutation.

        Raises `RefusedError` with status 409 if a heartbeat has fetched it (undo it with
        the inverse op), and with 404 if it is unknown.
        """
        await self._call("DELETE", f"{MUTATIONS}/{quote(mutation_id, safe='')}")

    async def list_hosts(self) -> list[RemoteHost]:
        """Return every host by name.

        Raises `RefusedError` with status 404 if the platform does not list its hosts.
        """
        found: list[RemoteHost] = []
        while len(found) < MOST_HOSTS:
            query: Query = {"limit": str(_PAGE)} | (
                {"after": found[-1].name} if found else {}
            )
            answer = await self._call("GET", HOSTS, query=query)
            items = fields(answer.body, "a list of hosts").items("hosts")
            page = [_host(item) for item in items if isinstance(item, dict)]
            found += [host for host in page if host.id and host.name]
            if len(items) < _PAGE or not page[-1].name:
                break
        return found

    async def get_host(self, host_id: str) -> RemoteHost:
        """Return a host. Raises `RefusedError` with status 404 if it is unknown."""
        answer = await self._call("GET", f"{HOSTS}/{quote(host_id, safe='')}")
        host = fields(answer.body, "a host").fields("host")
        return _host(host.raw if host else {})

    async def rotate_credential(self, org_id: str, kind: str) -> Rotation:
        """Have a credential of the organisation resolved again and sent to every session.

        Raises `RefusedError` with status 404 if no such kind is configured.
        """
        answer = await self._call("POST", ROTATE, body={"orgId": org_id, "kind": kind})
        found = fields(answer.body, "a rotation")
        return Rotation(
            kind=kind,
            session_count=int(found.number("sessionCount") or 0),
            rotated_at=_time(found.raw.get("rotatedAt")),
            id=found.text("rotationId"),
        )

    async def rotation_receipt(
        self, rotation_id: str, *, accept_unknown: bool, without: Sequence[str] = ()
    ) -> Receipt:
        """Return how far the fleet is with a rotation, `without` hosts that do not count.

        Raises `RefusedError` with status 404 if it is unknown.
        """
        query: dict[str, str | list[str]] = {"without": list(without)} if without else {}
        if accept_unknown:
            query["acceptUnknown"] = "true"
        path = f"{ROTATIONS}/{quote(rotation_id, safe='')}"
        return read_receipt((await self._call("GET", path, query=query)).body)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Query | None = None,
        idempotency_key: str = "",
    ) -> PlatformResponse:
        return await self._http.call(
            method,
            path,
            bearer=self._key,
            body=body,
            query=query,
            idempotency_key=idempotency_key,
        )


def _mutation(item: Mapping[str, Any]) -> RemoteMutation:
    return RemoteMutation(
        id=item["id"],
        op=text(item.get("op")),
        params=pruned(item.get("params")),
        status=text(item.get("status")),
        worker_host_id=text(item.get("workerHostId")),
        org_id=text(item.get("orgId")),
        requested_by=text(item.get("requestedBy")),
        created_at=_time(item.get("createdAt")),
        delivered_at=_time(item.get("deliveredAt")),
        cancelled_at=_time(item.get("cancelledAt")),
        decided_at=_time(item.get("decidedAt")),
        error=text(item.get("error")),
        shows_outcome="decidedAt" in item,
    )


def _time(value: object) -> str:
    """Return a time as this program spells it; another text as it is."""
    said = text(value)
    try:
        time = datetime.fromisoformat(said)
        return iso_time(time) if time.tzinfo else said
    except (ValueError, OverflowError):
        return said


def _host(item: Mapping[str, Any]) -> RemoteHost:
    return RemoteHost(id=text(item.get("id")), name=text(item.get("name")))
