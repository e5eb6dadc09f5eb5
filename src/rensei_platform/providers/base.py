"""What a provider is, what it is asked, what it answers, and how it fails.

A provider of your own is a class with an async `resolve`; `renew` and `revoke` too if its
values have leases. It raises the errors of this module with a reason that never holds a
value; the registry adds which instance and kind it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from rensei_platform.errors import ProviderError


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Where the values of one kind come from."""

    org_id: str
    kind: str
    provider: str
    """The name of an instance in platform.toml."""
    path: str
    """Below the prefix that the instance allows the organization; see `paths`."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Environment variable to field. Empty: every field, under its own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """What a provider is asked for: a binding whose path has passed the checks."""

    org_id: str
    kind: str
    path: tuple[str, ...]
    """The prefix and the path, in segments; none is empty, `.` or `..`."""
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """For how long values are good."""

    id: str
    seconds: float
    renewable: bool
    owner: str = ""
    """Who must renew it: a lease of Vault ends with the token that asked for it."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a provider answered."""

    values: Mapping[str, str] = field(repr=False)
    lease: Lease | None = None


class Provider(Protocol):
    """A source of values."""

    async def resolve(self, location: Location) -> Resolved:
        """Return the values by environment variable. Raise ResolveError."""
        ...


@runtime_checkable
class LeasingProvider(Provider, Protocol):
    """A source whose values end, unless their lease is renewed."""

    async def renew(self, lease: Lease) -> Lease:
        """Return the lease, prolonged. Raise LeaseEndedError if it must be replaced."""
        ...

    async def revoke(self, lease: Lease) -> None:
        """End the lease and its values; one that has ended is no error."""
        ...


@runtime_checkable
class ProbedProvider(Provider, Protocol):
    """A source that can be asked whether it would answer."""

    async def probe(self) -> None:
        """Ask for nothing secret. Raise ResolveError if a resolution would fail too."""
        ...


# ---- errors ------------------------------------------------------------------------------


class ResolveError(ProviderError):
    """A provider did not give what it was asked for."""

    cause = "failed"
    """A word for metrics and logs."""
    instance = ""
    kind = ""

    def __init__(self, reason: str, *, hint: str = "", detail: str = "") -> None:
        super().__init__(reason, hint=hint)
        self.reason = reason
        self.detail = detail
        """More for the log alone. It holds no value either."""

    def __str__(self) -> str:
        kind = f" (kind {self.kind})" if self.kind else ""
        return f"Credential provider {self.instance}{kind}: {self.reason}"


class ProviderUnavailableError(ResolveError):
    """The provider cannot be reached, is sealed, or takes too long."""

    cause = "unavailable"


class ProviderDeniedError(ResolveError):
    """The provider refuses what this control plane asks, or who it says it is."""

    cause = "denied"


class SecretNotFoundError(ResolveError):
    """The provider has nothing under this path, or not this field."""

    cause = "not_found"


class BadAnswerError(ResolveError):
    """The provider's answer is too large, malformed, or not text."""

    cause = "bad_answer"


class LeaseEndedError(ResolveError):
    """The lease cannot be renewed: its values must be resolved again."""

    cause = "lease_ended"


class ForeignLeaseError(LeaseEndedError):
    """The lease belongs to a token of another replica, or of an earlier run."""
