"""`init` and `serve` by the command lines of the documentation."""

import json
import stat
from pathlib import Path

import httpx
import pytest
from platform_program import Program
from sqlalchemy import URL

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


def test_directory_of_the_database_is_made(program: Program) -> None:
    """A newcomer need not make the directory first; it is for its owner alone."""
    program.init(f"sqlite:///{program.directory}/new/platform.db")
    assert stat.S_IMODE((program.directory / "new").stat().st_mode) == 0o700
