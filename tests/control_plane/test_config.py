"""The settings of a server: where they come from, and what is refused."""

import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rensei_platform.config import CONFIG_VARIABLE, Config, find_config_file, load_config
from rensei_platform.errors import SettingsError
from rensei_platform.store.engine import parse_url

EXAMPLE = Path(__file__).parents[2] / "platform.example.toml"
_COMMENTED = re.compile(r"^# (?=[a-z_]{1,40} = )", re.MULTILINE)
PROXY = {"behind_proxy": True, "trusted_addresses": ["10.0.0.0/24"]}
TLS = {"tls_certificate": "/tls.pem", "tls_key": "/tls.key"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "platform.toml"


def _refusal(file: Path | None, **options: Any) -> str:
    with pytest.raises(SettingsError) as refused:
        load_config(file, options)
    assert refused.value.hint == "platform.example.toml shows every key with its default."
    return str(refused.value)


def test_option_wins_over_environment_and_that_over_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each source is asked in its turn; an option that is not given is none."""
    file.write_text("port = 1001\nheartbeat_interval_ms = 1001\nhost = '127.0.0.1'\n")
    monkeypatch.setenv("RENSEI_PLATFORM_PORT", "1002")
    monkeypatch.setenv("RENSEI_PLATFORM_HEARTBEAT_INTERVAL_MS", "1002")
    config, _ = load_config(file, {"port": 1003, "host": None})
    assert (config.host, config.port, config.heartbeat_interval_ms) == (
        "127.0.0.1",
        1003,
        1002,
    )


def test_variables_of_the_client_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The administration commands have variables with the same prefix."""
    monkeypatch.setenv("RENSEI_PLATFORM_URL", "http://127.0.0.1:8790")
    monkeypatch.setenv("RENSEI_PLATFORM_KEY_FILE", "owner.key")
    assert load_config(None, {})[0] == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1", "'prot': no such key; did you mean port?"),
        ("[provider.a]\n", "'provider': no such key; did you mean providers?"),
        ("qqqq = 1", "'qqqq': no such key"),
        ("retention_days = true", "retention_days: not true or false"),
        ("port = 65536", "port: Input should be less than or equal to 65535"),
        ("trusted_addresses = ['x']", "trusted_addresses[0]: value is not a valid IPv4"),
        ("trusted_addresses = [true]", "trusted_addresses[0]: not a text, such as"),
        ("master_key = ''", "master_key: it is empty; leave it out"),
        ("tls_certificate = ''", "tls_certificate: it is empty; leave it out"),
        ("listen_url = ''", "listen_url: it is empty; leave it out"),
        ("host_names = ['Https://x']", "host_names[0]: String should match pattern"),
        (
            "retention_days = 0",
            "retention_days: Input should be greater than or equal to",
        ),
        (
            "log_level = 'canary'",
            "log_level: Input should be 'debug', 'info', 'warning'",
        ),
    ],
)
def test_wrong_key_is_named(file: Path, text: str, message: str) -> None:
    """A refusal names the file and the key, and never quotes the value."""
    file.write_text(text)
    refusal = _refusal(file)
    assert refusal.startswith(f"{file}: {message}")
    assert "canary" not in refusal


def test_wrong_option_and_variable_are_named(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal says where the value comes from."""
    file.touch()
    monkeypatch.setenv("RENSEI_PLATFORM_LOG_LEVEL", "canary")
    lines = _refusal(file, heartbeat_interval_ms=1).splitlines()
    assert lines[0].startswith("--heartbeat-interval-ms: Input should be greater")
    assert lines[1].startswith("RENSEI_PLATFORM_LOG_LEVEL: Input should be")
    monkeypatch.setenv("RENSEI_PLATFORM_HOST_NAMES", "not json")
    assert _refusal(file).startswith("RENSEI_PLATFORM_HOST_NAMES: not a list in JSON")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("LOGLEVEL", "LOG_LEVEL"),
        ("DATABASE_URL", "DATABASE"),
        ("TLS_CERT", "TLS_CERTIFICATE"),
        ("CONFIG_FILE", "CONFIG"),
    ],
)
def test_a_misspelt_variable_is_refused(
    written: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would set nothing, without a word."""
    monkeypatch.setenv(f"RENSEI_PLATFORM_{written}", "canary")
    assert _refusal(None) == (
        f"'RENSEI_PLATFORM_{written}': no such variable; "
        f"did you mean RENSEI_PLATFORM_{meant}?"
    )


def test_variables_of_others_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as those that Kubernetes sets for a service of the name rensei-platform."""
    for name in ("SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT_8790_TCP_ADDR", "TOKEN"):
        monkeypatch.setenv(f"RENSEI_PLATFORM_{name}", "x")
    assert load_config(None, {})[0] == Config()


@pytest.mark.parametrize("text", ["providers = 1", "[providers]\na = 1"])
def test_providers_are_tables(file: Path, text: str) -> None:
    """An instance of a provider is a table with a name."""
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"not tables such as \[providers.NAME\]"):
        load_config(file, {})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": "0.0.0.0"}, "'0.0.0.0' is not a loopback address, and there is no TLS"),
        ({"host": "build.test"}, "'build.test' is not a loopback address"),
        ({"behind_proxy": True}, "behind_proxy needs trusted_addresses"),
        ({"tls_key": "/tls.key"}, "tls_certificate and tls_key go together"),
    ],
)
def test_exposure_without_protection_is_refused(
    settings: dict[str, Any], message: str
) -> None:
    """Keys and values do not cross a network in clear."""
    with pytest.raises(SettingsError) as refused:
        Config(**settings).check_exposure()
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    "settings",
    [{"host": "::1"}, {"host": "localhost"}, {"host": "::"} | PROXY, {"host": "::"} | TLS],
)
def test_protected_exposure_is_allowed(settings: dict[str, Any]) -> None:
    """Loopback, TLS and a trusted proxy each are enough."""
    Config(**settings).check_exposure()


def test_services_get_durations() -> None:
    """Days of retention are durations for the services; none is for ever."""
    found = Config(retention_days=30).server_settings({})
    assert (found.retention, found.audit_retention) == (timedelta(days=30), None)


def test_example_shows_every_key_with_its_default() -> None:
    """The example file names every setting; what has a default stands at it."""
    top, _, _ = EXAMPLE.read_text().partition("[providers.")
    shown = tomllib.loads(_COMMENTED.sub("", top))
    assert shown.keys() == Config.model_fields.keys()
    example, default = Config(**shown), Config()
    differing = {name for name in shown if getattr(example, name) != getattr(default, name)}
    assert differing == {
        name for name, at in Config.model_fields.items() if at.default is None
    }
    assert load_config(EXAMPLE, {})[0] == default


def test_file_is_found(tmp_path: Path) -> None:
    """The environment names a file, else the system's is read if it is there."""
    assert find_config_file({CONFIG_VARIABLE: "/a.toml"}, tmp_path) == Path("/a.toml")
    assert find_config_file({}, tmp_path / "absent") is None
    assert find_config_file({}, tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:////p.db?mode=ro", "takes no options after a question mark"),
        ("sqlite:////p.db?timeout=abc", "takes no options after a question mark"),
        ("sqlite://canary:canary@/p.db", "names a host"),
        ("sqlite://var/lib/p.db", "names a host"),
        ("mysql://a/b", "is of neither kind"),
    ],
)
def test_database_that_cannot_be_meant(url: str, message: str) -> None:
    """What SQLite would not see of a URL is refused, and not passed over."""
    with pytest.raises(SettingsError, match=message) as refused:
        parse_url(url)
    assert "canary" not in str(refused.value)
