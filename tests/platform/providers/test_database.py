"""The provider of the values that the database stores."""

from collections.abc import Mapping

import pytest

from rensei_platform.master_key import MasterKey
from rensei_platform.providers.base import Location, SecretNotFoundError
from rensei_platform.providers.database import DatabaseProvider, identity
from rensei_platform.sealing import Sealer, SealingError

SEALER = Sealer([MasterKey(b"k" * 32)])


class Rows(dict[tuple[str, str], dict[str, str]]):
    """Rows of the database, in memory."""

    async def sealed_values(self, org_id: str, path: str) -> Mapping[str, str]:
        return self.get((org_id, path), {})


def _stored(org_id: str, path: str, **values: str) -> Rows:
    sealed = {n: SEALER.seal(v, identity(org_id, path, n)) for n, v in values.items()}
    return Rows({(org_id, path): sealed})


def _at(org_id: str, path: str, **names: str) -> Location:
    return Location(org_id=org_id, kind="byok", path=tuple(path.split("/")), names=names)


async def test_values() -> None:
    """Stored values come back, under their names or those of the binding."""
    provider = DatabaseProvider(_stored("org", "byok/prod", A="1", B="2"), SEALER)
    assert (await provider.resolve(_at("org", "byok/prod"))).values == {"A": "1", "B": "2"}
    assert (await provider.resolve(_at("org", "byok/prod", X="B"))).values == {"X": "2"}


async def test_nothing_stored() -> None:
    """Nothing is made up where nothing is stored."""
    provider = DatabaseProvider(_stored("org", "byok", A="1"), SEALER)
    for org_id, path in (("org", "other"), ("other", "byok"), ("org", "byok/prod")):
        with pytest.raises(SecretNotFoundError, match="no value is stored"):
            await provider.resolve(_at(org_id, path))


async def test_moved_row() -> None:
    """A row that somebody moved to another organization, path or name does not open."""
    rows = _stored("org", "byok", A="1")
    [sealed] = rows["org", "byok"].values()
    for org_id, path, name in (
        ("other", "byok", "A"),
        ("org", "x", "A"),
        ("org", "byok", "B"),
    ):
        provider = DatabaseProvider(Rows({(org_id, path): {name: sealed}}), SEALER)
        with pytest.raises(SealingError, match="belongs to another row"):
            await provider.resolve(_at(org_id, path))
