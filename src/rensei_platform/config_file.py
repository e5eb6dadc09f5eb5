"""platform.toml: what an operator writes down for a server."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rensei_platform.errors import SettingsError

MOST_BYTES = 1024 * 1024
_KNOWN = frozenset({"providers"})


def read_providers(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return the `[providers.NAME]` tables of a file, unchecked but for their shape.

    Raise SettingsError if the file cannot be read, is no TOML, or has another key.
    """
    found = _read(path)
    for key in found.keys() - _KNOWN:
        raise SettingsError(f"{path}: {key!a}: no such key", hint="See docs/providers.md.")
    tables = found.get("providers", {})
    if not isinstance(tables, dict) or not all(
        isinstance(t, dict) for t in tables.values()
    ):
        raise SettingsError(f"{path}: providers: not tables such as [providers.NAME]")
    return tables


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
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
