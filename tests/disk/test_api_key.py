"""Where the API key is taken from, and what is refused."""

from pathlib import Path

import pytest

from rensei_daemon.disk.api_key import ApiKeySource, read_api_key
from rensei_daemon.errors import SettingsError

KEY = "rsk_live_CANARY1"
OLDER = "rsp_live_CANARY2"


def key_file(path: Path, text: str = f"{KEY}\n", mode: int = 0o600) -> Path:
    """Write a key file."""
    path.write_text(text)
    path.chmod(mode)
    return path


def test_credential_first(tmp_path: Path) -> None:
    """The systemd credential goes before the variable and the file."""
    key_file(tmp_path / "api-key", mode=0o440)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "RENSEI_API_KEY": OLDER}
    key = read_api_key(environ=environ, api_key_file=tmp_path / "none")
    assert (key.secret, key.source) == (KEY, ApiKeySource.SYSTEMD_CREDENTIAL)


def test_variable_second(tmp_path: Path) -> None:
    """Without the credential the variable is used, in the older form too."""
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "RENSEI_API_KEY": OLDER}
    key = read_api_key(environ=environ, api_key_file=key_file(tmp_path / "key"))
    assert (key.secret, key.source) == (OLDER, ApiKeySource.ENVIRONMENT)


def test_file_last(tmp_path: Path) -> None:
    """Without both the file is read, less its line break."""
    key = read_api_key(environ={}, api_key_file=key_file(tmp_path / "key"))
    assert (key.secret, key.source) == (KEY, ApiKeySource.FILE)


def test_rotation_hints(tmp_path: Path) -> None:
    """A key in the file needs a reload; the other two need a restart."""
    file = read_api_key(environ={}, api_key_file=key_file(tmp_path / "api-key"))
    variable = read_api_key(environ={"RENSEI_API_KEY": KEY}, api_key_file=None)
    credential = read_api_key(
        environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}, api_key_file=None
    )
    assert file.rotation_hint == (
        "write the new key to platform.api_key_file, then: rensei-daemon reload"
    )
    assert variable.rotation_hint == (
        "put the new key in RENSEI_API_KEY, then: systemctl restart rensei-daemon"
    )
    assert credential.rotation_hint == (
        "put the new key in the unit's api-key credential, then: "
        "systemctl restart rensei-daemon"
    )


def test_repr() -> None:
    """A key's repr does not show it."""
    key = read_api_key(environ={"RENSEI_API_KEY": KEY}, api_key_file=None)
    assert repr(key) == "ApiKey(source=<ApiKeySource.ENVIRONMENT: 'environment'>)"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o444])
def test_open_file(tmp_path: Path, mode: int) -> None:
    """A key file that others can read is refused, with the line that fixes it."""
    path = key_file(tmp_path / "key", mode=mode)
    with pytest.raises(SettingsError) as caught:
        read_api_key(environ={}, api_key_file=path)
    assert str(caught.value) == f"{path}: others can read the API key (mode {mode:04o})"
    assert caught.value.hint.startswith(f"chmod 0600 {path};")
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    "text",
    [
        "secret-CANARY",
        "RSK_LIVE_CANARY",
        "rsk_live_",
        "rsk_live_CANARY\nCANARY",
        "\x00",
    ],
)
def test_no_key(text: str) -> None:
    """What is no key of the platform is refused without being shown."""
    with pytest.raises(SettingsError) as caught:
        read_api_key(environ={"RENSEI_API_KEY": text}, api_key_file=None)
    assert str(caught.value) == "RENSEI_API_KEY: this is no API key of the platform"
    assert "CANARY" not in caught.value.hint


def test_nowhere() -> None:
    """Without any key the error says where one may be put."""
    with pytest.raises(SettingsError, match="there is no API key") as caught:
        read_api_key(environ={}, api_key_file=None)
    assert "/etc/credstore/rensei-daemon.api-key" in caught.value.hint


def test_missing_file(tmp_path: Path) -> None:
    """A key file that is named but missing is an error that names it."""
    path = tmp_path / "key"
    with pytest.raises(SettingsError) as caught:
        read_api_key(environ={}, api_key_file=path)
    assert str(caught.value) == f"{path}: no such file"


def test_empty_file(tmp_path: Path) -> None:
    """An empty key file is called empty."""
    path = key_file(tmp_path / "key", text="\n")
    with pytest.raises(SettingsError) as caught:
        read_api_key(environ={}, api_key_file=path)
    assert str(caught.value) == f"{path}: the API key is empty"


def test_directory(tmp_path: Path) -> None:
    """A directory in the key's place is an error that names it."""
    with pytest.raises(SettingsError, match="the API key cannot be read"):
        read_api_key(environ={}, api_key_file=tmp_path)
