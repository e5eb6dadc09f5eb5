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
        return tomllib.loads(text.decode())
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        # Its text names a line and a column; it quotes at most one character.
        raise SettingsError(f"{path}: {str(error)[:200]}") from None
