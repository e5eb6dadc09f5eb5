"""The identity of this host at the platform, kept across restarts.

Worker id and machine id are in the state directory. The runtime token is a secret and is in
the runtime directory, which a reboot empties.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from rensei_daemon.core.worker import Worker
from rensei_daemon.disk.atomic_file import replace_file
from rensei_daemon.errors import StorageError
from rensei_daemon.fast_dataclass import replace

_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9_-]")
NATIVE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


class IdentityFile:
    """Read and write both files; an unreadable file counts as absent."""

    def __init__(self, identity: Path, token: Path) -> None:
        self._identity = identity
        self._token = token

    def read(self) -> Worker | None:
        """Return the saved worker if there is one; after a reboot it has no token."""
        saved, secret = _read_object(self._identity), _read_object(self._token)
        worker_id, machine = saved.get("worker_id"), saved.get("machine_id")
        if not isinstance(worker_id, str) or not isinstance(machine, str) or not worker_id:
            return None
        interval, org_id = saved.get("heartbeat_seconds"), saved.get("org_id")
        worker = Worker(
            id=worker_id,
            machine_id=machine,
            heartbeat_seconds=float(interval)
            if isinstance(interval, int | float)
            else None,
            org_id=org_id if isinstance(org_id, str) else "",
            host_id=_text(saved.get("worker_host_id")) or "",
            registered_report=_text(saved.get("registered_report")),
        )
        token = secret.get("token")
        # A token of another worker remains from a crash between the two writes.
        if secret.get("worker_id") != worker_id or not isinstance(token, str):
            return worker
        return replace(
            worker, token=token, token_expires_at=_time(secret.get("expires_at"))
        )

    def save(self, worker: Worker) -> None:
        """Write both files; raises `StorageError`."""
        identity = {
            "worker_id": worker.id,
            "machine_id": worker.machine_id,
            "heartbeat_seconds": worker.heartbeat_seconds,
            "org_id": worker.org_id,
            "worker_host_id": worker.host_id,
            "registered_report": worker.registered_report,
        }
        expires = worker.token_expires_at
        secret = {
            "worker_id": worker.id,
            "token": worker.token,
            "expires_at": expires.isoformat() if expires else None,
        }
        replace_file(self._identity, _json(identity), mode=0o600)
        replace_file(self._token, _json(secret), mode=0o600)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _time(value: object) -> datetime | None:
    with suppress(TypeError, ValueError):
        moment = datetime.fromisoformat(value)  # type: ignore[arg-type] # suppressed
        return moment if moment.tzinfo else None
    return None


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
    """Return this machine's id, computed as the platform's own daemon does.

    `RENSEI_MACHINE_ID` or `DONMAI_MACHINE_ID`; else a hash of the operating system's
    id, which itself never leaves the host; else a random id kept in `fallback`.
    """
    if known := known_machine_id(
        environ=environ, fallback=fallback, native_files=native_files
    ):
        return known
    fresh = f"mid_{secrets.token_hex(16)}"
    with suppress(StorageError):  # on a full disk the id is valid for this process only
        replace_file(fallback, _json({"machineId": fresh}), mode=0o600)
    return fresh


def known_machine_id(
    *,
    environ: Mapping[str, str],
    fallback: Path,
    native_files: tuple[Path, ...] = NATIVE_ID_FILES,
) -> str:
    """Return what `machine_id` would, but create no id; empty if there is none."""
    given = environ.get("RENSEI_MACHINE_ID") or environ.get("DONMAI_MACHINE_ID") or ""
    if clean := _NOT_IN_AN_ID.sub("-", given).strip("-")[:128]:
        return clean
    for path in native_files:
        with suppress(OSError, UnicodeDecodeError):
            if native := path.read_text().strip().lower():
                return machine_id_from(native)
    saved = _read_object(fallback).get("machineId")
    return saved if isinstance(saved, str) else ""


def machine_id_from(native: str) -> str:
    """Return `mid_` and 32 hex digits of a SHA-256 of an operating system's machine id.

    The hashed text is `donmai/machine-id/v1`, a NUL, and the id, trimmed, in lower
    case.
    """
    text = f"donmai/machine-id/v1\0{native.strip().lower()}"
    return f"mid_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def boot_id() -> str:
    """Return the kernel's id of this boot; empty if it has none."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
