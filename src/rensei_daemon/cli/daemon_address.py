"""How commands reach the daemon that a command line is about, for hints."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from rensei_daemon.core.hints import DaemonAddress
from rensei_daemon.disk.processes import lock_holder, service_of
from rensei_daemon.locations import Locations, locate

UNIT = "rensei-daemon"
_UNITS_OF_SYSTEM = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
_UNITS_OF_USERS = ("/etc", "/usr/local/lib", "/usr/lib", "/lib")


def daemon_at(locations: Locations) -> DaemonAddress:
    """Return the address of the daemon with these locations, running or not."""
    config = None if locations.unit_scope else str(locations.config)
    pid = lock_holder(locations.lock)
    if pid:
        service = service_of(pid)
        return DaemonAddress(
            config=config, systemctl=str(service) if service else None, pid=pid
        )
    unit = f"{locations.systemctl} {UNIT}" if _is_installed(locations.unit_scope) else None
    return DaemonAddress(config=config, systemctl=unit)


def daemon_of(arguments: Sequence[str]) -> DaemonAddress:
    """Return the address of the daemon that a command line names."""
    uid = os.geteuid()
    return daemon_at(locate(environ=os.environ, uid=uid, config=_config_in(arguments)))


def _config_in(arguments: Sequence[str]) -> Path | None:
    """Return the value of `--config`; what follows `--` belongs to a worker."""
    ours = list(itertools.takewhile(lambda word: word != "--", arguments))
    for word, following in zip(ours, [*ours[1:], ""], strict=True):
        if word == "--config" and following:
            return Path(following)
        if word.startswith("--config=") and word != "--config=":
            return Path(word.partition("=")[2])
    return None


def _is_installed(scope: str | None) -> bool:
    """Whether there is a service manager, and it has the unit."""
    if scope is None or not Path("/run/systemd/system").is_dir():
        return False
    if scope == "user":
        own = Path("~/.config/systemd/user").expanduser()
        folders = [own, *(Path(base, "systemd/user") for base in _UNITS_OF_USERS)]
    else:
        folders = [Path(base, "systemd/system") for base in _UNITS_OF_SYSTEM]
    return any((folder / f"{UNIT}.service").exists() for folder in folders)
