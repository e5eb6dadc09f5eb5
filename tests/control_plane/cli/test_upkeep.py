"""`backup`, `doctor`, `migrate` and `key rotate-master` beside a running server."""

import fcntl
import shutil
import signal
import stat
from contextlib import suppress
from pathlib import Path

import forked
import httpx
import pytest
from platform_program import PACKAGE, Program
from polling import wait_until
from schemas import downgrade
from sqlalchemy import URL, create_engine, text

from rensei_platform.errors import StorageError
from rensei_platform.store.backup import draft_of
from rensei_platform.store.trouble import DAMAGED, OTHERS_LOG

pytestmark = pytest.mark.slow

DATABASE = ("--database", "sqlite:///platform.db")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a program with an embedded database that holds one value."""
    place = tmp_path_factory.mktemp("made")
    program = Program(place)
    program.init(DATABASE[1])
    (place / "value").write_text("canary-value")
    with program.serving(*DATABASE, "--port", 0) as url:
        program.run("credential", "set", "--kind", "k", "A=@value", *_access(url))
    return place


@pytest.fixture
def program(made: Path, tmp_path: Path) -> Program:
    """The program with a copy of that directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return Program(tmp_path)


def _access(url: str) -> tuple[str, ...]:
    return ("--url", url, "--key-file", "owner.key")


def _value(program: Program, url: str) -> str:
    key = (program.directory / "owner.key").read_text()
    answer = httpx.post(
        f"{url}/api/daemon/credentials/snapshot",
        json={"orgId": "org_acme", "sessionId": "s"},
        headers={"Authorization": f"Bearer {key}"},
        trust_env=False,
    )
    return str(answer.json()["env"]["A"])


def test_backup_of_a_running_server_is_restored(program: Program) -> None:
    """The copy and the master key together serve what was stored; nothing else does."""
    home, copy = program.directory, program.directory / "copy.db"
    with program.serving(*DATABASE, "--port", 0):
        said = program.run("backup", *DATABASE, copy)
    assert said.startswith(f"{copy}: ")
    assert "without the key the backup restores no stored value" in said
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(file.name for file in home.glob("*copy*")) == ["copy.db"]
    restored = home / "restored.db"
    shutil.copy(copy, restored)
    lone = ("--database", f"sqlite:///{restored}", "--port", 0)
    assert "cannot read the master key" in program.run("serve", *lone, exit_code=78)
    shutil.copy(home / "platform.db.key", home / "restored.db.key")
    with program.serving(*lone) as url:
        assert _value(program, url) == "canary-value"


def test_a_log_that_was_left_is_not_applied_to_a_backup(program: Program) -> None:
    """A server is killed, and a copy put in the place of its database."""
    home, url = program.directory, f"sqlite:///{program.directory}/platform.db"
    program.run("backup", *DATABASE, "copy.db")
    with program.serving(*DATABASE, "--port", 0, stop=signal.SIGKILL) as served:
        program.run("credential", "generate", "--kind", "k", "B", *_access(served))
    log = home / "platform.db-wal"
    written = log.read_bytes()
    assert written
    shutil.copy(home / "copy.db", home / "platform.db")
    for command in (("serve", "--port", 0), ("migrate",), ("backup", "second.db")):
        message = program.run(*command, "--database", url, exit_code=69)
        assert message.startswith(f"error: {OTHERS_LOG.message}\n{OTHERS_LOG.hint}")
    assert log.read_bytes() == written
    log.unlink()
    (home / "platform.db-shm").unlink()
    with program.serving(*DATABASE, "--port", 0) as served:
        assert _value(program, served) == "canary-value"


def test_backup_overwrites_nothing(program: Program) -> None:
    """An earlier backup stays as it is."""
    (program.directory / "copy.db").write_text("earlier")
    message = program.run("backup", *DATABASE, "copy.db", exit_code=73)
    assert "copy.db: cannot write the backup: File exists" in message
    assert (program.directory / "copy.db").read_text() == "earlier"


def test_two_backups_to_one_file(program: Program) -> None:
    """The file is all of one of them, and never what the other has written so far."""
    home = program.directory
    with suppress(StorageError), draft_of(home / "copy.db") as other:
        other.write_bytes(b"half of it")
        program.run("backup", *DATABASE, "copy.db")
        assert other.read_bytes() == b"half of it"
        assert (home / "copy.db").read_bytes()[:6] == b"SQLite"
    left = home / ".copy.db.0123abcd.part"
    left.touch()  # by one that was killed
    program.run("backup", *DATABASE, "copy.db", exit_code=73)
    assert list(home.glob(".*.part")) == []


def test_a_draft_is_held_before_others_can_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another backup that begins in that moment would remove it."""
    seen: list[Path] = []
    lock = fcntl.flock

    def noted(file: int, how: int) -> None:
        seen.extend(tmp_path.glob(".*.part"))
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", noted)
    with draft_of(tmp_path / "copy.db") as draft:
        assert draft.stat().st_mode & 0o777 == 0o600
    # The one look is that for drafts to remove, which finds this one held.
    assert seen == [draft]
    assert [path.name for path in tmp_path.iterdir()] == ["copy.db"]


@pytest.mark.parametrize("name", ["", "x" * 255])
def test_a_backup_needs_a_name_that_a_file_can_have(program: Program, name: str) -> None:
    """Another is refused in a line."""
    message = program.run("backup", *DATABASE, name, exit_code=73)
    assert ": cannot write the backup: " in message


def test_absent_database_is_not_made(tmp_path: Path) -> None:
    """A misspelt name is an error, and leaves no empty database behind."""
    program = Program(tmp_path)
    for command in (("backup", "copy.db"), ("key", "rotate-master"), ("serve",)):
        (tmp_path / "other.db.key").write_text("bW1t" * 10 + "bW0=\n")
        (tmp_path / "other.db.key").chmod(0o600)
        message = program.run(*command, "--database", "sqlite:///other.db", exit_code=78)
        assert message.endswith("there is no database\nRun rensei-platform init.\n")
    assert not (tmp_path / "other.db").exists()


def test_postgresql_is_dumped(tmp_path: Path, database: URL) -> None:
    """pg_dump writes its own format; without the program the answer says what to do."""
    if database.drivername == "sqlite":
        return
    program = Program(tmp_path)
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    program.init(url)
    key = tmp_path / "state/master.key"
    said = program.run("backup", "--database", url, "copy.dump")
    assert f"The master key {key} is not in it" in said
    key.unlink()
    made = program.json("backup", "--database", url, "elsewhere.dump")
    assert made["masterKey"] is None
    assert (tmp_path / "copy.dump").read_bytes().startswith(b"PGDMP")
    assert stat.S_IMODE((tmp_path / "copy.dump").stat().st_mode) == 0o600
    programs = tmp_path / "programs"
    programs.mkdir()
    shown = programs / "pg_dump"
    shown.write_text('#!/bin/sh\necho "$* with $PGPASSWORD" >&2\nexit 1\n')
    shown.chmod(0o755)
    secret = database.set(drivername="postgresql").update_query_dict({"password": "s3cr"})
    given = ("--database", secret.render_as_string(hide_password=False))
    message = program.run("backup", *given, "other.dump", exit_code=69, PATH=str(programs))
    assert message.count("s3cr") == 1
    assert message.endswith(" with s3cr\n")
    shown.unlink()
    message = program.run(
        "backup", "--database", url, "other.dump", exit_code=69, PATH=str(tmp_path)
    )
    assert "pg_dump is not on this machine: install PostgreSQL's client" in message
    assert not (tmp_path / "other.dump").exists()


def test_master_key_is_replaced_beside_a_running_server(program: Program) -> None:
    """A command that is killed is run again; the server reads the values all the while."""
    key_file = program.directory / "platform.db.key"
    old = key_file.read_text()
    rotate = ("key", "rotate-master", *DATABASE, "--settle-seconds")
    with program.serving(*DATABASE, "--port", 0) as url:
        with forked.Forked(
            PACKAGE, *rotate, "3600", cwd=program.directory, env=program.environment()
        ) as process:
            wait_until(lambda: process.poll() is not None or key_file.read_text() != old)
            assert process.poll() is None
            process.send_signal(signal.SIGKILL)
        assert old in key_file.read_text()
        assert _value(program, url) == "canary-value"
        said = program.run(*rotate, 0)
        assert "values are encrypted with the new key" in said
        assert old not in key_file.read_text()
        assert len(key_file.read_text().splitlines()) == 1
        assert _value(program, url) == "canary-value"
        answer = program.json("credential", "list", *_access(url))
        assert answer["bindings"][0]["kind"] == "k"
    with program.serving(*DATABASE, "--port", 0) as url:
        assert _value(program, url) == "canary-value"


@pytest.mark.parametrize("name", ["absent.key", "absent/master.key"])
def test_an_absent_master_key_is_not_replaced(program: Program, name: str) -> None:
    """The refusal is a line, and no lock is left where there is no key."""
    before = set(program.directory.rglob("*.lock"))
    rotate = ("key", "rotate-master", *DATABASE, "--master-key", name)
    message = program.run(*rotate, exit_code=78)
    assert message.startswith(f"error: {name}: cannot read the master key: No such file")
    assert set(program.directory.rglob("*.lock")) == before


def test_a_lock_of_the_master_key_that_cannot_be_made(program: Program) -> None:
    """As in a directory that is read-only: the refusal is a line, with what to do."""
    (program.directory / "platform.db.key.lock").mkdir()
    message = program.run("key", "rotate-master", *DATABASE, exit_code=78)
    assert message.startswith(
        "error: platform.db.key: cannot replace the master key: Is a directory\nBe root"
    )


def test_older_schema_is_migrated(program: Program) -> None:
    """An earlier version's database is refused until it is migrated; it loses nothing."""
    downgrade(program.directory / "platform.db", "0001")
    message = program.run("serve", *DATABASE, "--port", 0, exit_code=78)
    assert "the database's schema is older (0001) than this version (" in message
    assert message.endswith("Run rensei-platform migrate.\n")
    migrated = program.run("migrate", *DATABASE)
    assert migrated.startswith("the schema is up to date (")
    assert migrated.endswith("; it was 0001\n")
    again = program.json("migrate", *DATABASE)
    assert again["schema"] == again["previous"] > "0001"
    with program.serving(*DATABASE, "--port", 0) as url:
        assert _value(program, url) == "canary-value"
        access = ("--url", url, "--key-file", "owner.key")
        action = ("audit", "--action", "schema.migrate")
        (entry,) = program.json(*action, *access)["entries"]
        assert (entry["actor"], entry["object"]) == ("migrate", again["schema"])


def test_newer_schema_is_refused(program: Program) -> None:
    """Neither `serve` nor `migrate` touches what a later version has made."""
    engine = create_engine(f"sqlite:///{program.directory}/platform.db")
    with engine.begin() as db:
        db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    for command in ("serve", "migrate"):
        message = program.run(command, *DATABASE, exit_code=78)
        assert "the database's schema (9999) is newer than this version" in message
        assert message.endswith("Install the version that migrated it.\n")


def test_migration_waits_for_no_server(program: Program) -> None:
    """A database that a server holds is busy, for `migrate` and for a second `serve`."""
    with program.serving(*DATABASE, "--port", 0):
        for command in ("migrate", "serve"):
            message = program.run(command, *DATABASE, exit_code=75)
            assert "another process holds the database" in message


def test_doctor_finds_nothing_wrong(program: Program) -> None:
    """Beside a running server every check is made, and all are well."""
    with program.serving(*DATABASE, "--port", 0):
        checks = program.json("doctor", *DATABASE)["checks"]
    assert {check["name"]: check["state"] for check in checks} | {"open files": "ok"} == {
        "configuration": "ok",
        "open files": "ok",
        "exposure": "ok",
        "database file": "ok",
        "database": "ok",
        "content": "ok",
        "writes": "ok",
        "clock": "ok",
        "hosts": "ok",
        "master key": "ok",
    }


def test_doctor_names_what_is_wrong(program: Program) -> None:
    """Each trouble has a line of its own, with a remedy; the exit code is 1."""
    home = program.directory
    (home / "platform.toml").write_text(
        'host = "0.0.0.0"\n'
        '[providers.gone]\ntype = "vault"\naddress = "http://127.0.0.1:9"\n'
        'allow_http = true\ntoken = "canary"\nallow = { "*" = "" }\n'
        '[providers.lost]\ntype = "file"\ndirectory = "/nonexistent"\n'
        'allow = { "*" = "" }\n'
    )
    (home / "platform.toml").chmod(0o666)
    (home / "platform.db.key").write_text("bW1t" * 10 + "bW0=\n")
    config = ("--config", "platform.toml", *DATABASE)
    done = forked.run(PACKAGE, "doctor", *config, cwd=home, env=program.environment())
    assert done.returncode == 1, done
    assert "canary" not in done.stdout
    for line in (
        "error    configuration: platform.toml: others may change it (mode 0666)",
        "error    exposure: '0.0.0.0' is not a loopback address, and there is no TLS",
        "error    master key: platform.db.key: this is not the master key of the database",
        "error    provider gone: cannot be reached (ConnectError) (Connection refused)",
        "error    provider lost: [providers.lost] directory: /nonexistent: not a directory",
    ):
        assert line in done.stdout, done.stdout


def test_doctor_finds_a_damaged_page(program: Program) -> None:
    """A server would start with it, and fail for some requests only."""
    file = program.directory / "platform.db"
    with file.open("r+b") as opened:
        opened.seek(3 * 4096)
        opened.write(b"\xff" * 4096)
    done = forked.run(
        PACKAGE, "doctor", *DATABASE, cwd=program.directory, env=program.environment()
    )
    assert done.returncode == 1
    assert "error    content: platform.db: *** in database main ***" in done.stdout
    assert DAMAGED.hint in done.stdout


def _file_check(program: Program) -> tuple[str, str, str]:
    checks = program.json("doctor", *DATABASE)["checks"]
    (found,) = (one for one in checks if one["name"] == "database file")
    return found["state"], found["message"], found["hint"]


def test_doctor_names_what_others_may_read(program: Program) -> None:
    """In a directory that they may enter; also what SQLite has not merged yet."""
    home = program.directory
    (home / "platform.db").chmod(0o644)
    home.chmod(0o700)
    assert _file_check(program)[0] == "ok"
    home.chmod(0o711)
    told = ("warning", "platform.db: others may read it", "Run `chmod o= platform.db`.")
    assert _file_check(program) == told
    with program.serving(*DATABASE, "--port", 0) as url:
        # SQLite gives an empty log the mode of the database whenever it opens it.
        program.run("credential", "set", "--kind", "k", "A=@value", *_access(url))
        (home / "platform.db").chmod(0o640)
        assert _file_check(program)[1] == "platform.db-wal: others may read it"
    assert _file_check(program)[0] == "ok"


def test_doctor_without_a_database(tmp_path: Path) -> None:
    """What cannot be asked is not asked; the first step is named."""
    done = Program(tmp_path).run("doctor", *DATABASE, exit_code=1)
    assert done == ""
    assert list(tmp_path.iterdir()) == []
