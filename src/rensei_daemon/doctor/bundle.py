"""One archive with everything needed to help from afar, without a secret.

Secrets are redacted in the log, and nothing else here contains one; but this is checked.
Every text is searched for every secret known on this host, in each encoding, and the
archive is written only if none is found.
"""

import importlib.metadata
import io
import itertools
import json
import os
import platform
import stat
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rensei_daemon import __version__
from rensei_daemon.control_api.client import request
from rensei_daemon.control_api.schema import CHANGES, MUTATIONS, Endpoint
from rensei_daemon.disk.atomic_file import replace_file
from rensei_daemon.disk.journal_records import open_records
from rensei_daemon.disk.user_groups import group_name, user_name
from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.doctor.secrets import Secrets
from rensei_daemon.doctor.unit import describe_unit
from rensei_daemon.errors import RenseiError
from rensei_daemon.logs.file_reader import Line, LogFilter, read_file
from rensei_daemon.logs.formatting import render_json
from rensei_daemon.logs.journalctl import has_entries, read_unit

LOG_LINES = 5000
RECORDS = 200
_LIBRARIES = (
    "anyio", "h11", "httpcore", "httpx", "pydantic", "pydantic-settings",
    "structlog", "tomlkit",
)  # fmt: skip


def gather_texts(case: DoctorContext, doctor: Mapping[str, Any]) -> dict[str, str]:
    """Return every member of the archive by name, without what does not exist."""
    places = case.locations
    texts = {
        "doctor.json": _json(doctor),
        "host.json": _json(_host()),
        "files.txt": "".join(_listing(case)),
        "unit.txt": describe_unit(places.unit_scope),
        "log.jsonl": "".join(f"{line}\n" for line in _log(case)),
        "status.json": _json(case.status or case.last_status),
        "record.json": _json(_record(case)),
        "config.toml": _text(places.config),
        "config.last-good.toml": _text(places.last_good),
    }
    return {name: text for name, text in texts.items() if text}


def write_bundle(path: Path, texts: Mapping[str, str], secrets: Secrets) -> None:
    """Write the archive (tar, gzip; mode 0600), unless it would contain a secret.

    Raises `StorageError` if it cannot be written, and a `RenseiError` that names file and
    secret if it must not be.
    """
    hits = [
        f"{member} holds {name}"
        for member, text in texts.items()
        for name in secrets.found_in(text)
    ]
    if hits:
        raise RenseiError(
            f"{path} was not written: " + "; ".join(hits),
            hint="take it out there, and have it rotated: others may have read it",
        )
    replace_file(path, _archive(path.name.partition(".")[0], texts), mode=0o600)


def _archive(top: str, texts: Mapping[str, str]) -> bytes:
    packed = io.BytesIO()
    now = int(datetime.now(UTC).timestamp())
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in texts.items():
            data = text.encode(errors="surrogateescape")
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mtime, member.mode = len(data), now, 0o600
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def _host() -> Mapping[str, Any]:
    def version(library: str) -> str | None:
        with suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(library)
        return None

    release: Mapping[str, str] = {}
    with suppress(OSError):
        release = platform.freedesktop_os_release()
    return {
        "version": __version__,
        "python": sys.version,
        "kernel": " ".join(os.uname()),
        "system": release.get("PRETTY_NAME"),
        "uptime_seconds": _uptime(),
        "libraries": {library: version(library) for library in _LIBRARIES},
    }


def _uptime() -> float | None:
    with suppress(OSError, ValueError, IndexError):
        return float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return None


def _listing(case: DoctorContext) -> Iterator[str]:
    """List the files of the daemon's directories, as `ls -l` does."""
    places = case.locations
    for directory in (places.config.parent, places.state, places.runtime):
        yield f"{directory}:\n"
        try:
            entries = sorted(directory.iterdir())
        except OSError as error:
            yield f"  {error.strerror}\n"
            continue
        for path in [directory, *entries]:
            with suppress(OSError):
                yield _entry(path, path.lstat())


def _entry(path: Path, found: os.stat_result) -> str:
    changed = datetime.fromtimestamp(found.st_mtime, UTC).isoformat(timespec="seconds")
    owner = f"{user_name(found.st_uid)}:{group_name(found.st_gid)}"
    mode = stat.filemode(found.st_mode)
    return f"  {mode} {owner:<30} {found.st_size:>10} {changed} {path.name}\n"


def _log(case: DoctorContext) -> Iterator[str]:
    lines: Iterable[Line] = ()
    scope, path = case.locations.unit_scope, case.locations.log
    if scope is not None and has_entries(scope):
        lines = read_unit(scope, LogFilter(), LOG_LINES, follow=False)
    elif path.exists():
        lines = read_file(path, LogFilter(), LOG_LINES)
    for line in itertools.islice(lines, LOG_LINES):
        yield line if isinstance(line, str) else render_json(line)


def _record(case: DoctorContext) -> Mapping[str, Any] | None:
    """Request the daemon's record, or read what a stopped daemon left."""
    with suppress(FileNotFoundError, RenseiError):
        if case.is_running:
            return {"changes": _ask(case, CHANGES), "mutations": _ask(case, MUTATIONS)}
        with open_records(case.locations.journal) as records:
            changes, mutations = records.changes(RECORDS), records.mutations(RECORDS)
        return {"changes": changes, "mutations": mutations}
    return None


def _ask(case: DoctorContext, endpoint: Endpoint[Any]) -> Any:
    return request(case.locations.control_socket, *endpoint.at({"limit": RECORDS}))


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="surrogateescape")
    return ""


def _json(value: object) -> str:
    return "" if value is None else json.dumps(value, indent=2, default=str) + "\n"
