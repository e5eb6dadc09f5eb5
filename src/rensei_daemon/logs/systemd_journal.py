"""Writes events with their fields to the systemd journal, and reads them from entries.

An entry is sent as a datagram to journald's socket, or as a sealed memory file if it is
too long (systemd's "Native Journal Protocol"). A string field is written as it is, any
other value as JSON; a string that looks like JSON is quoted, so that reading returns the
value that was written.
"""

import array
import errno
import fcntl
import json
import os
import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from rensei_daemon.core.iso_time import iso_time
from rensei_daemon.logs.formatting import Event, render_message

JOURNAL_SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = "rensei-daemon"

_PREFIX = "RENSEI_"
_NAMESPACE = "5b2c8f0e-3d4a-4c52-9a67-1f0d6e7a9b38"
"""Must never change: operators filter by the ids that are derived from it."""
_MAX_FIELD_NAME = 64
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_LEVELS = ("critical", "critical", "critical", "error", "warning", "info", "info")
_NOT_IN_A_NAME = re.compile(r"[^A-Z0-9_]")
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def leads_to_journal(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Whether a descriptor is the stream that systemd connected to the journal."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def encode(event: Event) -> bytes:
    """Return an event as the fields of one journal entry."""
    priority = _PRIORITIES.get(str(event.get("level")), 6)
    fields = {
        "MESSAGE": render_message(event),
        "MESSAGE_ID": message_id(str(event.get("event"))),
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
    }
    for key, value in event.items():
        if key not in ("level", "timestamp"):
            name = _NOT_IN_A_NAME.sub("_", f"{_PREFIX}{key}".upper())
            fields[name[:_MAX_FIELD_NAME]] = _to_text(value)
    return b"".join(_field(name, text) for name, text in fields.items())


@cache
def message_id(event: str) -> str:
    """Return the fixed `MESSAGE_ID` of an event: 32 hex digits."""
    # Imported here, because the command line imports this module and never encodes.
    from uuid import UUID, uuid5

    return uuid5(UUID(_NAMESPACE), event).hex


def match(key: str, value: str) -> str:
    """Return the `journalctl` argument that matches a field of events."""
    return f"{_PREFIX}{key.upper()}={_to_text(value)}"


def decode(entry: Mapping[str, object]) -> dict[str, object]:
    """Return the event of an entry of `journalctl -o json`.

    An entry of another program (such as systemd's about our unit) becomes an event with
    its text; an entry that is one of our lines of JSON (`[log].format`) is that event.
    """
    event: dict[str, object] = {
        "timestamp": _timestamp(entry),
        "level": _level(entry.get("PRIORITY")),
    }
    if f"{_PREFIX}EVENT" not in entry:
        text = _plain(entry.get("MESSAGE"))
        value = _from_text(text) if text.startswith("{") else text
        if isinstance(value, dict) and "event" in value:
            return event | value
        event["event"] = text
        return event
    # journalctl returns fields in no order; an event should always look the same.
    for name, value in sorted(entry.items()):
        if name.startswith(_PREFIX):
            event[name.removeprefix(_PREFIX).lower()] = _from_text(_plain(value))
    return event


class JournalSocket:
    """A socket to the journal; raises `OSError` if it is not available."""

    def __init__(self, path: Path = JOURNAL_SOCKET) -> None:
        self._address = str(path)
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        )

    def send(self, entry: bytes) -> None:
        """Send one entry; block while the journal is behind."""
        try:
            self._socket.sendto(entry, self._address)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._send_file(entry)

    def _send_file(self, entry: bytes) -> None:
        descriptor = os.memfd_create("entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            view = memoryview(entry)
            while view:
                view = view[file.write(view) :]
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            rights = array.array("i", [descriptor]).tobytes()
            message = (socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)
            self._socket.sendmsg([], [message], 0, self._address)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _field(name: str, text: str) -> bytes:
    value = text.encode(errors="backslashreplace")
    if b"\n" not in value:
        return b"%s=%s\n" % (name.encode(), value)
    length = len(value).to_bytes(8, "little")
    return b"%s\n%s%s\n" % (name.encode(), length, value)


def _to_text(value: object) -> str:
    if isinstance(value, str) and not _is_json(value):
        return value
    return json.dumps(value, default=str, ensure_ascii=False)


def _from_text(text: str) -> object:
    return json.loads(text) if _is_json(text) else text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _plain(value: object) -> str:
    """Return the text of a field; journalctl returns binary data as a list of numbers."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(byte, int) for byte in value):
        return bytes(byte & 0xFF for byte in value).decode(errors="replace")
    if isinstance(value, list) and value:
        return _plain(value[0])
    return ""


def _level(priority: object) -> str:
    if isinstance(priority, str) and priority in "0123456" and priority:
        return _LEVELS[int(priority)]
    return "debug" if priority == "7" else "info"


def _timestamp(entry: Mapping[str, object]) -> str:
    for name in ("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"):
        microseconds = entry.get(name)
        if isinstance(microseconds, str) and microseconds.isdigit():
            return iso_time(datetime.fromtimestamp(int(microseconds) / 1e6, UTC))
    return ""
