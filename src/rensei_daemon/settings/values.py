"""Every key of `config.toml`: its type, default, unit and rule; and its frozen value.

This is the contract: an edit that breaks it is not written, and a file that breaks it is
not used. Two readers know it. `building` makes values of what fits exactly; of everything
else the model that `schema` makes of these classes decides, and says what is wrong.

A rule in an annotation is called with a value of its type; it returns the value, perhaps
normalised, or raises `ValueError`. `projects`, `pool` and `model_access` are written by the
operator and by the platform, so only the types of their values are checked. The API key is
not part of the settings.
"""

import socket
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from rensei_daemon.core.file_content import FileContent, FileFormat
from rensei_daemon.core.urls import is_loopback
from rensei_daemon.fast_dataclass import dataclass, field, replace
from rensei_daemon.settings import validators
from rensei_daemon.settings.validators import Within

Text = Annotated[str, validators.usable_text]
AnyFile = Annotated[Path, validators.usable_path]
EnvFile = Annotated[Path, validators.env_file]
Mode = Annotated[str, validators.octal_mode]
Hook = tuple[Text, ...]
"""A program and its arguments."""
Splay = Annotated[float, Within(0, 86_400)]
"""Seconds; a hook waits a random time of up to so long."""
AuthMode = Literal["byok", "metered", "shared", "host-session", "local"]


def _host_name() -> str:
    """Return the name of this host, which may have none."""
    return socket.gethostname() or "localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The address of the platform, and the organisation of this host."""

    url: Annotated[Text, validators.platform_url] = "https://your-platform.invalid"
    org_id: Text | None = None
    worker_host_id: Text | None = None
    api_key_file: AnyFile | None = None
    ca_file: AnyFile | None = None
    client_cert_file: AnyFile | None = None
    client_key_file: AnyFile | None = None

    @property
    def client_files(self) -> tuple[Path, Path] | None:
        """The client certificate and its key, if both are set."""
        if self.client_cert_file is None or self.client_key_file is None:
            return None
        return self.client_cert_file, self.client_key_file

    @property
    def is_placeholder(self) -> bool:
        """Whether the operator has not chosen a platform yet."""
        return validators.is_placeholder(self.url)

    @property
    def is_loopback(self) -> bool:
        """Whether the platform runs on this host."""
        return is_loopback(self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The description of this host for the platform."""

    name: Text = field(default_factory=_host_name)
    region: Text | None = None
    max_sessions: Annotated[int, Within(0, 100_000)] = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The heartbeat interval, unless the platform sets one."""

    interval_seconds: Annotated[float, validators.positive] = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutations:
    """What the platform may change here; no mutation can change this table."""

    allow: tuple[Annotated[str, validators.operation_pattern], ...] = (
        "project.*",
        "pool.deleted",
        "modelAccess.*",
    )
    protected_projects: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a session: its values, its format, and the hook that runs after it."""

    path: EnvFile
    format: Literal["env", "plain", "json", "yaml", "dir"] = "env"
    names: tuple[Text, ...] = ()
    """The session's names to write; all of them if empty."""
    rename: dict[str, Text] = field(default_factory=dict)
    mode: Mode = "0440"
    group: Text | None = None
    on_rotate: Hook = ()
    splay_seconds: Splay = 0.0

    @property
    def permissions(self) -> int:
        """`mode` as a number for chmod."""
        return int(self.mode, 8)

    @property
    def content(self) -> FileContent:
        """Which values the file has, and how."""
        return FileContent(
            format=FileFormat(self.format), names=self.names, rename=self.rename
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One session: which credentials to fetch, and how to deliver them."""

    id: Annotated[str, validators.session_id]
    project_id: Text | None = None
    env_name: Text | None = None
    group: Text | None = None
    env_file: EnvFile | None = None
    env_file_mode: Mode = "0440"
    on_rotate: Hook = ()
    splay_seconds: Splay = 0.0
    files: tuple[File, ...] = ()

    @property
    def all_files(self) -> tuple[File, ...]:
        """The env file, with the session's hook, and all others, with their groups."""
        files = self.files
        if self.env_file is not None:
            env_file = File(
                path=self.env_file,
                mode=self.env_file_mode,
                on_rotate=self.on_rotate,
                splay_seconds=self.splay_seconds,
            )
            files = (env_file, *files)
        return tuple(replace(file, group=file.group or self.group) for file in files)

    @property
    def hooks(self) -> tuple[tuple[str, ...], ...]:
        """The programs that run on a rotation."""
        found = (self.on_rotate, *(file.on_rotate for file in self.files))
        return tuple(filter(None, found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The sessions of this host, and their common settings."""

    project_id: Text | None = None
    env_name: Text = "production"
    group: Text | None = None
    sessions: tuple[Session, ...] = ()

    @property
    def resolved_sessions(self) -> tuple[Session, ...]:
        """The sessions with the section's defaults filled in."""
        return tuple(
            replace(
                session,
                project_id=session.project_id or self.project_id,
                env_name=session.env_name or self.env_name,
            )
            for session in self.sessions
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Who may read the status, besides root and the daemon's user."""

    group: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Where metrics are served, if anywhere."""

    listen: Annotated[str, validators.listen_address] | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """`listen` as IP address and port."""
        return validators.split_address(self.listen) if self.listen else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The level, the format and the file of the log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "journal", "json"] = "auto"
    file: AnyFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The state and runtime directories; `rensei_daemon.locations` finds them."""

    state: AnyFile | None = None
    runtime: AnyFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of this host the daemon may use."""

    state_mib: Annotated[int, Within(48, 1024 * 1024)] = 256
    """MiB of the state directory; the three files of the log may take 29 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Which projects this host reports as admitted."""

    mode: Literal["enumerated", "all-routed"] = "enumerated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One project of this host."""

    repositories: tuple[str, ...] = ()
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The last pool mutation of this host."""

    status: Text | None = None
    id: Text | None = None
    reason: str | None = None
    candidates: tuple[str, ...] = ()
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The rule for one auth mode of one row."""

    allowed: bool
    host: str | None = None
    model: str | None = None
    enforce: Annotated[Any, validators.shallow] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy that only restricts: rows by model, company or `*`, cells by auth mode."""

    matrix: dict[str, dict[AuthMode, Cell]] = field(default_factory=dict)
    auth_order: tuple[AuthMode, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAccess:
    """The policy of this host, and those of single workloads."""

    default: Policy | None = None
    workloads: dict[str, Policy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole file; in force, with what command line and environment set above it."""

    platform: Platform = field(default_factory=Platform)
    machine: Machine = field(default_factory=Machine)
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    mutations: Mutations = field(default_factory=Mutations)
    credentials: Credentials = field(default_factory=Credentials)
    control: Control = field(default_factory=Control)
    metrics: Metrics = field(default_factory=Metrics)
    log: Log = field(default_factory=Log)
    paths: Paths = field(default_factory=Paths)
    limits: Limits = field(default_factory=Limits)
    admission: Admission = field(default_factory=Admission)
    projects: dict[str, Project] = field(default_factory=dict)
    pool: Pool | None = None
    model_access: ModelAccess | None = None

    shortest_interval_seconds = 5.0
    longest_interval_seconds = 300.0

    def interval_seconds(self, named: float | None = None) -> float:
        """Return the heartbeat interval; `named` is the platform's, if it sets one.

        It is limited to 5 to 300 seconds. A platform on this host, as in development and
        tests, may set a shorter one.
        """
        wanted = self.heartbeat.interval_seconds
        if named is not None and 0 < named < float("inf"):
            wanted = named
        if not self.platform.is_loopback:
            wanted = max(wanted, self.shortest_interval_seconds)
        return min(wanted, self.longest_interval_seconds)
