"""`user`, `provider`, `audit` and `init --recover` through the real program."""

import shutil
from pathlib import Path

import pytest
from platform_program import Program

pytestmark = pytest.mark.slow

DATABASE = ("--database", "sqlite:///platform.db")
BOB = "bob@acme.test"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a program with an embedded database."""
    place = tmp_path_factory.mktemp("made")
    Program(place).init(DATABASE[1])
    return place


@pytest.fixture
def program(made: Path, tmp_path: Path) -> Program:
    """The program with a copy of that directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return Program(tmp_path)


def test_users_and_their_links(program: Program) -> None:
    """An owner adds somebody, who sets a password with the link, once."""
    home = program.directory
    with program.serving(*DATABASE, "--port", 0) as url:
        program.environ |= {
            "RENSEI_PLATFORM_URL": url,
            "RENSEI_PLATFORM_KEY_FILE": "owner.key",
        }
        made = program.json("user", "add", "--role", "admin", BOB)
        (home / "link").write_text(made["link"])
        (home / "password").write_text("correct horse battery\n")
        files = ("--link-file", "link", "--password-file", "password")
        assert program.run("user", "set-password", *files) == "the password is set\n"
        message = program.run("user", "set-password", *files, exit_code=69)
        assert message.startswith("error: HTTP 404: The link is not valid, or was used")
        users = program.json("user", "list")["users"]
        assert [(one["email"], one["hasPassword"]) for one in users] == [
            ("ada@acme.test", False),
            (BOB, True),
        ]
        assert "ADMIN" not in program.run("user", "list")
        assert program.run("user", "reset", BOB).startswith(f"link for {BOB}, shown once")
        assert program.run("user", "role", BOB, "owner") == f"{BOB} is owner\n"
        made = program.json("user", "role", BOB, "auditor")
        assert made == {"email": BOB, "role": "auditor"}
        last = program.run("user", "role", "ada@acme.test", "member", exit_code=69)
        assert last == "error: HTTP 409: The last owner of an organization stays\n"
        assert program.run("user", "remove", BOB) == f"{BOB} is a member no longer\n"
        token = program.json("key", "add", "--personal", "laptop")["key"]
        assert token.startswith("rsu_live_")
        entries = program.json("audit", "--action", "user.add", "--limit", 5)["entries"]
        assert [entry["object"] for entry in entries] == [BOB]
        assert program.json("provider", "list") == {
            "providers": [
                {"name": "database", "type": "database", "prefix": "", "failures": []}
            ]
        }
        assert "works" in program.run("provider", "list")


def test_lost_key_is_replaced(program: Program) -> None:
    """On the database's host an owner gets another key, also beside a running server."""
    with program.serving(*DATABASE, "--port", 0) as url:
        access = ("--url", url, "--key-file", "other.key")
        (program.directory / "other.key").write_text("rsk_live_wrong")
        message = program.run("host", "list", *access, exit_code=77)
        assert message == (
            "error: HTTP 401: Unauthorized\nCheck the key file; `rensei-platform init "
            "--recover` replaces a lost key.\n"
        )
        owner = ("init", "--recover", *DATABASE, "--owner")
        made = program.json(*owner, "ada@acme.test")
        assert made["orgId"] == "org_acme"
        (program.directory / "other.key").write_text(made["key"])
        assert program.json("host", "list", *access) == {"hosts": []}
        entries = program.json("audit", *access)["entries"]
        assert [(one["action"], one["actor"]) for one in entries] == [
            ("key.recover", "init --recover"),
            ("org.add", "init"),
        ]
        message = program.run(*owner, BOB, exit_code=1)
        assert message == f"error: {BOB} owns no organization\n"


def test_init_prints_a_link_for_the_password(program: Program) -> None:
    """A person gets a link; who parses JSON gets no secret besides the key."""
    owner = ("--org", "Beta", "--owner", "Eve@Beta.test")
    said = program.run("init", *DATABASE, *owner)
    assert "key of eve@beta.test, shown once: rsk_live_" in said
    assert "link to set a password, until 20" in said
    assert "rsl_live_" in said


def test_usage_is_told_from_failure(program: Program) -> None:
    """A wrong command line has an exit code of its own, as has a server that is away."""
    program.run("init", *DATABASE, "--owner", "ada@acme.test", exit_code=64)
    program.run("nonsense", exit_code=64)
    key = ("--key-file", "owner.key")
    message = program.run("host", "list", "--url", "http://127.0.0.1:9", *key, exit_code=69)
    assert message.startswith("error: cannot reach the control plane at http://127.0.0.1:9")
