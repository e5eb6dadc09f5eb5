"""Writing to the journal and reading from it."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.logs.systemd_journal import (
    JournalSocket,
    decode,
    encode,
    leads_to_journal,
    match,
)

EVENT = {
    "timestamp": "2026-11-23T16:00:00.123Z",
    "level": "warning",
    "event": "stream.lost",
    "session_id": "build",
    "attempt": 3,
    "digits": "42",
    "Odd key": "two\nlines",
}


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen like journald."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.settimeout(HANG_SECONDS)
        yield listener


def test_encode() -> None:
    """An entry has the text, the priority and a field for each key."""
    assert encode(EVENT) == (
        b"MESSAGE=stream.lost session_id=build attempt=3 digits=42"
        b' Odd key="two\\nlines"\n'
        b"MESSAGE_ID=6f17af0a633a550c83290ee602ceb4e0\n"
        b"PRIORITY=4\n"
        b"SYSLOG_IDENTIFIER=rensei-daemon\n"
        b"RENSEI_EVENT=stream.lost\n"
        b"RENSEI_SESSION_ID=build\n"
        b"RENSEI_ATTEMPT=3\n"
        b'RENSEI_DIGITS="42"\n'
        b"RENSEI_ODD_KEY\n\x09\0\0\0\0\0\0\0two\nlines\n"
    )


def test_json_lines_of_ours() -> None:
    """With `[log].format = "json"` entries are lines of JSON, which are read as events."""
    entry = {
        "MESSAGE": '{"timestamp": "T", "level": "warning", "event": "a.b", "n": 1}',
        "PRIORITY": "6",
        "__REALTIME_TIMESTAMP": "1795449600123000",
    }
    assert decode(entry) == {"timestamp": "T", "level": "warning", "event": "a.b", "n": 1}
    for text in ('{"a": 1}', "{", '["event"]'):
        assert decode(entry | {"MESSAGE": text})["event"] == text


def test_match() -> None:
    """A field is matched as it was written: a string that looks like JSON is quoted."""
    assert match("session_id", "build") == "RENSEI_SESSION_ID=build"
    assert match("mutation_id", "42") == 'RENSEI_MUTATION_ID="42"'


def test_long_names() -> None:
    """The name of a field is cut at journald's limit."""
    entry = encode({"event": "e", "k" * 100: 1}).decode()
    assert f"\nRENSEI_{'K' * 57}=1\n" in entry


def test_decode() -> None:
    """Reading an entry returns the event that was written, including types."""
    entry = {
        "MESSAGE": "stream.lost session_id=build",
        "PRIORITY": "4",
        "_SOURCE_REALTIME_TIMESTAMP": "1795449600123000",
        "__REALTIME_TIMESTAMP": "1795449600999000",
        "RENSEI_EVENT": "stream.lost",
        "RENSEI_SESSION_ID": "build",
        "RENSEI_ATTEMPT": "3",
        "RENSEI_DIGITS": '"42"',
        "RENSEI_ODD_KEY": list(b"two\nlines"),
    }
    assert decode(entry) == {
        "timestamp": "2026-11-23T16:00:00.123Z",
        "level": "warning",
        "event": "stream.lost",
        "session_id": "build",
        "attempt": 3,
        "digits": "42",
        "odd_key": "two\nlines",
    }


def test_fields_come_in_one_order() -> None:
    """Fields of an entry have no order; an event always looks the same."""
    entry = {"RENSEI_EVENT": "a", "RENSEI_TO": "b", "RENSEI_KIND": "c"}
    backwards = dict(reversed(entry.items()))
    fields = ["timestamp", "level", "event", "kind", "to"]
    assert list(decode(entry)) == list(decode(backwards)) == fields


@pytest.mark.parametrize(
    ("priority", "level"),
    [("0", "critical"), ("3", "error"), ("5", "info"), ("7", "debug"), (None, "info")],
)
def test_foreign_entries(priority: str | None, level: str) -> None:
    """Systemd's messages about the unit are events with their text."""
    entry = {"MESSAGE": "Started it.", "__REALTIME_TIMESTAMP": "1795449600123000"}
    assert decode(entry | {"PRIORITY": priority}) == {
        "timestamp": "2026-11-23T16:00:00.123Z",
        "level": level,
        "event": "Started it.",
    }


def test_odd_entries() -> None:
    """Missing, null or repeated fields are no error."""
    assert decode({"MESSAGE": None}) == {"timestamp": "", "level": "info", "event": ""}
    assert decode({"MESSAGE": ["a", "b"]})["event"] == "a"


def test_send(journald: socket.socket) -> None:
    """A short entry is one datagram."""
    way = JournalSocket(Path(journald.getsockname()))
    way.send(b"MESSAGE=x\n")
    way.close()
    assert journald.recv(100) == b"MESSAGE=x\n"


def test_send_long(journald: socket.socket) -> None:
    """An entry that is too long for a datagram is sent as a sealed file."""
    entry = b"MESSAGE=" + b"x" * 1_000_000 + b"\n"
    way = JournalSocket(Path(journald.getsockname()))
    way.send(entry)
    way.close()
    data, descriptors, _, _ = socket.recv_fds(journald, 100, 1)
    assert data == b""
    with os.fdopen(descriptors[0], "rb") as file:
        file.seek(0)
        assert file.read() == entry
        with pytest.raises(PermissionError):
            os.truncate(file.fileno(), 0)


def test_nobody_listens(tmp_path: Path) -> None:
    """Without a journal sending is an error, so that the caller can fall back."""
    way = JournalSocket(tmp_path / "socket")
    with pytest.raises(FileNotFoundError):
        way.send(b"MESSAGE=x\n")
    way.close()


def test_leads_to_journal(tmp_path: Path) -> None:
    """Only the stream that systemd names is connected to the journal."""
    with (tmp_path / "stream").open("w") as stream:
        status = os.fstat(stream.fileno())
        here = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        elsewhere = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"}
        descriptor = stream.fileno()
        assert leads_to_journal(descriptor, here)
        assert not leads_to_journal(descriptor, elsewhere)
        assert not leads_to_journal(descriptor, {})
    assert not leads_to_journal(descriptor, here)
