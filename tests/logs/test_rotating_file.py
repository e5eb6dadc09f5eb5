"""A log file of limited size."""

import os
import resource
import signal
from pathlib import Path

import pytest

from rensei_daemon.locations import log_files
from rensei_daemon.logs.rotating_file import RotatingFile, growth


def test_rotation(tmp_path: Path) -> None:
    """A full file is renamed, and the oldest is removed."""
    path = tmp_path / "log.jsonl"
    file = RotatingFile(path, max_bytes=10)
    for number in range(8):
        file.write(b"line%d\n" % number)
    file.close()
    assert [name.read_text() for name in log_files(path)] == [
        "line7\n",
        "line6\n",
        "line5\n",
    ]
    assert sorted(tmp_path.iterdir()) == sorted(log_files(path))


def test_what_is_no_file_is_not_rotated(tmp_path: Path) -> None:
    """A container's log is /dev/stdout, and stays there however much is written."""
    path = tmp_path / "stdout"
    os.mkfifo(path)
    file = RotatingFile(path, max_bytes=10)
    file.write(b"line0\n")  # it keeps the pipe open for reading, too
    with path.open("rb", buffering=0) as reader:
        for number in range(1, 8):
            file.write(b"line%d\n" % number)
        file.close()
        assert reader.read().splitlines()[-1] == b"line7"
    assert list(tmp_path.iterdir()) == [path]


def test_a_log_that_is_there_may_still_grow(tmp_path: Path) -> None:
    """It may grow to three files of 10 MB; a missing log counts as none."""
    path = tmp_path / "log.jsonl"
    assert growth(path) == 0
    path.write_bytes(b"x" * 1000)
    assert growth(path) == 29_999_000
    for file in log_files(path):
        with file.open("wb") as log:
            log.truncate(10_000_100)
    assert growth(path) == 0


def test_lines_stay_whole(tmp_path: Path) -> None:
    """Lines are never split; a line longer than the limit has its own file."""
    path = tmp_path / "log.jsonl"
    file = RotatingFile(path, max_bytes=12)
    for line in (b"five\n", b"seven..\n", b"4..\n", b"longer than all\n"):
        file.write(line)
    file.close()
    assert [name.read_bytes() for name in log_files(path)] == [
        b"longer than all\n",
        b"seven..\n4..\n",
        b"five\n",
    ]


def test_append(tmp_path: Path) -> None:
    """Lines of an earlier daemon are kept, readable only for the owner."""
    path = tmp_path / "log.jsonl"
    for line in (b"one\n", b"two\n"):
        file = RotatingFile(path)
        file.write(line)
        file.close()
    assert path.read_text() == "one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_a_file_that_was_renamed_is_left(tmp_path: Path, is_made_anew: bool) -> None:
    """So does logrotate, which compresses it next, and may have made a new one."""
    path = tmp_path / "log.jsonl"
    file = RotatingFile(path)
    file.write(b"one\n")
    path.rename(tmp_path / "log.jsonl.1")
    if is_made_anew:
        path.touch(0o640)
    file.write(b"two\n")
    file.write(b"three\n")
    path.unlink()
    file.write(b"four\n")
    file.close()
    assert path.read_text() == "four\n"
    assert (tmp_path / "log.jsonl.1").read_text() == "one\n"


def test_a_link_stays_one(tmp_path: Path) -> None:
    """The predecessors are beside the file that it leads to, on the disk that was meant."""
    (tmp_path / "big").mkdir()
    path = tmp_path / "log.jsonl"
    path.symlink_to("big/log.jsonl")
    file = RotatingFile(path, max_bytes=10)
    for number in range(3):
        file.write(b"line%d\n" % number)
    file.close()
    assert path.is_symlink()
    newest = tmp_path / "big/log.jsonl"
    assert log_files(path) == (newest, Path(f"{newest}.1"), Path(f"{newest}.2"))
    said = [name.read_text() for name in log_files(path)]
    assert said == ["line2\n", "line1\n", "line0\n"]


def test_a_file_that_was_cut_is_not_full(tmp_path: Path) -> None:
    """So does logrotate with copytruncate; its size is that of the disk, not ours."""
    path = tmp_path / "log.jsonl"
    file = RotatingFile(path, max_bytes=10)
    file.write(b"12345678\n")
    os.truncate(path, 0)
    file.write(b"two\n")
    file.close()
    assert path.read_text() == "two\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_renamed_file_is_kept_where_no_other_can_be_made(tmp_path: Path) -> None:
    """A line in the old file is better than none."""
    (tmp_path / "logs").mkdir()
    path = tmp_path / "logs/log.jsonl"
    file = RotatingFile(path)
    file.write(b"one\n")
    path.rename(tmp_path / "log.jsonl.1")
    (tmp_path / "logs").rmdir()
    file.write(b"two\n")
    file.close()
    assert (tmp_path / "log.jsonl.1").read_text() == "one\ntwo\n"


def test_torn_line(tmp_path: Path) -> None:
    """An incomplete line of a crashed daemon does not affect the next one."""
    path = tmp_path / "log.jsonl"
    path.write_text('{"event": "ha')
    file = RotatingFile(path)
    file.write(b"whole\n")
    file.write(b"next\n")
    file.close()
    assert path.read_text() == '{"event": "ha\nwhole\nnext\n'


def test_full_disk(tmp_path: Path) -> None:
    """A truncated line is an error, and ended before the next one."""
    path = tmp_path / "log.jsonl"
    file = RotatingFile(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, hard))
    try:
        with pytest.raises(OSError, match="cut short"):
            file.write(b"too long\n")
        with pytest.raises(OSError, match="File too large"):
            file.write(b"lost\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    file.write(b"whole\n")
    file.close()
    assert path.read_text() == "too lo\nwhole\n"


def test_missing_directory(tmp_path: Path) -> None:
    """A directory that is missing is an error until it is there."""
    path = tmp_path / "later" / "log.jsonl"
    file = RotatingFile(path)
    with pytest.raises(FileNotFoundError):
        file.write(b"lost\n")
    path.parent.mkdir()
    file.write(b"kept\n")
    file.close()
    assert path.read_text() == "kept\n"
