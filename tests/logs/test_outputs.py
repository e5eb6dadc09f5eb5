"""The choice of outputs, and what they write."""

import json
import os
import pty
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.logs.outputs import Output, choose_outputs

EVENT = {"timestamp": "T", "level": "info", "event": "stream.opened", "n": 1}
JSON = b'{"timestamp": "T", "level": "info", "event": "stream.opened", "n": 1}\n'
PLAIN = b"T info     stream.opened  n=1\n"


class Descriptors(NamedTuple):
    """A pipe and a terminal, with their other ends."""

    pipe_in: int
    pipe_out: int
    terminal: int
    screen: int


@pytest.fixture
def fds() -> Iterator[Descriptors]:
    """Open a pipe and a pseudo terminal."""
    pipe_out, pipe_in = os.pipe()
    screen, terminal = pty.openpty()
    yield Descriptors(pipe_in, pipe_out, terminal, screen)
    for descriptor in (pipe_in, pipe_out, terminal, screen):
        os.close(descriptor)


def stream_of(descriptor: int) -> dict[str, str]:
    """Return the environment in which a descriptor leads to the journal."""
    status = os.fstat(descriptor)
    return {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}


def kinds(outputs: list[Output]) -> list[str]:
    """Return the names of the outputs' classes, and close them."""
    for output in outputs:
        output.close()
    return [type(output).__name__ for output in outputs]


def chosen(
    stderr: int,
    stdout: int,
    tmp_path: Path,
    environ: dict[str, str],
    format: str = "auto",
    file: Path | None = None,
) -> list[Output]:
    """Choose outputs for two descriptors, with a journal in the test's directory."""
    return choose_outputs(
        format=format,
        file=file,
        default_file=tmp_path / "log.jsonl",
        environ=environ,
        stdout=stdout,
        stderr=stderr,
        journal=tmp_path / "journal",
    )


def test_terminal(fds: Descriptors, tmp_path: Path) -> None:
    """On a terminal the log is coloured text, and there is no other output."""
    outputs = chosen(fds.terminal, fds.terminal, tmp_path, {"TERM": "xterm"})
    outputs[0].write(outputs[0].render(EVENT))
    assert os.read(fds.screen, 200).startswith(b"\x1b[2mT\x1b[0m \x1b[32minfo")
    assert kinds(outputs) == ["StreamOutput"]


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour(fds: Descriptors, tmp_path: Path, environ: dict[str, str]) -> None:
    """There is no colour if it is not wanted."""
    (output,) = chosen(fds.terminal, fds.terminal, tmp_path, environ)
    assert output.render(EVENT) == PLAIN


def test_pipe(fds: Descriptors, tmp_path: Path) -> None:
    """Elsewhere the log is JSON lines, also in the file that `logs` reads."""
    outputs = chosen(fds.pipe_in, fds.pipe_in, tmp_path, {})
    for output in outputs:
        output.write(output.render(EVENT))
    assert os.read(fds.pipe_out, 200) == JSON
    assert (tmp_path / "log.jsonl").read_bytes() == JSON
    assert kinds(outputs) == ["StreamOutput", "JsonFileOutput"]


def test_journal(fds: Descriptors, tmp_path: Path) -> None:
    """If stderr is connected to the journal, entries with fields go there."""
    environ = stream_of(fds.pipe_in)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(tmp_path / "journal"))
        outputs = chosen(fds.pipe_in, fds.pipe_in, tmp_path, environ)
        outputs[0].write(outputs[0].render(EVENT))
        journald.settimeout(HANG_SECONDS)
        assert journald.recv(500) == (
            b"MESSAGE=stream.opened n=1\n"
            b"MESSAGE_ID=647025fcbbe65ac0b1cf252ef7aa12de\n"
            b"PRIORITY=6\nSYSLOG_IDENTIFIER=rensei-daemon\n"
            b"RENSEI_EVENT=stream.opened\nRENSEI_N=1\n"
        )
    assert kinds(outputs) == ["JournalOutput"]


def test_journal_gone(fds: Descriptors, tmp_path: Path) -> None:
    """If the journal becomes unavailable, lines go to stderr as JSON."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(tmp_path / "journal"))
        (output,) = chosen(fds.pipe_in, fds.terminal, tmp_path, {}, format="journal")
    output.write(output.render(EVENT))
    output.close()
    assert os.read(fds.pipe_out, 200) == JSON


def test_no_journal(fds: Descriptors, tmp_path: Path) -> None:
    """Without a journal, even the format `journal` writes JSON lines."""
    outputs = chosen(fds.pipe_in, fds.terminal, tmp_path, {}, format="journal")
    assert kinds(outputs) == ["StreamOutput"]


def test_asked_for(fds: Descriptors, tmp_path: Path) -> None:
    """A format that is set is used whatever stderr is."""
    (console,) = chosen(fds.pipe_in, fds.terminal, tmp_path, {}, format="console")
    (lines,) = chosen(fds.terminal, fds.terminal, tmp_path, {}, format="json")
    assert console.render(EVENT) == PLAIN
    assert lines.render(EVENT) == JSON


def test_file(fds: Descriptors, tmp_path: Path) -> None:
    """A file that is named is written in addition."""
    file = tmp_path / "named.jsonl"
    outputs = chosen(fds.terminal, fds.terminal, tmp_path, {}, file=file)
    outputs[1].write(outputs[1].render(EVENT))
    assert json.loads(file.read_text()) == EVENT
    assert kinds(outputs) == ["StreamOutput", "JsonFileOutput"]
    assert not (tmp_path / "log.jsonl").exists()


def test_closed_descriptors(fds: Descriptors, tmp_path: Path) -> None:
    """A process without stdout or stderr still logs to its file."""
    closed = os.dup(fds.pipe_in)
    os.close(closed)
    outputs = chosen(closed, closed, tmp_path, {})
    with pytest.raises(OSError, match="Bad file descriptor"):
        outputs[0].write(JSON)
    assert kinds(outputs) == ["StreamOutput", "JsonFileOutput"]


def test_lone_surrogates(fds: Descriptors, tmp_path: Path) -> None:
    """Text that cannot be encoded is still a line of JSON."""
    (output,) = chosen(fds.terminal, fds.terminal, tmp_path, {}, format="json")
    assert json.loads(output.render({"event": "e", "name": "\udc80"})) == {
        "event": "e",
        "name": "\udc80",
    }


def test_non_blocking_pipe(fds: Descriptors, tmp_path: Path) -> None:
    """A full descriptor that is non-blocking is waited for."""
    os.set_blocking(fds.pipe_in, False)
    (output,) = chosen(fds.pipe_in, fds.terminal, tmp_path, {}, format="json")
    line = b"x" * 200_000
    with os.fdopen(os.dup(fds.pipe_out), "rb") as reader, ThreadPoolExecutor() as pool:
        reading = pool.submit(reader.read, len(line))
        output.write(line)
        assert reading.result(timeout=HANG_SECONDS) == line


def test_a_terminal_gets_the_beginning_of_a_long_value(
    fds: Descriptors, tmp_path: Path
) -> None:
    """A pipe gets the whole value."""
    event = {"event": "e", "long": "x" * 1001}
    for descriptor, expected in (
        (fds.terminal, "x" * 1000 + "…"),
        (fds.pipe_in, "x" * 1001),
    ):
        output, *_ = chosen(descriptor, fds.terminal, tmp_path, {}, format="console")
        rendered = output.render(event).decode()
        assert rendered.endswith(f"={expected}\n")
