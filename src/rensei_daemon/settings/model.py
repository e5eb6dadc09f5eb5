"""Every key of `config.toml`: its type, its default, its unit and what it may hold.

The model is the contract: an edit that it does not accept is not written, and a file
that it does not accept is not used. It opens no file and reads no environment; the API
key is not in it. `projects`, `pool` and `model_access` have two authors (the operator
and the platform), so their keys are checked for shape, not for vocabulary.
"""

import socket
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from rensei_daemon.core.urls import is_loopback
from rensei_daemon.settings import validators

Text = Annotated[str, Field(min_length=1)]
AuthMode = Literal["byok", "metered", "shared", "host-session", "local"]


class Section(BaseModel):
    """A table of the file: immutable, without unknown keys, silent about its input."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Platform(Section):
    """Where the platform is, and who this host is to it."""

    url: Annotated[Text, AfterValidator(validators.platform_url)] = (
        "https://your-platform.invalid"
    )
    org_id: Text | None = None
    worker_host_id: Text | None = None
    api_key_file: Path | None = None
    ca_file: Path | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None

    @property
    def client_files(self) -> tuple[Path, Path] | None:
        """The client certificate and its key, where the platform asks for one."""
        if self.client_cert_file is None or self.client_key_file is None:
            return None
        return self.client_cert_file, self.client_key_file

    @property
    def is_placeholder(self) -> bool:
        """Whether the operator has chosen no platform yet."""
        return validators.is_placeholder(self.url)

    @property
    def is_loopback(self) -> bool:
        """Whether the platform runs on this very host."""
        return is_loopback(self.url)


class Machine(Section):
    """What the platform is told about this host."""

    name: Text = Field(default_factory=socket.gethostname)
    region: Text | None = None
    max_sessions: Annotated[int, Field(ge=0, le=100_000)] = 4


class Heartbeat(Section):
    """How often this host reports, as long as the platform names no interval."""

    interval_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0


class Mutations(Section):
    """What the platform may change here; it cannot change this."""

    allow: tuple[Annotated[str, AfterValidator(validators.operation_pattern)], ...] = (
        "project.*",
        "pool.deleted",
        "modelAccess.*",
    )
    protected_projects: tuple[Text, ...] = ()


class Session(Section):
    """One session: whose credentials to fetch, and how to hand them out."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    project_id: Text | None = None
    env_name: Text | None = None
    group: Text | None = None
    env_file: Annotated[Path, AfterValidator(validators.env_file)] | None = None
    env_file_mode: Annotated[str, AfterValidator(validators.octal_mode)] = "0440"
    on_rotate: Annotated[tuple[Text, ...], AfterValidator(validators.argv)] = ()

    @property
    def env_file_permissions(self) -> int:
        """`env_file_mode` as the number chmod takes."""
        return int(self.env_file_mode, 8)


class Credentials(Section):
    """The sessions that exist on this host, and what they share."""

    project_id: Text | None = None
    env_name: Text = "production"
    group: Text | None = None
    sessions: tuple[Session, ...] = ()

    @property
    def resolved_sessions(self) -> tuple[Session, ...]:
        """The sessions with the section's defaults filled in."""
        return tuple(
            session.model_copy(
                update={
                    "project_id": session.project_id or self.project_id,
                    "env_name": session.env_name or self.env_name,
                }
            )
            for session in self.sessions
        )


class Control(Section):
    """Who, beside root and the daemon's user, may read status."""

    group: Text | None = None


class Metrics(Section):
    """Where metrics are served, if anywhere."""

    listen: Annotated[str, AfterValidator(validators.listen_address)] | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """`listen` as IP address and port."""
        return validators.split_address(self.listen) if self.listen else None


class Log(Section):
    """How much the daemon says, how, and where to."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "journal", "json"] = "auto"
    file: Path | None = None


class Paths(Section):
    """The two directories; `rensei_daemon.locations` is who finds them."""

    state: Path | None = None
    runtime: Path | None = None


class Limits(Section):
    """What the daemon may use of this host."""

    state_mib: Annotated[int, Field(ge=48, le=1024 * 1024)] = 256
    """MiB of the state directory; the log's three files alone may take up 29 of them."""


class Admission(Section):
    """Which projects this host tells the platform it admits."""

    mode: Literal["enumerated", "all-routed"] = "enumerated"


class Project(Section):
    """One project this host works for."""

    repositories: tuple[str, ...] = ()
    enabled: StrictBool = True


class Pool(Section):
    """What became of the pool this host belonged to."""

    status: Text | None = None
    id: Text | None = None
    reason: str | None = None
    candidates: tuple[str, ...] = ()
    since: AwareDatetime | None = None


class Cell(Section):
    """What one auth mode of one row is allowed, and pinned to."""

    allowed: StrictBool
    host: str | None = None
    model: str | None = None
    enforce: Any = None


class Policy(Section):
    """A narrow-only policy: rows by model, company or `*`, cells by auth mode."""

    matrix: dict[str, dict[AuthMode, Cell]] = {}
    auth_order: tuple[AuthMode, ...] | None = None


class ModelAccess(Section):
    """The policy of this host, and those of single workloads."""

    default: Policy | None = None
    workloads: dict[str, Policy] = {}


class ConfigTree(BaseModel):
    """The whole file, without the environment and the command line around it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    platform: Platform = Platform()
    machine: Machine = Field(default_factory=Machine)
    heartbeat: Heartbeat = Heartbeat()
    mutations: Mutations = Mutations()
    credentials: Credentials = Credentials()
    control: Control = Control()
    metrics: Metrics = Metrics()
    log: Log = Log()
    paths: Paths = Paths()
    limits: Limits = Limits()
    admission: Admission = Admission()
    projects: dict[str, Project] = {}
    pool: Pool | None = None
    model_access: ModelAccess | None = None


class Settings(ConfigTree, BaseSettings):
    """The settings in force: command line, environment, file and defaults as one."""

    # Names are matched as they are written: `[Platform]` is an unknown table.
    model_config = SettingsConfigDict(case_sensitive=True)

    shortest_interval_seconds: ClassVar[float] = 5
    longest_interval_seconds: ClassVar[float] = 300

    def interval_seconds(self, named: float | None = None) -> float:
        """Return the heartbeat interval in force when the platform named this one.

        It is held to 5 to 300 seconds. One on this host, which only development and tests
        have, may ask for less.
        """
        wanted = self.heartbeat.interval_seconds
        if named is not None and 0 < named < float("inf"):
            wanted = named
        if not self.platform.is_loopback:
            wanted = max(wanted, self.shortest_interval_seconds)
        return min(wanted, self.longest_interval_seconds)
