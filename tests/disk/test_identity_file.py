"""Who this host is, kept between starts; and how a machine is named."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rensei_daemon.core.worker import Worker
from rensei_daemon.disk.atomic_file import replace_file
from rensei_daemon.disk.identity_file import (
    IdentityFile,
    boot_id,
    machine_id,
    machine_id_from,
)

WORKER = Worker(
    id="wkr_1",
    machine_id="mid_1",
    token="eyJ.canary.x",
    token_expires_at=datetime(2026, 11, 24, 13, 0, tzinfo=UTC),
    heartbeat_seconds=30.0,
    org_id="org_1",
)


@pytest.fixture
def file(tmp_path: Path) -> IdentityFile:
    """Neither identity nor token yet."""
    return IdentityFile(tmp_path / "identity.json", tmp_path / "token")


def test_a_worker_is_read_back(file: IdentityFile, tmp_path: Path) -> None:
    """Both files are private, and only the token's holds the token."""
    assert file.read() is None
    file.save(WORKER)
    assert file.read() == WORKER
    assert {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {
        "identity.json": 0o600,
        "token": 0o600,
    }
    assert "canary" not in (tmp_path / "identity.json").read_text()


def test_a_reboot_costs_the_token_alone(file: IdentityFile, tmp_path: Path) -> None:
    """Without the token's file, or with one of another worker, the worker stays."""
    file.save(WORKER)
    bare = replace(WORKER, token="", token_expires_at=None)
    file.save(replace(WORKER, id="wkr_0"))
    other = (tmp_path / "token").read_bytes()
    file.save(WORKER)
    (tmp_path / "token").write_bytes(other)
    assert file.read() == bare
    (tmp_path / "token").unlink()
    assert file.read() == bare


def test_the_identity_is_saved_before_the_token(
    file: IdentityFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead between the two, the host is the new worker without a token, never the old."""
    file.save(replace(WORKER, id="wkr_0"))

    def die(path: Path, data: bytes, *, mode: int) -> None:
        if path.name == "token":
            raise KeyboardInterrupt
        replace_file(path, data, mode=mode)

    monkeypatch.setattr("rensei_daemon.disk.identity_file.replace_file", die)
    with pytest.raises(KeyboardInterrupt):
        file.save(WORKER)
    assert file.read() == replace(WORKER, token="", token_expires_at=None)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"worker_id": 1}', '{"worker_id": "", "machine_id": "m"}'],
)
def test_what_cannot_be_understood_counts_as_absent(
    file: IdentityFile, tmp_path: Path, text: str
) -> None:
    """The host then registers again."""
    (tmp_path / "identity.json").write_text(text)
    assert file.read() is None


def test_the_machine_is_named_as_the_platforms_own_daemon_names_it(tmp_path: Path) -> None:
    """The published vector, trimmed and in any case; the raw id is nowhere in it."""
    native = "0123456789abcdef0123456789abcdef"
    assert machine_id_from(native) == "mid_ed02223c8f66a5aad7b998ad10dc5e96"
    file = tmp_path / "machine-id"
    file.write_text(f" {native.upper()}\n")
    named = machine_id(environ={}, fallback=tmp_path / "own", native_files=(file,))
    assert named == "mid_ed02223c8f66a5aad7b998ad10dc5e96"
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"RENSEI_MACHINE_ID": "a", "DONMAI_MACHINE_ID": "b"}, "a"),
        ({"DONMAI_MACHINE_ID": "--rack 7/é--"}, "rack-7"),
        ({"RENSEI_MACHINE_ID": "x" * 200}, "x" * 128),
    ],
)
def test_a_name_that_was_given_wins(
    tmp_path: Path, environ: dict[str, str], name: str
) -> None:
    """Either brand's variable, cleaned and cut."""
    assert machine_id(environ=environ, fallback=tmp_path / "own") == name


def test_a_machine_without_an_id_gets_one_and_keeps_it(tmp_path: Path) -> None:
    """Random, once; an empty, a missing or a garbled native file is no id."""
    empty, garbled = tmp_path / "empty", tmp_path / "garbled"
    empty.write_text("\n")
    garbled.write_bytes(b"\xff\xfe")
    natives = (empty, garbled, tmp_path / "missing")
    environ = {"RENSEI_MACHINE_ID": "///"}
    names = {
        machine_id(environ=environ, fallback=tmp_path / "own", native_files=natives)
        for _ in range(2)
    }
    (name,) = names
    assert name.startswith("mid_")
    assert len(name) == 4 + 32


def test_the_boot_has_a_name() -> None:
    """The same one all boot long."""
    assert len(boot_id()) == 36
    assert boot_id() == boot_id()
