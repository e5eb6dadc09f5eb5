"""Reading platform.toml."""

from pathlib import Path

import pytest

from rensei_platform.config_file import read_providers
from rensei_platform.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"x = 1", "'x': no such key"),
        (b"providers = 1", "providers: not tables such as [providers.NAME]"),
        (b"[providers]\na = 1", "providers: not tables such as [providers.NAME]"),
        (b"\xff", "not UTF-8"),
        (b"x = canary", "Invalid value (at line 1, column 5)"),
        (b"#" * 1024 * 1025, "larger than 1048576 bytes"),
    ],
)
def test_wrong(text: bytes, message: str, tmp_path: Path) -> None:
    """A file that is wrong is refused by name, with where and what."""
    path = tmp_path / "platform.toml"
    path.write_bytes(text)
    with pytest.raises(SettingsError) as refused:
        read_providers(path)
    assert str(refused.value) == f"{path}: {message}"


def test_absent(tmp_path: Path) -> None:
    """A file that is not there is refused; an empty one has no instances."""
    path = tmp_path / "platform.toml"
    with pytest.raises(SettingsError, match="cannot be read: No such file or directory"):
        read_providers(path)
    path.touch()
    assert read_providers(path) == {}
