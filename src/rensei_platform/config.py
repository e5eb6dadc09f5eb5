"""The configuration of a server: the command line, the environment and platform.toml.

    platform.toml   <   RENSEI_PLATFORM_*   <   options of the command

Each setting has one name: `log_level`, `RENSEI_PLATFORM_LOG_LEVEL` and `--log-level`. The
instances of providers are set in the file alone.
"""

import ipaddress
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, IPvAnyNetwork, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from rensei_platform.config_file import read_toml
from rensei_platform.errors import SettingsError
from rensei_platform.settings import ServerSettings

CONFIG_VARIABLE = "RENSEI_PLATFORM_CONFIG"
SYSTEM_CONFIG = Path("/etc/rensei-platform/platform.toml")
_PREFIX = "RENSEI_PLATFORM_"
_OTHER_VARIABLES = ("config", "url", "key_file")
"""Of this prefix, and no settings."""
_ALIKE = 0.65
"""Of 1: TLS_CERT is like TLS_CERTIFICATE, and KEY like nothing."""
_HINT = "platform.example.toml shows every key with its default."


def _not_empty(value: object) -> object:
    """Refuse an empty text, which as a path would be the working directory."""
    if value == "":
        raise PydanticCustomError("empty", "it is empty; leave it out")
    return value


def _text(value: object) -> object:
    """Refuse a number, which would be an address such as 0.0.0.5."""
    if not isinstance(value, str):
        raise PydanticCustomError("text", "not a text, such as '10.0.0.5' or 'fd00::/64'")
    return value


Url = Annotated[str, BeforeValidator(_not_empty)]
File = Annotated[Path, BeforeValidator(_not_empty)]
Address = Annotated[IPvAnyNetwork, BeforeValidator(_text)]
Days = Annotated[int, Field(ge=1, le=36_500)]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9._-]{1,253}$")]


class Config(BaseSettings):
    """The settings of a server, checked."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    database: Url | None = None
    listen_url: Url | None = None
    master_key: File | None = None
    state_directory: File | None = None

    host: str = "127.0.0.1"
    port: int = Field(8790, ge=0, le=65535)
    tls_certificate: File | None = None
    tls_key: File | None = None
    behind_proxy: bool = False
    trusted_addresses: tuple[Address, ...] = ()
    host_names: tuple[HostName, ...] = ()

    heartbeat_interval_ms: int = Field(30_000, ge=100, le=3_600_000)
    poll_interval_ms: int = Field(5_000, ge=100, le=3_600_000)
    token_ttl_seconds: int = Field(3600, ge=1, le=31 * 86400)
    deliver_once: bool = False

    stop_seconds: float = Field(10.0, ge=0, le=300)

    retention_days: Days | None = None
    audit_retention_days: Days | None = None

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "text", "json"] = "auto"

    def server_settings(
        self, providers: Mapping[str, Mapping[str, Any]], most_streams: int | None = None
    ) -> ServerSettings:
        """Return what the services read of it."""
        return ServerSettings(
            heartbeat_interval_ms=self.heartbeat_interval_ms,
            poll_interval_ms=self.poll_interval_ms,
            token_lifetime=timedelta(seconds=self.token_ttl_seconds),
            deliver_once=self.deliver_once,
            stop_seconds=self.stop_seconds,
            most_streams=most_streams,
            retention=_days(self.retention_days),
            audit_retention=_days(self.audit_retention_days),
            host_names=frozenset(self.host_names),
            providers=providers,
        )

    def check_exposure(self) -> None:
        """Raise SettingsError for an address that others reach without TLS."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise SettingsError(
                "tls_certificate and tls_key go together", hint="Set both, or neither."
            )
        if self.behind_proxy and not self.trusted_addresses:
            raise SettingsError(
                "behind_proxy needs trusted_addresses",
                hint='Name the proxy, such as trusted_addresses = ["10.0.0.5"].',
            )
        if not (is_loopback(self.host) or self.tls_certificate or self.behind_proxy):
            raise SettingsError(
                f"{self.host!a} is not a loopback address, and there is no TLS",
                hint="Set tls_certificate and tls_key, or behind_proxy with "
                "trusted_addresses, or listen on 127.0.0.1.",
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _days(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(days=count)


def find_config_file(
    environ: Mapping[str, str], system: Path = SYSTEM_CONFIG
) -> Path | None:
    """Return the file that is read if no option names one. None if there is none."""
    if named := environ.get(CONFIG_VARIABLE):
        return Path(named)
    return system if system.exists() else None


def load_config(
    file: Path | None, options: Mapping[str, Any]
) -> tuple[Config, Mapping[str, Mapping[str, Any]]]:
    """Return the settings, and the tables of the providers. None of `options` is unset.

    Raise SettingsError that names each wrong setting and where it stands.
    """
    _check_variables(os.environ)
    found = {} if file is None else dict(read_toml(file))
    providers = _providers(file, found.pop("providers", {}))
    for key in found:
        if key not in Config.model_fields:
            raise SettingsError(f"{file}: {key!a}: no such key{_like(key)}", hint=_HINT)
        if isinstance(found[key], bool) and Config.model_fields[key].annotation is not bool:
            # To pydantic it is a 1: a `retention_days` that deletes what is a day old.
            raise SettingsError(f"{file}: {key}: not true or false", hint=_HINT)
    try:
        environ = EnvSettingsSource(Config)()
        given = {name: value for name, value in options.items() if value is not None}
        return Config(**{**found, **environ, **given}), providers
    except ValidationError as error:
        place = partial(_place, file, options)
        raise SettingsError("\n".join(_problems(error, place)), hint=_HINT) from None
    except ValueError as error:  # a variable that should hold JSON
        name = str(error).partition('field "')[2].partition('"')[0]
        raise SettingsError(
            f'{_PREFIX}{name.upper()}: not a list in JSON, such as ["a", "b"]', hint=_HINT
        ) from None


def _check_variables(environ: Mapping[str, str]) -> None:
    """Raise SettingsError for a variable that is like a setting's: it would set nothing.

    Other tools, and Kubernetes for a service of this name, have variables of this prefix.
    """
    known = (*Config.model_fields, *_OTHER_VARIABLES)
    for name in sorted(environ):
        words = name.lower().removeprefix(_PREFIX.lower())
        if len(words) == len(name) or words in known:
            continue
        for near in get_close_matches(words[:100], known, n=1, cutoff=_ALIKE):
            raise SettingsError(
                f"{name!a}: no such variable; did you mean {_PREFIX}{near.upper()}?",
                hint=_HINT,
            )


def _providers(file: Path | None, tables: Any) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(tables, dict) or not all(
        isinstance(table, dict) for table in tables.values()
    ):
        raise SettingsError(f"{file}: providers: not tables such as [providers.NAME]")
    return tables


def _like(key: str) -> str:
    near = get_close_matches(key[:100], (*Config.model_fields, "providers"), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _problems(error: ValidationError, place: partial[str]) -> Iterator[str]:
    for problem in error.errors(include_input=False, include_url=False):
        name, *rest = problem["loc"]
        at = "".join(f"[{part}]" for part in rest)
        yield f"{place(str(name))}{at}: {problem['msg']}"


def _place(file: Path | None, options: Mapping[str, Any], name: str) -> str:
    """Return where the value of a setting comes from."""
    if options.get(name) is not None:
        return f"--{name.replace('_', '-')}"
    variable = f"{_PREFIX}{name.upper()}"
    return variable if variable in os.environ else f"{file}: {name}"
