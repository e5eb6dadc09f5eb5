"""The daemon's directories, its lock, and the groups of its files."""

import grp
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rensei_daemon.disk.directories import (
    is_of_others,
    is_tmpfs,
    prepare_directory,
    state_lock,
)
from rensei_daemon.disk.user_groups import group_id, group_name
from rensei_daemon.errors import SettingsError, StateInUseError, StorageError

MEMORY = Path("/dev") / "shm"


def test_a_directory_is_made_or_mended(tmp_path: Path) -> None:
    """With its parents and its mode, also when it was there with another."""
    path = tmp_path / "a" / "b"
    for _ in range(2):
        prepare_directory(path, mode=0o711)
        assert path.stat().st_mode & 0o777 == 0o711
        path.chmod(0o777)


def test_a_directory_of_others_is_left_as_it_is(tmp_path: Path) -> None:
    """Where everybody may write, as in /tmp, the daemon takes that from nobody."""
    tmp_path.chmod(0o1777)
    with pytest.raises(StorageError, match="other programs use this directory"):
        prepare_directory(tmp_path, mode=0o711)
    assert tmp_path.stat().st_mode & 0o7777 == 0o1777


@pytest.mark.parametrize(
    ("path", "mode", "expected"),
    [
        ("/", 0o755, True),
        ("/usr/../etc", 0o755, True),
        ("/var/lib", 0o755, True),
        ("/var/lib/rensei-daemon", 0o755, False),
        ("/srv/daemon", 0o777, False),
        ("/srv/daemon", 0o1777, True),
        (str(MEMORY), 0o777, True),
        ("/var/../run/lock", 0o1777, True),
    ],
)
def test_a_directory_of_the_host_is_of_others(path: str, mode: int, expected: bool) -> None:
    """Root may run a daemon, and forget the last part of a path."""
    assert is_of_others(Path(path), mode) is expected


def test_a_new_file_system_in_memory_is_the_daemons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`docker run --tmpfs` and `mount -t tmpfs` give it the mode of /tmp."""
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path)
    assert not is_of_others(tmp_path, 0o1777)
    (tmp_path / "systemd-private-1").mkdir()
    assert is_of_others(tmp_path, 0o1777)


def test_a_file_in_its_place_is_said(tmp_path: Path) -> None:
    """An error of ours, which names it."""
    (tmp_path / "state").touch()
    with pytest.raises(StorageError, match="File exists"):
        prepare_directory(tmp_path / "state", mode=0o700)


def test_the_state_is_one_daemons(tmp_path: Path) -> None:
    """The error names the process that holds it; once that has ended, another may start."""
    lock = tmp_path / "lock"
    with (
        state_lock(lock),
        pytest.raises(StateInUseError) as refused,
        state_lock(lock),
    ):
        pass
    assert str(refused.value) == (
        f"another rensei-daemon (pid {os.getpid()}) holds {tmp_path}"
    )
    with state_lock(lock):
        assert lock.read_text() == f"{os.getpid()}\n"


def test_the_holder_is_the_one_of_the_lock(tmp_path: Path) -> None:
    """Not the one before it, whose number stays in the file if the disk is full."""
    lock = tmp_path / "lock"
    with state_lock(lock):
        lock.write_text("1\n")
        with (
            pytest.raises(StateInUseError, match=rf"\(pid {os.getpid()}\)"),
            state_lock(lock),
        ):
            pass


def test_a_lock_file_that_is_gone_lets_nobody_in(tmp_path: Path) -> None:
    """The directory itself is locked: that needs no space on a full disk."""
    lock = tmp_path / "lock"
    with state_lock(lock):
        lock.unlink()
        with pytest.raises(StateInUseError), state_lock(lock):
            pass


def test_a_place_in_memory_is_known(tmp_path: Path) -> None:
    """By its mount, links followed."""
    assert is_tmpfs(MEMORY)
    (tmp_path / "link").symlink_to(MEMORY)
    assert is_tmpfs(tmp_path / "link")
    assert not is_tmpfs(Path("/proc"))


def test_a_group_nobody_made_is_said() -> None:
    """The remedy is the command that makes it."""
    with pytest.raises(SettingsError) as refused:
        group_id("no-such-group")
    assert str(refused.value) == "there is no group no-such-group on this host"
    assert refused.value.hint == "make it: groupadd --system no-such-group"


def test_the_own_group_is_found() -> None:
    """By its name, as a number."""
    assert group_id(grp.getgrgid(os.getegid()).gr_name) == os.getegid()


def test_a_group_may_be_a_number() -> None:
    """A container has groups without an entry; more digits than a number has are a name."""
    assert group_id(str(os.getegid())) == os.getegid()
    for name in (str(2**32 - 1), "9" * 5000, "٣"):
        with pytest.raises(SettingsError, match="there is no group"):
            group_id(name)


@pytest.mark.needs("root")
@pytest.mark.parametrize(("uid", "name"), [(65534, "nobody"), (2**31 - 2, "2147483646")])
def test_a_group_we_are_not_in_is_said(uid: int, name: str) -> None:
    """The remedy is the line of the unit that puts us in it; who logged in is no matter."""
    script = (
        "import os\n"
        "from rensei_daemon.disk.user_groups import group_id\n"
        "from rensei_daemon.errors import SettingsError\n"
        f"os.setgroups([]); os.setgid(65534); os.setuid({uid})\n"
        "try: group_id('daemon')\n"
        "except SettingsError as error: print(error, '|', error.hint)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "LOGNAME": "root"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == (
        f"the daemon's user {name} is not in the group daemon | in the "
        f"unit: SupplementaryGroups=daemon; else: usermod -aG daemon {name}; then: "
        "systemctl restart rensei-daemon\n"
    )


def test_a_group_is_named() -> None:
    """Groups have names, and numbers when they have none."""
    assert group_name(0) == grp.getgrgid(0).gr_name
    assert group_name(4242) == "4242"
