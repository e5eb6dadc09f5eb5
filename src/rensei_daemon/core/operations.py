"""What each operation changes: from a mutation and the current values to edits.

Nothing here knows how a file spells the values. No edits means that the values are already
as the mutation asks, which is a success.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_never

from rensei_daemon.core.edit import (
    ABSENT,
    Edit,
    Path,
    differences,
    look_up,
    look_up_table,
    same,
)
from rensei_daemon.core.mutation import (
    ModelAccessClear,
    ModelAccessSet,
    Mutation,
    PoolDeleted,
    PoolRestored,
    ProjectAdd,
    ProjectDisable,
    ProjectEnable,
    ProjectRemove,
)
from rensei_daemon.errors import ConflictingMutationError

Tree = Mapping[str, Any]


def edits_for(  # noqa: C901 - one arm an operation, and mypy knows that none is missing
    mutation: Mutation | PoolRestored, tree: Tree, now: datetime
) -> list[Edit]:
    """Return the mutation's changes of these values.

    `now` is used where the file stores a time (`pool.since`).
    """
    match mutation:
        case ProjectAdd():
            return _add_project(mutation, tree)
        case ProjectRemove():
            return _set(tree, ("projects", mutation.id), ABSENT)
        case ProjectEnable():
            return _enable_project(mutation.id, tree)
        case ProjectDisable():
            return _disable_project(mutation.id, tree)
        case PoolDeleted():
            return _delete_pool(mutation, tree, now)
        case ModelAccessSet():
            return _set_policy(mutation, tree)
        case ModelAccessClear():
            return _clear_policy(mutation, tree)
        case PoolRestored():
            return _set(tree, ("pool",), ABSENT)
        case _:
            assert_never(mutation)


def normal_form(repository: str) -> str:
    """Return a repository for comparison: trimmed, lower case, no final `/` or `.git`."""
    return repository.strip().lower().rstrip("/").removesuffix(".git").rstrip("/")


def _set(tree: Tree, path: Path, value: Any) -> list[Edit]:
    before = look_up(tree, path)
    return [] if same(before, value) else [Edit(path, before, value)]


def _add_project(mutation: ProjectAdd, tree: Tree) -> list[Edit]:
    path = ("projects", mutation.id)
    entry = look_up_table(tree, path)
    if entry is None:
        return _set(tree, path, {"repositories": [mutation.repository]})
    repositories = _texts(entry.get("repositories", []), (*path, "repositories"))
    edits = _enable_project(mutation.id, tree)
    if normal_form(mutation.repository) not in map(normal_form, repositories):
        grown = [*repositories, mutation.repository]
        edits += _set(tree, (*path, "repositories"), grown)
    return edits


def _texts(value: Any, path: Path) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConflictingMutationError(f"{'.'.join(path)} is not a list of strings")
    return value


def _enable_project(project: str, tree: Tree) -> list[Edit]:
    path = ("projects", project)
    entry = look_up_table(tree, path)
    if entry is None:
        return _set(tree, path, {"repositories": []})
    return _set(tree, (*path, "enabled"), True) if "enabled" in entry else []


def _disable_project(project: str, tree: Tree) -> list[Edit]:
    path = ("projects", project)
    entry = look_up_table(tree, path)
    return [] if entry is None else _set(tree, (*path, "enabled"), False)


def _delete_pool(mutation: PoolDeleted, tree: Tree, now: datetime) -> list[Edit]:
    deletion = {
        "status": "deleted",
        "id": mutation.pool_id,
        "reason": mutation.reason,
        "candidates": list(mutation.candidate_pool_ids),
    }
    before = look_up_table(tree, ("pool",))
    if before is None:
        return _set(tree, ("pool",), {**deletion, "since": now.replace(microsecond=0)})
    # A repeated delivery is the same deletion: `since` is when it arrived first.
    is_known = before.get("id") == mutation.pool_id and "since" in before
    since = before["since"] if is_known else now.replace(microsecond=0)
    return list(differences(before, {**deletion, "since": since}, ("pool",)))


def _set_policy(mutation: ModelAccessSet, tree: Tree) -> list[Edit]:
    scope = ("workloads", mutation.workload) if mutation.workload else ("default",)
    path = ("model_access", *scope)
    before = look_up_table(tree, path)
    return list(differences(ABSENT if before is None else before, mutation.policy, path))


def _clear_policy(mutation: ModelAccessClear, tree: Tree) -> list[Edit]:
    if not mutation.workload:
        return _set(tree, ("model_access",), ABSENT)
    return _set(tree, ("model_access", "workloads", mutation.workload), ABSENT)
