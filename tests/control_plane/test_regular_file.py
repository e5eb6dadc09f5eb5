"""Files that an operator names, and what else can be at their path."""

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from deadlines import HANG_SECONDS

from rensei_platform.errors import PlatformError
from rensei_platform.http.tls import Certificate
from rensei_platform.master_key import read_master_keys
from rensei_platform.providers.http_client import HttpClient
from rensei_platform.providers.secret_source import SecretSource
from rensei_platform.regular_file import check_regular, file_version, open_regular


def _trust(file: Path) -> object:
    return HttpClient("https://a", ca_file=file, allow_http=False, most_bytes=1, timeout=1)


READERS: dict[str, Callable[[Path], object]] = {
    "master key": read_master_keys,
    "certificate": lambda file: Certificate(file, file),
    "ca_file": _trust,
    "token_file": lambda file: SecretSource("token", None, file).read(),
}


@pytest.mark.parametrize("name", READERS)
async def test_a_pipe_is_refused(tmp_path: Path, name: str) -> None:
    """To open it would wait for who writes to it, and hang a start or a server."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)

    def read() -> None:
        with pytest.raises(PlatformError) as refused:
            READERS[name](pipe)
        said = f"{refused.value} {getattr(refused.value, 'detail', '')}"
        assert "Not a regular file" in said
        assert str(pipe) in said

    with anyio.fail_after(HANG_SECONDS):
        await anyio.to_thread.run_sync(read, abandon_on_cancel=True)


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    """Also by a link, as Kubernetes mounts it; a directory is named as one."""
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"text")
    link.symlink_to(file)
    with open_regular(link) as opened:
        assert opened.read() == b"text"
    with pytest.raises(IsADirectoryError):
        check_regular(tmp_path)


def test_a_version_changes_with_the_file(tmp_path: Path) -> None:
    """It is none where there is no file."""
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_bytes(b"text")
    before = file_version(file)
    assert before == file_version(file)
    other.write_bytes(b"text")
    other.replace(file)
    assert file_version(file) not in {before, None}
    assert file_version(other) is None
