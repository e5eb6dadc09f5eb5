"""The TLS context of this host: whom it trusts, and which certificate it shows.

The files of the authorities are read at the start, at a reload, and after a certificate
was not trusted. If one of them has changed, there is a new context, so an authority that
was removed is trusted no more. If they cannot be used, the old context stays in use.

Most systems have their authorities twice: in a bundle, and in a directory where OpenSSL
finds the one that it needs by the hash of its name. Where there is such a directory, the
bundle is read only once a certificate was not trusted: its 150 authorities take 20 ms of
the start and a megabyte for as long as the daemon runs.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import httpx

from rensei_daemon.disk.permissions import explain_unreadable
from rensei_daemon.errors import SettingsError
from rensei_daemon.platform_api.client_certificate import ClientCertificate
from rensei_daemon.platform_api.tls_refusal import CertificateRefusals

_Stamp = tuple[int, int, int]


class Tls:
    """The TLS context of new connections."""

    def __init__(
        self,
        url: httpx.URL,
        ca_file: Path | None,
        client_files: tuple[Path, Path] | None,
        *,
        reads_bundle: bool = False,
    ) -> None:
        """Read the files; block. Raises `SettingsError` for one that cannot be used.

        `reads_bundle`: also the system's bundle, whether or not it is needed.
        """
        self._url = url
        self._ca_file = ca_file
        self._lock = anyio.Lock()
        self._stamps = self._read_stamps()
        self._reads_bundle = reads_bundle or url.scheme != "https" or not _has_hashes()
        self.context = trust(url, ca_file, reads_bundle=self._reads_bundle)
        """Replaced when an authority's file has changed, or the bundle was read."""
        self._certificate = (
            ClientCertificate(client_files, self.context) if client_files else None
        )
        self.refusals = CertificateRefusals(self._certificate)

    async def reread(self) -> bool:
        """Read the authorities again, and return whether there is a new context.

        Raises `SettingsError` when they cannot be used.
        """
        async with self._lock:
            return await self._reread(reads_bundle=self._reads_bundle)

    async def is_newer_than(self, context: ssl.SSLContext) -> bool:
        """Return whether there is another context to try than this one."""
        async with self._lock:
            if self.context is context:
                with suppress(SettingsError):  # said again by a reload and by `doctor`
                    return await self._reread(reads_bundle=True)
            return self.context is not context

    async def _reread(self, *, reads_bundle: bool) -> bool:
        stamps = self._read_stamps()
        if stamps == self._stamps and reads_bundle == self._reads_bundle:
            return False
        self.context = await anyio.to_thread.run_sync(partial(self._load, reads_bundle))
        self._stamps, self._reads_bundle = stamps, reads_bundle
        return True

    def _load(self, reads_bundle: bool) -> ssl.SSLContext:
        context = trust(self._url, self._ca_file, reads_bundle=reads_bundle)
        if self._certificate is not None:
            self._certificate.move_to(context)
        return context

    def _read_stamps(self) -> dict[Path, _Stamp | None]:
        files = [self._ca_file, *_roots()] if self._url.scheme == "https" else []
        return {file: _stamp(file) for file in files if file is not None}


def trust(
    url: httpx.URL, ca_file: Path | None, *, reads_bundle: bool = True
) -> ssl.SSLContext:
    """Build a TLS context, which takes 20 to 60 ms if TLS is used and a bundle is read.

    It trusts the system's roots (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others), or
    certifi's on a system without any, and those of `ca_file`. Without `reads_bundle` only
    those of the system's directory.
    """
    if url.scheme != "https":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts no CA, and takes no time
    if not reads_bundle:
        context = ssl.create_default_context(capath=ssl.get_default_verify_paths().capath)
    elif _has_roots():
        context = ssl.create_default_context()
    else:
        context = httpx.create_ssl_context()
    if ca_file is not None:
        _add_authorities(context, ca_file)
    return context


def _add_authorities(context: ssl.SSLContext, ca_file: Path) -> None:
    try:
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError as error:
        raise SettingsError(
            f"platform.ca_file {ca_file} cannot be used: {error.reason or error}",
            hint="it must be a bundle of PEM certificates",
        ) from error
    except OSError as error:
        found = explain_unreadable(ca_file, error)
        raise SettingsError(f"platform.ca_file: {found.what}", hint=found.fix) from error


def _roots() -> Iterator[Path]:
    """Yield the system's file and directory of authorities, as far as they exist."""
    # The two are None where there is no such file or directory.
    paths: tuple[str | None, ...] = ssl.get_default_verify_paths()
    return (Path(path) for path in paths[:2] if path is not None)


def _has_roots() -> bool:
    return any(root.is_file() or any(root.iterdir()) for root in _roots())


def _has_hashes() -> bool:
    """Whether authorities are found in the system's directory by the hashes of their names.

    A bundle that was named alone is the one that is meant, whatever else there is.
    """
    if "SSL_CERT_FILE" in os.environ and "SSL_CERT_DIR" not in os.environ:
        return False
    directory: str | None = ssl.get_default_verify_paths().capath
    names: list[str] = []
    if directory is not None:
        with suppress(OSError):
            names = os.listdir(directory)  # noqa: PTH208 - makes no Path for each
    return any(len(name) == len("0a1b2c3d.0") and name.endswith(".0") for name in names)


def _stamp(path: Path) -> _Stamp | None:
    """Return what differs once a file, or the list of a directory, was changed."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path would cost as much again
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_ctime_ns
