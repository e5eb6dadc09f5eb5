"""The certificate of a server, which is renewed while it runs."""

import ssl
from pathlib import Path

import structlog

from rensei_platform.errors import SettingsError
from rensei_platform.regular_file import check_regular, file_version

_log = structlog.get_logger()


class Certificate:
    """A certificate and its key, in files that are read again when they change.

    Connections that are open keep the certificate they began with.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read the files. Raise SettingsError if they cannot be used."""
        self._files = (certificate, key)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.set_alpn_protocols(["http/1.1"])
        self._seen = self._versions()
        self._load()

    def refresh(self) -> None:
        """Read the files if they have changed; while they are wrong the old ones serve."""
        seen = self._versions()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._load()
        except SettingsError as error:
            _log.error("certificate.not_read", error=str(error))
        else:
            _log.info("certificate.renewed", file=str(self._files[0]))

    def _load(self) -> None:
        certificate, key = self._files
        try:
            for file in self._files:
                check_regular(file)
            # Tried apart first: a failure halfway would leave the old pair torn.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _none)
            self.context.load_cert_chain(certificate, key, _none)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"cannot use the certificate {certificate} with the key {key}: {error}",
                hint="Both must be PEM, belong together, and have no passphrase.",
            ) from error

    def _versions(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(file_version(file) for file in self._files)


def _none() -> str:
    """Return no passphrase: without an answer OpenSSL would ask the terminal."""
    return ""
