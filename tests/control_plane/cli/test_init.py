"""`init` and `serve` by the command lines of the documentation."""

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import forked
import httpx
import pytest
from deadlines import HANG_SECONDS
from platform_program import Program
from platform_server import sqlite_url
from sqlalchemy import URL

from rensei_platform.store.lock import exclusive
from rensei_platform.store.schema import _make_private, migrate

pytestmark = pytest.mark.slow

ORG = ("--org", "Acme", "--org-id", "org_acme", "--owner", "Ada@acme.test")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program, with its state in a directory of the test."""
    return Program(tmp_path)


@pytest.fixture
def url(empty_database: URL) -> str:
    """The database as an operator writes it down."""
    return empty_database.set(
        drivername=empty_database.get_backend_name()
    ).render_as_string(hide_password=False)


def _key_file(program: Program, url: str) -> Path:
    name = "platform.db.key" if url.startswith("sqlite") else "state/master.key"
    return program.directory / name


def test_database_url_is_enough(program: Program, url: str) -> None:
    """`init` and `serve` need nothing but the URL, on either kind of database."""
    made = json.loads(program.run("init", "--database", url, *ORG, "--json"))
    assert made.keys() == {"orgId", "key"}
    assert made["orgId"] == "org_acme"
    assert stat.S_IMODE(_key_file(program, url).stat().st_mode) == 0o600
    address = ("--host", "127.0.0.1", "--port", 0, "--heartbeat-interval-ms", 1500)
    with program.serving("--database", url, *address) as served:
        answer = httpx.post(
            f"{served}/api/workers/register",
            json={"hostname": "build-07", "machineId": "m", "capacity": 1},
            headers={"Authorization": f"Bearer {made['key']}"},
            trust_env=False,
        )
    assert answer.json()["heartbeatInterval"] == 1500


def test_a_first_key_that_cannot_be_shown_is_replaced(program: Program) -> None:
    """The organization is there: the command says how its owner gets another key."""
    url, pipe = "sqlite:///platform.db", subprocess.PIPE
    with (
        Path("/dev/full").open("w") as full,
        forked.Forked(
            *("rensei_platform", "init", "--database", url, *ORG, "--json"),
            env=program.environment(),
            cwd=program.directory,
            stdout=full,
            stderr=pipe,
        ) as process,
    ):
        said = process.communicate(timeout=HANG_SECONDS)[1]
    assert process.returncode == 73, said
    recover = said.splitlines()[-1].rpartition(": rensei-platform ")[2].split()
    assert recover[:2] == ["init", "--recover"]
    assert program.json(*recover, "--database", url)["orgId"] == "org_acme"


def test_server_without_the_master_key_does_not_start(program: Program, url: str) -> None:
    """Another server of the database makes no key of its own: it asks for the one there."""
    program.init(url)
    _key_file(program, url).rename(program.directory / "elsewhere")
    message = program.run("serve", "--database", url, "--port", 0, exit_code=78)
    assert message == (
        f"error: {_key_file(program, url)}: cannot read the master key: No such file or "
        "directory\nCopy it from another server of this database, or from its backup; "
        "for a new database run `rensei-platform init`.\n"
    )


def test_another_master_key_is_refused(program: Program, url: str) -> None:
    """Neither `serve` nor `init` uses a key that the database is not sealed with."""
    program.init(url)
    _key_file(program, url).unlink()
    again = ("init", "--database", url, "--org", "B", "--owner", "bob@b.test")
    for command in (again, ("serve", "--database", url, "--port", 0)):
        message = program.run(*command, exit_code=78)
        assert "this is not the master key of the database\nCopy the file" in message


def test_organization_is_founded_once(program: Program, url: str) -> None:
    """The same id again is refused, and the first key goes on to work."""
    program.init(url)
    message = program.run("init", "--database", url, *ORG, exit_code=1)
    assert message.endswith("error: Organization org_acme is there already\n")


def _modes(place: Path) -> dict[str, int]:
    """Return the modes of what belongs to a database."""
    files = sorted(place.glob("platform.db*"))
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in files}


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Let programs make files that anybody may read and change."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_database_is_its_owners_alone(tmp_path: Path) -> None:
    """With all that SQLite keeps beside it, while a server runs and afterwards."""
    program, url = Program(tmp_path), "sqlite:///platform.db"
    program.run("init", "--database", url, "--org", "Acme", "--owner", "ada@acme.test")
    alone = {"platform.db": 0o600, "platform.db.key": 0o600, "platform.db.lock": 0o600}
    assert _modes(tmp_path) == alone
    with program.serving("--database", url, "--port", 0):
        logs = {"platform.db-shm": 0o600, "platform.db-wal": 0o600}
        assert _modes(tmp_path) == alone | logs


@pytest.mark.usefixtures("open_umask")
def test_database_is_never_open_to_others(tmp_path: Path) -> None:
    """From the moment that there is a file: an empty one of SQLite's would be 0644."""
    file = tmp_path / "platform.db"
    with exclusive(url := sqlite_url(tmp_path)):
        _make_private(str(file))
        assert _modes(tmp_path) == {"platform.db": 0o600, "platform.db.lock": 0o600}
        migrate(url)
    assert set(_modes(tmp_path).values()) == {0o600}


def test_mode_that_an_operator_chose_stays(program: Program) -> None:
    """As for a group that makes backups; through a link too."""
    program.init("sqlite:///platform.db")
    file = (program.directory / "platform.db").rename(program.directory / "elsewhere.db")
    file.chmod(0o640)
    (program.directory / "platform.db").symlink_to(file)
    (program.directory / "platform.db.lock").chmod(0o644)
    program.run("migrate", "--database", "sqlite:///platform.db")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    lock = program.directory / "platform.db.lock"
    assert stat.S_IMODE(lock.stat().st_mode) == 0o644


def test_directory_of_the_database_is_made(program: Program) -> None:
    """A newcomer need not make the directory first; it is for its owner alone."""
    program.init(f"sqlite:///{program.directory}/new/platform.db")
    assert stat.S_IMODE((program.directory / "new").stat().st_mode) == 0o700


def test_the_first_key_is_in_its_file_alone(program: Program, tmp_path: Path) -> None:
    """JSON names the file."""
    given = ("--database", "sqlite:///platform.db", *ORG, "--write-key", "owner.key")
    assert program.json("init", *given) == {"orgId": "org_acme", "keyFile": "owner.key"}
    assert (tmp_path / "owner.key").read_text().startswith("rsk_live_")


@pytest.mark.parametrize(
    "wrong", [("--org", ""), ("--org", "\udcff"), ("--org-id", ""), ("--org-id", "../x")]
)
def test_nothing_is_made_of_a_wrong_name(
    program: Program, tmp_path: Path, wrong: tuple[str, str]
) -> None:
    """It is refused before there is a database."""
    given = ("--database", "sqlite:///platform.db", *ORG, *wrong)
    message = program.run("init", *given, exit_code=1)
    assert message.startswith(f"error: {wrong[0]} ")
    assert not (tmp_path / "platform.db").exists()
