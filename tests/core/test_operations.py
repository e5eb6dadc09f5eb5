"""What each operation changes, given what the file says today."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rensei_daemon.core.edit import ABSENT, Edit
from rensei_daemon.core.mutation import (
    ModelAccessClear,
    ModelAccessSet,
    PoolDeleted,
    PoolRestored,
    ProjectAdd,
    ProjectDisable,
    ProjectEnable,
    ProjectRemove,
)
from rensei_daemon.core.operations import edits_for, normal_form
from rensei_daemon.errors import ConflictingMutationError

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
THEN = datetime(2026, 11, 1, tzinfo=UTC)
A = "https://github.com/o/a"
POOL = PoolDeleted(pool_id="p", candidate_pool_ids=("q",), reason="moved")
TOLD = {"status": "deleted", "id": "p", "reason": "moved", "candidates": ["q"]}


def _projects(**entries: Any) -> dict[str, Any]:
    return {"projects": entries}


@pytest.mark.parametrize(
    ("mutation", "tree", "edits"),
    [
        (
            ProjectAdd(id="a", repository=A),
            {},
            [Edit(("projects", "a"), ABSENT, {"repositories": [A]})],
        ),
        (ProjectAdd(id="a", repository=A), _projects(a={"repositories": [A]}), []),
        (
            ProjectAdd(id="a", repository=" HTTPS://GitHub.com/O/A.git/ "),
            _projects(a={"repositories": [A], "enabled": True}),
            [],
        ),
        (
            ProjectAdd(id="a", repository="https://x/b"),
            _projects(a={"repositories": [A], "enabled": False}),
            [
                Edit(("projects", "a", "enabled"), False, True),
                Edit(("projects", "a", "repositories"), [A], [A, "https://x/b"]),
            ],
        ),
        (
            ProjectAdd(id="a", repository=A),
            _projects(a={}),
            [Edit(("projects", "a", "repositories"), ABSENT, [A])],
        ),
        (ProjectRemove(id="a"), {}, []),
        (
            ProjectRemove(id="a"),
            _projects(a={}),
            [Edit(("projects", "a"), {}, ABSENT)],
        ),
        (
            ProjectEnable(id="a"),
            {},
            [Edit(("projects", "a"), ABSENT, {"repositories": []})],
        ),
        (ProjectEnable(id="a"), _projects(a={}), []),
        (
            ProjectEnable(id="a"),
            _projects(a={"enabled": False}),
            [Edit(("projects", "a", "enabled"), False, True)],
        ),
        (ProjectDisable(id="a"), {}, []),
        (
            ProjectDisable(id="a"),
            _projects(a={}),
            [Edit(("projects", "a", "enabled"), ABSENT, False)],
        ),
        (POOL, {}, [Edit(("pool",), ABSENT, {**TOLD, "since": NOW})]),
        (POOL, {"pool": {**TOLD, "since": THEN}}, []),
        (
            POOL,
            {"pool": {**TOLD, "reason": "gone", "since": THEN}},
            [Edit(("pool", "reason"), "gone", "moved")],
        ),
        (PoolRestored(), {}, []),
        (PoolRestored(), {"pool": TOLD}, [Edit(("pool",), TOLD, ABSENT)]),
        (
            ModelAccessSet(workload="", policy={"auth_order": ["local"]}),
            {"model_access": {"default": {"auth_order": ["local"]}}},
            [],
        ),
        (ModelAccessClear(workload=""), {}, []),
        (ModelAccessClear(workload="qa"), {"model_access": {"default": {}}}, []),
        (
            ModelAccessClear(workload="qa"),
            {"model_access": {"workloads": {"qa": {}}}},
            [Edit(("model_access", "workloads", "qa"), {}, ABSENT)],
        ),
    ],
)
def test_edits_are_what_is_missing_and_no_more(
    mutation: Any, tree: dict[str, Any], edits: list[Edit]
) -> None:
    """Everything that already holds is no edit, and a success."""
    assert edits_for(mutation, tree, NOW) == edits


@pytest.mark.parametrize("repositories", ["https://x/a", [1], {}])
def test_a_list_that_is_none_is_a_conflict(repositories: object) -> None:
    """What a person wrote there is not guessed at."""
    with pytest.raises(ConflictingMutationError) as refused:
        edits_for(
            ProjectAdd(id="a", repository=A),
            _projects(a={"repositories": repositories}),
            NOW,
        )
    assert str(refused.value) == "projects.a.repositories is not a list of strings"


@pytest.mark.parametrize(
    ("repository", "normal"),
    [
        (" https://GitHub.com/O/A.git/ ", "https://github.com/o/a"),
        ("https://github.com/o/a", "https://github.com/o/a"),
        ("git@github.com:o/a.git", "git@github.com:o/a"),
        ("https://github.com/o/a/", "https://github.com/o/a"),
        ("", ""),
    ],
)
def test_repositories_are_compared_by_their_normal_form(
    repository: str, normal: str
) -> None:
    """Trimmed, in lower case, without a final slash or `.git`."""
    assert normal_form(repository) == normal
