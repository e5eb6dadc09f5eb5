"""The operations the platform may ask of this host, as frozen values.

Every wire name of an operation stands here, once. `parse_mutation` is the only way from
the platform's JSON to a value; what it returns is complete and well-typed, so that what
follows (`core.document`) never looks at JSON again. Texts of refusals are the wire's own:
the platform shows them to whoever asked for the change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

from rensei_daemon.core.length_limits import MAX_REPOSITORY
from rensei_daemon.core.model_access import parse_policy
from rensei_daemon.core.mutation_params import (
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


class Op(StrEnum):
    """What a mutation does; the values are the wire's names."""

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
"""The closed vocabulary of workloads that `modelAccess.set` may name."""

MOST_QUOTED = 200
"""Characters of what was sent that a refusal repeats; it travels with every beat."""

DEFAULT_POOL_DELETED_REASON = (
    "This pool was deleted. Re-bind this host to another pool to resume claiming work."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectAdd:
    """Allow the project on this host, and name one of its repositories."""

    id: str
    repository: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRemove:
    """Forget the project and all its repositories."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectEnable:
    """Let the project run here again."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectDisable:
    """Stop the project here, keeping its repositories."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDeleted:
    """The capacity pool this host is bound to is gone."""

    pool_id: str
    candidate_pool_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAccessSet:
    """Replace a model-access policy: the default, or one workload's."""

    workload: str
    """Empty: the default policy."""
    policy: Mapping[str, Any]
    """The policy as it stands in the file: `auth_order`, `matrix`."""
    ignored: tuple[str, ...] = ()
    """Dotted names of what the platform sent beyond that, and no file of ours can say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAccessClear:
    """Drop one workload's policy, or the whole block."""

    workload: str
    """Empty: the whole block."""


@dataclass(frozen=True, slots=True)
class PoolRestored:
    """The platform calls this host's status ok again; ours, never sent as a mutation."""


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
    """Understand one mutation.

    Raises `UnknownOperationError` for an op that is not ours, `InvalidMutationError`
    for params that are missing, mistyped or out of vocabulary.
    """
    try:
        known = Op(op)
    except ValueError:
        message = f'unsupported mutation op "{op[:MOST_QUOTED]}" (upgrade daemon?)'
        raise UnknownOperationError(message) from None
    return _parse(known, params_object(params))


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
    """Return the workload as sent: blanks name none, and are not the default either."""
    value = params.get("workload")
    return "" if value is None else text(value, "workload")


def ignored_names(op: str, params: object) -> tuple[str, ...]:
    """Return the dotted names of what a mutation carried beyond what we can apply."""
    try:
        mutation = parse_mutation(op, params)
    except MutationError:
        return ()
    return mutation.ignored if isinstance(mutation, ModelAccessSet) else ()
