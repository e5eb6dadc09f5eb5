"""From the platform's JSON to a mutation, or to a refusal with the wire's text."""

import pytest

from rensei_daemon.core.mutation import (
    ModelAccessClear,
    ModelAccessSet,
    Mutation,
    PoolDeleted,
    ProjectAdd,
    ProjectDisable,
    ProjectEnable,
    ProjectRemove,
    ignored_names,
    parse_mutation,
)
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.errors import InvalidMutationError, UnknownOperationError

GONE = "This pool was deleted. Re-bind this host to another pool to resume claiming work."
KNOWN = (
    "research, backlog-creation, backlog-groomer, development, inflight, qa, acceptance, "
    "refinement, refinement-coordination, merge, security, improvement-loop, "
    "outcome-auditor, ga-readiness, documentation-steward, operational-scanner-vercel, "
    "operational-scanner-audit, operational-scanner-ci, coordination, "
    "inflight-coordination, code-survival-scan, kg-extraction, interview"
)


@pytest.mark.parametrize(
    ("op", "params", "mutation"),
    [
        (
            "project.add",
            {"id": " proj_a ", "repository": " https://github.com/O/A.git "},
            ProjectAdd(id="proj_a", repository="https://github.com/O/A.git"),
        ),
        (
            "project.add",
            {"id": "a", "repository": "git@github.com:o/a.git", "extra": 1},
            ProjectAdd(id="a", repository="git@github.com:o/a.git"),
        ),
        ("project.remove", {"id": "a"}, ProjectRemove(id="a")),
        ("project.remove", {"ID": "a"}, ProjectRemove(id="a")),
        ("project.remove", {"Id": "b", "id": "a", "ID": "c"}, ProjectRemove(id="a")),
        (
            "modelAccess.set",
            {
                "Workload": "qa",
                "POLICY": {
                    "authorder": ["local"],
                    "Matrix": {"Acme": {"byok": {"Allowed": True, "HOST": "h", "x": 1}}},
                },
            },
            ModelAccessSet(
                workload="qa",
                policy={
                    "auth_order": ["local"],
                    "matrix": {"Acme": {"byok": {"allowed": True, "host": "h"}}},
                },
                ignored=("policy.matrix.Acme.byok.x",),
            ),
        ),
        ("project.enable", {"id": "a"}, ProjectEnable(id="a")),
        ("project.disable", {"id": "a"}, ProjectDisable(id="a")),
        (
            "pool.deleted",
            {"poolId": "p", "candidatePoolIds": None, "reason": "  "},
            PoolDeleted(pool_id="p", candidate_pool_ids=(), reason=GONE),
        ),
        (
            "pool.deleted",
            {"poolId": "p", "candidatePoolIds": [" q ", " ", "r"], "reason": "moved"},
            PoolDeleted(pool_id="p", candidate_pool_ids=("q", "r"), reason="moved"),
        ),
        (
            "modelAccess.set",
            {"workload": None, "policy": {"authOrder": ["local"]}},
            ModelAccessSet(workload="", policy={"auth_order": ["local"]}),
        ),
        (
            "modelAccess.set",
            {"workload": "qa", "policy": {}},
            ModelAccessSet(workload="qa", policy={}),
        ),
        ("modelAccess.clear", None, ModelAccessClear(workload="")),
        ("modelAccess.clear", {}, ModelAccessClear(workload="")),
        # Clearing checks no vocabulary: what was set by another version can go.
        ("modelAccess.clear", {"workload": "w"}, ModelAccessClear(workload="w")),
    ],
)
def test_an_operation_is_understood(op: str, params: object, mutation: Mutation) -> None:
    """Texts are trimmed, what is optional may be absent or null, the rest is ignored."""
    assert parse_mutation(op, params) == mutation


@pytest.mark.parametrize(
    "op",
    ["session.kill", "session.wake", "session.restart-harness", "", "PROJECT.ADD", "é"],
)
def test_an_unknown_operation_is_refused(op: str) -> None:
    """The refusal has the text that the platform expects."""
    with pytest.raises(UnknownOperationError) as refused:
        parse_mutation(op, {})
    assert str(refused.value) == f'unsupported mutation op "{op}" (upgrade daemon?)'


@pytest.mark.parametrize(
    ("op", "params", "complaint"),
    [
        ("project.add", None, "project.add requires id + repository"),
        ("project.add", {"id": "a"}, "project.add requires id + repository"),
        ("project.add", {"repository": "r"}, "project.add requires id + repository"),
        (
            "project.add",
            {"id": " ", "repository": "r"},
            "project.add requires id + repository",
        ),
        (
            "project.add",
            {"id": "a", "repository": "https://u:p@github.com/o/a"},
            "project.add: the repository URL carries user info; "
            "send it without, and rotate the secret if it held one",
        ),
        ("project.remove", {}, "project.remove requires id"),
        ("project.enable", {}, "project.enable: requires id"),
        ("project.disable", {"id": None}, "project.disable: requires id"),
        ("pool.deleted", {}, "pool.deleted requires poolId"),
        ("pool.deleted", {"poolId": ""}, "pool.deleted requires poolId"),
        (
            "pool.deleted",
            {"poolId": 1},
            "pool.deleted decode params: poolId must be a string, not a number",
        ),
        (
            "pool.deleted",
            {"poolId": "p", "candidatePoolIds": "q"},
            "pool.deleted decode params: candidatePoolIds must be a list, not a string",
        ),
        (
            "pool.deleted",
            {"poolId": "p", "candidatePoolIds": [{}]},
            "pool.deleted decode params: an item of candidatePoolIds must be a string, "
            "not an object",
        ),
        (
            "modelAccess.set",
            {"workload": "  ", "policy": {}},
            'unknown workload "  ": not in the shared workload vocabulary '
            f"(known keys: {KNOWN})",
        ),
        (
            "modelAccess.set",
            {"workload": "cooking", "policy": {}},
            'unknown workload "cooking": not in the shared workload vocabulary '
            f"(known keys: {KNOWN})",
        ),
        (
            "modelAccess.set",
            {"workload": "qa"},
            "decode params: policy must be an object, not null",
        ),
        (
            "modelAccess.clear",
            {"workload": 7},
            "decode params: workload must be a string, not a number",
        ),
    ],
)
def test_wrong_params_are_refused(op: str, params: object, complaint: str) -> None:
    """Every refusal has the wire's own text."""
    with pytest.raises(InvalidMutationError) as refused:
        parse_mutation(op, params)
    assert str(refused.value) == complaint


@pytest.mark.parametrize(
    "op",
    [
        "project.add",
        "project.remove",
        "project.enable",
        "project.disable",
        "modelAccess.set",
        "modelAccess.clear",
        "pool.deleted",
    ],
)
@pytest.mark.parametrize(
    ("params", "kind"),
    [
        (True, "a boolean"),
        (0, "a number"),
        (1.5, "a number"),
        ("x", "a string"),
        ([], "a list"),
    ],
)
def test_params_of_any_other_type_are_refused(op: str, params: object, kind: str) -> None:
    """Params that are no object fail as undecodable, never as a crash."""
    with pytest.raises(InvalidMutationError) as refused:
        parse_mutation(op, params)
    assert str(refused.value).endswith(
        f"decode params: params must be an object, not {kind}"
    )


@pytest.mark.parametrize("value", [True, 3, 0.5, [], {}])
@pytest.mark.parametrize(
    ("op", "key"),
    [
        ("project.add", "id"),
        ("project.remove", "id"),
        ("project.enable", "id"),
        ("project.disable", "id"),
        ("pool.deleted", "poolId"),
        ("modelAccess.clear", "workload"),
    ],
)
def test_an_id_of_any_other_type_is_refused(op: str, key: str, value: object) -> None:
    """A key of the wrong type is undecodable: nothing is converted."""
    with pytest.raises(
        InvalidMutationError, match=f"decode params: {key} must be a string"
    ):
        parse_mutation(op, {key: value})


@pytest.mark.parametrize("project", ["a\ud800", "\udfff"])
def test_text_that_no_file_can_hold_is_refused(project: str) -> None:
    """A lone surrogate, which JSON can carry, is undecodable."""
    with pytest.raises(InvalidMutationError, match="id is not valid Unicode"):
        parse_mutation("project.remove", {"id": project})


def test_the_digest_names_the_content_alone() -> None:
    """The order of keys, the requester and the time make no difference; a value does."""
    one = PendingMutation(id="m", op="project.add", params={"a": 1, "b": [None, "é"]})
    two = PendingMutation(
        id="m", op="project.add", params={"b": [None, "é"], "a": 1}, requested_by="ada"
    )
    other = PendingMutation(id="m", op="project.add", params={"a": 1, "b": [None, "e"]})
    assert one.digest == two.digest
    assert len({one.digest, other.digest}) == 2
    assert (
        PendingMutation(id="m", op="x", params=None).digest
        == "4ac8fed3583c2c52252e99de98bfb5a75f0249c9eb73316c02fbed05d3ce192e"
    )


def test_what_was_left_out_is_named() -> None:
    """Of an operation that is understood; a refused one carries nothing."""
    policy = {"version": 3, "matrix": {"*": {"byok": {"allowed": True, "cost": 1}}}}
    assert set(ignored_names("modelAccess.set", {"policy": policy})) == {
        "policy.version",
        "policy.matrix.*.byok.cost",
    }
    assert ignored_names("project.remove", {"id": "a", "extra": 1}) == ()
    assert ignored_names("modelAccess.set", {}) == ()


def test_a_text_beyond_its_limit_is_refused() -> None:
    """The refusal says how long it is, and repeats nothing of it."""
    with pytest.raises(InvalidMutationError) as refused:
        parse_mutation("pool.deleted", {"poolId": "p", "reason": "x" * 65_537})
    assert str(refused.value) == (
        "pool.deleted decode params: reason of 65537 characters: at most 65536"
    )


@pytest.mark.parametrize("hidden", ["\u200b", "\u3164"])
def test_an_id_in_the_params_can_be_shown(hidden: str) -> None:
    """It becomes a key of the file, and is shown on screens."""
    with pytest.raises(InvalidMutationError) as refused:
        parse_mutation("project.remove", {"id": f"a{hidden}b"})
    assert str(refused.value) == "decode params: id holds characters that cannot be shown"
