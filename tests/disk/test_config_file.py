"""One file, two authors: no text is lost, and all that is not text is carried over."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.core.document import Document
from rensei_daemon.disk import config_file as config_module
from rensei_daemon.disk import syscalls
from rensei_daemon.disk.config_file import ConcurrentEditError, ConfigFile, LockTimeouts
from rensei_daemon.errors import SettingsError, StorageError

BEFORE = Document("# ours\nmode = 1\n")
AFTER = Document("# ours\nmode = 2\n")
THEIRS = "# theirs\nmode = 3\n"
HASTE = LockTimeouts(lock_seconds=0.1, writer_seconds=0.1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A config file that says `BEFORE`."""
    path = tmp_path / "config.toml"
    path.write_text(BEFORE.text)
    return path


def _names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


class RacedFile(ConfigFile):
    """A file that a person saves after it was compared and before it is exchanged."""

    def __init__(self, path: Path, save: Callable[[Path], None]) -> None:
        super().__init__(path)
        self._save = save

    def _exchange(
        self, temporary: Path, target: Path, before: Document, after: Document
    ) -> None:
        self._save(target)
        super()._exchange(temporary, target, before, after)


def _in_place(path: Path) -> None:
    path.write_text(THEIRS)


def _by_rename(path: Path) -> None:
    draft = path.with_name(".draft")
    draft.write_text(THEIRS)
    draft.replace(path)


def test_a_text_is_read_as_it_is(path: Path) -> None:
    """Not one byte is translated, line ends included."""
    path.write_bytes("a = 1\r\n# é \u2028\r\n".encode())
    assert ConfigFile(path).read() == Document("a = 1\r\n# é \u2028\r\n")


def test_a_replacement_leaves_nothing_but_the_new_text(path: Path) -> None:
    """The file holds it, and beside it only the lock remains."""
    ConfigFile(path).replace(BEFORE, AFTER)
    assert path.read_text() == AFTER.text
    assert _names(path.parent) == ["config.toml", "config.toml.lock"]


def test_line_ends_are_written_as_they_are(path: Path) -> None:
    """A file of CRLF stays one."""
    before, after = Document("a = 1\r\n"), Document("a = 2\r\n")
    path.write_bytes(before.text.encode())
    ConfigFile(path).replace(before, after)
    assert path.read_bytes() == b"a = 2\r\n"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o400])
def test_mode_owner_and_attributes_are_carried_over(path: Path, mode: int) -> None:
    """The new file is the old one in all but its text, whatever the umask."""
    if os.geteuid() == 0:
        os.chown(path, 12, 34)
    os.setxattr(path, "user.note", b"keep me")
    path.chmod(mode)
    earlier = path.stat()
    umask = os.umask(0o077)
    try:
        ConfigFile(path).replace(BEFORE, AFTER)
    finally:
        os.umask(umask)
    found = path.stat()
    assert stat.S_IMODE(found.st_mode) == mode
    assert (found.st_uid, found.st_gid) == (earlier.st_uid, earlier.st_gid)
    assert found.st_ino != earlier.st_ino
    assert os.getxattr(path, "user.note") == b"keep me"


def test_a_symlink_stays_and_its_target_is_written(tmp_path: Path) -> None:
    """The file in the other directory is replaced there; relative links work too."""
    real = tmp_path / "etc" / "real.toml"
    real.parent.mkdir()
    real.write_text(BEFORE.text)
    link = tmp_path / "config.toml"
    link.symlink_to("etc/real.toml")
    ConfigFile(link).replace(BEFORE, AFTER)
    assert link.is_symlink()
    assert (real.is_symlink(), real.read_text()) == (False, AFTER.text)
    assert _names(real.parent) == ["real.toml"]


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.mkdir()


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [_fifo, _directory, _device])
def test_what_is_no_regular_file_is_refused(
    path: Path, make: Callable[[Path], None]
) -> None:
    """Neither read nor replaced, at once, and the message says what it is not."""
    path.unlink()
    make(path)
    file = ConfigFile(path, timeouts=HASTE)
    with pytest.raises(SettingsError, match="not a regular file"):
        file.read()
    with pytest.raises((SettingsError, StorageError), match="not a regular file"):
        file.replace(BEFORE, AFTER)
    assert not file.is_being_written()


def test_a_missing_file_says_what_to_do(path: Path) -> None:
    """It names the file, and how to get one."""
    path.unlink()
    with pytest.raises(SettingsError) as refused:
        ConfigFile(path).read()
    assert str(refused.value) == f"{path}: there is no such file"
    assert "config.example.toml" in refused.value.hint


def test_a_file_that_is_not_utf8_says_where(path: Path) -> None:
    """Line and column of the first bad byte, counted from one."""
    path.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(SettingsError) as refused:
        ConfigFile(path).read()
    assert str(refused.value) == f"{path}:2:6: not UTF-8"


def test_a_file_too_large_is_refused(path: Path) -> None:
    """16 MiB are read, one byte more is not."""
    os.truncate(path, 16 * 1024 * 1024)
    assert len(ConfigFile(path).read().text) == 16 * 1024 * 1024
    os.truncate(path, 16 * 1024 * 1024 + 1)
    with pytest.raises(SettingsError, match="larger than 16 MiB"):
        ConfigFile(path).read()


@pytest.mark.needs("root")
def test_an_unreadable_file_says_the_line_that_mends_it() -> None:
    """The hint is a command that makes the daemon's user its owner."""
    # pytest's own directory is shut to others, which would be the first thing to fix.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "config.toml")
        path.write_text("x")
        path.chmod(0o600)
        said = _read_as_nobody(path)
    assert said == (
        f"{path}: it belongs to root, and nobody may not read it (mode 0600)"
        f" | chown nobody {path}\n"
    )


def _read_as_nobody(path: Path) -> str:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from rensei_daemon.disk.config_file import ConfigFile\n"
        "from rensei_daemon.errors import SettingsError\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"try: ConfigFile(Path({str(path)!r})).read()\n"
        "except SettingsError as error: print(error, '|', error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("save", [_in_place, _by_rename])
def test_an_edit_before_the_replacement_is_noticed(
    path: Path, save: Callable[[Path], None]
) -> None:
    """The file no longer says what was read: it is not touched."""
    save(path)
    with pytest.raises(ConcurrentEditError):
        ConfigFile(path).replace(BEFORE, AFTER)
    assert path.read_text() == THEIRS
    assert _names(path.parent) == ["config.toml", "config.toml.lock"]


@pytest.mark.parametrize("save", [_in_place, _by_rename])
def test_an_edit_in_the_last_moment_comes_back(
    path: Path, save: Callable[[Path], None]
) -> None:
    """Saved after the comparison, it is in the file again when the call returns."""
    with pytest.raises(ConcurrentEditError):
        RacedFile(path, save).replace(BEFORE, AFTER)
    assert path.read_text() == THEIRS
    assert _names(path.parent) == ["config.toml", "config.toml.lock"]


def test_the_newest_of_two_edits_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved before the exchange, and again while ours stood there: the last one counts."""
    exchange, calls = syscalls.exchange, []

    def exchange_and_save(one: Path, other: Path) -> None:
        exchange(one, other)
        calls.append(other)
        if len(calls) == 1:
            path.write_text("# the newest\n")

    monkeypatch.setattr(config_module, "exchange", exchange_and_save)
    with pytest.raises(ConcurrentEditError):
        RacedFile(path, _in_place).replace(BEFORE, AFTER)
    assert path.read_text() == "# the newest\n"


def test_a_writer_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer finishes first; the replacement then succeeds.

    Without the wait it would be exchanged, found open, put back and planned again.
    """
    asked = threading.Event()
    ask = syscalls.is_closed_for_writing

    def ask_and_tell(file: BinaryIO) -> bool:
        is_closed = ask(file)
        if not is_closed:
            asked.set()
        return is_closed

    monkeypatch.setattr(config_module, "is_closed_for_writing", ask_and_tell)
    failures: list[Exception] = []

    def replace() -> None:
        try:
            ConfigFile(path).replace(BEFORE, AFTER)
        except StorageError as error:
            failures.append(error)

    with path.open("r+"):
        thread = threading.Thread(target=replace)
        thread.start()
        assert asked.wait(HANG_SECONDS)
        assert path.read_text() == BEFORE.text
    thread.join(HANG_SECONDS)
    assert not thread.is_alive()
    assert failures == []
    assert path.read_text() == AFTER.text


def test_a_writer_who_comes_while_we_ask_does_not_end_us(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel signals the holder of the lease, by default with SIGIO, which is fatal."""
    control = fcntl.fcntl

    def control_and_write(file: BinaryIO, command: int, argument: int) -> int:
        done = control(file, command, argument)
        if (command, argument) == (fcntl.F_SETLEASE, fcntl.F_RDLCK):
            with pytest.raises(BlockingIOError):
                os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        return done

    signals: list[int] = []
    deadly = signal.signal(signal.SIGIO, lambda number, _: signals.append(number))
    monkeypatch.setattr(fcntl, "fcntl", control_and_write)
    try:
        with path.open("rb") as file:
            assert syscalls.is_closed_for_writing(file)
            path.write_text(THEIRS)  # the lease is given back
    finally:
        signal.signal(signal.SIGIO, deadly)
    assert signals == []


@pytest.fixture
def steps(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to the disk, in its order; a copy may be beside the file then."""
    steps: list[str] = []

    def note(name: str, does: Callable[..., None]) -> Callable[..., None]:
        def noted(*arguments: object) -> None:
            has_copy = any(path.parent.glob(".*.tmp"))
            steps.append(f"{name} beside a copy" if has_copy else name)
            does(*arguments)

        return noted

    for name in ("exchange", "sync_directory"):
        does = getattr(config_module, name)
        monkeypatch.setattr(config_module, name, note(name, does))
    return steps


def test_the_directory_is_flushed_after_the_exchange(path: Path, steps: list[str]) -> None:
    """A power cut after the call brings the old text back neither here nor beside it."""
    ConfigFile(path).replace(BEFORE, AFTER)
    assert steps == ["exchange beside a copy", "sync_directory"]


def test_the_directory_is_flushed_when_an_edit_went_back(
    path: Path, steps: list[str]
) -> None:
    """A person's text is as durable in its place as if nothing had been tried."""
    with pytest.raises(ConcurrentEditError):
        RacedFile(path, _in_place).replace(BEFORE, AFTER)
    assert steps == [*["exchange beside a copy"] * 2, "sync_directory"]


def test_the_directory_is_flushed_after_a_recovery(path: Path, steps: list[str]) -> None:
    """So is the edit that a crash had left beside the file."""
    path.write_text(AFTER.text)
    path.with_name(".config.toml.abcabcabcabc.tmp").write_text(THEIRS)
    ConfigFile(path).recover(before=BEFORE.digest, after=AFTER.digest)
    assert steps == ["exchange beside a copy", "sync_directory"]


@pytest.mark.usefixtures("no_exchange")
def test_the_directory_is_flushed_after_a_rename(path: Path, steps: list[str]) -> None:
    """Also where nothing can be exchanged."""
    ConfigFile(path).replace(BEFORE, AFTER)
    assert steps == ["exchange beside a copy", "sync_directory"]


def test_a_writer_who_never_closes_is_named(path: Path) -> None:
    """After a while the call raises an error, and has changed nothing."""
    file = ConfigFile(path, timeouts=HASTE)
    with path.open("a"):
        assert file.is_being_written()
        with pytest.raises(StorageError, match="held open for writing") as refused:
            file.replace(BEFORE, AFTER)
    assert refused.value.hint == f"close it there; see which: fuser -v {path}"
    assert path.read_text() == BEFORE.text
    assert not file.is_being_written()


def test_a_writer_who_came_in_the_last_moment_keeps_the_file(path: Path) -> None:
    """Their file goes back under its name unread, and what they type next is in it."""
    held: list[int] = []

    def open_for_writing(target: Path) -> None:
        held.append(os.open(target, os.O_WRONLY))

    file = RacedFile(path, open_for_writing)
    file._timeouts = HASTE
    with pytest.raises(StorageError, match="held open for writing"):
        file.replace(BEFORE, AFTER)
    os.write(held[0], b"# mine")
    os.close(held[0])
    assert path.read_text() == "# mine\nmode = 1\n"


def test_the_lock_of_another_is_respected(path: Path) -> None:
    """Two daemons, or a command and a daemon, never replace at the same time."""
    file, other = ConfigFile(path, timeouts=HASTE), ConfigFile(path)
    with (
        other._locked(),
        pytest.raises(StorageError, match="is held by another process"),
    ):
        file.replace(BEFORE, AFTER)
    file.replace(BEFORE, AFTER)
    assert path.read_text() == AFTER.text


@pytest.fixture
def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows no exchange."""

    def refuse(one: Path, other: Path) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(other))

    monkeypatch.setattr(config_module, "exchange", refuse)


@pytest.mark.usefixtures("no_exchange")
def test_without_an_exchange_the_file_is_compared_and_renamed(path: Path) -> None:
    """The text is replaced, an edit before it noticed, and nothing left behind."""
    ConfigFile(path).replace(BEFORE, AFTER)
    assert path.read_text() == AFTER.text
    with pytest.raises(ConcurrentEditError):
        ConfigFile(path).replace(BEFORE, AFTER)
    assert _names(path.parent) == ["config.toml", "config.toml.lock"]


def test_a_read_only_place_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the system's message and a command; the file is unchanged."""

    def refuse(one: Path, other: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(other))

    monkeypatch.setattr(config_module, "exchange", refuse)
    with pytest.raises(StorageError) as refused:
        ConfigFile(path).replace(BEFORE, AFTER)
    assert str(refused.value) == f"{path}: Read-only file system"
    assert refused.value.hint == f"mount it writable: findmnt --target {path.parent}"
    assert path.read_text() == BEFORE.text


def test_a_full_disk_leaves_the_file_whole(small_disk: Path) -> None:
    """Nothing half-written remains, the error has a hint, and free space fixes it."""
    path = small_disk / "config.toml"
    path.write_text(BEFORE.text)
    big = Document(AFTER.text + "#" * 400_000)
    with pytest.raises(StorageError, match="No space left on device") as refused:
        ConfigFile(path).replace(BEFORE, big)
    assert refused.value.hint == f"make room: df -h {small_disk}; df -i {small_disk}"
    assert path.read_text() == BEFORE.text
    assert _names(small_disk) == ["config.toml", "config.toml.lock"]
    ConfigFile(path).replace(BEFORE, AFTER)
    assert path.read_text() == AFTER.text


@pytest.mark.parametrize(
    ("on_disk", "leftover", "expected"),
    [
        (BEFORE.text, AFTER.text, BEFORE.text),  # died before the exchange
        (BEFORE.text, AFTER.text[:5], BEFORE.text),  # in the middle of writing ours
        (AFTER.text, BEFORE.text, AFTER.text),  # after the exchange
        (AFTER.text, THEIRS, THEIRS),  # after the exchange, which had caught an edit
        (THEIRS, AFTER.text, THEIRS),  # after the edit had gone back
        (THEIRS, BEFORE.text, THEIRS),  # after, and edited since
    ],
)
def test_what_a_crash_left_is_settled(
    path: Path, on_disk: str, leftover: str, expected: str
) -> None:
    """An edit that exists nowhere else is restored, and temporary files are removed."""
    path.write_text(on_disk)
    path.with_name(".config.toml.abcabcabcabc.tmp").write_text(leftover)
    ConfigFile(path).recover(before=BEFORE.digest, after=AFTER.digest)
    assert path.read_text() == expected
    assert _names(path.parent) == ["config.toml", "config.toml.lock"]


def test_nothing_left_is_settled_too(path: Path) -> None:
    """At a first start there is neither an intent nor, perhaps, a file."""
    ConfigFile(path).recover(before="", after="")
    assert path.read_text() == BEFORE.text
    path.unlink()
    ConfigFile(path).recover(before="", after="")


def test_a_stamp_changes_with_the_file(path: Path) -> None:
    """A save in either style, a chmod, and the loss of the file are all seen."""
    file = ConfigFile(path)
    stamps = [file.stamp()]
    for change in (_in_place, _by_rename, lambda path: path.chmod(0o640), Path.unlink):
        change(path)
        stamps.append(file.stamp())
    assert len(set(stamps)) == 5
    assert stamps[-1] == (errno.ENOENT, 0, 0)


def test_an_editor_that_saves_all_the_time_loses_nothing(path: Path) -> None:
    """A person appends lines while the daemon counts up: all of both are there."""
    path.write_text("count = 0\n")
    saved = threading.Event()

    def edit() -> None:
        for number in range(60):
            # As an editor does it that overwrites in place: read, change, write.
            with path.open("r+") as file:
                text = file.read()
                file.seek(0)
                file.write(f"{text}# {number}\n")
        saved.set()

    editor = threading.Thread(target=edit)
    editor.start()
    file, made = ConfigFile(path), 0
    while made < 40 or not saved.is_set():
        before = file.read()
        after = Document(before.text.replace(f"count = {made}", f"count = {made + 1}"))
        try:
            file.replace(before, after)
        except ConcurrentEditError:
            continue
        made += 1
    editor.join(HANG_SECONDS)
    lines = path.read_text().splitlines()
    assert lines[0] == f"count = {made}"
    assert lines[1:] == [f"# {number}" for number in range(60)]


def test_a_stranger_beside_the_file_is_left_alone(tmp_path: Path) -> None:
    """What is not named as ours, or is no regular file, is neither used nor removed."""
    path = tmp_path / "config.toml"
    path.write_text("a = 1\n")
    stray = path.with_name(".config.toml.save.tmp")
    stray.write_text("b = 2\n")
    fifo = path.with_name(f".config.toml.{'ab' * 6}.tmp")
    os.mkfifo(fifo)
    ConfigFile(path).recover(before="", after=Document("a = 1\n").digest)
    assert path.read_text() == "a = 1\n"
    assert stray.read_text() == "b = 2\n"
    assert fifo.is_fifo()


def test_a_loop_of_links_is_a_storage_error(tmp_path: Path) -> None:
    """The error describes it, with every version of Python."""
    path = tmp_path / "config.toml"
    path.symlink_to(path)
    with pytest.raises(StorageError, match="Too many levels of symbolic links"):
        ConfigFile(path).recover(before="", after="")
