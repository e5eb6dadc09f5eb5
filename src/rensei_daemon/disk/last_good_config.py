"""The last configuration text in force, for a start without a usable file.

Beside it is a fingerprint of the text and the API key, keyed by this machine: the text
names a platform and is used only with the key it ran with. So no key is sent to a platform
that the operator has removed from the file, and a crash between the two writes leaves a
pair that is not used.
"""

import hashlib
import hmac
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from rensei_daemon.core.document import Document
from rensei_daemon.core.length_limits import MAX_CONFIG_BYTES
from rensei_daemon.disk.atomic_file import replace_file
from rensei_daemon.disk.identity_file import known_machine_id


class LastGoodConfig:
    """Read and write the text and its fingerprint; every method blocks."""

    def __init__(
        self,
        text: Path,
        fingerprint: Path,
        *,
        environ: Mapping[str, str],
        machine_id_file: Path,
    ) -> None:
        """`environ` and `machine_id_file` identify this machine."""
        self.path = text
        self._fingerprint = fingerprint
        self._machine_id = partial(
            known_machine_id, environ=environ, fallback=machine_id_file
        )

    def read(self) -> Document | None:
        """Return the text; None if absent or unreadable."""
        try:
            with self.path.open("rb") as file:
                return Document(file.read(MAX_CONFIG_BYTES).decode())
        except (OSError, UnicodeDecodeError):
            return None

    def ran_with(self, document: Document, api_key: str) -> bool:
        """Whether this text was in force with this key, on this machine."""
        try:
            with self._fingerprint.open("rb") as file:
                kept = file.read(128).strip()
        except OSError:
            return False
        wanted = self._of(document.text, api_key).encode()
        return hmac.compare_digest(kept, wanted)

    def save(self, document: Document, api_key: str) -> None:
        """Write both files; raises `StorageError`."""
        replace_file(self.path, document.text.encode(), mode=0o600)
        fingerprint = f"{self._of(document.text, api_key)}\n"
        replace_file(self._fingerprint, fingerprint.encode(), mode=0o600)

    def _of(self, text: str, api_key: str) -> str:
        digest = hashlib.sha256(text.encode()).hexdigest()
        keyed = hmac.new(self._machine_id().encode(), digestmod=hashlib.sha256)
        keyed.update(f"{digest}\n{api_key}".encode())
        return keyed.hexdigest()
