"""The outputs of the log: a terminal, the journal, a file.

An output formats an event in the caller's thread, and writes it in the writer's thread,
which may block. `write` may raise `OSError`; the writer counts the lost line.
"""

import os
import select
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from rensei_daemon.core.escaping import LONGEST_LINE
from rensei_daemon.logs.formatting import Event, render_json, render_line
from rensei_daemon.logs.rotating_file import RotatingFile
from rensei_daemon.logs.systemd_journal import (
    JOURNAL_SOCKET,
    JournalSocket,
    encode,
    leads_to_journal,
)


class Output(Protocol):
    """One output of the log."""

    def render(self, event: Event) -> bytes:
        """Return what to write for an event."""

    def write(self, rendered: bytes) -> None:
        """Write it; block as long as that takes."""

    def close(self) -> None:
        """Release the output's resources."""


class StreamOutput:
    """Writes lines to an open descriptor, which it does not close."""

    def __init__(self, descriptor: int, line_of: Callable[[Event], str]) -> None:
        self._descriptor = descriptor
        self._line_of = line_of

    def render(self, event: Event) -> bytes:
        """Return the line."""
        return _line(self._line_of(event))

    def write(self, rendered: bytes) -> None:
        """Write the whole line."""
        _write_all(self._descriptor, rendered)

    def close(self) -> None:
        """Leave the descriptor open."""


class JsonFileOutput:
    """Writes lines of JSON to a file that is rotated."""

    def __init__(self, file: RotatingFile) -> None:
        self._file = file

    def render(self, event: Event) -> bytes:
        """Return the JSON line."""
        return _line(render_json(event))

    def write(self, rendered: bytes) -> None:
        """Append the line."""
        self._file.write(rendered)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class JournalOutput:
    """Writes entries to the systemd journal, or JSON lines if it is not available."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._socket = JournalSocket(path)
        self._descriptor = descriptor

    def render(self, event: Event) -> bytes:
        """Return both the JSON line and the entry."""
        return _line(render_json(event)) + encode(event)

    def write(self, rendered: bytes) -> None:
        """Send the entry, or write the line if the journal is not available."""
        line, _, entry = rendered.partition(b"\n")
        try:
            self._socket.send(entry)
        except OSError:
            _write_all(self._descriptor, line + b"\n")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def choose_outputs(
    *,
    format: str,
    file: Path | None,
    default_file: Path,
    environ: Mapping[str, str],
    stdout: int = 1,
    stderr: int = 2,
    journal: Path = JOURNAL_SOCKET,
) -> list[Output]:
    """Return the outputs for `[log]` and the descriptors of this process.

    `auto` is text on a terminal, the journal if stderr is connected to it, else JSON
    lines. The file is written if it is named, or if stdout is neither a terminal nor the
    journal, so that `rensei-daemon logs` has a log to read.
    """
    if format == "auto":
        format = _fitting(stderr, environ)
    files = [file] if file is not None else []
    if not _is_terminal(stdout) and not leads_to_journal(stdout, environ):
        files.append(default_file)
    return [
        _stderr_output(format, stderr, journal, environ),
        *(JsonFileOutput(RotatingFile(path)) for path in dict.fromkeys(files)),
    ]


def _stderr_output(
    format: str, stderr: int, journal: Path, environ: Mapping[str, str]
) -> Output:
    if format == "console":
        colour = _wants_colour(stderr, environ)
        longest = LONGEST_LINE if _is_terminal(stderr) else None
        return StreamOutput(stderr, partial(render_line, colour=colour, longest=longest))
    if format == "journal" and journal.exists():
        return JournalOutput(journal, stderr)
    return StreamOutput(stderr, render_json)


def _fitting(descriptor: int, environ: Mapping[str, str]) -> str:
    if _is_terminal(descriptor):
        return "console"
    return "journal" if leads_to_journal(descriptor, environ) else "json"


def _wants_colour(descriptor: int, environ: Mapping[str, str]) -> bool:
    return (
        _is_terminal(descriptor)
        and not environ.get("NO_COLOR")
        and environ.get("TERM") != "dumb"
    )


def _is_terminal(descriptor: int) -> bool:
    with suppress(OSError):
        return os.isatty(descriptor)
    return False


def _line(text: str) -> bytes:
    # A lone surrogate cannot be encoded, but its escape is valid JSON.
    return text.encode(errors="backslashreplace") + b"\n"


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            # Another process that shares the descriptor made it non-blocking.
            select.select([], [descriptor], [])
