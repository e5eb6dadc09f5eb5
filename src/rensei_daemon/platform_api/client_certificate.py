"""The client certificate of this host, for a platform that requires one (mTLS).

Its two PEM files are read at the start, at a reload, and after the platform refused the
certificate. If they cannot be used, the certificate that was loaded stays in use.
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
    """The two files, loaded into the TLS context of every connection."""

    def __init__(self, files: tuple[Path, Path], context: ssl.SSLContext) -> None:
        """Load the certificate (with its chain) and its key from PEM files; block.

        Raises `SettingsError` when they cannot be used.
        """
        self._files = files
        self._context = context
        self._loaded: tuple[bytes, bytes] | None = None
        self.loads = 0
        """How often the files were loaded; another number, another certificate."""
        self._load()

    async def reread(self) -> bool:
        """Load the files again, and return whether they have changed.

        Open connections keep the old certificate. Raises `SettingsError` when the files
        cannot be used; the old certificate then stays in use.
        """
        return await anyio.to_thread.run_sync(self._load)

    def move_to(self, context: ssl.SSLContext) -> None:
        """Load the files into another context, and use that from now on; block.

        Raises `SettingsError` when they cannot be used; the old context then stays in use.
        """
        former, loaded = self._context, self._loaded
        self._context, self._loaded = context, None
        try:
            self._load()
        except SettingsError:
            self._context, self._loaded = former, loaded
            raise

    def _load(self) -> bool:
        cert, key = self._files
        found = (_read(cert, private=False), _read(key, private=True))
        if found == self._loaded:
            return False
        # Tried first on another context: a wrong key would break the one in use.
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
        self.loads += 1
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
