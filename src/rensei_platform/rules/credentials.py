"""Which values a session sees, and which of them a rotation tells it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BLOCKED_NAMES = frozenset(
    {
        "AUDIT_SIGNING_KEY_PRIVATE",
        "AUDIT_SIGNING_KEY_PUBLIC",
        "CODE_INTEL_HOST_JWT_SECRET",
        "DONMAI_CREDENTIAL_CAPABILITY",
        "DONMAI_DAEMON_API_KEY",
        "DONMAI_DAEMON_JWT",
        "DONMAI_DAEMON_TOKEN",
        "DONMAI_ORCHESTRATOR_URL",
        "DONMAI_RUNTIME_JWT",
        "M2M_JWT_SECRET",
        "RENSEI_DAEMON_API_KEY",
        "RENSEI_DAEMON_JWT",
        "RENSEI_RUNTIME_JWT",
        "WORKER_API_KEY",
        "WORKOS_API_KEY",
        "WORKOS_COOKIE_PASSWORD",
    }
)
"""Names that no session is given, in both spellings of the public lists."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a session stands; an empty project is none."""

    project_id: str
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSet:
    """The values of one binding."""

    binding_id: str
    kind: str
    project_id: str
    """Empty: of every project."""
    environment: str
    """Empty: of every environment."""
    values: Mapping[str, str] = field(repr=False)

    def is_seen_from(self, scope: Scope) -> bool:
        """Whether a session in this scope sees these values."""
        return is_seen(Scope(self.project_id, self.environment), scope)


def is_seen(bound: Scope, scope: Scope) -> bool:
    """Whether a session in a scope sees what is bound for one; empty is for every one."""
    return bound.project_id in ("", scope.project_id) and bound.environment in (
        "",
        scope.environment,
    )


def visible(sets: Iterable[ValueSet], scope: Scope) -> dict[str, tuple[str, str]]:
    """Return name -> (kind, value) of what a scope sees.

    A value of an environment wins over one of a project, and that over one of the
    organization. The kind decides between equals, so that every replica answers alike.
    """
    seen = sorted(
        (values for values in sets if values.is_seen_from(scope)),
        key=lambda s: (bool(s.environment), bool(s.project_id), s.kind),
    )
    return {
        name: (values.kind, value)
        for values in seen
        for name, value in values.values.items()
        if name not in BLOCKED_NAMES
    }


def snapshot(sets: Iterable[ValueSet], scope: Scope) -> dict[str, str]:
    """Return everything a scope sees, flat."""
    return {name: value for name, (_, value) in visible(sets, scope).items()}


def delta(sets: Iterable[ValueSet], scope: Scope, kind: str) -> dict[str, str]:
    """Return what a rotation of a kind tells a scope: its values, also equal ones."""
    seen = visible(sets, scope)
    return {name: value for name, (of, value) in seen.items() if of == kind}


def kinds_seen(sets: Iterable[ValueSet], scope: Scope) -> frozenset[str]:
    """Return the kinds of which a scope sees any value."""
    return frozenset(kind for kind, _ in visible(sets, scope).values())
