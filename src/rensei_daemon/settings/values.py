"""The settings in force, as every part of the program reads them: frozen values.

They are made from what `schema` has validated, perhaps in another process, and import
nothing of it: the schema and its library take 8 MiB, which a daemon does not hold. A key's
rules and default are in `schema`; only what mutations write has its defaults here, too.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from rensei_daemon.core.file_content import FileContent, FileFormat
from rensei_daemon.core.urls import is_loopback
from rensei_daemon.fast_dataclass import dataclass, field, replace
from rensei_daemon.settings import validators

Text = Annotated[str, "not empty"]
AuthMode = Literal["byok", "metered", "shared", "host-session", "local"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The address of the platform, and the organisation of this host."""

    url: str
    org_id: str | None
    worker_host_id: str | None
    api_key_file: Path | None
    ca_file: Path | None
    client_cert_file: Path | None
    client_key_file: Path | None

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

    name: str
    region: str | None
    max_sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The heartbeat interval, unless the platform sets one."""

    interval_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutations:
    """What the platform may change here; no mutation can change this table."""

    allow: tuple[str, ...]
    protected_projects: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a session: its values, its format, and the hook that runs after it."""

    path: Path
    format: Literal["env", "plain", "json", "yaml", "dir"] = "env"
    names: tuple[str, ...] = ()
    """The session's names to write; all of them if empty."""
    rename: dict[str, str] = field(default_factory=dict)
    mode: str
    group: str | None = None
    on_rotate: tuple[str, ...]
    splay_seconds: float

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

    id: str
    project_id: str | None
    env_name: str | None
    group: str | None
    env_file: Path | None
    env_file_mode: str
    on_rotate: tuple[str, ...]
    splay_seconds: float
    files: tuple[File, ...]

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

    project_id: str | None
    env_name: str
    group: str | None
    sessions: tuple[Session, ...]

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

    group: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Where metrics are served, if anywhere."""

    listen: str | None

    @property
    def address(self) -> tuple[str, int] | None:
        """`listen` as IP address and port."""
        return validators.split_address(self.listen) if self.listen else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The level, the format and the file of the log."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["auto", "console", "journal", "json"]
    file: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The state and runtime directories; `rensei_daemon.locations` finds them."""

    state: Path | None
    runtime: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of this host the daemon may use."""

    state_mib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Which projects this host reports as admitted."""

    mode: Literal["enumerated", "all-routed"]


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
    enforce: Any = None


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

    platform: Platform
    machine: Machine
    heartbeat: Heartbeat
    mutations: Mutations
    credentials: Credentials
    control: Control
    metrics: Metrics
    log: Log
    paths: Paths
    limits: Limits
    admission: Admission
    projects: dict[str, Project]
    pool: Pool | None
    model_access: ModelAccess | None

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
