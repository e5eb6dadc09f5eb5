"""The text of a configuration file, for those who only read it."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rensei_daemon.core.length_limits import MAX_CONFIG_BYTES
from rensei_daemon.disk.permissions import explain_unreadable
from rensei_daemon.errors import Problem, SettingsError

READ_BYTES = MAX_CONFIG_BYTES + 1
"""As many bytes as show that a file is too large."""


def read_text(path: Path) -> str:
    """Return the text of the file.

    Raises `SettingsError` for a file that is missing, unreadable, not a regular file,
    larger than 16 MiB or not UTF-8. Whether the text is valid TOML is not checked here.
    """
    try:
        with opened(path) as file:
            data = content(file, path)
    except FileNotFoundError as error:
        hint = "write one: rensei-daemon install, or copy config.example.toml there"
        raise SettingsError(f"{path}: there is no such file", hint=hint) from error
    except OSError as error:
        found = explain_unreadable(path, error)
        raise SettingsError(found.what, hint=found.fix) from error
    return decode_config(data, path)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open the file for reading; `SettingsError` if it is no regular one."""
    # Non-blocking, because opening a FIFO would otherwise wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        hint = f"look at it: ls -ld {path}"
        raise SettingsError(f"{path}: not a regular file", hint=hint)
    with os.fdopen(descriptor, "rb") as file:
        yield file


def content(file: BinaryIO, path: Path) -> bytes:
    """Return all bytes; `SettingsError` if they are too many."""
    file.seek(0)
    data = file.read(READ_BYTES)
    _refuse_large(data, path)
    return data


def decode_config(data: bytes, path: Path) -> str:
    """Return the text of these bytes; `SettingsError` if they are too many or not UTF-8.

    Of a longer file, pass the first `READ_BYTES`.
    """
    _refuse_large(data, path)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        before = data[data.rfind(b"\n", 0, error.start) + 1 : error.start]
        problem = Problem(
            message="not UTF-8", file=str(path), line=line, column=len(before.decode()) + 1
        )
        hint = "save the file as UTF-8"
        raise SettingsError(hint=hint, problems=[problem]) from error


def _refuse_large(data: bytes, path: Path) -> None:
    if len(data) > MAX_CONFIG_BYTES:
        raise SettingsError(f"{path}: larger than {MAX_CONFIG_BYTES // 2**20} MiB")
