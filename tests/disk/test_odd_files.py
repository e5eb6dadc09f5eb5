"""Files and places that are not as usual: mounts, ACLs, links, file systems."""

import ctypes
import os
import sqlite3
import stat
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from journals import open_database
from needs import lack, need

from rensei_daemon.core.document import Document
from rensei_daemon.disk.atomic_file import replace_file
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.disk.filesystem_probe import is_mount_point
from rensei_daemon.errors import StorageError
from rensei_daemon.sockets.private_socket import private_socket

BEFORE, AFTER = Document("mode = 1\n"), Document("mode = 2\n")
NOW = datetime(2026, 11, 24, tzinfo=UTC)
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
BIND = 4096
USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 1, 2, 4, 16, 32


def _acl(*entries: tuple[int, int, int]) -> bytes:
    """Return an ACL in the kernel's format: (tag, permissions, id) each."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


NOBODY = 0xFFFFFFFF
OPEN_TO_BOB = _acl(
    (USER_OBJ, 7, NOBODY), (USER, 7, 1234), (GROUP_OBJ, 0, NOBODY),
    (MASK, 7, NOBODY), (OTHER, 5, NOBODY),
)  # fmt: skip
"""Grants all to user 1234, and keeps the group out."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A config file that says `BEFORE`."""
    path = tmp_path / "config.toml"
    path.write_text(BEFORE.text)
    return path


@pytest.fixture
def single_mount(path: Path) -> Iterator[Path]:
    """A configuration file that is a mount point, as in containers."""
    need("mount")
    source = path.with_name("on the host.toml")
    source.write_text(BEFORE.text)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(os.fsencode(source), os.fsencode(path), None, BIND, None) == 0
    try:
        yield path
    finally:
        libc.umount2(os.fsencode(path), 2)


def test_a_file_mounted_by_itself_is_named_as_such(single_mount: Path) -> None:
    """It cannot be replaced, the message says why, and nothing is left beside it."""
    with pytest.raises(StorageError) as refused:
        ConfigFile(single_mount).replace(BEFORE, AFTER)
    assert str(refused.value) == (
        f"{single_mount} is mounted by itself, as a single file, and so cannot be replaced"
    )
    assert refused.value.hint == (
        f"mount its directory instead; see: findmnt {single_mount}"
    )
    assert single_mount.read_text() == BEFORE.text
    assert not list(single_mount.parent.glob(".config.toml.*"))


def test_a_mount_is_recognised(single_mount: Path) -> None:
    """The file is one, its source with a blank in its name is none."""
    assert is_mount_point(single_mount)
    assert not is_mount_point(single_mount.with_name("on the host.toml"))


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory whose default ACL would open everything in it to user 1234."""
    shared = tmp_path / "shared"
    shared.mkdir()
    try:
        os.setxattr(shared, DEFAULT, OPEN_TO_BOB)
    except OSError as error:
        lack("POSIX ACLs", str(error))
    return shared


def test_the_directory_grants_nothing_to_a_new_file(shared: Path) -> None:
    """Mode and group alone decide who may read it."""
    replace_file(shared / "build.env", b"x", mode=0o440)
    assert ACCESS not in os.listxattr(shared / "build.env")
    assert stat.S_IMODE((shared / "build.env").stat().st_mode) == 0o440


def test_the_directory_grants_nothing_to_a_socket(shared: Path) -> None:
    """A user whom only the default ACL names cannot connect."""
    with private_socket(shared / "s", os.getgid()):
        assert ACCESS not in os.listxattr(shared / "s")
        assert stat.S_IMODE((shared / "s").stat().st_mode) == 0o660


@pytest.mark.parametrize("own", [None, OPEN_TO_BOB])
def test_a_replaced_config_has_the_acl_it_had(shared: Path, own: bytes | None) -> None:
    """None where it had none, its own where it had one."""
    path = shared / "config.toml"
    path.write_text(BEFORE.text)
    os.removexattr(path, ACCESS)
    path.chmod(0o640)
    if own is not None:
        os.setxattr(path, ACCESS, own)
    before = path.stat().st_mode
    ConfigFile(path).replace(BEFORE, AFTER)
    assert path.stat().st_mode == before
    kept = os.getxattr(path, ACCESS) if ACCESS in os.listxattr(path) else None
    assert kept == own


def _directory(lock: Path) -> None:
    lock.mkdir()


def _link(lock: Path) -> None:
    lock.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("make", "words"),
    [(_directory, "Is a directory"), (_link, "Too many levels of symbolic links")],
)
def test_trouble_with_the_lock_names_the_lock(
    path: Path, make: Callable[[Path], None], words: str
) -> None:
    """The error does not name the configuration file."""
    lock = path.with_name("config.toml.lock")
    make(lock)
    with pytest.raises(StorageError) as refused:
        ConfigFile(path).replace(BEFORE, AFTER)
    assert str(refused.value) == f"{lock}: {words}"
    assert refused.value.hint == f"look at it: ls -ld {path.parent} {lock}"


def test_a_file_system_without_a_write_ahead_log_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint is to move the state, not to free space on the disk."""
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def connect_without_shared_memory(path: Path, **options: Any) -> sqlite3.Connection:
        return connect(f"{path.as_uri()}?vfs=unix-dotfile", uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", connect_without_shared_memory)
    path = tmp_path / "journal.db"
    with pytest.raises(StorageError) as refused:
        open_database(path, now=NOW)
    assert str(refused.value) == (
        f"{path}: its file system cannot hold a write-ahead log of SQLite (delete)"
    )
    assert refused.value.hint == (
        f"put [paths].state on a local disk; see: findmnt --target {tmp_path}"
    )
