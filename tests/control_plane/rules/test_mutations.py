"""Tests for rensei_platform.rules.mutations."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from rensei_platform.errors import InvalidRequestError
from rensei_platform.rules.mutations import (
    Mutation,
    Op,
    Status,
    check_params,
    fitting,
    for_host,
    parse_op,
    size_for_host,
)

POLICY = {"matrix": {"*": {"byok": {"allowed": True}}}, "authOrder": ["byok"]}


@pytest.mark.parametrize(
    ("op", "params"),
    [
        (Op.PROJECT_ADD, {"id": "p", "repository": "https://github.com/o/a"}),
        (Op.PROJECT_REMOVE, {"id": "p"}),
        (Op.PROJECT_ENABLE, {"id": "p", "unknown": 1}),
        (Op.PROJECT_DISABLE, {"id": "p"}),
        (Op.POOL_DELETED, {"poolId": "a", "candidatePoolIds": ["b"], "reason": "gone"}),
        (Op.POOL_DELETED, {"poolId": "a", "candidatePoolIds": None}),
        (Op.MODEL_ACCESS_SET, {"workload": "qa", "policy": POLICY}),
        (Op.MODEL_ACCESS_SET, {"policy": {}}),
        (Op.MODEL_ACCESS_CLEAR, {}),
    ],
)
def test_useful_params_are_accepted(op: Op, params: dict[str, Any]) -> None:
    """An op with the params that it needs is accepted, whatever else is beside them."""
    check_params(op, params)


@pytest.mark.parametrize(
    ("op", "params", "message"),
    [
        (Op.PROJECT_ADD, {"id": "p"}, "project.add requires params.repository, a string"),
        (Op.PROJECT_ADD, {"repository": "r"}, "project.add requires params.id, a string"),
        (Op.PROJECT_REMOVE, {"id": 3}, "project.remove requires params.id, a string"),
        (Op.PROJECT_ENABLE, {"id": " "}, "project.enable requires params.id, a string"),
        (Op.PROJECT_DISABLE, {}, "project.disable requires params.id, a string"),
        (
            Op.PROJECT_REMOVE,
            {"id": "a\0b"},
            "params.id must not contain NUL or unpaired surrogates",
        ),
        (Op.POOL_DELETED, {}, "pool.deleted requires params.poolId, a string"),
        (
            Op.POOL_DELETED,
            {"poolId": "a", "candidatePoolIds": "b"},
            "pool.deleted: params.candidatePoolIds must be a list of strings",
        ),
        (
            Op.MODEL_ACCESS_SET,
            {"policy": None},
            "modelAccess.set requires params.policy, an object",
        ),
        (
            Op.MODEL_ACCESS_SET,
            {"policy": {"matrix": {"*": {"byok": True}}}},
            "modelAccess.set: params.policy.matrix must map rows to cells",
        ),
        (
            Op.MODEL_ACCESS_SET,
            {"policy": {"authOrder": "byok"}},
            "modelAccess.set: params.policy.authOrder must be a list of strings",
        ),
        (
            Op.MODEL_ACCESS_CLEAR,
            {"workload": 1},
            "modelAccess.clear: params.workload must be a string",
        ),
    ],
)
def test_useless_params_are_refused(op: Op, params: dict[str, Any], message: str) -> None:
    """An op without what it needs is refused with a text that names the param."""
    with pytest.raises(InvalidRequestError, match=f"^{re.escape(message)}$"):
        check_params(op, params)


@pytest.mark.parametrize("op", [None, "", "session.kill", 3, [], {}])
def test_unknown_op_is_refused(op: object) -> None:
    """What is not one of the seven ops is refused with their list."""
    with pytest.raises(InvalidRequestError, match=r"^op must be one of: project\.add, "):
        parse_op(op)


@pytest.mark.parametrize(
    ("sizes", "fit"),
    [
        ([], 0),
        ([10, 10], 2),
        ([1] * 501, 500),
        ([3 * 1024 * 1024, 1024 * 1024, 1], 2),
        ([9 * 1024 * 1024, 1], 1),
    ],
)
def test_answer_is_limited(sizes: list[int], fit: int) -> None:
    """An answer has at most 500 mutations and 4 MiB, and never none of some."""
    assert fitting(sizes) == fit


def test_what_else_is_in_an_answer_counts() -> None:
    """With the mutations it has at most 4 MiB; one goes out beside anything."""
    mib = 1024 * 1024
    assert fitting([mib] * 4, 0) == 4
    assert fitting([mib] * 4, 1) == 3
    assert fitting([mib] * 4, 5 * mib) == 1


def test_the_size_of_a_mutation_is_what_it_takes_in_json() -> None:
    """With the name of who asked, however that has to be written."""
    params = {"id": "p", "repository": "https://git.test/\N{SNOWMAN}"}
    mutation = Mutation(
        seq=1,
        id="dmut_1",
        org_id="o",
        host_id="h",
        op=Op.PROJECT_ADD,
        params=params,
        status=Status.PENDING,
        requested_by='\N{SNOWMAN} "Ada"',
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    written = json.dumps([for_host(mutation)] * 3, separators=(",", ":"))
    size = size_for_host(mutation, len(json.dumps(params, separators=(",", ":"))))
    assert len(written) == 3 * size + len("[]") - len(",")
