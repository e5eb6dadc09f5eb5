"""Every key of `config.toml`: its type, default, unit and allowed values.

The model is the contract: an edit that it rejects is not written, and a file that it
rejects is not used. This module opens no file and reads no environment; the API key is not
part of it. `projects`, `pool` and `model_access` are written by the operator and by the
platform, so only the types of their values are checked.

What is read of valid settings, and how, is in `values`. Import these classes from `model`.
"""

import socket
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from rensei_daemon.settings import validators

Text = Annotated[str, Field(min_length=1)]
Number = BeforeValidator(validators.number)
Splay = Annotated[float, Number, Field(ge=0, le=86_400, allow_inf_nan=False)]
"""Of a hook: it waits a random time of up to so long."""
AuthMode = Literal["byok", "metered", "shared", "host-session", "local"]
T = TypeVar("T", bound="Section")


class Section(BaseModel):
    """A table of the file: immutable, without unknown keys, hides its input in errors.

    Only `Settings` is ever validated, so the validators of single tables are not built.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True
    )


class Platform(Section):
    """The address of the platform, and the organisation of this host."""

    url: Annotated[Text, AfterValidator(validators.platform_url)] = (
        "https://your-platform.invalid"
    )
    org_id: Text | None = None
    worker_host_id: Text | None = None
    api_key_file: Path | None = None
    ca_file: Path | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None


class Machine(Section):
    """The description of this host for the platform."""

    name: Text = Field(default_factory=socket.gethostname)
    region: Text | None = None
    max_sessions: Annotated[int, Number, Field(ge=0, le=100_000)] = 4


class Heartbeat(Section):
    """The heartbeat interval, unless the platform sets one."""

    interval_seconds: Annotated[float, Number, Field(gt=0, allow_inf_nan=False)] = 30.0


class Mutations(Section):
    """What the platform may change here; no mutation can change this table."""

    allow: tuple[Annotated[str, AfterValidator(validators.operation_pattern)], ...] = (
        "project.*",
        "pool.deleted",
        "modelAccess.*",
    )
    protected_projects: tuple[Text, ...] = ()


class File(Section):
    """One file of a session: its values, its format, and the hook that runs after it."""

    path: Annotated[Path, AfterValidator(validators.env_file)]
    format: Literal["env", "plain", "json", "yaml", "dir"] = "env"
    names: tuple[Text, ...] = ()
    """The session's names to write; all of them if empty."""
    rename: dict[str, Text] = {}
    mode: Annotated[str, AfterValidator(validators.octal_mode)] = "0440"
    group: Text | None = None
    on_rotate: Annotated[tuple[Text, ...], AfterValidator(validators.argv)] = ()
    splay_seconds: Splay = 0.0


class Session(Section):
    """One session: which credentials to fetch, and how to deliver them."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    project_id: Text | None = None
    env_name: Text | None = None
    group: Text | None = None
    env_file: Annotated[Path, AfterValidator(validators.env_file)] | None = None
    env_file_mode: Annotated[str, AfterValidator(validators.octal_mode)] = "0440"
    on_rotate: Annotated[tuple[Text, ...], AfterValidator(validators.argv)] = ()
    splay_seconds: Splay = 0.0
    files: tuple[File, ...] = ()


class Credentials(Section):
    """The sessions of this host, and their common settings."""

    project_id: Text | None = None
    env_name: Text = "production"
    group: Text | None = None
    sessions: tuple[Session, ...] = ()


class Control(Section):
    """Who may read the status, besides root and the daemon's user."""

    group: Text | None = None


class Metrics(Section):
    """Where metrics are served, if anywhere."""

    listen: Annotated[str, AfterValidator(validators.listen_address)] | None = None


class Log(Section):
    """The level, the format and the file of the log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "journal", "json"] = "auto"
    file: Path | None = None


class Paths(Section):
    """The state and runtime directories; `rensei_daemon.locations` finds them."""

    state: Path | None = None
    runtime: Path | None = None


class Limits(Section):
    """How much of this host the daemon may use."""

    state_mib: Annotated[int, Number, Field(ge=48, le=1024 * 1024)] = 256
    """MiB of the state directory; the three files of the log may take 29 of them."""


class Admission(Section):
    """Which projects this host reports as admitted."""

    mode: Literal["enumerated", "all-routed"] = "enumerated"


class Project(Section):
    """One project of this host."""

    repositories: tuple[str, ...] = ()
    enabled: StrictBool = True


class Pool(Section):
    """The last pool mutation of this host."""

    status: Text | None = None
    id: Text | None = None
    reason: str | None = None
    candidates: tuple[str, ...] = ()
    since: AwareDatetime | None = None


class Cell(Section):
    """The rule for one auth mode of one row."""

    allowed: StrictBool
    host: str | None = None
    model: str | None = None
    enforce: Any = None


class Policy(Section):
    """A policy that only restricts: rows by model, company or `*`, cells by auth mode."""

    matrix: dict[str, dict[AuthMode, Cell]] = {}
    auth_order: tuple[AuthMode, ...] | None = None


class ModelAccess(Section):
    """The policy of this host, and those of single workloads."""

    default: Policy | None = None
    workloads: dict[str, Policy] = {}


def _defaults(section: type[T]) -> T:
    """Return a field that is an empty table, made without the table's own validator."""
    return cast("T", Field(default_factory=section.model_construct))


class Settings(BaseSettings):
    """The whole file; in force, with what command line and environment set above it."""

    # Names are case-sensitive: `[Platform]` is an unknown table.
    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, case_sensitive=True
    )

    platform: Platform = _defaults(Platform)
    machine: Machine = _defaults(Machine)
    heartbeat: Heartbeat = _defaults(Heartbeat)
    mutations: Mutations = _defaults(Mutations)
    credentials: Credentials = _defaults(Credentials)
    control: Control = _defaults(Control)
    metrics: Metrics = _defaults(Metrics)
    log: Log = _defaults(Log)
    paths: Paths = _defaults(Paths)
    limits: Limits = _defaults(Limits)
    admission: Admission = _defaults(Admission)
    projects: dict[str, Project] = {}
    pool: Pool | None = None
    model_access: ModelAccess | None = None
