"""What all checks need to know of the daemon, looked up once."""

import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rensei_daemon.control_api.client import is_locked, request
from rensei_daemon.control_api.schema import STATUS
from rensei_daemon.core.document import Document
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.disk.last_status import read_last_status
from rensei_daemon.disk.processes import environ_of, lock_holder
from rensei_daemon.errors import (
    ControlError,
    DaemonNotRunningError,
    NotPermittedError,
    RenseiError,
)
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.locations import Locations
from rensei_daemon.settings.host_checks import unset_platform
from rensei_daemon.settings.loading import load
from rensei_daemon.settings.texts import refuse_blank
from rensei_daemon.settings.values import Settings

ANSWER_SECONDS = 2.0
UNIT_USER = "rensei-daemon"
"""The user of the packaged unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorContext:
    """One daemon on one host, running or not."""

    locations: Locations
    environ: Mapping[str, str]
    """The environment of the running daemon if it can be read, else this command's."""
    shell: Mapping[str, str]
    """This command's."""
    settings: Settings | None
    """The settings of the file, or of the last good text if the file cannot be used."""
    config_error: RenseiError | None
    """Why the file cannot be used."""
    status: Mapping[str, Any] | None
    """The daemon's status."""
    silence: RenseiError | None
    """Why there is no status."""
    last_status: Mapping[str, Any] | None
    """The last status that a stopped daemon wrote."""
    is_running: bool
    """Whether a daemon holds the state directory, or answers."""
    uid: int
    """The user that the daemon runs as, or would run as."""

    pid: int | None
    """The daemon's process."""

    @property
    def url(self) -> str | None:
        """The platform in force: that of a running daemon, else the file's."""
        url = (self.status or {}).get("platform_url")
        if isinstance(url, str) and url:
            return url
        return self.settings.platform.url if self.settings else None


def open_context(locations: Locations, environ: Mapping[str, str]) -> DoctorContext:
    """Look up what the checks share; it takes as long as the daemon takes to answer."""
    status, silence = _status(locations)
    pid = _pid(status, locations)
    in_force = (environ_of(pid) if pid else None) or environ
    settings, config_error = _settings(locations, in_force)
    return DoctorContext(
        locations=locations,
        environ=in_force,
        shell=environ,
        settings=settings,
        config_error=config_error,
        status=status,
        silence=silence,
        last_status=None if status else read_last_status(locations.status),
        is_running=status is not None
        # We may not connect to the socket, but it exists.
        or isinstance(silence, NotPermittedError)
        or is_locked(locations.lock),
        uid=_owner(locations),
        pid=pid,
    )


def _status(
    locations: Locations,
) -> tuple[Mapping[str, Any] | None, RenseiError | None]:
    """Return the daemon's status, or why there is none."""
    path, lock = locations.control_socket, locations.lock
    try:
        status = request(path, *STATUS, lock=lock, timeout_seconds=ANSWER_SECONDS)
    except (ControlError, NotPermittedError) as error:
        if isinstance(error, DaemonNotRunningError):
            error.hint = f"start it: {locations.start_command}"
        return None, error
    return status, None


def _pid(status: Mapping[str, Any] | None, locations: Locations) -> int | None:
    """Return the process from the status, or the one that holds the lock."""
    pid = status.get("pid") if status else lock_holder(locations.lock)
    return pid if isinstance(pid, int) and pid > 0 else None


def _settings(
    locations: Locations, environ: Mapping[str, str]
) -> tuple[Settings | None, RenseiError | None]:
    path = locations.config
    try:
        text = ConfigFile(path).read().text
        refuse_blank(text, path=path)
        settings = load(
            text,
            path=path,
            environ=environ,
            runtime=locations.runtime,
            state=locations.state,
            check=unset_platform,
        )
        return settings, None
    except RenseiError as error:
        return _last_good(locations, environ), error


def _last_good(locations: Locations, environ: Mapping[str, str]) -> Settings | None:
    try:
        kept: Document = ConfigFile(locations.last_good).read()
        return load(kept.text, path=locations.config, environ=environ)
    except RenseiError:
        return None


def _owner(locations: Locations) -> int:
    with suppress(OSError):
        return locations.control_socket.stat().st_uid
    if locations.unit_scope == "system":
        with suppress(KeyError):
            return pwd.getpwnam(UNIT_USER).pw_uid
    with suppress(OSError):
        return locations.state.stat().st_uid
    return os.geteuid()
