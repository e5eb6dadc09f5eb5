"""Which models a workload may use on this host, and who pays for them.

A policy restricts and never extends: it can remove a mode from the ceiling that the
platform allows, and pin a host or a model for a mode. `decide` gives the same answers as
the platform's own resolver; both are tested with one set of shared vectors.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from rensei_daemon.core.mutation_params import (
    decode_error,
    in_own_spelling,
    json_object,
    storable,
    text,
)
from rensei_daemon.fast_dataclass import dataclass


class AuthMode(StrEnum):
    """Who pays for a call, and how; in the order of the default preference."""

    BYOK = "byok"
    METERED = "metered"
    SHARED = "shared"
    HOST_SESSION = "host-session"
    LOCAL = "local"


ANY_ROW = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """What a session asks for."""

    workload: str
    company: str
    model: str
    requested: str
    """The preferred auth mode."""
    platform_allowed: tuple[str, ...]
    """The ceiling: the modes the platform allows, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDecision:
    """The decision about a request."""

    auth_mode: str | None
    """None: denied."""
    host: str | None
    model: str | None
    effective_set: tuple[str, ...]
    """The allowed modes, in the ceiling's order."""
    dropped: tuple[str, ...]
    """`row.mode` of each cell that grants a mode outside the ceiling and was ignored."""
    scope: str
    """`machine` or `machine-workload`: the policy that decided."""
    deciding: tuple[tuple[str, str], ...]
    """(row, mode) of the cell that allowed the chosen mode and of the one that removed the
    requested mode; of a denial, of each cell that removed a mode. Empty if no cell
    applies."""

    @property
    def is_allowed(self) -> bool:
        """Whether a mode is allowed."""
        return self.auth_mode is not None


def decide(block: Mapping[str, Any], request: AccessRequest) -> AccessDecision:
    """Restrict the ceiling by this host's policy, and choose a mode.

    `block` is the file's `[model_access]` as plain values; an empty one restricts
    nothing. A workload's policy replaces the default as a whole; they are never merged.
    For each mode the row of the model applies, else that of the company, else `*`.
    """
    workloads = block.get("workloads", {})
    is_override = request.workload in workloads
    policy = workloads[request.workload] if is_override else block.get("default", {})
    matrix = policy.get("matrix", {})
    rows = [row for row in _rows(request) if row in matrix]

    cells = {
        mode: next(((row, matrix[row][mode]) for row in rows if mode in matrix[row]), None)
        for mode in request.platform_allowed
    }
    effective = tuple(mode for mode, found in cells.items() if _lets_pass(found))
    chosen = _choose(request.requested, effective, policy.get("auth_order", ()))
    pin = cells[chosen] if chosen is not None else None
    cell = pin[1] if pin else {}
    return AccessDecision(
        auth_mode=chosen,
        # An empty pin means none.
        host=None if chosen is None else cell.get("host", ""),
        model=None if chosen is None else cell.get("model") or request.model,
        effective_set=effective,
        dropped=tuple(
            f"{row}.{mode}"
            for row in rows
            for mode, cell in matrix[row].items()
            if cell.get("allowed") and mode not in request.platform_allowed
        ),
        scope="machine-workload" if is_override else "machine",
        deciding=tuple(
            (found[0], mode)
            for mode, found in cells.items()
            if found and (chosen in (mode, None) or mode == request.requested)
        ),
    )


def denial(request: AccessRequest, scope: str) -> str:
    """Return the message, in the wire's words, that no mode was left."""
    return (
        f"access denied: {scope} policy denies (company={request.company} × "
        f"model={request.model} × authMode={request.requested}, "
        f'workload="{request.workload}")'
    )


def _rows(request: AccessRequest) -> list[str]:
    """Return the rows that apply, in order; a row without a name never does."""
    named = (request.model, request.company, ANY_ROW)
    return [row for row in dict.fromkeys(named) if row]


def _lets_pass(found: tuple[str, Mapping[str, Any]] | None) -> bool:
    return found is None or bool(found[1].get("allowed"))


def _choose(
    requested: str, effective: Sequence[str], auth_order: Sequence[str]
) -> str | None:
    if requested in effective:
        return requested
    preferred = [*auth_order, *AuthMode, *effective]
    return next((str(mode) for mode in preferred if mode in effective), None)


@dataclass(frozen=True, slots=True)
class ParsedPolicy:
    """A policy as the file spells it, and what the file cannot contain."""

    policy: Mapping[str, Any]
    """`auth_order` and `matrix`, as in the file."""
    ignored: tuple[str, ...] = ()
    """Dotted names of the ignored keys and auth modes, in order."""


def parse_policy(raw: object) -> ParsedPolicy:
    """Check a policy from the platform and return it as the file spells it.

    Input: `{matrix: {row: {mode: {allowed, host?, model?, enforce?}}}, authOrder?}`.
    Null and an empty pin mean absent, a missing `allowed` is false, and an empty row or
    matrix is omitted. A policy only restricts, so unknown keys and modes of a newer
    platform are harmless: they are ignored and listed. Raises `InvalidMutationError`
    for a policy that is missing or of a wrong type.
    """
    reader = _PolicyReader()
    policy = reader.policy(raw)
    return ParsedPolicy(policy, tuple(reader.ignored))


class _PolicyReader:
    """Read one policy, and collect the names of what is ignored."""

    def __init__(self) -> None:
        self.ignored: list[str] = []

    def policy(self, raw: object) -> dict[str, Any]:
        found = self._known(raw, ("matrix", "authOrder"), "policy")
        parsed: dict[str, Any] = {}
        if "authOrder" in found:
            parsed["auth_order"] = self._auth_order(found["authOrder"])
        matrix = _without_nulls(json_object(found.get("matrix", {}), "policy.matrix"))
        rows = {row: self._row(cells, row) for row, cells in matrix.items()}
        if any(rows.values()):
            parsed["matrix"] = {row: cells for row, cells in rows.items() if cells}
        return parsed

    def _auth_order(self, raw: object) -> list[str]:
        name = "policy.authOrder"
        if not isinstance(raw, list):
            raise decode_error(f"{name} must be a list of auth modes")
        modes = [text(mode, f"an auth mode in {name}") for mode in raw]
        return [mode for mode in modes if self._is_mode(mode, name)]

    def _row(self, raw: object, row: str) -> dict[str, Any]:
        name = f"policy.matrix.{row}"
        cells = _without_nulls(json_object(raw, name))
        return {
            mode: self._cell(cell, f"{name}.{mode}")
            for mode, cell in cells.items()
            if self._is_mode(mode, name)
        }

    def _cell(self, raw: object, name: str) -> dict[str, Any]:
        cell = self._known(raw, ("allowed", "host", "model", "enforce"), name)
        allowed = cell.get("allowed", False)
        if not isinstance(allowed, bool):
            raise decode_error(f"{name}.allowed must be true or false")
        pins = {
            key: text(cell[key], f"{name}.{key}")
            for key in ("host", "model")
            if key in cell
        }
        parsed: dict[str, Any] = {"allowed": allowed}
        parsed |= {key: pin for key, pin in pins.items() if pin}
        if "enforce" in cell:
            parsed["enforce"] = storable(cell["enforce"], f"{name}.enforce")
        return parsed

    def _known(self, raw: object, known: tuple[str, ...], name: str) -> dict[str, object]:
        found = _without_nulls(in_own_spelling(json_object(raw, name), known))
        self.ignored += [f"{name}.{key}" for key in found if key not in known]
        return found

    def _is_mode(self, mode: str, name: str) -> bool:
        if mode in list(AuthMode):
            return True
        self.ignored.append(f"{name}.{mode}")
        return False


def _without_nulls(raw: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in raw.items() if value is not None}
