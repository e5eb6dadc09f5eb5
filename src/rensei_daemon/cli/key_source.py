"""Reads the API key for `install --key-file`, which keeps it out of command lines."""

import getpass
import sys
from typing import BinaryIO

from rensei_daemon.disk.api_key import ApiKey, ApiKeySource, checked
from rensei_daemon.errors import RenseiError

STANDARD_INPUT = "-"
_MOST_BYTES = 4096
"""Bytes; no key of the platform is nearly as long."""


def read_key(source: str) -> ApiKey:
    """Return the key in a file or, for `-`, from standard input; a terminal hides it.

    Raises `SettingsError` if it is not a key, and `RenseiError` if it cannot be read.
    """
    if source != STANDARD_INPUT:
        try:
            with open(source, "rb") as file:  # noqa: PTH123 - /dev/stdin is allowed too
                return _checked(file, source)
        except OSError as error:
            raise RenseiError(
                f"{source}: the API key cannot be read: {error.strerror}",
                hint="name a file with the key in it, or - for standard input",
            ) from error
    if sys.stdin.isatty():
        return checked(getpass.getpass("API key: "), ApiKeySource.FILE, "the terminal")
    return _checked(sys.stdin.buffer, "standard input")


def _checked(file: BinaryIO, where: str) -> ApiKey:
    found = file.read(_MOST_BYTES + 1)
    if len(found) > _MOST_BYTES:
        raise RenseiError(
            f"{where}: this is too long for an API key",
            hint="the key alone, in one line, and nothing else",
        )
    return checked(found.decode(errors="replace"), ApiKeySource.FILE, where)
