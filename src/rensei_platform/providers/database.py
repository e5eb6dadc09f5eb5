"""Values that `rensei-platform credential set` stored, encrypted, in the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rensei_platform.providers.base import (
    BadAnswerError,
    Location,
    Resolved,
    SecretNotFoundError,
)
from rensei_platform.providers.fields import select
from rensei_platform.sealing import Sealer, SealingError

_PROJECT, _ENVIRONMENT = "project", "environment"


@dataclass(frozen=True, slots=True)
class ValueScope:
    """Which stored values: those of a kind, of a project or environment if not empty."""

    org_id: str
    kind: str
    project_id: str = ""
    environment: str = ""

    @property
    def path(self) -> str:
        """The path of a binding to these values."""
        parts = [self.kind]
        parts += [_PROJECT, self.project_id] if self.project_id else []
        parts += [_ENVIRONMENT, self.environment] if self.environment else []
        return "/".join(parts)

    @classmethod
    def at(cls, location: Location) -> "ValueScope":
        """Return what a path names. Raise SecretNotFoundError if it is none of these."""
        match location.path:
            case (kind,):
                return cls(location.org_id, kind)
            case (kind, "project", project_id):
                return cls(location.org_id, kind, project_id)
            case (kind, "environment", environment):
                return cls(location.org_id, kind, "", environment)
            case (kind, "project", project_id, "environment", environment):
                return cls(location.org_id, kind, project_id, environment)
            case _:
                raise SecretNotFoundError("the path names no stored values")

    def identity(self, name: str) -> str:
        """Return what a stored value is bound to: it opens in this row alone."""
        scope = (self.org_id, self.kind, self.project_id, self.environment)
        return "\0".join(("credential", *scope, name))


class SealedRows(Protocol):
    """The stored values; the store implements it."""

    async def sealed_values(self, scope: ValueScope) -> Mapping[str, str]:
        """Return the sealed values of a scope by name; empty if there are none."""
        ...


class DatabaseProvider:
    """Decrypts stored rows."""

    def __init__(self, rows: SealedRows, sealer: Sealer) -> None:
        self._rows, self._sealer = rows, sealer

    async def resolve(self, location: Location) -> Resolved:
        """Return the values of a scope."""
        scope = ValueScope.at(location)
        sealed = await self._rows.sealed_values(scope)
        if not sealed:
            raise SecretNotFoundError(
                "no value is stored", hint="Store one: `rensei-platform credential set`."
            )
        try:
            values = {
                name: self._sealer.unseal(text, scope.identity(name))
                for name, text in sealed.items()
            }
        except SealingError as error:
            raise BadAnswerError(
                "a stored value does not decrypt",
                hint="Set it again, or restore the database and its master key together.",
            ) from error
        return Resolved(select(values, location.names))
