"""Who this host is to the platform, kept between starts.

The worker id and the machine id are state; the runtime token is a secret and lives in
the runtime directory, which forgets it at the next boot.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rensei_daemon.disk.atomic import replace_file

NATIVE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedIdentity:
    """What `identity.json` holds."""

    worker_id: str
    machine_id: str
    heartbeat_interval_seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedToken:
    """What the runtime directory's `token` holds."""

    value: str = field(repr=False)
    expires_at: str = ""
    """ISO 8601, as the platform said it."""


class IdentityFile:
    """Reads and writes both; anything unreadable counts as absent, and we register anew."""

    def __init__(self, identity: Path, token: Path) -> None:
        self._identity = identity
        self._token = token

    def read(self) -> SavedIdentity | None:
        """Return who we were, if we know."""
        raw = _read_object(self._identity)
        worker_id, machine_id = raw.get("worker_id"), raw.get("machine_id")
        interval = raw.get("heartbeat_interval_seconds", 30.0)
        if (
            not isinstance(worker_id, str)
            or not isinstance(machine_id, str)
            or not worker_id
        ):
            return None
        return SavedIdentity(
            worker_id=worker_id,
            machine_id=machine_id,
            heartbeat_interval_seconds=interval
            if isinstance(interval, int | float)
            else 30.0,
        )

    def read_token(self) -> SavedToken | None:
        """Return the token, if this boot has one."""
        raw = _read_object(self._token)
        value, expires_at = raw.get("value"), raw.get("expires_at", "")
        if not isinstance(value, str) or not value or not isinstance(expires_at, str):
            return None
        return SavedToken(value=value, expires_at=expires_at)

    def save(self, identity: SavedIdentity, token: SavedToken) -> None:
        """Write both; raises `StorageError`."""
        replace_file(self._identity, _json(asdict(identity)), mode=0o600)
        replace_file(self._token, _json(asdict(token)), mode=0o600)


def _read_object(path: Path) -> Mapping[str, object]:
    with suppress(OSError, ValueError):
        raw = json.loads(path.read_bytes())
        if isinstance(raw, dict):
            return raw
    return {}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"


def machine_id(
    *,
    environ: Mapping[str, str],
    fallback: Path,
    native_files: tuple[Path, ...] = NATIVE_ID_FILES,
) -> str:
    """Name this machine the way the platform's own daemon does.

    `RENSEI_MACHINE_ID` or `DONMAI_MACHINE_ID`, else a hash of the operating system's id
    (which itself never leaves the host), else a random id kept in `fallback`.
    """
    given = environ.get("RENSEI_MACHINE_ID") or environ.get("DONMAI_MACHINE_ID") or ""
    if clean := re.sub(r"[^A-Za-z0-9_-]", "-", given).strip("-")[:128]:
        return clean
    for path in native_files:
        with suppress(OSError):
            if native := path.read_text().strip().lower():
                return machine_id_from(native)
    saved = _read_object(fallback).get("machineId")
    if isinstance(saved, str) and saved:
        return saved
    fresh = f"mid_{secrets.token_hex(16)}"
    replace_file(fallback, _json({"machineId": fresh}), mode=0o600)
    return fresh


def machine_id_from(native: str) -> str:
    r"""Hash an operating system's machine id: `mid_` and 32 hex of SHA-256.

    The hashed text is `donmai/machine-id/v1\0` and the id, trimmed, in lower case.
    """
    text = f"donmai/machine-id/v1\0{native.strip().lower()}"
    return f"mid_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def boot_id() -> str:
    """Name this boot of the machine; empty where the kernel does not say."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
