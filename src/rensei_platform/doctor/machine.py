"""Checks of this machine: modes of files, room on the disk, limits, the certificate."""

import os
import resource
import shutil
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from sqlalchemy import URL

from rensei_platform.config import Config
from rensei_platform.doctor.result import Result, reported
from rensei_platform.http.tls import Certificate
from rensei_platform.store.lock import is_removed
from rensei_platform.store.trouble import FULL, REMOVED

LEAST_FREE_BYTES = 256 * 1024 * 1024
FULL_BYTES = 1024 * 1024
"""Less is no room for a transaction and its log."""
LEAST_FILES = 16_384
EXPIRES_SOON = timedelta(days=14)
_LOGS = ("-wal", "-shm")
"""What SQLite keeps beside a database while it is open."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_machine(file: Path | None, config: Config, url: URL) -> list[Result]:
    """Return what is found."""
    found = [_config_file(file, url), _open_files()]
    with reported("exposure", found):
        config.check_exposure()
        found.append(Result("exposure", "ok", f"listens on {config.host} {config.port}"))
    if config.tls_certificate is not None and config.tls_key is not None:
        with reported("certificate", found):
            Certificate(config.tls_certificate, config.tls_key)
            found.append(_certificate(config.tls_certificate, datetime.now(UTC)))
    if url.drivername == "sqlite":
        found.append(_database_file(url))
    return found


def _config_file(file: Path | None, url: URL) -> Result:
    if file is None:
        return Result("configuration", "ok", "no platform.toml is read")
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & _OTHERS_WRITE:
        message = f"{file}: others may change it (mode {mode:04o})"
        return Result("configuration", "error", message, f"Run `chmod go-w {file}`.")
    if url.password and mode & stat.S_IROTH:
        message = f"{file}: others may read the database's password (mode {mode:04o})"
        return Result("configuration", "error", message, f"Run `chmod o= {file}`.")
    return Result("configuration", "ok", f"{file} is valid")


def _open_files() -> Result:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < LEAST_FILES:
        return Result(
            "open files",
            "warning",
            f"at most {hard}: each stream of a session needs one",
            "Raise LimitNOFILE of the service, or `ulimit -Hn`.",
        )
    return Result("open files", "ok", "enough for every stream")


def _certificate(file: Path, now: datetime) -> Result:
    made = x509.load_pem_x509_certificate(file.read_bytes())
    ends = made.not_valid_after_utc
    state = f"{file} is valid until {ends:%Y-%m-%d %H:%M} UTC"
    hint = "Renew it in place; the server reads it again by itself."
    if ends <= now:
        return Result(
            "certificate", "error", f"{file} ended {ends:%Y-%m-%d %H:%M} UTC", hint
        )
    if ends - now < EXPIRES_SOON:
        return Result("certificate", "warning", state, hint)
    return Result("certificate", "ok", state)


def _database_file(url: URL) -> Result:
    file = Path(str(url.database))
    if is_removed(url):
        return Result("database file", "error", f"{file}: {REMOVED.message}", REMOVED.hint)
    if not file.exists():
        hint = "Run `rensei-platform init`."
        return Result("database file", "error", f"{file}: there is none", hint)
    mode = stat.S_IMODE(file.stat().st_mode)
    directory = stat.S_IMODE(file.parent.stat().st_mode)
    if mode & _OTHERS_WRITE and directory & stat.S_IXOTH:
        message = f"{file}: others may change it (mode {mode:04o})"
        return Result("database file", "error", message, f"Run `chmod 600 {file}`.")
    if not os.access(file.parent, os.W_OK):
        message = f"{file.parent}: this user may not write to it"
        return Result("database file", "error", message, "Be the service's user, or root.")
    free = shutil.disk_usage(file.parent).free
    if free < FULL_BYTES:
        return Result(
            "database file", "error", f"{file.parent}: {free} bytes are free", FULL.hint
        )
    if free < LEAST_FREE_BYTES:
        message = f"{file.parent}: {free // 2**20} MiB are free"
        return Result("database file", "warning", message, "Make room before it is full.")
    if readable := _readable_by_others(file):
        message = f"{readable}: others may read it"
        return Result("database file", "warning", message, f"Run `chmod o= {readable}`.")
    return Result("database file", "ok", f"{file}, {free // 2**20} MiB free")


def _readable_by_others(file: Path) -> Path | None:
    """Return a part of a database that any user of this machine may read, if there is."""
    if not file.parent.stat().st_mode & stat.S_IXOTH:
        return None
    for part in (file, *(file.with_name(f"{file.name}{end}") for end in _LOGS)):
        with suppress(FileNotFoundError):  # a log is gone when the last server ends
            if part.stat().st_mode & stat.S_IROTH:
                return part
    return None
