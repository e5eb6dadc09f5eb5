"""What this host does not let the platform change."""

import pytest

from rensei_daemon.core.guards import Guards
from rensei_daemon.core.mutation import Op, parse_mutation
from rensei_daemon.errors import ForbiddenMutationError

PARAMS = {"id": "proj_a", "repository": "r", "poolId": "p", "policy": {}}


@pytest.mark.parametrize(
    ("allow", "op", "is_allowed"),
    [
        (["project.*"], "project.add", True),
        (["project.*"], "pool.deleted", False),
        (["project.add"], "project.remove", False),
        (["modelAccess.*"], "modelAccess.set", True),
        (["modelaccess.*"], "modelAccess.set", False),
        ([], "project.add", False),
    ],
)
def test_only_what_is_allowed_passes(allow: list[str], op: str, is_allowed: bool) -> None:
    """Patterns are of whole ops and mind the case; the refusal names the guard."""
    guards = Guards(allow=allow)
    mutation = parse_mutation(op, PARAMS)
    if is_allowed:
        guards.check(op, mutation)
        return
    with pytest.raises(ForbiddenMutationError) as refused:
        guards.check(op, mutation)
    assert str(refused.value) == (
        f"this host does not allow {op} (mutations.allow in its config.toml)"
    )


@pytest.mark.parametrize(
    ("op", "project", "is_refused"),
    [
        ("project.remove", "proj_a", True),
        ("project.disable", "proj_a", True),
        ("project.remove", " proj_a ", True),
        ("project.remove", "proj_b", False),
        ("project.add", "proj_a", False),
        ("project.enable", "proj_a", False),
    ],
)
def test_a_protected_project_stays(op: str, project: str, is_refused: bool) -> None:
    """The platform can neither remove nor disable it, in any spelling of the id."""
    guards = Guards(allow=["project.*"], protected_projects=["proj_a"])
    mutation = parse_mutation(op, PARAMS | {"id": project})
    if not is_refused:
        guards.check(op, mutation)
        return
    with pytest.raises(ForbiddenMutationError) as refused:
        guards.check(op, mutation)
    assert str(refused.value) == (
        'project "proj_a" is protected on this host '
        "(mutations.protected_projects in its config.toml)"
    )


def test_every_operation_is_either_guarded_or_harmless() -> None:
    """These two alone take a project away; a new operation has to be judged."""
    guards = Guards(allow=["*"], protected_projects=["proj_a"])
    refused = set()
    for op in Op:
        try:
            guards.check(op, parse_mutation(op, PARAMS))
        except ForbiddenMutationError:
            refused.add(op)
    assert refused == {Op.PROJECT_REMOVE, Op.PROJECT_DISABLE}
