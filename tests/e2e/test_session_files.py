"""Several files of one session, from the platform to the readers of a whole daemon."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from platform_template import ORG
from polling import until, until_answer

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from e2e.conftest import Lab

FILES = """\
[[credentials.sessions]]
id = "files"
env_file = "files.env"
on_rotate = ["{hook}", "env"]
[[credentials.sessions.files]]
path = "all.json"
format = "json"
on_rotate = ["{hook}", "json"]
[[credentials.sessions.files]]
path = "db"
format = "dir"
names = ["DB_USER", "DB_PASSWORD"]
rename = {{ DB_USER = "user", DB_PASSWORD = "password" }}
on_rotate = ["{hook}", "dir"]
[[credentials.sessions.files]]
path = "db.yaml"
format = "yaml"
names = ["DB_USER"]
on_rotate = ["{hook}", "yaml"]
[[credentials.sessions.files]]
path = "docker.env"
format = "plain"
names = ["TOKEN"]
on_rotate = ["{hook}", "plain"]
"""
HOOK = """\
#!/bin/sh
test -e {place}/gate-$1 || exit 1
echo "$1 $RENSEI_ENV_FILE $RENSEI_CHANGED_NAMES" >> {place}/ran
"""


KINDS = (
    ("env_file", "files.env"),
    ("json_file", "all.json"),
    ("directory", "db"),
    ("yaml_file", "db.yaml"),
    ("plain_file", "docker.env"),
)
CHANGED = ("dir db", "env files.env", "json all.json")
"""The hooks of the files in which the password is."""


def configure(lab: "Lab", sessions: str) -> None:
    """Have exactly this session; its hooks succeed while their gates are there."""
    hook = lab.place / "hook"
    if not hook.exists():
        hook.write_text(HOOK.format(place=lab.place))
        hook.chmod(0o755)
    for name in ("env", "json", "dir", "yaml", "plain"):
        (lab.place / f"gate-{name}").touch()
    head, _, rest = lab.config.read_text().partition("[[credentials.sessions]]")
    projects = rest[rest.index("[projects]") :]
    new = lab.config.with_name("config.new")
    new.write_text(head + sessions.format(hook=hook) + projects)
    new.replace(lab.config)


def ran(lab: "Lab") -> list[str]:
    """Return the runs of the hooks, sorted."""
    file = lab.place / "ran"
    runs = file.read_text().splitlines() if file.exists() else []
    return sorted(run.replace(f"{lab.runtime}/", "") for run in runs)


def recorded(lab: "Lab") -> list[Path]:
    """Return the records of the hooks that the daemon knows to have run."""
    return list(lab.runtime.glob(".*.hook-done"))


def directory(lab: "Lab") -> dict[str, str]:
    """Return what the readers of the directory see."""
    found = (lab.runtime / "db").glob("[!.]*")
    return {file.name: file.read_text() for file in found}


async def consumers(lab: "Lab") -> dict[str, Any]:
    """Return the generation of each consumer, by kind and name, as `credentials` says."""
    listed = json.loads((await lab.call("credentials", "list", "--json")).stdout)
    (session,) = listed["sessions"]
    return {
        f"{c['kind']} {c['name'].replace(str(lab.place), '')}": c["generation"]
        for c in session["consumers"]
    }


def receipt(lab: "Lab", rotation: str) -> Any:
    """Return the receipt of a rotation."""
    return lab.platform.ask("GET", f"/api/admin/rotations/{rotation}")["receipt"]


def with_database(lab: "Lab") -> None:
    """Have a session with files, and values for all of them."""
    lab.platform.set_credential("db", "DB_USER", "ada")
    lab.platform.set_credential("db", "DB_PASSWORD", "canary-pw-1")
    configure(lab, FILES)


def behind(lab: "Lab", rotation: str) -> list[str]:
    """Return which consumers of the host do not have the values yet."""
    return [name for one in receipt(lab, rotation)["behind"] for name in one["behind"]]


async def test_each_file_has_its_values_and_its_hook(lab: "Lab") -> None:
    """Each in its format; whatever waits for the credentials waits for all files."""
    with_database(lab)
    token = "canary-one-7f3a"
    async with lab.daemon():
        waited = await lab.call("credentials", "wait")
        assert (waited.returncode, waited.stderr) == (0, "")
        assert directory(lab) == {"user": "ada", "password": "canary-pw-1"}
        assert json.loads((lab.runtime / "all.json").read_text()) == {
            "DB_PASSWORD": "canary-pw-1",
            "DB_USER": "ada",
            "TOKEN": token,
        }
        assert (lab.runtime / "db.yaml").read_text() == '"DB_USER": "ada"\n'
        assert (lab.runtime / "docker.env").read_text() == f"TOKEN={token}\n"
        everything = "DB_PASSWORD DB_USER TOKEN"
        await until(lambda: len(ran(lab)) == 5)
        assert ran(lab) == [
            "dir db DB_PASSWORD DB_USER",
            f"env files.env {everything}",
            f"json all.json {everything}",
            "plain docker.env TOKEN",
            "yaml db.yaml DB_USER",
        ]
        doctor = await lab.call("doctor", "--json")
        assert "modes and owners are right" in doctor.stdout
    written = lab.output.read_text() + (lab.state / "status.json").read_text()
    assert "canary" not in written


async def test_a_host_confirms_with_the_last_of_its_hooks(lab: "Lab") -> None:
    """A file whose values did not rotate is neither written nor a reason for its hook."""
    with_database(lab)
    async with lab.daemon():
        await until(lambda: len(recorded(lab)) == 5)
        await lab.until(lambda: len(lab.platform.streams) == 1)
        (lab.place / "ran").unlink()
        (lab.place / "gate-json").unlink()
        yaml = (lab.runtime / "db.yaml").stat()
        lab.platform.set_credential("db", "DB_PASSWORD", "canary-pw-2")
        body = {"orgId": ORG, "kind": "db"}
        answer = lab.platform.ask("POST", "/api/daemon/credentials/rotate", body)
        rotation = str(answer["rotationId"])
        last = f"hook {lab.place}/hook for {lab.runtime}/all.json"
        await lab.until(lambda: behind(lab, rotation) == [last])
        assert receipt(lab, rotation)["confirmed"] == 0
        assert directory(lab) == {"user": "ada", "password": "canary-pw-2"}
        (lab.place / "gate-json").touch()
        await lab.until(lambda: receipt(lab, rotation)["confirmed"] == 1)
        assert receipt(lab, rotation)["safeToRevoke"]
        assert ran(lab) == [f"{part} DB_PASSWORD" for part in CHANGED]
        assert (lab.runtime / "db.yaml").stat() == yaml
        assert await consumers(lab) == {
            f"{kind} /run/{name}": 2
            for file_kind, name in KINDS
            for kind in (file_kind, "hook /hook for")
        }


async def test_what_a_file_cannot_hold_is_said_and_the_others_go_on(lab: "Lab") -> None:
    """The condition names the name and the remedy; a file that is taken out is removed."""
    configure(lab, FILES)
    async with lab.daemon():
        await until(lambda: len(ran(lab)) == 3)
        status = json.loads((await lab.call("status", "--json")).stdout)
        found = [c for c in status["conditions"] if c["code"] == "delivery.failed"]
        assert sorted(c["message"] for c in found) == [
            f"session files: {lab.runtime}/db.yaml: the session has no DB_USER",
            f"session files: {lab.runtime}/db: the session has no DB_USER, DB_PASSWORD",
        ]
        assert "take it out of the file's names" in found[0]["hint"]
        assert not (lab.runtime / "db").exists()
        await lab.until(lambda: len(lab.platform.streams) == 1)
        lab.platform.rotate("db", DB_USER="ada", DB_PASSWORD="canary-pw")
        await until(lambda: directory(lab) == {"user": "ada", "password": "canary-pw"})
        configure(lab, '[[credentials.sessions]]\nid = "files"\nenv_file = "files.env"\n')
        await lab.call("reload")
        expected = {"control.sock", "credentials.sock", "token", "files.env"}
        await until(lambda: {file.name for file in lab.runtime.iterdir()} == expected)


async def test_a_hook_that_waits_is_shown_to_wait(lab: "Lab") -> None:
    """Its file has the values at once; the host is behind until the hook has run."""
    splayed = FILES.partition("[[credentials.sessions.files]]")[0]
    configure(lab, f"{splayed}splay_seconds = 86_400\n")
    async with lab.daemon():
        await until(lambda: (lab.runtime / "files.env").exists())

        async def waits() -> list[str]:
            status = json.loads((await lab.call("status", "--json")).stdout)
            (session,) = status["sessions"]
            return [c["kind"] for c in session["consumers"] if c["waits_until"]]

        await until_answer(waits)
        assert await waits() == ["hook"]
        assert "2 (1 waiting)" in (await lab.call("status")).stdout
        assert ran(lab) == []
        configure(lab, splayed)
        await lab.call("reload")
        await until(lambda: ran(lab) == ["env files.env TOKEN"])
