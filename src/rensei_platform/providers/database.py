"""Values that `rensei-platform credential set` stored, encrypted, in the database."""

from collections.abc import Mapping
from typing import Protocol

from rensei_platform.providers.base import Location, Resolved, SecretNotFoundError
from rensei_platform.providers.fields import select
from rensei_platform.sealing import Sealer


class SealedRows(Protocol):
    """The stored values of a path: the store implements it."""

    async def sealed_values(self, org_id: str, path: str) -> Mapping[str, str]:
        """Return the sealed values by name; empty if there are none."""
        ...


def identity(org_id: str, path: str, name: str) -> str:
    """Return what a stored value is bound to: it opens in this row alone."""
    return "\0".join(("credential", org_id, path, name))


class DatabaseProvider:
    """Decrypts stored rows."""

    def __init__(self, rows: SealedRows, sealer: Sealer) -> None:
        self._rows, self._sealer = rows, sealer

    async def resolve(self, location: Location) -> Resolved:
        """Return the values of a path. Raise SealingError if one does not decrypt."""
        path = "/".join(location.path)
        sealed = await self._rows.sealed_values(location.org_id, path)
        if not sealed:
            raise SecretNotFoundError(
                "no value is stored", hint="Store one: `rensei-platform credential set`."
            )
        values = {
            name: self._sealer.unseal(text, identity(location.org_id, path, name))
            for name, text in sealed.items()
        }
        return Resolved(select(values, location.names))
