"""What each key may hold."""

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rensei_daemon.errors import SettingsError
from rensei_daemon.settings.loading import check_settings, load
from rensei_daemon.settings.model import Settings as Model
from rensei_daemon.settings.values import Settings


def loaded(text: str) -> Settings:
    """Load a text without any environment."""
    return load(text, path=Path("/c/config.toml"), environ={})


def refusal(section: str, key: str, value: object) -> str:
    """Return why a value is refused, without its place."""
    with pytest.raises(SettingsError) as caught:
        check_settings({section: {key: value}})
    return str(caught.value).split(": ", 1)[1]


def session_refusal(**keys: object) -> str:
    """Return why a key of a session is refused, without its place."""
    with pytest.raises(SettingsError) as caught:
        check_settings({"credentials": {"sessions": [{"id": "a"} | keys]}})
    return str(caught.value).split(": ", 1)[1]


def test_whole_file() -> None:
    """The tables that the platform keeps in step are read as they are written."""
    settings = loaded("""
        [projects]
        proj_a = { repositories = ["https://github.com/acme/api"] }
        proj_b = { repositories = [], enabled = false }
        [projects.proj_c]
        [pool]
        status = "deleted"
        id = "pool_a"
        reason = "gone"
        candidates = ["pool_b"]
        since = 2026-11-23T16:00:00Z
        [model_access.default.matrix.anthropic]
        host-session = { allowed = true, host = "oauth-cli" }
        byok = { allowed = false, enforce = [1, { a = 2 }] }
        [model_access.workloads.anything-goes]
        auth_order = ["byok", "metered"]
        [model_access.workloads.anything-goes.matrix."*"]
        byok = { allowed = true, host = "vertex", model = "claude-haiku" }
    """)
    assert settings.projects["proj_a"].repositories == ("https://github.com/acme/api",)
    assert settings.projects["proj_a"].enabled
    assert not settings.projects["proj_b"].enabled
    assert settings.projects["proj_c"].repositories == ()
    assert settings.pool is not None
    assert settings.pool.since == datetime(2026, 11, 23, 16, tzinfo=UTC)
    assert settings.pool.candidates == ("pool_b",)
    access = settings.model_access
    assert access is not None
    assert access.default is not None
    assert access.default.matrix["anthropic"]["host-session"].host == "oauth-cli"
    assert access.default.matrix["anthropic"]["byok"].enforce == [1, {"a": 2}]
    assert access.workloads["anything-goes"].auth_order == ("byok", "metered")


@pytest.mark.parametrize(
    "url",
    [
        "https://app.rensei.ai",
        "https://app.rensei.ai:8443/base",
        "https://bücher.example",
        "https://xn--bcher-kva.example",
        "https://a_b",
        "https://10.1",
        "https://[fe80::1%25eth0]",
        "http://127.0.0.1:1",
    ],
)
def test_good_urls(url: str) -> None:
    """Anywhere by https, this host by http too; a trailing slash is dropped."""
    assert loaded(f'platform.url = "{url}/"').platform.url == url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.com", "https is required, except to a loopback address"),
        ("ftp://example.com", "it must be an https:// URL"),
        ("https://", "it must be an https:// URL"),
        ("https://u:p@example.com", "it must not hold a user name or password"),
        ("https://example.com?x=1", "it must not have a query or a fragment"),
        ("https://example.com:99999", "this is not a URL"),
        ("https://[broken", "this is not a URL"),
        ("https://exam ple.com", "this is not a URL"),
        ("https://example.com/\x7f", "this is not a URL"),
        ("https://example.com/" + "a" * 3000, "this is not a URL"),
        ("https://10.0.0.256", "its host is neither a name nor an address"),
        ("https://xn--a", "its host is neither a name nor an address"),
        ("https://a.xn--a", "its host is neither a name nor an address"),
        ("https://€.com", "its host is neither a name nor an address"),
    ],
)
def test_bad_urls(url: str, expected: str) -> None:
    """A URL that would carry the key in the clear, or cannot work, is refused."""
    assert refusal("platform", "url", url) == expected


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf")])
def test_bad_interval(interval: float) -> None:
    """An interval is a positive number of seconds."""
    assert refusal("heartbeat", "interval_seconds", interval)


@pytest.mark.parametrize(
    ("named", "expected"),
    [(None, 30), (60, 60), (1, 5), (4000, 300), (0, 30), (-3, 30), (float("nan"), 30)],
)
def test_interval_of_the_platform(named: float | None, expected: float) -> None:
    """The platform's interval is clamped to 5…300 s; nonsense leaves the file's."""
    assert loaded("").interval_seconds(named) == expected


def test_interval_on_loopback() -> None:
    """A platform on this host may set any interval, and so may the file beside it."""
    settings = loaded(
        'platform.url = "http://127.0.0.1:1"\nheartbeat.interval_seconds = 0.2'
    )
    assert settings.interval_seconds() == 0.2
    assert settings.interval_seconds(0.05) == 0.05


@pytest.mark.parametrize("pattern", ["*", "project.*", "modelAccess.set", "pool.*"])
def test_good_patterns(pattern: str) -> None:
    """A pattern that fits an op is taken as it is."""
    check_settings({"mutations": {"allow": [pattern]}})


def test_bad_pattern() -> None:
    """A pattern that fits nothing would forbid in silence, and is refused."""
    assert refusal("mutations", "allow", ["modelaccess.*"]) == (
        'no op of this daemon matches this pattern (did you mean "modelAccess.*"?)'
    )


def test_session_defaults() -> None:
    """A session without a project or environment takes its section's."""
    settings = loaded("""
        [credentials]
        project_id = "proj_a"
        sessions = [{ id = "a" }, { id = "b", project_id = "proj_b", env_name = "dev" }]
    """)
    assert [
        (session.id, session.project_id, session.env_name)
        for session in settings.credentials.resolved_sessions
    ] == [("a", "proj_a", "production"), ("b", "proj_b", "dev")]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "x" * 65, "a\n"])
def test_bad_session_ids(name: str) -> None:
    """A session id is a short word that is safe as a file name."""
    assert session_refusal(id=name) == (
        "must be 1 to 64 letters, digits, dots, dashes, underscores"
    )


def test_distinct_sessions() -> None:
    """No two sessions share an id."""
    twice = [{"id": "a"}, {"id": "a"}]
    assert refusal("credentials", "sessions", twice) == (
        '"a" is already credentials.sessions[0].id'
    )


@pytest.mark.parametrize(("mode", "number"), [("0440", 0o440), ("640", 0o640)])
def test_modes(mode: str, number: int) -> None:
    """A mode is octal digits in quotes."""
    session = f'id = "a", env_file = "a.env", env_file_mode = "{mode}"'
    text = f"credentials.sessions = [{{ {session} }}]"
    assert loaded(text).credentials.sessions[0].all_files[0].permissions == number


@pytest.mark.parametrize("mode", ["", "0999", "rw-r-----", "44", "04755"])
def test_bad_modes(mode: str) -> None:
    """What is no octal mode is refused."""
    assert session_refusal(env_file_mode=mode) == (
        'it must be an octal mode in quotes, like "0440"'
    )


@pytest.mark.parametrize("name", ["../x", "a/../../x", "", "/"])
def test_escaping_env_files(name: str) -> None:
    """A relative env file stays inside the runtime directory."""
    assert session_refusal(env_file=name) == "it must name a file, without '..'"


@pytest.mark.parametrize(
    "name",
    [
        *("token", "control.sock", "credentials.sock", ".a.hook-done"),
        *("/var/.a~0123456789abcdef.hook-done", ".a.env.0123456789ab.tmp"),
    ],
)
def test_taken_env_files(name: str) -> None:
    """An env file does not take the place of a file of ours."""
    assert session_refusal(env_file=name) == "this name belongs to the daemon"


@pytest.mark.parametrize(
    "address",
    [
        "9464",
        "host",
        ":1",
        "::1:9464",
        "h:9464",
        "127.0.0.1:x",
        "127.0.0.1:0",
        "127.0.0.1:70000",
        "u@127.0.0.1:1",
        "127.0.0.1:1/",
        "127.0.0.256:1",
    ],
)
def test_bad_addresses(address: str) -> None:
    """A listening address is an IP address and a port."""
    assert refusal("metrics", "listen", address) == (
        'it must be an IP address of this host and a port, like "127.0.0.1:9464"'
    )


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("localhost:9464", ("127.0.0.1", 9464)),
        ("[::1]:9464", ("::1", 9464)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
    ],
)
def test_good_addresses(address: str, parts: tuple[str, int]) -> None:
    """An address is split for the caller that binds it; localhost is this host's own."""
    assert loaded(f'metrics.listen = "{address}"').metrics.address == parts


@pytest.mark.parametrize(
    "tree",
    [
        {"machine": {"max_sessions": -1}},
        {"log": {"level": "loud"}},
        {"admission": {"mode": "some"}},
        {"projects": {"a": {"enabled": "yes"}}},
        {"pool": {"since": datetime(2026, 11, 23, 16)}},  # noqa: DTZ001 - the point
        {"model_access": {"default": {"auth_order": ["byo"]}}},
        {"model_access": {"default": {"matrix": {"*": {"byok": {}}}}}},
        {"credentials": {"sessions": [{"id": "a", "on_rotate": "reload now"}]}},
    ],
)
def test_refused(tree: dict[str, Any]) -> None:
    """Vocabulary, types and required keys are checked."""
    with pytest.raises(SettingsError):
        check_settings(tree)


def test_errors_hide_their_input() -> None:
    """Not even the model's own error, which is never printed, holds a value."""
    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"platform": {"api_key": "CANARY"}, "x": "CANARY"})
    assert "CANARY" not in str(caught.value)


def test_frozen() -> None:
    """Settings do not change once they are made."""
    settings = loaded("")
    with pytest.raises(FrozenInstanceError):
        setattr(settings, "log", settings.log)  # noqa: B010 - the checker forbids the plain form
    with pytest.raises(FrozenInstanceError):
        setattr(settings.log, "level", "debug")  # noqa: B010 - as above
