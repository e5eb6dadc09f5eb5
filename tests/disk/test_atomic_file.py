"""Replacing a file: the old one or the new one, whole, with its mode from the first."""

import errno
import os
import stat
from pathlib import Path

import pytest

from rensei_daemon.disk.atomic_file import remove_temporaries, replace_file, storage_errors
from rensei_daemon.errors import StorageError


def test_the_mode_is_asserted_whatever_the_umask(tmp_path: Path) -> None:
    """Each replacement sets the mode again, even if it was changed."""
    path = tmp_path / "build.env"
    umask = os.umask(0o777)
    try:
        for data in (b"one", b"two"):
            replace_file(path, data, mode=0o440)
            assert path.stat().st_mode == stat.S_IFREG | 0o440
            assert path.read_bytes() == data
            path.chmod(0o666)
    finally:
        os.umask(umask)
    assert [entry.name for entry in tmp_path.iterdir()] == ["build.env"]


def test_a_symlink_is_replaced_not_followed(tmp_path: Path) -> None:
    """A link in the place of a secret, from another user, is not followed."""
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "token"
    elsewhere.write_text("theirs")
    path.symlink_to(elsewhere)
    replace_file(path, b"secret", mode=0o600)
    assert not path.is_symlink()
    assert elsewhere.read_text() == "theirs"


@pytest.mark.needs("root")
def test_the_group_is_set_before_the_file_appears(tmp_path: Path) -> None:
    """A reader never sees it with another group."""
    replace_file(tmp_path / "f", b"", mode=0o440, gid=1234)
    assert (tmp_path / "f").stat().st_gid == 1234


def test_what_is_written_is_flushed_before_it_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File, rename, directory: in this order, so that a power cut leaves one or other."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        steps.append("directory" if is_directory else "file")
        fsync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    replace_file(tmp_path / "f", b"x", mode=0o600)
    assert steps == ["file", "rename", "directory"]


def test_a_failure_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the disk says while the new one is written."""
    path = tmp_path / "f"
    path.write_text("old")

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError) as refused:
        replace_file(path, b"new", mode=0o600)
    assert str(refused.value) == f"{path}: Input/output error"
    assert refused.value.hint == "the disk reports an I/O error: see dmesg"
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("f", "old")]


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.ENOSPC, "make room: df -h /d; df -i /d"),
        (errno.EDQUOT, "make room: df -h /d; df -i /d"),
        (errno.EROFS, "mount it writable: findmnt --target /d"),
        (errno.EACCES, "let the daemon's user write there: ls -ld /d /d/f"),
        (errno.EPERM, "let the daemon's user write there: ls -ld /d /d/f"),
        (errno.EISDIR, "look at it: ls -ld /d /d/f"),
    ],
)
def test_an_error_says_what_would_mend_it(code: int, hint: str) -> None:
    """The system's message, and one command."""
    with pytest.raises(StorageError) as refused, storage_errors(Path("/d/f")):
        raise OSError(code, os.strerror(code), "/d/.f.5ca1ab1e.tmp")
    assert str(refused.value) == f"/d/f: {os.strerror(code)}"
    assert refused.value.hint == hint


def test_only_our_own_leftovers_are_removed(tmp_path: Path) -> None:
    """Temporary files of this target go; those of others stay."""
    for name in (
        f".f.{'aa' * 6}.tmp",
        f".f.{'bb' * 6}.tmp",
        f".g.{'aa' * 6}.tmp",
        ".f.save.tmp",
        "f",
        ".f.tmp",
    ):
        (tmp_path / name).touch()
    remove_temporaries(tmp_path / "f")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".f.save.tmp",
        ".f.tmp",
        ".g.aaaaaaaaaaaa.tmp",
        "f",
    ]
