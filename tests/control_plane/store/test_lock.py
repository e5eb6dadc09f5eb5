"""The lock of an embedded database, and what it tells of its holder's file."""

from pathlib import Path

import pytest
from platform_server import sqlite_url

from rensei_platform.errors import StartError
from rensei_platform.store.lock import exclusive, is_removed


def test_a_file_that_was_replaced_is_seen_while_the_lock_is_held(tmp_path: Path) -> None:
    """Not before, not after, and not if the same file is put back."""
    url = sqlite_url(tmp_path)
    file = Path(str(url.database))
    file.write_bytes(b"first")
    with exclusive(url):
        assert not is_removed(url)
        away = file.rename(tmp_path / "away")
        assert is_removed(url)
        file.write_bytes(b"other")
        assert is_removed(url)
        away.replace(file)
        assert not is_removed(url)
        file.replace(away)
        file.write_bytes(b"other")
    assert not is_removed(url)
    with exclusive(url):
        assert not is_removed(url)


def test_a_database_that_its_holder_makes_is_not_called_replaced(tmp_path: Path) -> None:
    """As `init` does, which takes the lock before there is a file."""
    url = sqlite_url(tmp_path)
    with exclusive(url):
        Path(str(url.database)).write_bytes(b"made")
        assert not is_removed(url)


def test_who_cannot_have_the_lock_leaves_what_it_says(tmp_path: Path) -> None:
    """The second server sees another file, and must not note that one."""
    url = sqlite_url(tmp_path)
    file = Path(str(url.database))
    file.write_bytes(b"first")
    with exclusive(url):
        file.rename(tmp_path / "away")
        file.write_bytes(b"other")
        with pytest.raises(StartError), exclusive(url):
            pass
        assert is_removed(url)
