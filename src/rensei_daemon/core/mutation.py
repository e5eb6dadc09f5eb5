"""The operations the platform may ask of this host, as frozen values.

Every wire name of an operation is defined here, once. `parse_mutation` is the only way from
the platform's JSON to a value; its result is complete and well-typed, so that later code
(`core.document_editing`) never handles JSON. Messages of refusals are the wire's own: the
platform shows them to the requester of the change.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, assert_never

from rensei_daemon.core.length_limits import MAX_REPOSITORY
from rensei_daemon.core.model_access import parse_policy
from rensei_daemon.core.mutation_params import (
    in_own_spelling,
    optional_text,
    params_object,
    required_id,
    required_text,
    text,
    texts,
)
from rensei_daemon.core.url_secrets import holds_secret
from rensei_daemon.errors import (
    InvalidMutationError,
    MutationError,
    UnknownOperationError,
)
from rensei_daemon.fast_dataclass import dataclass


class Op(StrEnum):
    """The kinds of mutations; the values are the wire's names."""

    PROJECT_ADD = "project.add"
    PROJECT_REMOVE = "project.remove"
    PROJECT_ENABLE = "project.enable"
    PROJECT_DISABLE = "project.disable"
    POOL_DELETED = "pool.deleted"
    MODEL_ACCESS_SET = "modelAccess.set"
    MODEL_ACCESS_CLEAR = "modelAccess.clear"


WORKLOADS = (
    "research", "backlog-creation", "backlog-groomer", "development", "inflight", "qa",
    "acceptance", "refinement", "refinement-coordination", "merge", "security",
    "improvement-loop", "outcome-auditor", "ga-readiness", "documentation-steward",
    "operational-scanner-vercel", "operational-scanner-audit", "operational-scanner-ci",
    "coordination", "inflight-coordination", "code-survival-scan", "kg-extraction",
    "interview",
)  # fmt: skip
"""The closed list of workloads that `modelAccess.set` may name."""

_KEYS = (
    "id", "repository", "poolId", "candidatePoolIds", "reason", "workload", "policy"
)  # fmt: skip
"""Every param of every op."""

MOST_QUOTED = 200
"""Characters of an input that a refusal quotes; every heartbeat carries the refusal."""

DEFAULT_POOL_DELETED_REASON = (
    "This pool was deleted. Re-bind this host to another pool to resume claiming work."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectAdd:
    """Allow the project on this host, and add one repository of it."""

    id: str
    repository: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRemove:
    """Remove the project and all its repositories."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectEnable:
    """Allow the project on this host again."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectDisable:
    """Disallow the project on this host, and keep its repositories."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDeleted:
    """The capacity pool of this host was deleted."""

    pool_id: str
    candidate_pool_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAccessSet:
    """Replace the default model-access policy, or that of one workload."""

    workload: str
    """Empty: the default policy."""
    policy: Mapping[str, Any]
    """The policy as in the file: `auth_order`, `matrix`."""
    ignored: tuple[str, ...] = ()
    """Dotted names of the rest, which the file cannot contain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAccessClear:
    """Remove one workload's policy, or the whole block."""

    workload: str
    """Empty: the whole block."""


@dataclass(frozen=True, slots=True)
class PoolRestored:
    """The platform reports status ok again; created here, never sent as a mutation."""


Mutation = (
    ProjectAdd
    | ProjectRemove
    | ProjectEnable
    | ProjectDisable
    | PoolDeleted
    | ModelAccessSet
    | ModelAccessClear
)


def parse_mutation(op: str, params: object) -> Mutation:
    """Parse one mutation.

    Raises `UnknownOperationError` for an unknown op, `InvalidMutationError` for params
    that are missing, of a wrong type or not in the vocabulary.
    """
    try:
        known = Op(op)
    except ValueError:
        message = f'unsupported mutation op "{op[:MOST_QUOTED]}" (upgrade daemon?)'
        raise UnknownOperationError(message) from None
    return _parse(known, in_own_spelling(params_object(params), _KEYS))


def _parse(op: Op, params: Mapping[str, object]) -> Mutation:
    match op:
        case Op.PROJECT_ADD:
            return _project_add(params)
        case Op.PROJECT_REMOVE:
            return _project_remove(params)
        case Op.PROJECT_ENABLE:
            return _project_enable(params)
        case Op.PROJECT_DISABLE:
            return _project_disable(params)
        case Op.POOL_DELETED:
            return _pool_deleted(params)
        case Op.MODEL_ACCESS_SET:
            return _model_access_set(params)
        case Op.MODEL_ACCESS_CLEAR:
            return _model_access_clear(params)
        case _:
            assert_never(op)


def _project_add(params: Mapping[str, object]) -> ProjectAdd:
    complaint = "project.add requires id + repository"
    project = required_id(params, "id", complaint)
    repository = required_text(params, "repository", complaint, most=MAX_REPOSITORY)
    if holds_secret(repository):
        raise InvalidMutationError(
            "project.add: the repository URL carries user info; "
            "send it without, and rotate the secret if it held one"
        )
    return ProjectAdd(id=project, repository=repository)


def _project_remove(params: Mapping[str, object]) -> ProjectRemove:
    return ProjectRemove(id=required_id(params, "id", "project.remove requires id"))


def _project_enable(params: Mapping[str, object]) -> ProjectEnable:
    return ProjectEnable(id=required_id(params, "id", "project.enable: requires id"))


def _project_disable(params: Mapping[str, object]) -> ProjectDisable:
    complaint = "project.disable: requires id"
    return ProjectDisable(id=required_id(params, "id", complaint))


def _pool_deleted(params: Mapping[str, object]) -> PoolDeleted:
    complaint = "pool.deleted requires poolId"
    where = "pool.deleted "
    return PoolDeleted(
        pool_id=required_id(params, "poolId", complaint, where=where),
        candidate_pool_ids=texts(params, "candidatePoolIds", where=where),
        reason=optional_text(params, "reason", where=where) or DEFAULT_POOL_DELETED_REASON,
    )


def _model_access_set(params: Mapping[str, object]) -> ModelAccessSet:
    workload = _workload(params)
    parsed = parse_policy(params.get("policy"))
    if workload and workload not in WORKLOADS:
        raise InvalidMutationError(
            f'unknown workload "{workload[:MOST_QUOTED]}": not in the shared workload '
            f"vocabulary (known keys: {', '.join(WORKLOADS)})"
        )
    return ModelAccessSet(workload=workload, policy=parsed.policy, ignored=parsed.ignored)


def _model_access_clear(params: Mapping[str, object]) -> ModelAccessClear:
    return ModelAccessClear(workload=_workload(params))


def _workload(params: Mapping[str, object]) -> str:
    """Return the workload as sent; blank text is neither a workload nor the default."""
    value = params.get("workload")
    return "" if value is None else text(value, "workload")


def ignored_names(op: str, params: object) -> tuple[str, ...]:
    """Return the dotted names of params that are ignored."""
    try:
        mutation = parse_mutation(op, params)
    except MutationError:
        return ()
    return mutation.ignored if isinstance(mutation, ModelAccessSet) else ()
