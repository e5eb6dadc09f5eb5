"""Mutations: their operations and states, and how many one answer carries."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from rensei_platform.errors import InvalidRequestError
from rensei_platform.rules.fields import Json, check_text
from rensei_platform.rules.times import optional_wire_time, wire_time

MOST_DELIVERED = 500
"""Mutations in one answer."""
MOST_BYTES_DELIVERED = 4 * 1024 * 1024
"""Bytes of one answer; the first mutation goes out whatever the size."""
MOST_BYTES_OF_PARAMS = 256 * 1024


class Op(StrEnum):
    """An operation that a host can be asked for."""

    PROJECT_ADD = "project.add"
    PROJECT_REMOVE = "project.remove"
    PROJECT_ENABLE = "project.enable"
    PROJECT_DISABLE = "project.disable"
    POOL_DELETED = "pool.deleted"
    MODEL_ACCESS_SET = "modelAccess.set"
    MODEL_ACCESS_CLEAR = "modelAccess.clear"


PROJECT_OPS = (
    Op.PROJECT_ADD,
    Op.PROJECT_REMOVE,
    Op.PROJECT_ENABLE,
    Op.PROJECT_DISABLE,
)


class Status(StrEnum):
    """Where a mutation is on its way; the last three are final."""

    PENDING = "pending"
    DELIVERED = "delivered"
    APPLIED = "applied"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One change that a host was asked for."""

    seq: int
    """Its place in the host's history."""
    id: str
    org_id: str
    host_id: str
    op: str
    params: Json
    status: str
    requested_by: str
    created_at: datetime
    delivered_at: datetime | None = None
    decided_at: datetime | None = None
    cancelled_at: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What one beat says of mutations."""

    applied: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    """Ids, each with its error."""

    @property
    def ids(self) -> frozenset[str]:
        """The mutations that have an outcome."""
        return frozenset((*self.applied, *(id_ for id_, _ in self.failed)))

    @property
    def is_empty(self) -> bool:
        """Whether the beat says nothing of mutations."""
        return not (self.applied or self.failed)


def parse_op(value: object) -> Op:
    """Return the operation. Raise InvalidRequestError if there is no such one."""
    try:
        return Op(value)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        raise InvalidRequestError(f"op must be one of: {', '.join(Op)}") from None


def fitting(sizes: Iterable[int], beside: int = 0) -> int:
    """Return how many of the oldest mutations, of these sizes, fit into one answer.

    `beside` are the bytes of all else in it.
    """
    total, fit = beside, 0
    for size in sizes:
        total += size
        if fit == MOST_DELIVERED or (fit and total > MOST_BYTES_DELIVERED):
            break
        fit += 1
    return fit


def for_host(mutation: Mutation) -> Json:
    """Return a mutation as a heartbeat's answer carries it."""
    return {
        "id": mutation.id,
        "op": mutation.op,
        "params": mutation.params,
        "requestedAt": wire_time(mutation.created_at),
        "requestedBy": mutation.requested_by,
    }


def size_for_host(mutation: Mutation, params_size: int) -> int:
    """Return the bytes that a mutation takes in a heartbeat's answer, with a comma."""
    bare = for_host(replace(mutation, params={}))
    return params_size + len(json.dumps(bare, separators=(",", ":"))) - len("{}") + 1


def for_operator(mutation: Mutation) -> Json:
    """Return a mutation as the operator's endpoints show it."""
    return {
        "id": mutation.id,
        "orgId": mutation.org_id,
        "workerHostId": mutation.host_id,
        "op": mutation.op,
        "params": mutation.params,
        "status": mutation.status,
        "requestedBy": mutation.requested_by,
        "deliveredAt": optional_wire_time(mutation.delivered_at),
        "cancelledAt": optional_wire_time(mutation.cancelled_at),
        "createdAt": wire_time(mutation.created_at),
        "decidedAt": optional_wire_time(mutation.decided_at),
        "error": mutation.error,
    }


def check_params(op: Op, params: Json) -> None:
    """Raise InvalidRequestError, naming the param, if `op` cannot work with these."""
    match op:
        case Op.PROJECT_ADD:
            _required(op, params, "id")
            _required(op, params, "repository")
        case Op.PROJECT_REMOVE | Op.PROJECT_ENABLE | Op.PROJECT_DISABLE:
            _required(op, params, "id")
        case Op.POOL_DELETED:
            _required(op, params, "poolId")
            _optional_text(op, params, "reason")
            _optional_texts(op, "params.candidatePoolIds", params.get("candidatePoolIds"))
        case Op.MODEL_ACCESS_SET:
            _optional_text(op, params, "workload")
            _check_policy(op, params.get("policy"))
        case Op.MODEL_ACCESS_CLEAR:
            _optional_text(op, params, "workload")


def _required(op: Op, params: Json, name: str) -> None:
    value = params.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequestError(f"{op} requires params.{name}, a string")
    check_text(value, f"params.{name}", longest=64 * 1024)


def _optional_text(op: Op, params: Json, name: str) -> None:
    if not isinstance(params.get(name), str | None):
        raise InvalidRequestError(f"{op}: params.{name} must be a string")


def _optional_texts(op: Op, name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidRequestError(f"{op}: {name} must be a list of strings")


def _check_policy(op: Op, policy: Any) -> None:
    if not isinstance(policy, dict):
        raise InvalidRequestError(f"{op} requires params.policy, an object")
    matrix = policy.get("matrix", {})
    if not isinstance(matrix, dict):
        raise InvalidRequestError(f"{op}: params.policy.matrix must be an object")
    for row in matrix.values():
        if not isinstance(row, dict) or not all(isinstance(c, dict) for c in row.values()):
            raise InvalidRequestError(f"{op}: params.policy.matrix must map rows to cells")
    _optional_texts(op, "params.policy.authOrder", policy.get("authOrder"))
