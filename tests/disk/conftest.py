"""A disk small enough to fill."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import need


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 320 KiB."""
    need("mount")
    place = tmp_path / "disk"
    place.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    options = b"size=320k"
    assert libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, options) == 0
    try:
        yield place
    finally:
        libc.umount2(os.fsencode(place), 2)
