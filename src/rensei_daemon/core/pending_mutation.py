"""A mutation as the platform delivered it: measured, identified and not yet parsed.

One that is too long, or whose id contains invisible characters, fails on receipt: it is
measured before anything else looks at it, and only its digest is kept.
"""

import hashlib
import json
from typing import Any

from rensei_daemon.core.escaping import is_visible
from rensei_daemon.core.length_limits import (
    MAX_ID,
    MAX_OP,
    MAX_PARAMS,
    MAX_REQUESTER,
    MAX_TEXT,
)
from rensei_daemon.fast_dataclass import dataclass

_ROW_BYTES = 1024
"""Size of a mutation's row with its outcome, without its long texts."""

_PAGE_BYTES = 4096

_SHOWN = 40
"""Characters kept of a text that is refused for its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingMutation:
    """A mutation as the platform delivered it."""

    id: str
    op: str
    params: Any
    """Any JSON from the platform; None if it is refused."""
    requested_at: str = ""
    requested_by: str = ""
    refusal: str = ""
    """Why it fails on receipt; empty if it does not."""
    digest: str = ""
    """Digest of op and params, to detect a redelivery with other content. Hex SHA-256 of
    the canonical JSON: sorted keys, no spaces, ASCII."""

    size: int = 0
    """Characters of the params as canonical JSON; 0 if they are not kept."""

    def __post_init__(self) -> None:
        """Compute the digest if the caller has not."""
        if not self.digest:
            digest = _digest(self.op, _canonical(self.params))
            object.__setattr__(self, "digest", digest)

    @property
    def record_bytes(self) -> int:
        """The most bytes it occupies on record, including partly empty pages."""
        texts = 2 * len(self.id.encode()) + len(self.op.encode())
        texts += len(self.requested_at.encode()) + len(self.requested_by.encode())
        return _ROW_BYTES + sum(n + min(n, _PAGE_BYTES) for n in (texts, self.size))


def can_be_answered(id_: str) -> bool:
    """Whether an outcome can name this id: it can be stored and sent back unchanged."""
    try:
        return 0 < len(id_.encode()) <= MAX_TEXT
    except UnicodeEncodeError:
        return False


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _digest(op: str, params: str) -> str:
    return hashlib.sha256(f"[{_canonical(op)},{params}]".encode()).hexdigest()


def delivered(
    *, id: str, op: str, params: Any, requested_at: str = "", requested_by: str = ""
) -> PendingMutation:
    """Measure a delivered mutation; above a limit, keep its digest and the reason."""
    content = _canonical(params)
    digest = _digest(op, content)
    refusal = _refusal(id, op, requested_at, requested_by, len(content))
    if refusal:
        params, content, op = None, "", _short(op, MAX_OP)
        requested_at = _short(requested_at, MAX_TEXT)
        requested_by = _short(requested_by, MAX_REQUESTER)
    return PendingMutation(
        id=id,
        op=op,
        params=params,
        requested_at=requested_at,
        requested_by=requested_by,
        refusal=refusal,
        digest=digest,
        size=len(content),
    )


def _refusal(id_: str, op: str, requested_at: str, requested_by: str, params: int) -> str:
    measured = (
        ("id", len(id_), MAX_ID),
        ("op", len(op), MAX_OP),
        ("requestedBy", len(requested_by), MAX_REQUESTER),
        ("requestedAt", len(requested_at), MAX_TEXT),
        ("params", params, MAX_PARAMS),
    )
    for name, length, most in measured:
        if length > most:
            return f"{name} of {length} characters: this daemon takes at most {most}"
    for mark in id_:
        if mark == " " or not is_visible(mark):
            return f"the mutation's id holds U+{ord(mark):04X}, which cannot be shown"
    return ""


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[:_SHOWN] + "…"
