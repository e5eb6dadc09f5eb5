"""Reading platform.toml."""

from pathlib import Path

import pytest
from privileges import as_nobody

from rensei_platform.config_file import read_toml
from rensei_platform.errors import NotPermittedError, SettingsError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff", "not UTF-8"),
        (b"x = canary", "Invalid value (at line 1, column 5)"),
        (b'x = [{y = "\\u0000"}]', "a text in it has a NUL character"),
        (b"#" * 1024 * 1025, "larger than 1048576 bytes"),
    ],
)
def test_wrong(text: bytes, message: str, tmp_path: Path) -> None:
    """A file that is wrong is refused by name, with where and what."""
    path = tmp_path / "platform.toml"
    path.write_bytes(text)
    with pytest.raises(SettingsError) as refused:
        read_toml(path)
    assert str(refused.value) == f"{path}: {message}"


def test_absent(tmp_path: Path) -> None:
    """A file that is not there is refused; an empty one has no keys."""
    path = tmp_path / "platform.toml"
    with pytest.raises(SettingsError, match="cannot be read: No such file or directory"):
        read_toml(path)
    path.touch()
    assert read_toml(path) == {}


@pytest.mark.needs("root")
def test_hidden(tmp_path: Path) -> None:
    """A file that the user may not read says who may, with another exit code."""
    tmp_path.chmod(0o700)
    with as_nobody(), pytest.raises(NotPermittedError, match="may not read it") as refused:
        read_toml(tmp_path / "platform.toml")
    assert refused.value.exit_code == 77
