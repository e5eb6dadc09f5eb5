"""Encryption of credential values at rest.

A sealed value is `1.KEY_ID.PAYLOAD`: AES-256-GCM with a random nonce. The key id and the
identity of the row are associated data, so a value that was copied to another row, or whose
key id was edited, does not open. A change of the key file is picked up without a restart,
which lets the master key be replaced while servers run.
"""

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rensei_platform.errors import PlatformError
from rensei_platform.master_key import MasterKey, MasterKeyError, read_master_keys

NONCE_BYTES = 12
"""Random nonces are safe for 2**32 values under one key (NIST SP 800-38D, 8.3)."""
_FORMAT = "1"


class SealingError(PlatformError):
    """A stored value cannot be decrypted."""


class Sealer:
    """Encrypts values, and decrypts what it or another holder of the keys encrypted."""

    def __init__(self, keys: Sequence[MasterKey], path: Path | None = None) -> None:
        """Use these keys, the first to seal; with `path`, follow the file they are in."""
        self._keys = tuple(keys)
        self._path = path
        self._seen = _version_of(path)

    @classmethod
    def from_file(cls, path: Path) -> "Sealer":
        """Read the master keys from a file. Raise MasterKeyError if it cannot be used."""
        return cls(read_master_keys(path), path)

    def __repr__(self) -> str:
        return f"Sealer({', '.join(key.id for key in self._keys)})"

    @property
    def keys(self) -> tuple[MasterKey, ...]:
        """The master keys, the one that seals first; read again if the file has changed.

        While the file cannot be read, the keys that were read last stay in use.
        """
        seen = _version_of(self._path)
        if self._path is not None and seen is not None and seen != self._seen:
            with suppress(MasterKeyError):
                self._keys = read_master_keys(self._path)
            self._seen = seen
        return self._keys

    @property
    def prefix(self) -> str:
        """What every value sealed with the first key begins with."""
        return f"{_FORMAT}.{self.keys[0].id}."

    def seal(self, value: str, identity: str) -> str:
        """Return `value` encrypted for the row that `identity` names."""
        key = self.keys[0]
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(key.secret).encrypt(nonce, value.encode(), _bound(key.id, identity))
        return f"{_FORMAT}.{key.id}.{urlsafe_b64encode(nonce + sealed).decode()}"

    def unseal(self, sealed: str, identity: str) -> str:
        """Return the value. Raise SealingError unless it was sealed for this row."""
        key, payload = self._parse(sealed)
        nonce, rest = payload[:NONCE_BYTES], payload[NONCE_BYTES:]
        try:
            return (
                AESGCM(key.secret).decrypt(nonce, rest, _bound(key.id, identity)).decode()
            )
        except (InvalidTag, ValueError):
            # The cause is left out: its text may hold what was decrypted.
            raise SealingError(
                "A stored value was changed, or belongs to another row.",
                hint="Set the credential again, or restore a backup.",
            ) from None

    def reseal(self, sealed: str, identity: str) -> str:
        """Return the value sealed with the first key; as it was if it is already."""
        if sealed.startswith(self.prefix):
            return sealed
        return self.seal(self.unseal(sealed, identity), identity)

    def _parse(self, sealed: str) -> tuple[MasterKey, bytes]:
        form, _, rest = sealed.partition(".")
        key_id, _, payload = rest.partition(".")
        try:
            decoded = urlsafe_b64decode(payload.encode())
        except ValueError:
            decoded = b""
        if form != _FORMAT or not decoded or payload != urlsafe_b64encode(decoded).decode():
            raise SealingError(
                "A stored value is not in the format that this version writes.",
                hint="Set the credential again, or restore a backup.",
            )
        for key in self.keys:
            if key.id == key_id:
                return key, decoded
        raise SealingError(
            "A stored value was sealed with a master key that is not configured.",
            hint="Add the master key that was in use to the file, below the current one.",
        )


def _bound(key_id: str, identity: str) -> bytes:
    return f"{_FORMAT}\0{key_id}\0{identity}".encode()


def _version_of(path: Path | None) -> tuple[int, int, int] | None:
    """Return what changes when the file is replaced. None if it cannot be read."""
    with suppress(OSError):
        if path is not None:
            status = path.stat()
            return status.st_ino, status.st_mtime_ns, status.st_size
    return None
