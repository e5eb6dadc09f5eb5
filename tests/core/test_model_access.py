"""Narrow only: the shared vectors, and how a policy from the platform is read."""

from typing import Any, NamedTuple

import pytest

from rensei_daemon.core.model_access import AccessRequest, decide, denial, parse_policy
from rensei_daemon.errors import InvalidMutationError

SONNET, HAIKU = "claude-sonnet", "claude-haiku"
YES: dict[str, Any] = {"allowed": True}
NO: dict[str, Any] = {"allowed": False}
VERTEX = {"allowed": True, "host": "vertex", "model": HAIKU}
CLI = {"allowed": True, "host": "oauth-cli"}


def _machine(**rows: dict[str, Any]) -> dict[str, Any]:
    return {"default": {"matrix": {row.replace("_", "-"): rows[row] for row in rows}}}


def _any(cells: dict[str, Any], **rows: dict[str, Any]) -> dict[str, Any]:
    return {"default": {"matrix": {"*": cells, **rows}}}


PINNED = {"host-session": CLI, "byok": NO}
LADDER = ["byok", "metered", "host-session", "local"]
KG_BYOK = {
    "default": {"matrix": {"anthropic": PINNED}},
    "workloads": {
        "kg-extraction": {
            "auth_order": LADDER,
            "matrix": {"anthropic": {"byok": VERTEX, "host-session": NO}},
        }
    },
}
KG_WIDER = {
    "default": {"matrix": {"anthropic": {"metered": NO}}},
    "workloads": {
        "kg-extraction": {
            "auth_order": LADDER,
            "matrix": {"anthropic": {"host-session": YES, "byok": VERTEX}},
        }
    },
}


class Vector(NamedTuple):
    """One row of the shared vectors; the company is anthropic, the model claude-sonnet."""

    ceiling: str
    machine: dict[str, Any]
    asked: str
    result: tuple[str, str, str] | None
    effective: str
    dropped: tuple[str, ...] = ()


VECTORS = [
    Vector("hbm", {}, "–/h", ("host-session", "", SONNET), "hbm"),
    Vector("h", {}, "–/b", ("host-session", "", SONNET), "h"),
    Vector(
        "hbm",
        _machine(anthropic=PINNED),
        "–/h",
        ("host-session", "oauth-cli", SONNET),
        "hm",
    ),
    Vector(
        "h",
        _machine(anthropic={"byok": VERTEX}),
        "–/b",
        ("host-session", "", SONNET),
        "h",
        ("anthropic.byok",),
    ),
    Vector(
        "h",
        _machine(anthropic={"byok": VERTEX}),
        "–/h",
        ("host-session", "", SONNET),
        "h",
        ("anthropic.byok",),
    ),
    Vector("hb", _machine(anthropic={"host-session": NO, "byok": NO}), "–/h", None, ""),
    Vector(
        "hb",
        _machine(anthropic={"host-session": YES, "byok": YES}, claude_sonnet={"byok": NO}),
        "–/b",
        ("host-session", "", SONNET),
        "h",
    ),
    Vector(
        "hb",
        _any({"byok": NO}, anthropic={"byok": YES, "host-session": YES}),
        "–/b",
        ("byok", "", SONNET),
        "hb",
    ),
    Vector("hbm", _any({"metered": NO}), "–/h", ("host-session", "", SONNET), "hb"),
    Vector("hb", _machine(openai={"byok": NO}), "–/b", ("byok", "", SONNET), "hb"),
    Vector("hbm", KG_BYOK, "kg-extraction/h", ("byok", "vertex", HAIKU), "bm"),
    Vector("hbm", KG_BYOK, "–/h", ("host-session", "oauth-cli", SONNET), "hm"),
    Vector("hbm", KG_BYOK, "interview/h", ("host-session", "oauth-cli", SONNET), "hm"),
    Vector("hbm", KG_WIDER, "kg-extraction/h", ("host-session", "", SONNET), "hbm"),
    Vector(
        "hbm",
        _machine(anthropic={"host-session": YES, "byok": YES, "metered": YES}),
        "–/m",
        ("metered", "", SONNET),
        "hbm",
    ),
    Vector("hbm", _machine(anthropic={"metered": NO}), "–/m", ("byok", "", SONNET), "hb"),
    Vector(
        "b", _machine(anthropic={"byok": VERTEX}), "–/b", ("byok", "vertex", HAIKU), "b"
    ),
    Vector("hb", {"default": {"matrix": {}}}, "–/h", ("host-session", "", SONNET), "hb"),
    Vector("", _machine(anthropic={"byok": YES}), "–/b", None, "", ("anthropic.byok",)),
]
_MODES = {"h": "host-session", "b": "byok", "m": "metered"}


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_the_decision_is_the_platforms(vector: Vector) -> None:
    """Each of the nineteen shared vectors gets its mode, pins, ceiling and drops."""
    workload, _, mode = vector.asked.partition("/")
    decision = decide(
        vector.machine,
        AccessRequest(
            workload=workload.strip("–"),
            company="anthropic",
            model=SONNET,
            requested=_MODES[mode],
            platform_allowed=tuple(_MODES[letter] for letter in vector.ceiling),
        ),
    )
    found = (decision.auth_mode, decision.host, decision.model)
    assert found == (vector.result or (None, None, None))
    assert decision.effective_set == tuple(_MODES[letter] for letter in vector.effective)
    assert decision.dropped == vector.dropped
    assert decision.is_allowed is (vector.result is not None)


def test_a_denial_is_said_in_the_wires_words() -> None:
    """The text names the scope, the company, the model, the mode and the workload."""
    request = AccessRequest(
        workload="qa",
        company="anthropic",
        model=SONNET,
        requested="byok",
        platform_allowed=(),
    )
    assert denial(request, "machine") == (
        "access denied: machine policy denies (company=anthropic × model=claude-sonnet"
        ' × authMode=byok, workload="qa")'
    )


def test_the_policys_own_order_comes_before_the_ladder() -> None:
    """If the requested mode is removed, the first allowed one of auth_order is chosen."""
    policy = {"auth_order": ["shared", "local"], "matrix": {"*": {"byok": NO}}}
    decision = decide(
        {"default": policy},
        AccessRequest(
            workload="",
            company="openai",
            model="gpt",
            requested="byok",
            platform_allowed=("metered", "local", "byok"),
        ),
    )
    assert decision.auth_mode == "local"
    assert decision.scope == "machine"
    assert decision.deciding == (("*", "byok"),)  # what took the mode asked for away


def test_the_cell_that_pins_is_named() -> None:
    """The row and mode that gave host and model can be shown to an operator."""
    decision = decide(
        KG_BYOK,
        AccessRequest(
            workload="kg-extraction",
            company="anthropic",
            model=SONNET,
            requested="host-session",
            platform_allowed=("byok",),
        ),
    )
    assert decision.deciding == (("anthropic", "byok"),)
    assert decision.scope == "machine-workload"


def test_a_policy_is_spelled_as_the_file_has_it() -> None:
    """Nulls are absent, empty rows are left out, and `enforce` is kept as given."""
    policy = {
        "authOrder": ["byok", "local"],
        "matrix": {
            "*": {
                "byok": {"allowed": True, "host": None, "enforce": {"n": [2**63 - 1, True]}}
            },
            "openai": {},
            "gone": None,
            "anthropic": {"local": None, "shared": {"allowed": False, "model": "m"}},
        },
    }
    assert parse_policy(policy).policy == {
        "auth_order": ["byok", "local"],
        "matrix": {
            "*": {"byok": {"allowed": True, "enforce": {"n": [2**63 - 1, True]}}},
            "anthropic": {"shared": {"allowed": False, "model": "m"}},
        },
    }
    assert parse_policy({"authOrder": None, "matrix": None}).policy == {}


def test_what_a_newer_platform_adds_is_left_out_and_named() -> None:
    """A policy narrows: unknown keys and modes cost nothing but themselves."""
    parsed = parse_policy(
        {
            "version": 7,
            "updatedAt": "2026-11-01T00:00:00Z",
            "authOrder": ["oauth", "byok"],
            "matrix": {
                "openai": {
                    "byok": {"allowed": True, "host": "", "model": "", "costUsd": 3},
                    "oauth": {"allowed": True},
                    "local": {},
                }
            },
        }
    )
    assert parsed.policy == {
        "auth_order": ["byok"],
        "matrix": {"openai": {"byok": {"allowed": True}, "local": {"allowed": False}}},
    }
    assert parsed.ignored == (
        "policy.version",
        "policy.updatedAt",
        "policy.authOrder.oauth",
        "policy.matrix.openai.byok.costUsd",
        "policy.matrix.openai.oauth",
    )


@pytest.mark.parametrize(
    ("policy", "complaint"),
    [
        (None, "policy must be an object, not null"),
        ("x", "policy must be an object, not a string"),
        ([], "policy must be an object, not a list"),
        ({"authOrder": "byok"}, "policy.authOrder must be a list of auth modes"),
        (
            {"authOrder": [1]},
            "an auth mode in policy.authOrder must be a string, not a number",
        ),
        ({"matrix": []}, "policy.matrix must be an object, not a list"),
        ({"matrix": {"*": True}}, "policy.matrix.* must be an object, not a boolean"),
        (
            {"matrix": {"*": {"byok": True}}},
            "policy.matrix.*.byok must be an object, not a boolean",
        ),
        (
            {"matrix": {"*": {"byok": {"allowed": 1}}}},
            "policy.matrix.*.byok.allowed must be true or false",
        ),
        (
            {"matrix": {"*": {"byok": {"allowed": True, "host": 1}}}},
            "policy.matrix.*.byok.host must be a string, not a number",
        ),
        (
            {"matrix": {"*": {"byok": {"allowed": True, "enforce": [None]}}}},
            "policy.matrix.*.byok.enforce holds null, which a file cannot keep",
        ),
        (
            {"matrix": {"*": {"byok": {"allowed": True, "enforce": [2**63]}}}},
            "policy.matrix.*.byok.enforce holds an integer beyond 64 bits",
        ),
        (
            {"matrix": {"*": {"byok": {"allowed": True, "enforce": -(2**63) - 1}}}},
            "policy.matrix.*.byok.enforce holds an integer beyond 64 bits",
        ),
        (
            {"matrix": {"*": {"byok": {"allowed": True, "enforce": float("nan")}}}},
            "policy.matrix.*.byok.enforce holds a number, which a file cannot keep",
        ),
        ({"matrix": {"\ud800": {}}}, "a key of policy.matrix is not valid Unicode"),
    ],
)
def test_a_policy_out_of_vocabulary_is_refused(policy: object, complaint: str) -> None:
    """Wrong types, unknown keys and unknown modes are refused before anything else."""
    with pytest.raises(InvalidMutationError) as refused:
        parse_policy(policy)
    assert str(refused.value) == f"decode params: {complaint}"


def test_what_is_nested_without_end_is_refused() -> None:
    """A value deeper than a file should hold is an error, not a crash."""
    deep: object = 1
    for _ in range(40):
        deep = [deep]
    cell = {"allowed": True, "enforce": deep}
    with pytest.raises(InvalidMutationError, match=r"enforce is nested too deeply$"):
        parse_policy({"matrix": {"*": {"byok": cell}}})
