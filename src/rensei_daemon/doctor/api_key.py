"""The API key: where the daemon would find it, and whether it is fit and private.

A service's credential is not in this command's environment, so it is looked for where
the service manager lays it down, and where it takes it from.
"""

import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rensei_daemon.disk.api_key import (
    CREDENTIAL,
    VARIABLE,
    ApiKeySource,
    checked,
    read_api_key,
)
from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.doctor.result import CheckResult, failed, failed_by, passed, warned
from rensei_daemon.errors import SettingsError
from rensei_daemon.locations import Locations

GIVEN = Path("/run/credentials")
"""Where the system's service manager lays down what a unit is given."""
STORED = Path("/etc/credstore/rensei-daemon.api-key")
"""Where systemd takes the unit's credential from."""

_SUDO = "run it with sudo"


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key, and the place it was found in."""

    secret: str = field(repr=False)
    place: str


def check_api_key(case: DoctorContext) -> Iterator[CheckResult]:
    """Check the key in its place; its text is never shown."""
    stored = _stored(case.locations)
    if stored is not None:
        yield from _store(stored)
    try:
        found = find_key(case)
    except PermissionError as error:
        yield warned("key", f"{error.filename} cannot be read: permission denied", _SUDO)
        return
    except SettingsError as error:
        if case.is_running and not stored and _file(case) is None:
            # It would not have started without one.
            yield passed("key", "the running daemon has one from its own environment")
        else:
            yield failed_by("key", error)
        return
    yield passed("key", f"a key of the platform, from {found.place}")
    if newer := key_awaiting_restart(case.locations, case.environ):
        what = f"the service still has another key than {newer}"
        yield warned("key.file", what, "systemctl restart rensei-daemon")


def find_key(case: DoctorContext) -> FoundKey:
    """Return the key the daemon uses, or would.

    Raises `SettingsError` for one that is missing or unfit, `PermissionError` where it is
    not ours to see.
    """
    file = _file(case)
    for place, text in every_key(case):
        if place != str(file):
            key = checked(text, ApiKeySource.SYSTEMD_CREDENTIAL, place)
            return FoundKey(key.secret, place)
        break
    return FoundKey(read_api_key(environ={}, api_key_file=file).secret, str(file))


def every_key(case: DoctorContext) -> Iterator[tuple[str, str]]:
    """Yield (place, text) of each key that is here for the daemon, fit or not.

    The one that counts comes first. Raises `PermissionError` where one is not ours to see.
    """
    for place in (_given(case.locations, case.environ), _stored(case.locations)):
        if place is not None:
            yield str(place), place.read_text(errors="replace").strip()
    if case.environ is not case.shell and (text := case.environ.get(VARIABLE)):
        yield f"the daemon's {VARIABLE}", text
    if text := case.shell.get(VARIABLE):
        yield f"this shell's {VARIABLE}", text
    file = _file(case)
    if file is not None and file.exists():
        yield str(file), file.read_text(errors="replace").strip()


def _file(case: DoctorContext) -> Path | None:
    return case.settings.platform.api_key_file if case.settings else None


def key_awaiting_restart(locations: Locations, environ: Mapping[str, str]) -> Path | None:
    """Return where another key than the running unit's is stored for it.

    A unit is given its credentials when it starts, so no reload takes up a new one. None
    also where that is not ours to see.
    """
    given, stored = _given(locations, environ), _stored(locations)
    with suppress(OSError):
        if given and stored and given.read_bytes().strip() != stored.read_bytes().strip():
            return stored
    return None


def _given(locations: Locations, environ: Mapping[str, str]) -> Path | None:
    """Return the credential of the running unit."""
    match locations.unit_scope:
        case "system":
            base = GIVEN
        case "user":
            base = Path(environ.get("XDG_RUNTIME_DIR", "/nowhere")) / "credentials"
        case _:
            return None
    return _if_there(base / "rensei-daemon.service" / CREDENTIAL)


def _stored(locations: Locations) -> Path | None:
    return _if_there(STORED) if locations.unit_scope == "system" else None


def _if_there(path: Path) -> Path | None:
    """Return a path unless it is known to be missing; one that is hidden may be there."""
    try:
        path.stat()
    except PermissionError:
        # A directory closed to us: that the file is missing cannot be told from here.
        return path
    except OSError:
        return None
    return path


def _store(stored: Path) -> Iterator[CheckResult]:
    try:
        mode = stored.stat().st_mode
    except OSError:
        return
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        what = f"others may read {stored} (mode {stat.S_IMODE(mode):04o})"
        fix = f"chmod 0600 {stored}; if others could read it, replace the key too"
        yield failed("key.file", what, fix)
