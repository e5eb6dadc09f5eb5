"""The master keys that encrypt stored values, and the file that holds them.

The file has one key a line, in base64. The first key encrypts, all of them decrypt: while
`rensei-platform key rotate-master` re-encrypts the rows, the new and the old key are in it.
"""

import hashlib
import os
import secrets
import stat
from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rensei_platform.errors import NotPermittedError, SettingsError
from rensei_platform.ownership import give_to_owner_of_directory
from rensei_platform.regular_file import open_regular

KEY_BYTES = 32
CREDENTIAL = "master-key"
"""The name under which systemd passes the file."""
MOST_FILE_BYTES = 64 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class MasterKeyError(SettingsError):
    """The file of the master key cannot be used."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One key, known by a digest of it."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of the key's SHA-256."""
        return hashlib.sha256(b"rensei-platform master key\0" + self.secret).hexdigest()[
            :16
        ]


def generate_master_key() -> MasterKey:
    """Return a new random key."""
    return MasterKey(secrets.token_bytes(KEY_BYTES))


def systemd_credential(name: str) -> Path | None:
    """Return the path of a credential that systemd passed. None if it passed none."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(directory, name) if directory else None
    return path if path is not None and path.is_file() else None


def read_master_keys(path: Path) -> tuple[MasterKey, ...]:
    """Return the keys in a file, the one that seals first.

    Raise MasterKeyError if the file is absent, readable by others, or holds no key. A file
    in the directory of systemd's credentials is as private as systemd makes it: there the
    mode shows an access control list, and is not checked.
    """
    try:
        with open_regular(path) as file:
            status = os.fstat(file.fileno())
            text = file.read(MOST_FILE_BYTES)
    except PermissionError as error:
        raise NotPermittedError(
            f"{path}: this user may not read the master key",
            hint="Be root, or the service's user.",
        ) from error
    except OSError as error:
        raise MasterKeyError(
            f"{path}: cannot read the master key: {error.strerror}",
            hint="Copy it from another server of this database, or from its backup; for a "
            "new database run `rensei-platform init`.",
        ) from error
    mode = stat.S_IMODE(status.st_mode)
    if mode & _OTHERS and not _is_systemd_credential(path):
        raise MasterKeyError(
            f"{path}: others may read the master key (mode {mode:04o})",
            hint=f"Run `chmod 600 {path}`; replace the key if somebody may have read it.",
        )
    lines = [line.strip() for line in text.splitlines()]
    keys = [_parse_key(path, line) for line in lines if line and not line.startswith(b"#")]
    if not keys:
        raise MasterKeyError(
            f"{path}: there is no master key in it",
            hint="Restore the file from its backup: without the key no value can be read.",
        )
    return tuple(dict.fromkeys(keys))


def default_master_key_path(database_file: Path | None, state: Path) -> Path:
    """Return where the master key is unless somebody has said so.

    It is beside an embedded database. For a database server it is in this machine's state
    directory, and has to be copied to every other server of the database.
    """
    if database_file is not None:
        return database_file.with_name(f"{database_file.name}.key")
    return state / "master.key"


def create_master_key_file(path: Path) -> MasterKey:
    """Write a new key to a new file, mode 0600. Raise MasterKeyError if there is a file."""
    key = generate_master_key()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(path, [key])
    except OSError as error:
        raise MasterKeyError(
            f"{path}: cannot create the master key: {error.strerror}",
            hint="To replace a key, run `rensei-platform key rotate-master`.",
        ) from error
    return key


def replace_master_keys(path: Path, keys: Sequence[MasterKey]) -> None:
    """Replace the keys in a file, atomically; they are on disk when this returns."""
    draft = _draft_of(path)
    try:
        _write(draft, keys)
        owner = path.stat()
        if owner.st_uid != os.geteuid():
            os.chown(draft, owner.st_uid, owner.st_gid)
        draft.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise MasterKeyError(
            f"{path}: cannot replace the master key: {error.strerror}",
            hint="Make the directory writable, and try again; the old key is still in use.",
        ) from error


def _is_systemd_credential(path: Path) -> bool:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(directory) and path.parent == Path(str(directory))


def _parse_key(path: Path, line: bytes) -> MasterKey:
    with suppress(BadBase64):
        secret = b64decode(line, validate=True)
        if len(secret) == KEY_BYTES:
            return MasterKey(secret)
    raise MasterKeyError(
        f"{path}: a line is not a master key ({KEY_BYTES} bytes in base64)",
        hint="Restore the file from its backup.",
    )


def _write_new(path: Path, keys: Sequence[MasterKey]) -> None:
    """Write a file that is not there yet; who reads it early sees no part of it."""
    draft = _draft_of(path)
    try:
        _write(draft, keys)
        give_to_owner_of_directory(draft)
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _write(path: Path, keys: Sequence[MasterKey]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(b64encode(key.secret) + b"\n" for key in keys)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
