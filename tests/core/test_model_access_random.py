"""The decision beside a second resolver, written from the wire's description alone."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import settings

from rensei_daemon.core.model_access import AccessRequest, decide

MODES = ("byok", "metered", "shared", "host-session", "local")
ROWS = ("", "*", "anthropic", "openai", "claude-sonnet", "gpt")
WORKLOADS = ("", "  ", "qa", "kg-extraction", "research")
PINS = ("", "vertex", "claude-haiku")
DECISIONS = 100 * settings().max_examples
"""2,000 in `make test`, and 200,000 in `make soak`."""


def _resolve(
    block: Mapping[str, Any],
    asked: AccessRequest,
) -> tuple[str | None, str | None, str | None, Sequence[str]]:
    """Return (mode, host, model, effective set), step by step as the wire says."""
    policy = block.get("default") or {}
    if asked.workload in (block.get("workloads") or {}):
        policy = block["workloads"][asked.workload]
    survivors: dict[str, Mapping[str, Any]] = {}
    for mode in asked.platform_allowed:
        cell = _cell(policy.get("matrix", {}), asked, mode)
        if cell is None or cell.get("allowed") is True:
            survivors[mode] = cell or {}
    if not survivors:
        return None, None, None, ()
    chosen = asked.requested
    if chosen not in survivors:
        order = [mode for mode in policy.get("auth_order", []) if mode in survivors]
        chosen = (order or [mode for mode in MODES if mode in survivors])[0]
    pin = survivors[chosen]
    host = pin["host"] if pin.get("host") else ""
    model = pin["model"] if pin.get("model") else asked.model
    return chosen, host, model, tuple(survivors)


def _cell(
    matrix: Mapping[str, Any], asked: AccessRequest, mode: str
) -> Mapping[str, Any] | None:
    for row in (asked.model, asked.company, "*"):
        if row != "" and row in matrix and mode in matrix[row]:
            cell: Mapping[str, Any] = matrix[row][mode]
            return cell
    return None


def _policy(draw: random.Random) -> dict[str, Any]:
    matrix: dict[str, Any] = {}
    for row in draw.sample(ROWS, draw.randint(0, 4)):
        for mode in draw.sample(MODES, draw.randint(1, 3)):
            cell: dict[str, Any] = {}
            if draw.random() < 0.9:
                cell["allowed"] = draw.random() < 0.5
            for pin in ("host", "model"):
                if draw.random() < 0.4:
                    cell[pin] = draw.choice(PINS)
            matrix.setdefault(row, {})[mode] = cell
    policy: dict[str, Any] = {}
    if matrix or draw.random() < 0.5:
        policy["matrix"] = matrix
    if draw.random() < 0.4:
        policy["auth_order"] = draw.sample(MODES, draw.randint(0, 5))
    return policy


def _block(draw: random.Random) -> dict[str, Any]:
    block: dict[str, Any] = {}
    if draw.random() < 0.8:
        block["default"] = _policy(draw)
    if draw.random() < 0.6:
        names = draw.sample(WORKLOADS, draw.randint(0, 3))
        block["workloads"] = {name: _policy(draw) for name in names}
    return block


def test_random_decisions_are_the_same() -> None:
    """Mode, pins and effective set, also with empty rows, pins, models and workloads."""
    draw = random.Random(20261128)  # noqa: S311 - cases, not secrets
    denied = 0
    for _ in range(DECISIONS):
        block = _block(draw)
        asked = AccessRequest(
            workload=draw.choice(WORKLOADS),
            company=draw.choice(("", "anthropic", "openai")),
            model=draw.choice(("", "claude-sonnet", "gpt")),
            requested=draw.choice(MODES),
            platform_allowed=tuple(draw.sample(MODES, draw.randint(0, 5))),
        )
        found = decide(block, asked)
        decided = (found.auth_mode, found.host, found.model, found.effective_set)
        assert decided == _resolve(block, asked), (block, asked)
        denied += not found.is_allowed
    assert DECISIONS // 10 < denied < DECISIONS // 2
