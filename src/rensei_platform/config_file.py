"""platform.toml: what an operator writes down for a server."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rensei_platform.errors import NotPermittedError, SettingsError

MOST_BYTES = 1024 * 1024


def read_toml(path: Path) -> Mapping[str, Any]:
    """Return the content of a file. Raise SettingsError if it is unreadable or no TOML."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except PermissionError as error:
        raise NotPermittedError(
            f"{path}: this user may not read it", hint="Be root, or the service's user."
        ) from error
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    if len(text) > MOST_BYTES:
        raise SettingsError(f"{path}: larger than {MOST_BYTES} bytes")
    try:
        content = tomllib.loads(text.decode())
        if _has_nul(content):
            raise SettingsError(f"{path}: a text in it has a NUL character")
        return content
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        # Its text names a line and a column; it quotes at most one character.
        raise SettingsError(f"{path}: {str(error)[:200]}") from None


def _has_nul(value: object) -> bool:
    """Whether there is a NUL in a text, which no path, argument or variable can have."""
    if isinstance(value, dict):
        return any(map(_has_nul, (*value, *value.values())))
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value
