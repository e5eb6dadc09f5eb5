"""What is known of the daemon before any check: looked up once, and shared by all."""

import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
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
from rensei_daemon.locations import Locations
from rensei_daemon.settings.host_checks import unset_platform
from rensei_daemon.settings.loading import load, refuse_blank
from rensei_daemon.settings.model import Settings

ANSWER_SECONDS = 2.0
UNIT_USER = "rensei-daemon"
"""Whom the packaged unit runs the daemon as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorContext:
    """One daemon on one host, running or not."""

    locations: Locations
    environ: Mapping[str, str]
    """The running daemon's own where it is to be seen, else this command's."""
    shell: Mapping[str, str]
    """This command's."""
    settings: Settings | None
    """Of the file; of the last good text where the file cannot be used."""
    config_error: RenseiError | None
    """Why the file cannot be used."""
    status: Mapping[str, Any] | None
    """What the daemon says of itself."""
    silence: RenseiError | None
    """Why it says nothing."""
    last_status: Mapping[str, Any] | None
    """What a daemon that is gone last wrote of itself."""
    is_running: bool
    """Whether a daemon holds the state, or answers."""
    uid: int
    """The user it runs as, or would."""

    pid: int | None
    """The daemon's process."""

    @property
    def url(self) -> str | None:
        """The platform in force: a running daemon's own, else the file's."""
        told = (self.status or {}).get("platform_url")
        if isinstance(told, str) and told:
            return told
        return self.settings.platform.url if self.settings else None


def open_context(locations: Locations, environ: Mapping[str, str]) -> DoctorContext:
    """Look up what the checks share; it takes as long as the daemon takes to answer."""
    status: Mapping[str, Any] | None = None
    silence: RenseiError | None = None
    try:
        status = request(
            locations.control_socket,
            *STATUS,
            lock=locations.lock,
            timeout_seconds=ANSWER_SECONDS,
        )
    except (ControlError, NotPermittedError) as error:
        silence = error
        if isinstance(error, DaemonNotRunningError):
            error.hint = f"start it: {locations.start_command}"
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
        # A socket we cannot reach: somebody has created it.
        or isinstance(silence, NotPermittedError)
        or is_locked(locations.lock),
        uid=_owner(locations),
        pid=pid,
    )


def _pid(status: Mapping[str, Any] | None, locations: Locations) -> int | None:
    """Return the process as it says itself, or as the kernel does of one that is silent."""
    pid = status.get("pid") if status else lock_holder(locations.lock)
    return pid if isinstance(pid, int) and pid > 0 else None


def _settings(
    locations: Locations, environ: Mapping[str, str]
) -> tuple[Settings | None, RenseiError | None]:
    path = locations.config
    try:
        text = ConfigFile(path).read().text
        refuse_blank(text, path=path)
        runtime, check = locations.runtime, unset_platform
        settings = load(text, path=path, environ=environ, runtime=runtime, check=check)
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
