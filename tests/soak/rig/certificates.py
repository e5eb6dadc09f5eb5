"""Certificates of a test's own: an authority, and what it signs; openssl makes them."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


_CA_CONFIG = """
[ca]
default_ca = ours
[ours]
database = {folder}/issued
new_certs_dir = {folder}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
x509_extensions = address
[any]
commonName = supplied
[address]
subjectAltName = {names}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own, and what it signed."""

    folder: Path

    def pair(self, name: str) -> tuple[Path, Path]:
        """Return a certificate that was signed, and its key."""
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def sign(
        self, name: str, *, days: int = 2, names: str = "IP:127.0.0.1"
    ) -> tuple[Path, Path]:
        """Make a certificate and its key; `names` is its subjectAltName."""
        cert, key = self.pair(name)
        request = self.folder / f"{name}.csr"
        openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        config = self.folder / "ca.conf"
        config.write_text(_CA_CONFIG.format(folder=self.folder, names=names))
        (self.folder / "issued").touch()
        by = ("-cert", self.ca, "-keyfile", self.folder / "ca.key")
        # By dates: `openssl x509 -days -1` is refused by OpenSSL 3.5.
        now = datetime.now(UTC)
        ends = now + timedelta(days)
        begins = min(now, ends) - timedelta(1)
        when = ("-startdate", _asn1(begins), "-enddate", _asn1(ends))
        what = ("-in", request, "-out", cert, "-notext", "-batch")
        openssl("ca", "-config", config, *by, *when, *what)
        return cert, key

    @property
    def ca(self) -> Path:
        """Its own certificate."""
        return self.folder / "ca.pem"


def _asn1(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%SZ}"


def openssl(*words: object) -> None:
    """Run openssl; raises when it fails."""
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def make_authority(folder: Path) -> Authority:
    """Make an authority in a folder."""
    key, cert = folder / "ca.key", folder / "ca.pem"
    what = ("-subj", "/CN=ca", "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", "-x509", *_NEW_KEY, *what, "-keyout", key, "-out", cert)
    return Authority(folder)


def install(source: tuple[Path, Path], target: tuple[Path, Path]) -> None:
    """Put a pair where a daemon looks for it."""
    for path, place in zip(source, target, strict=True):
        place.touch(mode=0o600)
        place.write_bytes(path.read_bytes())
