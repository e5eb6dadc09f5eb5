"""The instances of platform.toml, and what may be asked of them."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from deadlines import HANG_SECONDS

from rensei_platform.errors import InvalidRequestError, SettingsError
from rensei_platform.providers.base import (
    BadAnswerError,
    Binding,
    Lease,
    LeaseEndedError,
    Location,
    ProviderDeniedError,
    ProviderUnavailableError,
    Resolved,
    ResolveError,
)
from rensei_platform.providers.options import Limits
from rensei_platform.providers.registry import Registry

CANARY = "canary-of-the-registry-tests"
LEASE = Lease(id="l", seconds=60, renewable=True)


class Scripted:
    """A provider that does what a test says, and remembers what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), list[Location]()

    async def resolve(self, location: Location) -> Resolved:
        self.asked.append(location)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        if answer is Ellipsis:
            await anyio.sleep_forever()
        return answer  # type: ignore[no-any-return]


def _binding(
    org: str = "org", provider: str = "files", path: str = "app", **names: str
) -> Binding:
    return Binding(org_id=org, kind="byok", provider=provider, path=path, names=names)


def _files(directory: Path, **options: Any) -> dict[str, dict[str, Any]]:
    return {
        "files": {
            "type": "file",
            "directory": str(directory),
            "allow": {"*": ""},
            **options,
        }
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a directory with a secret for each of two organizations."""
    for org in ("one", "two"):
        (tmp_path / f"teams/{org}/app").mkdir(parents=True)
        (tmp_path / f"teams/{org}/app/TOKEN").write_text(f"of {org}")
    return tmp_path


async def test_prefix(root: Path) -> None:
    """A path is looked for below the prefix that the organization has, and nowhere else."""
    tables = _files(root, allow={"one": "teams/one", "two": "teams/two"})
    registry = Registry(Scripted(), tables)
    assert (await registry.resolve(_binding("one"))).values == {"TOKEN": "of one"}
    assert (await registry.resolve(_binding("two"))).values == {"TOKEN": "of two"}


async def test_prefix_with_placeholder(root: Path) -> None:
    """One prefix may serve every organization, with its id in it."""
    registry = Registry(Scripted(), _files(root, allow={"*": "teams/{org}"}))
    assert (await registry.resolve(_binding("two"))).values == {"TOKEN": "of two"}
    for org in ("../teams/one", "one/app", "..", ".", "", "a%2f"):
        assert "files" not in registry.allowed(org)


@pytest.mark.parametrize(
    "path", ["../one/app", "/etc", "app/../../one/app", "a//b", "..%2fone", ""]
)
async def test_hostile_path(root: Path, path: str) -> None:
    """A path that could leave the prefix is refused at the bind and when it is used."""
    registry = Registry(Scripted(), _files(root, allow={"two": "teams/two"}))
    with pytest.raises(InvalidRequestError, match="path: "):
        registry.check(_binding("two", path=path))
    with pytest.raises(ProviderDeniedError, match="path: "):
        await registry.resolve(_binding("two", path=path))


async def test_not_allowed(root: Path) -> None:
    """An instance of others looks like one that does not exist."""
    registry = Registry(Scripted(), _files(root, allow={"one": "teams/one"}))
    assert registry.allowed("one") == ["database", "files"]
    assert registry.allowed("two") == ["database"]
    registry.check(_binding("one"))
    for provider in ("files", "none", "../files", "file"):
        with pytest.raises(InvalidRequestError) as refused:
            registry.check(_binding("two", provider=provider))
        assert str(refused.value) == "provider: not one that this organization may use"
    with pytest.raises(ProviderDeniedError) as denied:
        await registry.resolve(_binding("two"))
    assert str(denied.value) == (
        "Credential provider files (kind byok): the organization may not use it"
    )


def test_names_are_checked(root: Path) -> None:
    """The names of a binding are checked where it is made."""
    registry = Registry(Scripted(), _files(root))
    with pytest.raises(
        InvalidRequestError, match="names: a key is not the name of a variable"
    ):
        registry.check(_binding(**{"a-b": "x"}))


async def test_database_is_there() -> None:
    """Every organization has the database, without any table."""
    database = Scripted(Resolved({"A": "b"}))
    registry = Registry(database, {})
    assert (await registry.resolve(_binding(provider="database", path="byok"))).values == {
        "A": "b"
    }
    [asked] = database.asked
    assert (asked.org_id, asked.kind, asked.path) == ("org", "byok", ("byok",))


_TOO_MUCH = "more than 1048576 bytes or 500 values"
_INSTEAD = "the provider did not return what it must"


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (RuntimeError(CANARY), BadAnswerError, "internal error: RuntimeError"),
        (KeyError(CANARY), BadAnswerError, "internal error: KeyError"),
        ({"A": CANARY}, BadAnswerError, _INSTEAD),
        (None, BadAnswerError, _INSTEAD),
        (Resolved({"A": "b"}, cast("Lease", CANARY)), BadAnswerError, _INSTEAD),
        (Resolved({"A b": CANARY}), BadAnswerError, "'A b' is not the name of a variable"),
        (Resolved({"A": "x" * 40_000_000}), BadAnswerError, _TOO_MUCH),
        (ProviderUnavailableError("is sealed"), ProviderUnavailableError, "is sealed"),
    ],
)
async def test_failures(answer: Any, kind: type[ResolveError], text: str) -> None:
    """Whatever a provider does wrong, the error names instance and kind, and no value."""
    registry = Registry(Scripted(answer), {})
    with pytest.raises(kind) as refused:
        await registry.resolve(_binding(provider="database"))
    assert str(refused.value) == f"Credential provider database (kind byok): {text}"
    assert (
        CANARY not in f"{refused.value!r} {refused.value.detail} {refused.value.__cause__}"
    )
    assert refused.value.status == 502


async def test_gone_from_the_settings() -> None:
    """A binding to an instance that was removed says what to add."""
    with pytest.raises(ProviderUnavailableError) as refused:
        await Registry(Scripted(), {}).resolve(_binding())
    assert str(refused.value) == "Credential provider files (kind byok): is not configured"
    assert refused.value.hint == "Add [providers.files] to platform.toml."


async def test_deadline(tmp_path: Path) -> None:
    """A provider that hangs is given up at its deadline."""
    script = tmp_path / "hang"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o755)
    table = {"type": "exec", "command": [str(script)], "allow": {"*": ""}}
    registry = Registry(Scripted(), {"hang": {**table, "timeout_seconds": 0.05}})
    with anyio.fail_after(HANG_SECONDS), pytest.raises(ProviderUnavailableError) as refused:
        await registry.resolve(_binding(provider="hang"))
    assert (
        str(refused.value)
        == "Credential provider hang (kind byok): no answer within 0.05 s"
    )


async def test_no_leases() -> None:
    """A provider without leases renews none, and revoking one is no work."""
    registry = Registry(Scripted(), {})
    with pytest.raises(LeaseEndedError):
        await registry.renew("database", "byok", LEASE)
    await registry.revoke("database", "byok", LEASE)


_TYPES = "type: not one of exec, file, onepassword, vault"
_NOBODY = "allow: missing: no organization may use it"
_FILE = {"type": "file", "directory": "/usr"}
_RELATIVE = "allow: *: path: starts with /; it is relative to the prefix"
_AT_LEAST = "most_bytes: Input should be greater than or equal to 1024"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, _TYPES),
        ({"type": "files"}, _TYPES),
        ({"type": ["file"]}, _TYPES),
        ({"type": "file"}, "directory: Field required"),
        (_FILE, _NOBODY),
        ({**_FILE, "allow": {}}, _NOBODY),
        ({**_FILE, "allow": ["org"]}, _NOBODY),
        ({**_FILE, "allow": {"*": 7}}, "allow: *: the prefix is not text"),
        ({**_FILE, "allow": {"*": "/a"}}, _RELATIVE),
        ({**_FILE, "allow": {"*": "a/.."}}, "allow: *: path: . and .. are not allowed"),
        ({**_FILE, "most_bytes": 1}, _AT_LEAST),
        (
            {**_FILE, "timeout_seconds": 0},
            "timeout_seconds: Input should be greater than 0",
        ),
    ],
)
def test_tables(table: dict[str, Any], message: str) -> None:
    """A table that is wrong is refused at the start, by its name and key."""
    with pytest.raises(SettingsError) as refused:
        Registry(Scripted(), {"main": table})
    assert str(refused.value) == f"[providers.main] {message}"


def test_reserved_name() -> None:
    """No table takes the place of the database."""
    with pytest.raises(SettingsError, match="the name is taken by the database itself"):
        Registry(Scripted(), {"database": {"type": "file"}})


class Elsewhere:
    """A provider as another distribution has it."""

    def __init__(self, options: Mapping[str, object], limits: Limits) -> None:
        self._options = options

    async def resolve(self, location: Location) -> Resolved:
        return Resolved(
            {"WHERE": f"{self._options['region']}:{'/'.join(location.path)}"}, LEASE
        )

    async def renew(self, lease: Lease) -> Lease:
        return Lease(id=lease.id, seconds=120, renewable=False)

    async def revoke(self, lease: Lease) -> None:
        raise ProviderUnavailableError("is elsewhere")


async def test_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider of another distribution is found by its entry point, leases included."""
    metadata = tmp_path / "elsewhere-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text(
        "[rensei_platform.providers]\nelsewhere = elsewhere_of_the_tests:Provider\n"
    )
    (tmp_path / "elsewhere_of_the_tests.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    module = import_module("elsewhere_of_the_tests")
    monkeypatch.setattr(module, "Provider", Elsewhere, raising=False)
    tables = {"far": {"type": "elsewhere", "region": "north", "allow": {"org": "p"}}}
    registry = Registry(Scripted(), tables)
    found = await registry.resolve(_binding(provider="far", path="a/b"))
    assert found == Resolved({"WHERE": "north:p/a/b"}, LEASE)
    assert (await registry.renew("far", "byok", LEASE)).seconds == 120
    with pytest.raises(LeaseEndedError):
        await registry.renew("far", "byok", Lease(id="l", seconds=1, renewable=False))
    with pytest.raises(ProviderUnavailableError) as refused:
        await registry.revoke("far", "byok", LEASE)
    assert str(refused.value) == "Credential provider far (kind byok): is elsewhere"
