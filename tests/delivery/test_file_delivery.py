"""A file of a session: whole, private, and in place before its readers look."""

import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rensei_daemon.core.credential import Credentials, difference
from rensei_daemon.core.file_content import FileContent, FileFormat
from rensei_daemon.delivery.file_delivery import FileDelivery
from rensei_daemon.delivery.hook_record import HookRecord
from rensei_daemon.errors import DeliveryError, StorageError

NONE = Credentials()


def _values(number: int) -> Credentials:
    env = {f"NAME_{index}": f"{number}" * 2000 for index in range(4)}
    return Credentials(number, env)


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_the_file_has_its_mode_and_group_every_time(tmp_path: Path) -> None:
    """Whatever became of them meanwhile, they are asserted with each generation."""
    path = tmp_path / "build.env"
    file = FileDelivery(path, mode=0o440, gid=os.getegid())
    assert await file.deliver(_values(1), difference(NONE, _values(1)))
    path.chmod(0o666)
    await file.deliver(_values(2), difference(_values(1), _values(2)))
    assert stat.filemode(path.stat().st_mode) == "-r--r-----"
    assert path.stat().st_gid == os.getegid()
    assert file.consumers[0].generation == 2
    assert _names(tmp_path) == ["build.env"]


async def test_a_file_that_says_the_same_already_is_no_change(tmp_path: Path) -> None:
    """A restarted daemon delivers only values that differ."""
    path = tmp_path / "build.env"
    await FileDelivery(path, mode=0o400, gid=None).deliver(
        _values(1), difference(NONE, _values(1))
    )
    (tmp_path / ".build.env.0123456789ab.tmp").write_text("left by a crash")
    again = FileDelivery(path, mode=0o440, gid=None)
    assert not await again.deliver(_values(1), difference(NONE, _values(1)))
    assert stat.filemode(path.stat().st_mode) == "-r--r-----"
    assert _names(tmp_path) == ["build.env"]
    other = FileDelivery(path, mode=0o440, gid=None)
    assert await other.deliver(_values(2), difference(NONE, _values(2)))


async def test_a_hook_that_is_still_due_is_a_change(tmp_path: Path) -> None:
    """The file says the same, but no hook has been run for it."""
    path, done = tmp_path / "build.env", tmp_path / ".build.hook-done"

    async def deliver() -> HookRecord:
        record = HookRecord(done)
        file = FileDelivery(path, mode=0o440, gid=None, hook_record=record)
        looks.append(await file.deliver(_values(1), difference(NONE, _values(1))))
        return record

    looks: list[bool] = []
    await deliver()
    record = await deliver()
    record.write(_values(1), record.changes)
    await deliver()
    assert looks == [True, True, False]
    assert stat.filemode(done.stat().st_mode) == "-rw-------"
    assert b"1111" not in done.read_bytes()


async def test_a_file_in_memory_waits_for_no_disk_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread replaces it where the record of the hook is on a disk, else its turn."""
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    memory.mkdir()
    disk.mkdir()
    monkeypatch.setattr("rensei_daemon.delivery.file_delivery.is_tmpfs", memory.__eq__)
    for directory in (memory, disk):
        record = HookRecord(directory / "done")
        file = FileDelivery(memory / "build.env", mode=0o440, gid=None, hook_record=record)
        await file.deliver(_values(1), difference(NONE, _values(1)))
        writers: list[threading.Thread] = []

        def remove(seen: list[threading.Thread] = writers) -> None:
            seen.append(threading.current_thread())

        monkeypatch.setattr(record, "remove", remove)
        assert file.takes_turns == (directory is memory)
        if not file.deliver_at_once(_values(2)):
            await file.deliver(_values(2), difference(_values(1), _values(2)))
        is_in_loop = writers == [threading.current_thread()]
        assert is_in_loop == (directory is memory)
        assert file.consumers[0].generation == 2


async def test_a_file_in_memory_is_not_replaced_at_once_if_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the first time, nor the same values again, nor where it fails."""
    monkeypatch.setattr("rensei_daemon.delivery.file_delivery.is_tmpfs", lambda _: True)
    directory = tmp_path / "run"
    directory.mkdir()
    file = FileDelivery(directory / "build.env", mode=0o440, gid=None)
    assert file.deliver_at_once(_values(1)) is None
    await file.deliver(_values(1), difference(NONE, _values(1)))
    assert file.deliver_at_once(_values(1)) is None
    directory.rename(tmp_path / "gone")
    assert file.deliver_at_once(_values(2)) is None
    assert file.consumers[0].generation == 1
    (tmp_path / "gone").rename(directory)
    assert file.deliver_at_once(_values(2))
    assert file.consumers[0].generation == 2


async def test_a_refused_write_leaves_the_old_file(tmp_path: Path) -> None:
    """The error names the file, and no value."""
    path = tmp_path / "gone" / "build.env"
    with pytest.raises(DeliveryError, match="No such file or directory") as caught:
        await FileDelivery(path, mode=0o440, gid=None).deliver(
            _values(1), difference(NONE, _values(1))
        )
    assert "1111" not in str(caught.value)
    assert caught.value.hint == f"make its directory: mkdir -p {tmp_path}/gone"


@pytest.mark.needs("root")
async def test_a_device_is_no_file_of_a_session(tmp_path: Path) -> None:
    """Whoever wants no file may not lose /dev/null for it."""
    path = tmp_path / "null"
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    delivery = FileDelivery(path, mode=0o440, gid=None)
    with pytest.raises(DeliveryError, match="null: this is a device"):
        await delivery.deliver(_values(1), difference(NONE, _values(1)))
    with pytest.raises(DeliveryError, match="null: this is a device"):
        await delivery.withdraw()
    assert stat.S_ISCHR(path.lstat().st_mode)


@pytest.mark.slow
async def test_two_hundred_readers_never_see_a_torn_file(tmp_path: Path) -> None:
    """While generations follow one another, every look finds one of them, whole."""
    path = tmp_path / "build.env"
    file = FileDelivery(path, mode=0o440, gid=None)
    await file.deliver(_values(1), difference(NONE, _values(1)))
    is_over = threading.Event()
    looks: list[int] = []
    torn: list[int] = []

    def read() -> None:
        count = 0
        while not is_over.wait(0.02) or not count:
            lines = path.read_text().splitlines()
            if len({line.split("=")[1] for line in lines}) != 1 or len(lines) != 4:
                torn.append(len(lines))
            count += 1
        looks.append(count)

    readers = [threading.Thread(target=read) for _ in range(200)]
    for reader in readers:
        reader.start()
    for number in range(2, 9):
        await file.deliver(_values(number), difference(NONE, _values(number)))
    is_over.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert len(looks) == 200
    assert path.read_text().startswith('NAME_0="8888')


async def test_the_file_goes_with_its_session(tmp_path: Path) -> None:
    """Withdrawn, there is nothing left to read."""
    file = FileDelivery(tmp_path / "build.env", mode=0o440, gid=None)
    await file.deliver(_values(1), difference(NONE, _values(1)))
    await file.withdraw()
    await file.withdraw()
    assert _names(tmp_path) == []


def _remove(path: Path) -> None:
    path.unlink()


def _write(path: Path, text: str) -> None:
    """Write in place what even its owner may only read."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    path.write_text(text)
    path.chmod(mode)


def _empty(path: Path) -> None:
    _write(path, "")


def _change_in_place(path: Path) -> None:
    """Leave size and time of modification as they were."""
    before = path.stat()
    _write(path, path.read_text().replace("1", "2"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("TOKEN=stale\n")
    other.chmod(0o440)
    other.replace(path)


def _link(path: Path) -> None:
    target = path.with_name("elsewhere")
    path.replace(target)
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("alter", "what"),
    [
        (_remove, "was removed"),
        (_empty, "was changed"),
        (_change_in_place, "was changed"),
        (_replace, "was changed"),
        (_link, "was replaced by something that is no file"),
        (lambda path: path.chmod(0o444), "was given mode 0444 in place of 0440"),
        pytest.param(
            lambda path: os.chown(path, 65534, -1),
            f"was given to user 65534, group {os.getegid()}",
            marks=pytest.mark.needs("root"),
        ),
        pytest.param(
            lambda path: os.chown(path, -1, 65534),
            f"was given to user {os.geteuid()}, group 65534",
            marks=pytest.mark.needs("root"),
        ),
    ],
)
async def test_whatever_is_done_to_the_file_is_noticed_and_put_right(
    tmp_path: Path, alter: Callable[[Path], None], what: str
) -> None:
    """At the next look; delivered again it is what it was, and the hook is not due."""
    path = tmp_path / "build.env"
    record = HookRecord(tmp_path / "done")
    file = FileDelivery(path, mode=0o440, gid=None, hook_record=record)
    await file.deliver(_values(1), difference(NONE, _values(1)))
    record.write(_values(1), record.changes)
    before = path.read_bytes()
    for _ in range(2):
        assert await file.check(_values(1)) == ""
    alter(path)
    assert await file.check(_values(1)) == what
    await file.deliver(_values(1), difference(_values(1), _values(1)))
    assert await file.check(_values(1)) == ""
    assert (path.read_bytes(), stat.filemode(path.lstat().st_mode)) == (
        before,
        "-r--r-----",
    )
    assert (path.stat().st_uid, path.stat().st_gid) == (os.geteuid(), os.getegid())
    assert record.holds(_values(1))


async def test_a_file_that_was_merely_touched_is_left_alone(tmp_path: Path) -> None:
    """Its content is compared once, and not again while nothing happens to it."""
    path = tmp_path / "build.env"
    file = FileDelivery(path, mode=0o440, gid=None)
    await file.deliver(_values(1), difference(NONE, _values(1)))
    path.touch()
    assert await file.check(_values(1)) == ""
    assert await file.check(_values(2)) == ""  # lstat alone was asked
    path.touch()
    assert await file.check(_values(2)) == "was changed"


async def test_a_file_follows_the_names_that_it_has(tmp_path: Path) -> None:
    """The rotation of another name does not touch it: a watcher would be woken."""
    path, record = tmp_path / "db.json", HookRecord(tmp_path / "done")
    content = FileContent(format=FileFormat.JSON, names=("A",), rename={"A": "key"})
    file = FileDelivery(path, content, mode=0o440, gid=None, hook_record=record)
    one, other, third = (
        Credentials(1, {"A": "1", "B": "1"}),
        Credentials(2, {"A": "1", "B": "2"}),
        Credentials(3, {"A": "3", "B": "2"}),
    )
    assert await file.deliver(one, difference(NONE, one))
    before = path.stat()
    assert not await file.deliver(other, difference(one, other))
    assert path.stat() == before
    assert file.consumers[0].generation == 2
    assert await file.check(other) == ""
    assert await file.deliver(third, difference(other, third))
    assert json.loads(path.read_text()) == {"key": "3"}
    assert (file.kind, file.consumers[0].kind) == ("json_file", "json_file")


async def test_the_hooks_record_is_of_the_files_own_values(tmp_path: Path) -> None:
    """So another name that rotated while the daemon was down is no reason to run it."""
    path, done = tmp_path / "db.env", tmp_path / "done"
    content = FileContent(names=("A",))

    async def deliver(credentials: Credentials) -> bool:
        record = HookRecord(done, content)
        file = FileDelivery(path, content, mode=0o440, gid=None, hook_record=record)
        is_news = await file.deliver(credentials, difference(NONE, credentials))
        record.write(credentials, record.changes)
        return is_news

    assert await deliver(Credentials(1, {"A": "1", "B": "1"}))
    assert not await deliver(Credentials(1, {"A": "1", "B": "2"}))
    assert await deliver(Credentials(1, {"A": "2", "B": "2"}))


async def test_what_the_format_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    """The error names the file and the name, and the remedy, but no value."""
    path = tmp_path / "plain.env"
    content = FileContent(format=FileFormat.PLAIN)
    file = FileDelivery(path, content, mode=0o440, gid=None)
    one, two = Credentials(1, {"A": "1"}), Credentials(2, {"A": "s3cret\nB=2"})
    await file.deliver(one, difference(NONE, one))
    with pytest.raises(DeliveryError) as caught:
        await file.deliver(two, difference(one, two))
    assert str(caught.value) == (
        f"{path}: the value of A has a line break, which the format plain cannot hold"
    )
    assert 'use format "env", "json" or "dir"' in caught.value.hint
    assert path.read_text() == "A=1\n"
    assert file.consumers[0].generation == 1


@pytest.mark.parametrize("in_memory", [False, True])
async def test_after_a_failure_it_is_not_certain_what_the_file_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_memory: bool
) -> None:
    """A change back to the old values is written, and the hook runs for it."""
    monkeypatch.setattr(
        "rensei_daemon.delivery.file_delivery.is_tmpfs", lambda _: in_memory
    )
    path, record = tmp_path / "build.env", HookRecord(tmp_path / "done")
    file = FileDelivery(path, mode=0o440, gid=None, hook_record=record)
    await file.deliver(_values(1), difference(NONE, _values(1)))

    def refuse() -> None:
        raise StorageError("no")

    with monkeypatch.context() as patched:
        patched.setattr(record, "remove", refuse)
        with pytest.raises(DeliveryError):
            await file.deliver(_values(2), difference(NONE, _values(2)))
    assert path.read_text().startswith('NAME_0="2222')
    back = Credentials(3, _values(1).env)
    assert await file.deliver(back, difference(_values(1), back))
    assert path.read_text().startswith('NAME_0="1111')
