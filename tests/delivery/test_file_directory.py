"""A directory of files: one generation at a time, and nobody else's files."""

import os
import stat
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from rensei_daemon.core.credential import Credentials, difference
from rensei_daemon.core.file_content import FileContent, FileFormat
from rensei_daemon.delivery.file_delivery import FileDelivery, read_values
from rensei_daemon.errors import DeliveryError

NONE = Credentials()
CONTENT = FileContent(format=FileFormat.DIR)
ONE = Credentials(1, {"USER": "ada", "PASSWORD": "s3cret\n"})
TWO = Credentials(2, {"USER": "bob", "CERT": "pem"})


def _delivery(path: Path, mode: int = 0o440) -> FileDelivery:
    return FileDelivery(path, CONTENT, mode=mode, gid=os.getegid())


async def _deliver(path: Path, *generations: Credentials) -> FileDelivery:
    delivery = _delivery(path)
    for credentials in generations:
        assert await delivery.deliver(credentials, difference(NONE, credentials))
    return delivery


def _entries(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


async def test_each_name_is_a_file_with_its_value(tmp_path: Path) -> None:
    """As it is, without a line end; old names go, and so does the old generation."""
    path = tmp_path / "db"
    delivery = await _deliver(path, ONE)
    assert (path / "PASSWORD").read_text() == "s3cret\n"
    assert read_values(path, FileFormat.DIR) == ONE.env
    inode = path.stat().st_ino
    await delivery.deliver(TWO, difference(ONE, TWO))
    assert read_values(path, FileFormat.DIR) == TWO.env
    generation = (path / "..data").readlink().name
    assert _entries(path) == sorted([generation, "..data", "CERT", "USER"])
    assert path.stat().st_ino == inode  # it may be mounted
    assert delivery.consumers[0].kind == "directory"


@pytest.mark.parametrize(
    ("mode", "directory"),
    [(0o440, "drwxr-x---"), (0o400, "drwx------"), (0o444, "drwxr-xr-x")],
)
async def test_readers_of_the_files_may_list_them(
    tmp_path: Path, mode: int, directory: str
) -> None:
    """And nobody else may, nor write there."""
    path = tmp_path / "db"
    old = os.umask(0o077)
    try:
        await _delivery(path, mode).deliver(ONE, difference(NONE, ONE))
    finally:
        os.umask(old)
    assert stat.filemode(path.stat().st_mode) == directory
    assert stat.filemode((path / "..data").stat().st_mode) == directory
    assert stat.S_IMODE((path / "USER").stat().st_mode) == mode
    assert (path / "USER").stat().st_gid == os.getegid()


async def test_a_reader_never_mixes_two_generations(tmp_path: Path) -> None:
    """With the directory behind `..data` open it sees one, or that it is gone."""
    path = tmp_path / "db"
    delivery = await _deliver(path, Credentials(1, {"A": "1", "B": "1"}))
    is_over = threading.Event()
    seen: set[tuple[str, str]] = set()

    def read() -> None:
        while not is_over.is_set():
            with suppress(FileNotFoundError), ExitStack() as opened:
                directory = os.open(path / "..data", os.O_RDONLY)
                opened.callback(os.close, directory)
                values = []
                for name in ("A", "B"):
                    file = os.open(name, os.O_RDONLY, dir_fd=directory)
                    opened.callback(os.close, file)
                    values.append(os.read(file, 9).decode())
                seen.add((values[0], values[1]))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(2, 40):
        value = str(number)
        newest = Credentials(number, {"A": value, "B": value})
        await delivery.deliver(newest, difference(NONE, newest))
    is_over.set()
    reader.join()
    assert [pair for pair in seen if pair[0] != pair[1]] == []


async def test_a_restarted_daemon_finds_what_it_left(tmp_path: Path) -> None:
    """The same values are no change; what a crash left goes."""
    path = tmp_path / "db"
    await _deliver(path, ONE)
    (path / "..0123456789ab").mkdir()
    (path / "..0123456789ab" / "USER").write_text("half")
    assert not await _delivery(path).deliver(ONE, difference(NONE, ONE))
    assert len([entry for entry in _entries(path) if entry.startswith("..")]) == 2
    assert read_values(path, FileFormat.DIR) == ONE.env


def _remove_name(path: Path) -> None:
    (path / "USER").unlink()


def _remove_file(path: Path) -> None:
    (path / "..data" / "USER").unlink()


def _add_file(path: Path) -> None:
    (path / "..data" / "MORE").write_text("x")


def _edit(path: Path) -> None:
    file = path / "USER"
    file.chmod(0o640)
    file.write_text("eve")
    file.chmod(0o440)


def _relink(path: Path) -> None:
    (path / "USER").unlink()
    (path / "USER").symlink_to("..data/PASSWORD")


def _lead_elsewhere(path: Path) -> None:
    other = path.with_name("other")
    (path / (path / "..data").readlink()).rename(other)
    (path / "..data").unlink()
    (path / "..data").symlink_to(other)


def _replace_by_file(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.write_text("")


def _replace_by_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


@pytest.mark.parametrize(
    ("alter", "what"),
    [
        (_remove_name, "was removed"),
        (_remove_file, "was removed"),
        (_add_file, "was changed"),
        (_edit, "was changed"),
        (_relink, "was changed"),
        (_lead_elsewhere, "was changed"),
        (_replace_by_file, "cannot be seen (Not a directory)"),
        (_replace_by_link, "was replaced by something that is no file"),
        (lambda path: path.chmod(0o755), "was given mode 0755 in place of 0750"),
        (
            lambda path: (path / "USER").chmod(0o444),
            "was given mode 0444 in place of 0440",
        ),
    ],
)
async def test_what_is_done_to_it_is_noticed_and_put_right(
    tmp_path: Path, alter: Callable[[Path], object], what: str
) -> None:
    """At the next look, whichever part of it was altered."""
    path = tmp_path / "db"
    delivery = await _deliver(path, ONE)
    for _ in range(2):
        assert await delivery.check(ONE) == ""
    alter(path)
    assert await delivery.check(ONE) == what
    assert not await delivery.deliver(ONE, difference(ONE, ONE))
    assert await delivery.check(ONE) == ""
    assert read_values(path, FileFormat.DIR) == ONE.env
    assert not path.is_symlink()


async def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """An operator who names the wrong one loses no file and no permission."""
    path = tmp_path / "etc"
    path.mkdir(mode=0o755)
    (path / "passwd").write_text("root")
    path.chmod(0o755)
    with pytest.raises(DeliveryError, match="holds other files") as caught:
        await _deliver(path, ONE)
    assert caught.value.hint == "choose a path that the daemon has for itself"
    assert _entries(path) == ["passwd"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


@pytest.mark.needs("root")
async def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    """Its owner could put a link in the place of each file."""
    path = tmp_path / "db"
    path.mkdir()
    os.chown(path, 65534, -1)
    with pytest.raises(DeliveryError, match="belongs to another user"):
        await _deliver(path, ONE)
    assert _entries(path) == []


async def test_a_refused_write_leaves_the_old_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing half-written stays, and the error names no value."""
    path = tmp_path / "db"
    delivery = await _deliver(path, ONE)
    before = _entries(path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DeliveryError, match="No space left on device") as caught:
            await delivery.deliver(TWO, difference(ONE, TWO))
    assert "bob" not in str(caught.value)
    assert _entries(path) == before
    assert read_values(path, FileFormat.DIR) == ONE.env


async def test_it_goes_with_its_session(tmp_path: Path) -> None:
    """But not what somebody else has put there."""
    path = tmp_path / "db"
    delivery = await _deliver(path, ONE)
    (path / "notes").write_text("mine")
    await delivery.withdraw()
    assert _entries(path) == ["notes"]
    (path / "notes").unlink()
    await delivery.withdraw()
    await delivery.withdraw()
    assert _entries(tmp_path) == []


async def test_nothing_leads_to_what_is_not_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut `..data` leads to a whole generation, the old or the new one."""
    path = tmp_path / "db"
    happened: list[str] = []
    real = {name: getattr(os, name) for name in ("fsync", "rename", "unlink")}

    def noting(name: str) -> Callable[..., object]:
        def note(first: object, *more: object, **named: object) -> object:
            is_open = name == "fsync"
            part = str(Path(f"/proc/self/fd/{first}").readlink() if is_open else first)
            last = part.rpartition("/")[2]
            happened.append(f"{name} {'generation' if last.startswith('..') else last}")
            return real[name](first, *more, **named)

        return note

    for name in real:
        monkeypatch.setattr(os, name, noting(name))
    delivery = await _deliver(path, Credentials(1, {"USER": "ada"}))
    assert happened[0] == f"fsync {tmp_path.name}"
    happened.clear()
    newest = Credentials(2, {"USER": "bob"})
    await delivery.deliver(newest, difference(NONE, newest))
    assert happened == [
        "fsync USER",
        "fsync generation",
        "fsync db",
        "rename generation",
        "fsync db",
        "unlink USER",
    ]
