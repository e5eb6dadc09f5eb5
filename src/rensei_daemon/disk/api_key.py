"""The API key: the three places where it may be stored.

The key is not a setting and is never in `config.toml`, so the file can be shown, compared
and stored. This module reads the key on every call; the caller decides when to call again.
"""

import re
import stat
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from rensei_daemon.disk.permissions import explain_unreadable
from rensei_daemon.disk.small_file import read_small_file
from rensei_daemon.errors import SettingsError
from rensei_daemon.fast_dataclass import dataclass, field

VARIABLE = "RENSEI_API_KEY"
CREDENTIAL = "api-key"

_KEY = re.compile(r"rs[kp]_live_[\x21-\x7e]+")
_MAX_BYTES = 4096
_ASK_FOR_ONE = (
    "put the key in /etc/credstore/rensei-daemon.api-key (mode 0600), "
    "or name a file in platform.api_key_file, or set RENSEI_API_KEY"
)
_RESTART = "systemctl restart rensei-daemon"


class ApiKeySource(StrEnum):
    """Where a key was found; this decides how a new key takes effect."""

    SYSTEMD_CREDENTIAL = "systemd-credential"
    ENVIRONMENT = "environment"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key of the platform; its repr does not show it."""

    secret: str = field(repr=False)
    source: ApiKeySource

    @property
    def rotation_hint(self) -> str:
        """How to make the daemon use a new key."""
        if self.source is ApiKeySource.FILE:
            return "write the new key to platform.api_key_file, then: rensei-daemon reload"
        place = (
            "the unit's api-key credential"
            if self.source is ApiKeySource.SYSTEMD_CREDENTIAL
            else VARIABLE
        )
        return f"put the new key in {place}, then: {_RESTART}"


def read_api_key(*, environ: Mapping[str, str], api_key_file: Path | None) -> ApiKey:
    """Return the first key found: systemd credential, environment, file.

    Raises `SettingsError` if there is none, if the text found is not a key, or if
    others can read the file; the error never quotes the text.
    """
    if directory := environ.get("CREDENTIALS_DIRECTORY"):
        text = _read(Path(directory) / CREDENTIAL, private=False)
        if text is not None:
            where = f"the systemd credential {CREDENTIAL}"
            return checked(text, ApiKeySource.SYSTEMD_CREDENTIAL, where)
    if text := environ.get(VARIABLE):
        return checked(text, ApiKeySource.ENVIRONMENT, VARIABLE)
    if api_key_file is not None:
        text = _read(api_key_file, private=True)
        if text is not None:
            return checked(text, ApiKeySource.FILE, str(api_key_file))
        raise SettingsError(f"{api_key_file}: no such file", hint=_ASK_FOR_ONE)
    raise SettingsError("there is no API key", hint=_ASK_FOR_ONE)


def _read(path: Path, *, private: bool) -> str | None:
    """Return the text of a small file, or None if the file does not exist."""
    try:
        content, mode = read_small_file(path, _MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        found = explain_unreadable(path, error)
        what = f"the API key cannot be read: {found.what}"
        raise SettingsError(what, hint=found.fix) from error
    if private:
        _require_private(path, mode)
    return content.decode(errors="replace")


def _require_private(path: Path, mode: int) -> None:
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        raise SettingsError(
            f"{path}: others can read the API key (mode {mode:04o})",
            hint=f"chmod 0600 {path}; if others could read it, replace the key too",
        )


def checked(text: str, source: ApiKeySource, where: str) -> ApiKey:
    """Return the key in a text; raises `SettingsError`, which names `where`."""
    secret = text.strip()
    if not secret:
        raise SettingsError(f"{where}: the API key is empty", hint=_ASK_FOR_ONE)
    if not _KEY.fullmatch(secret):
        raise SettingsError(
            f"{where}: this is no API key of the platform",
            hint="a key starts with rsk_live_ (older ones: rsp_live_), in one line",
        )
    return ApiKey(secret, source)
