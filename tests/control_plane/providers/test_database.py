"""The provider of the values that the database stores."""

from collections.abc import Mapping

import pytest

from rensei_platform.master_key import MasterKey
from rensei_platform.providers.base import BadAnswerError, Location, SecretNotFoundError
from rensei_platform.providers.database import DatabaseProvider, ValueScope
from rensei_platform.providers.paths import parse_path
from rensei_platform.sealing import Sealer

SEALER = Sealer([MasterKey(b"k" * 32)])


class Rows(dict[ValueScope, dict[str, str]]):
    """Rows of the database, in memory."""

    async def sealed_values(self, scope: ValueScope) -> Mapping[str, str]:
        return self.get(scope, {})


def _stored(scope: ValueScope, **values: str) -> Rows:
    sealed = {
        name: SEALER.seal(text, scope.identity(name)) for name, text in values.items()
    }
    return Rows({scope: sealed})


def _at(scope: ValueScope, **names: str) -> Location:
    path = parse_path(scope.path)
    return Location(org_id=scope.org_id, kind=scope.kind, path=path, names=names)


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        (ValueScope("org", "byok"), "byok"),
        (ValueScope("org", "byok", "web"), "byok/project/web"),
        (ValueScope("org", "byok", "", "prod"), "byok/environment/prod"),
        (ValueScope("org", "byok", "web", "prod"), "byok/project/web/environment/prod"),
        (ValueScope("org", "project", "project", ""), "project/project/project"),
    ],
)
async def test_values(scope: ValueScope, path: str) -> None:
    """The values of each scope come back, under their names or those of the binding."""
    assert scope.path == path
    provider = DatabaseProvider(_stored(scope, A="1", B="2"), SEALER)
    assert (await provider.resolve(_at(scope))).values == {"A": "1", "B": "2"}
    assert (await provider.resolve(_at(scope, X="B"))).values == {"X": "2"}


async def test_nothing_stored() -> None:
    """Nothing is made up where nothing is stored."""
    provider = DatabaseProvider(_stored(ValueScope("org", "byok"), A="1"), SEALER)
    others = (
        ("org", "other"),
        ("other", "byok"),
        ("org", "byok", "p"),
        ("org", "byok", "", "e"),
    )
    for scope in others:
        with pytest.raises(SecretNotFoundError, match="no value is stored"):
            await provider.resolve(_at(ValueScope(*scope)))


@pytest.mark.parametrize(
    "path", ["byok/x/y", "byok/project", "byok/environment/e/project/p"]
)
async def test_no_scope(path: str) -> None:
    """A path that names no scope has no values."""
    location = Location(org_id="org", kind="byok", path=parse_path(path), names={})
    with pytest.raises(SecretNotFoundError, match="the path names no stored values"):
        await DatabaseProvider(Rows(), SEALER).resolve(location)


async def test_moved_row() -> None:
    """A row that somebody moved to another organization, scope or name does not open."""
    rows = _stored(ValueScope("org", "byok"), A="1")
    [sealed] = rows[ValueScope("org", "byok")].values()
    for scope, name in (
        (ValueScope("other", "byok"), "A"),
        (ValueScope("org", "other"), "A"),
        (ValueScope("org", "byok", "web"), "A"),
        (ValueScope("org", "byok", "", "prod"), "A"),
        (ValueScope("org", "byok"), "B"),
    ):
        provider = DatabaseProvider(Rows({scope: {name: sealed}}), SEALER)
        with pytest.raises(BadAnswerError, match="does not decrypt"):
            await provider.resolve(_at(scope))
