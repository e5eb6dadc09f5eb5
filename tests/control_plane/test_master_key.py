"""The file of the master keys."""

import stat
from pathlib import Path

import pytest

from rensei_platform.master_key import (
    MasterKeyError,
    create_master_key_file,
    generate_master_key,
    read_master_keys,
    replace_master_keys,
    systemd_credential,
)

GOOD = "bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0="


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file is."""
    return tmp_path / "master.key"


def _refusal(path: Path) -> tuple[str, str]:
    with pytest.raises(MasterKeyError) as refused:
        read_master_keys(path)
    assert refused.value.exit_code == 78
    return str(refused.value).removeprefix(f"{path}: "), refused.value.hint


def test_create(path: Path) -> None:
    """A new file is for its owner alone, and holds the key that was returned."""
    key = create_master_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_master_keys(path) == (key,)


def test_create_twice(path: Path) -> None:
    """A key that is there is never overwritten, nor is what a symbolic link names."""
    key = create_master_key_file(path)
    link = path.with_name("link")
    link.symlink_to(path.with_name("elsewhere"))
    for taken in (path, link):
        with pytest.raises(
            MasterKeyError, match="cannot create the master key: File exists"
        ):
            create_master_key_file(taken)
    assert read_master_keys(path) == (key,)
    assert not path.with_name("elsewhere").exists()


def test_replace(path: Path) -> None:
    """Replaced keys keep their order, stay private, and leave no draft behind."""
    old, new = create_master_key_file(path), generate_master_key()
    replace_master_keys(path, [new, old])
    assert read_master_keys(path) == (new, old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_replace_fails(path: Path) -> None:
    """A replacement that fails leaves no key behind."""
    path.mkdir()
    with pytest.raises(
        MasterKeyError, match="cannot replace the master key: Is a directory"
    ):
        replace_master_keys(path, [generate_master_key()])
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_others_may_read(path: Path, mode: int) -> None:
    """A file that is open to others is refused, with the command that closes it."""
    create_master_key_file(path)
    path.chmod(mode)
    assert _refusal(path) == (
        f"others may read the master key (mode {mode:04o})",
        f"Run `chmod 600 {path}`; replace the key if somebody may have read it.",
    )


def test_absent(path: Path) -> None:
    """An absent file is refused with what makes one."""
    assert _refusal(path) == (
        "cannot read the master key: No such file or directory",
        "Copy it from another server of this database, or from its backup; for a new "
        "database run `rensei-platform init`.",
    )


@pytest.mark.parametrize("text", ["", "\n", "# a comment alone\n"])
def test_empty(path: Path, text: str) -> None:
    """A file without a key is refused."""
    path.write_text(text)
    path.chmod(0o600)
    assert _refusal(path)[0] == "there is no master key in it"


@pytest.mark.parametrize(
    "line", ["canary", GOOD[:-4], GOOD[1:], "\0" + GOOD, GOOD + GOOD, "é"]
)
def test_malformed(path: Path, line: str) -> None:
    """A line that is no key is refused, and not quoted."""
    path.write_text(f"{GOOD}\n{line}\n")
    path.chmod(0o600)
    message, hint = _refusal(path)
    assert message == "a line is not a master key (32 bytes in base64)"
    assert "canary" not in hint


def test_comments(path: Path) -> None:
    """Comments, blank lines and a key that is there twice do no harm."""
    path.write_text(f"# current\n{GOOD}\n\n  {GOOD}  \n")
    path.chmod(0o600)
    assert [key.secret for key in read_master_keys(path)] == [b"m" * 32]


def test_systemd_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential that systemd passed is found by name, and its mode is not checked."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert systemd_credential("master-key") is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert systemd_credential("master-key") is None
    path = tmp_path / "master-key"
    path.write_text(GOOD)
    path.chmod(0o440)
    assert systemd_credential("master-key") == path
    assert len(read_master_keys(path)) == 1
