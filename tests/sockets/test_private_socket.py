"""A unix socket as a file."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from privileges import as_nobody

from rensei_daemon.errors import SettingsError, StateInUseError, StorageError
from rensei_daemon.sockets.private_socket import private_socket


@pytest.fixture
def control_socket() -> Iterator[Path]:
    """Name a socket, in a directory that anybody may pass through as in production."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        yield Path(directory, "control.sock")


def _mode(path: Path) -> str:
    return stat.filemode(path.lstat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_file_has_its_mode_whatever_the_umask(control_socket: Path, umask: int) -> None:
    """0600, or 0660 with a group; and it is removed afterwards."""
    before = os.umask(umask)
    try:
        with private_socket(control_socket, None):
            alone = _mode(control_socket)
        with private_socket(control_socket, os.getegid()):
            shared = _mode(control_socket)
    finally:
        os.umask(before)
    assert (alone, shared) == ("srw-------", "srw-rw----")
    assert not control_socket.exists()


def test_the_file_is_never_wider_than_it_ends_up(
    control_socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the file's group is set, it is still 0600 and nobody can connect."""
    seen = []
    chown = os.chown

    def watch(path: Path, uid: int, gid: int, *, follow_symlinks: bool) -> None:
        seen.append(_mode(path))
        with socket.socket(socket.AF_UNIX) as early, pytest.raises(ConnectionRefusedError):
            early.connect(str(path))
        chown(path, uid, gid, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "chown", watch)
    before = os.umask(0)
    try:
        with private_socket(control_socket, os.getegid()):
            pass
    finally:
        os.umask(before)
    assert seen == ["srw-------"]


def test_a_stale_file_is_replaced(control_socket: Path) -> None:
    """A daemon that was killed does not keep the next one from starting."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(control_socket))
    with private_socket(control_socket, None), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(control_socket))


def test_a_live_socket_is_left_alone(control_socket: Path) -> None:
    """What another process serves is neither taken over nor removed."""
    with private_socket(control_socket, None):
        with pytest.raises(StateInUseError), private_socket(control_socket, None):
            pass
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(control_socket))


def test_a_hung_daemon_counts_as_live(control_socket: Path) -> None:
    """A full queue is a sign of life, if a poor one."""
    with socket.socket(socket.AF_UNIX) as hung, socket.socket(socket.AF_UNIX) as first:
        hung.bind(str(control_socket))
        hung.listen(0)
        first.connect(str(control_socket))
        with pytest.raises(StateInUseError), private_socket(control_socket, None):
            pass


def test_a_file_that_is_no_socket_is_in_the_way(control_socket: Path) -> None:
    """Nothing but a socket is ever removed."""
    control_socket.write_text("precious")
    with pytest.raises(StorageError, match="it is not a socket"):
        private_socket(control_socket, None).__enter__()
    assert control_socket.read_text() == "precious"


def test_somebody_elses_file_is_not_removed_at_the_end(control_socket: Path) -> None:
    """Only the file we made goes with us."""
    with private_socket(control_socket, None):
        control_socket.unlink()
        control_socket.write_text("another's")
    assert control_socket.read_text() == "another's"


def test_a_file_already_gone_is_no_trouble_at_the_end(control_socket: Path) -> None:
    """A runtime directory may be swept while the daemon runs."""
    with private_socket(control_socket, None):
        control_socket.unlink()


def test_a_path_too_long_is_the_operators_to_shorten(tmp_path: Path) -> None:
    """The error has the kernel's limit and the setting that fixes it."""
    with pytest.raises(SettingsError) as caught:
        private_socket(tmp_path / ("x" * 120), None).__enter__()
    assert caught.value.hint == "set [paths].runtime to a shorter directory"


def test_a_missing_directory_is_a_storage_error(tmp_path: Path) -> None:
    """Where nothing can be put, the error says so and why."""
    with pytest.raises(StorageError, match="No such file or directory"):
        private_socket(tmp_path / "gone" / "s", None).__enter__()


@pytest.mark.needs("root")
def test_a_group_the_user_may_not_use_says_how_to_join(control_socket: Path) -> None:
    """The remedy is a line of the unit, or a command; the file does not stay."""
    control_socket.parent.chmod(0o777)
    with as_nobody(), pytest.raises(SettingsError) as caught:
        private_socket(control_socket, 4242).__enter__()
    assert caught.value.hint == (
        "in the unit: SupplementaryGroups=4242; else: usermod -aG 4242 USER"
    )
    assert not control_socket.exists()
