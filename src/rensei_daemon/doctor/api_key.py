"""The API key: where the daemon finds it, and whether it is valid and private.

The credential of a unit is not in the environment of this command, so it is looked for
where the service manager puts it, and where the service manager reads it from.
"""

import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
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
from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.locations import Locations

GIVEN = Path("/run/credentials")
"""Where the system's service manager puts the credentials of a running unit."""
STORED = Path("/etc/credstore/rensei-daemon.api-key")
"""Where systemd reads the unit's credential from."""

_SUDO = "run it with sudo"


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key, and where it was found."""

    secret: str = field(repr=False)
    place: str


def check_api_key(case: DoctorContext) -> Iterator[CheckResult]:
    """Check the key where it is stored; its text is never shown."""
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
            # Without one, the daemon would not have started.
            yield passed("key", "the running daemon has one from its own environment")
        else:
            yield failed_by("key", error)
        return
    yield passed("key", f"a key of the platform, from {found.place}")
    if newer := key_awaiting_restart(case.locations, case.environ):
        what = f"the service still has another key than {newer}"
        yield warned("key.file", what, "systemctl restart rensei-daemon")


def find_key(case: DoctorContext) -> FoundKey:
    """Return the key that the daemon uses, or would use.

    Raises `SettingsError` if it is missing or invalid, `PermissionError` if this user may
    not read it.
    """
    file = _file(case)
    for place, text in every_key(case):
        if place != str(file):
            key = checked(text, ApiKeySource.SYSTEMD_CREDENTIAL, place)
            return FoundKey(key.secret, place)
        break
    return FoundKey(read_api_key(environ={}, api_key_file=file).secret, str(file))


def every_key(case: DoctorContext) -> Iterator[tuple[str, str]]:
    """Yield (place, text) of each key for the daemon, valid or not.

    The first one is used. Raises `PermissionError` if this user may not read one.
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
    """Return where a different key than the running unit's is stored for it.

    A unit gets its credentials when it starts, so no reload reads a new one. None also if
    this user may not read it.
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
    """Return a path unless it is known to be missing; a hidden one may exist."""
    try:
        path.stat()
    except PermissionError:
        # We may not enter the directory, so the file may exist.
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
