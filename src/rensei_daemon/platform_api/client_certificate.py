"""The certificate that this host shows to a platform which asks for one (mTLS).

Two PEM files, read at start, at a reload, and after the platform refused what they held.
A pair that cannot be used changes nothing: what was loaded stays in force.
"""

import ssl
import stat
from pathlib import Path
from typing import NoReturn

import anyio.to_thread

from rensei_daemon.disk.permissions import explain_unreadable
from rensei_daemon.disk.small_file import read_small_file
from rensei_daemon.errors import SettingsError

MAX_BYTES = 1024 * 1024
_KEYS = "platform.client_cert_file and platform.client_key_file"


class ClientCertificate:
    """The pair of files, loaded into the TLS context that every connection is made with."""

    def __init__(self, files: tuple[Path, Path], context: ssl.SSLContext) -> None:
        """Load the certificate (with its chain) and its key, PEM files both; blocks.

        Raises `SettingsError` when they cannot be used.
        """
        self._files = files
        self._context = context
        self._loaded: tuple[bytes, bytes] | None = None
        self._load()

    async def reread(self) -> bool:
        """Load the files again, and tell whether they hold another pair.

        Connections that are open stay as they are. Raises `SettingsError` when the pair
        cannot be used; the old one then stays in force.
        """
        return await anyio.to_thread.run_sync(self._load)

    def _load(self) -> bool:
        cert, key = self._files
        found = (_read(cert, private=False), _read(key, private=True))
        if found == self._loaded:
            return False
        # A pair that does not fit together would spoil the context that is in use.
        for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), self._context):
            try:
                context.load_cert_chain(cert, key, password=_refuse_password)
            except (OSError, ssl.SSLError) as error:
                why = getattr(error, "reason", None) or "it is no PEM"
                raise SettingsError(
                    f"{cert} and {key} cannot be used as a client certificate: {why}",
                    hint=f"{_KEYS} are a PEM certificate and its own private key",
                ) from None
        self._loaded = found
        return True


def _refuse_password() -> NoReturn:
    raise SettingsError(
        "the private key in platform.client_key_file is encrypted",
        hint="write it without a password: openssl pkey -in OLD -out NEW; chmod 0600 NEW",
    )


def _read(path: Path, *, private: bool) -> bytes:
    try:
        content, mode = read_small_file(path, MAX_BYTES)
    except OSError as error:
        found = explain_unreadable(path, error)
        raise SettingsError(found.what, hint=found.fix) from error
    if private and mode & stat.S_IROTH:
        raise SettingsError(
            f"{path}: everybody can read the private key (mode {mode:04o})",
            hint=f"chmod 0600 {path}; if others could read it, replace the key too",
        )
    return content
