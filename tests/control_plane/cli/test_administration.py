"""Tests of the administration commands, each against a real server."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import click
import forked
import pytest
from click.testing import CliRunner, Result
from deadlines import HANG_SECONDS
from platform_server import ORG, Server, sqlite_url
from sqlalchemy import URL

from rensei_platform.cli import host_names
from rensei_platform.cli.client import AnswerError, read_key
from rensei_platform.cli.main import commands
from rensei_platform.errors import RequestError, SettingsError

pytestmark = pytest.mark.slow

Run = Callable[..., Any]


@pytest.fixture
def database(tmp_path: Path) -> URL:
    """An embedded database: the commands know the API only."""
    return sqlite_url(tmp_path)


@pytest.fixture
def key_file(server: Server, tmp_path: Path) -> Path:
    """A file with the owner's key in it."""
    file = tmp_path / "owner.key"
    file.write_text(f"{server.key}\n")
    return file


@pytest.fixture
def run(server: Server, key_file: Path) -> Run:
    """Run a command as the owner; its exit code must be 0."""
    access = {"RENSEI_PLATFORM_URL": server.url, "RENSEI_PLATFORM_KEY_FILE": str(key_file)}

    async def run(*arguments: str, fails: bool = False) -> Result:
        def invoke() -> Result:
            return CliRunner().invoke(commands, arguments, env=access)

        done = await anyio.to_thread.run_sync(invoke)
        assert bool(done.exit_code) is fails, (done.output, done.exception)
        return done

    return run


async def snapshot(server: Server, **scope: str) -> dict[str, str]:
    """Take a snapshot, and return its values."""
    body = {"orgId": ORG, "sessionId": "s1", **scope}
    answer = await server.ok("POST", "/api/daemon/credentials/snapshot", body)
    env: dict[str, str] = answer["env"]
    return env


async def test_stored_value_reaches_sessions(
    server: Server, run: Run, tmp_path: Path
) -> None:
    """A value is read from its file, without one line end, and a session sees it."""
    (tmp_path / "token").write_text("first\nsecond\n\n")
    token = f"GITHUB_TOKEN=@{tmp_path / 'token'}"
    done = await run("credential", "set", "--kind", "github", "--project", "proj_a", token)
    assert done.output == "stored: GITHUB_TOKEN; no session is told until you rotate\n"
    assert await snapshot(server, projectId="proj_a") == {"GITHUB_TOKEN": "first\nsecond\n"}
    assert await snapshot(server, projectId="proj_b") == {}


@pytest.mark.parametrize("limit", ["--project", "--env"])
async def test_a_limit_that_names_nothing_is_refused(
    server: Server, run: Run, tmp_path: Path, limit: str
) -> None:
    """As of a variable that is not set: the value would go to every session."""
    (tmp_path / "token").write_text("t")
    scope = ("--kind", "github", limit, "")
    token = f"GITHUB_TOKEN=@{tmp_path / 'token'}"
    refused = await run("credential", "set", *scope, token, fails=True)
    assert (refused.exit_code, "it is empty" in refused.output) == (2, True)
    await run("credential", "unbind", *scope, fails=True)
    assert await snapshot(server, projectId="proj_a") == {}


@pytest.mark.parametrize(
    "argument", ["GITHUB_TOKEN=secret", "GITHUB_TOKEN", "=@file", "A=@"]
)
async def test_value_in_the_arguments_is_refused(run: Run, argument: str) -> None:
    """A value on the command line would be seen by every user of the machine."""
    done = await run("credential", "set", "--kind", "github", argument, fails=True)
    assert done.exit_code == 2
    assert "NAME=@FILE: arguments are seen by others" in done.output
    assert "secret" not in done.output


async def test_a_binding_that_fails_is_a_warning(run: Run) -> None:
    """It is bound, for what may come later; sessions that see it get nothing until then."""
    at = ("--provider", "database", "--path", "signing", "--map", "A=absent")
    bound = await run("credential", "bind", "--kind", "signing", *at)
    assert (
        "signing comes from database\nwarning: Credential provider database" in bound.output
    )
    assert "No session that sees signing gets credentials until this works" in bound.output


async def test_a_name_that_is_given_twice_is_refused(run: Run, tmp_path: Path) -> None:
    """One of the two would be lost without a word."""
    (tmp_path / "token").write_text("t")
    twice = (f"A=@{tmp_path}/token", f"A=@{tmp_path}/token")
    refused = await run("credential", "set", "--kind", "k", *twice, fails=True)
    assert "A is given twice" in refused.output
    at = ("--kind", "k", "--provider", "p", "--path", "a")
    refused = await run("credential", "bind", *at, "--map", "A=x", "A=y", fails=True)
    assert "A is given twice" in refused.output


async def test_a_filter_of_the_audit_that_is_empty_is_none(run: Run) -> None:
    """Nothing is before the first entry; an empty text is refused, and not everything."""
    await run("host", "add", "build-07")
    found = json.loads((await run("audit", "--before", "0", "--json")).output)
    assert found["entries"] == []
    for option in ("--actor", "--action", "--since"):
        refused = await run("audit", option, "", fails=True)
        assert "it is empty" in refused.output


async def _lost(server: Server, key: str, *command: str) -> str:
    """Run a command whose output cannot be written, and return what it says of that."""
    # As /dev/stdin, which a minimal system may lack.
    access = ("--url", server.url, "--key-file", "/proc/self/fd/0")

    def run() -> str:
        pipe = subprocess.PIPE
        with (
            Path("/dev/full").open("w") as full,
            forked.Forked(
                *("rensei_platform", *command, *access),
                env={},
                stdin=pipe,
                stdout=full,
                stderr=pipe,
            ) as process,
        ):
            said = process.communicate(key, timeout=HANG_SECONDS)[1]
        assert process.returncode == 73, said
        return said

    said = await anyio.to_thread.run_sync(run)
    assert said.startswith("error: cannot write the output: No space left on device\n")
    return said


async def _lost_key(server: Server) -> Any:
    listed = await server.ok("GET", "/api/admin/keys")
    (lost,) = [key for key in listed["keys"] if key["name"] == "lost"]
    return lost


async def test_a_key_that_cannot_be_shown_is_revoked(server: Server) -> None:
    """As where the disk is full: it would be valid, and nobody's."""
    said = await _lost(server, server.key, "key", "add", "lost")
    assert said.endswith("\nThe key is revoked. Make another.\n")
    assert (await _lost_key(server))["revokedAt"] is not None


async def test_a_key_that_cannot_be_written_is_revoked(
    server: Server, key_file: Path
) -> None:
    """And its file, which is empty, is removed."""
    written = key_file.with_name("new.key")
    limited = ("sh", "-c", "ulimit -f 0; trap '' XFSZ; exec \"$@\"", "sh")
    command = ("key", "add", "lost", "--write-key", str(written))
    access = ("--url", server.url, "--key-file", str(key_file))
    done = await anyio.run_process(
        [*limited, sys.executable, "-m", "rensei_platform", *command, *access], check=False
    )
    assert done.returncode == 73, done.stderr
    assert b"error: cannot write the output: " in done.stderr
    assert (await _lost_key(server))["revokedAt"] is not None
    assert not written.exists()


async def test_a_token_that_cannot_be_shown_nor_revoked_is_named(server: Server) -> None:
    """A member revokes no key, and so has to ask for it."""
    body = {"name": "bob", "owner": "bob@acme.test", "role": "member"}
    bobs = (await server.ok("POST", "/api/admin/keys", body))["key"]
    said = await _lost(server, bobs, "key", "add", "--personal", "lost")
    lost = (await _lost_key(server))["id"]
    assert said.endswith(f"admin do it: rensei-platform key revoke {lost}\n")


@pytest.mark.parametrize(
    ("command", "another"),
    [
        (("user", "add", "bob@acme.test"), "user reset bob@acme.test"),
        (
            ("org", "add", "org_beta", "--name", "Beta", "--owner", "bob@beta.test"),
            "init --recover --org-id org_beta --owner bob@beta.test",
        ),
    ],
)
async def test_what_is_shown_once_and_cannot_be_can_be_had_again(
    server: Server, command: tuple[str, ...], another: str
) -> None:
    """It is there, and nobody has its key or link."""
    said = await _lost(server, server.key, *command)
    assert said.endswith(f": rensei-platform {another}\n")


async def test_unreadable_value_is_an_error(run: Run, tmp_path: Path) -> None:
    """A file that is not there, or not text, is named."""
    done = await run("credential", "set", "--kind", "k", f"A=@{tmp_path}/no", fails=True)
    assert isinstance(done.exception, SettingsError)
    assert str(done.exception) == f"cannot read {tmp_path}/no: No such file or directory"
    (tmp_path / "binary").write_bytes(b"\xff")
    done = await run(
        "credential", "set", "--kind", "k", f"A=@{tmp_path}/binary", fails=True
    )
    assert str(done.exception) == f"{tmp_path}/binary is not UTF-8 text"


async def test_generated_value_is_random_and_not_printed(server: Server, run: Run) -> None:
    """`generate` stores another value each time, and shows none."""
    first = await run("credential", "generate", "--kind", "signing", "SIGNING_SECRET")
    value = (await snapshot(server))["SIGNING_SECRET"]
    assert len(value) == 43
    assert value not in first.output
    await run("credential", "generate", "--kind", "signing", "SIGNING_SECRET")
    body = {"orgId": ORG, "kind": "signing"}
    await server.ok("POST", "/api/daemon/credentials/rotate", body)
    assert (await snapshot(server))["SIGNING_SECRET"] != value


async def test_binding_is_listed_and_removed(server: Server, run: Run) -> None:
    """What is stored is bound to the provider `database` until it is unbound."""
    await run("credential", "generate", "--kind", "signing", "--env", "ci", "SECRET")
    listed = json.loads((await run("credential", "list", "--json")).output)
    (found,) = listed["bindings"]
    assert (found["kind"], found["envName"], found["provider"]) == (
        "signing",
        "ci",
        "database",
    )
    assert "signing" in (await run("credential", "list")).output
    await run("credential", "unbind", "--kind", "signing", "--env", "ci")
    assert json.loads((await run("credential", "list", "--json")).output) == {
        "bindings": []
    }


async def test_names_of_a_binding_follow_one_map_or_have_one_each(run: Run) -> None:
    """Both are read, also with other options behind them."""
    for name in ("a", "b"):
        await run("credential", "generate", "--kind", "signing", name)
    database = ("--provider", "database", "--path", "signing")
    bind = ("credential", "bind", "--kind", "signing", *database)
    for names in (("--map", "A=a", "B=b"), ("--map", "A=a", "--map", "B=b")):
        done = await run(*bind, *names, "--json")
        assert json.loads(done.output)["binding"]["names"] == {"A": "a", "B": "b"}
    done = await run(*bind, "A=a", fails=True)
    assert "NAME=FIELD goes with --map" in done.output


async def test_unknown_provider_is_refused(run: Run) -> None:
    """A kind can only be bound to an instance that platform.toml has."""
    done = await run(
        *("credential", "bind", "--kind", "github", "--provider", "vault"),
        *("--path", "ci/github", "--map", "GITHUB_TOKEN=token"),
        fails=True,
    )
    assert isinstance(done.exception, RequestError)
    message = "HTTP 400: provider: not one that this organization may use"
    assert str(done.exception) == message


async def test_hosts_are_listed_and_shown(server: Server, run: Run) -> None:
    """A host is shown with what it reports; invisible characters are escaped."""
    worker = await server.register("build-\u202e07")
    await worker.beat(maxSessions=3, enabledProjectIds=["proj_a"])
    listed = json.loads((await run("host", "list", "--json")).output)
    assert [host["name"] for host in listed["hosts"]] == ["build-\u202e07"]
    assert "build-\\u202e07" in (await run("host", "list")).output
    shown = json.loads((await run("host", "show", worker.host_id, "--json")).output)
    assert shown["host"]["reported"]["maxSessions"] == 3
    text = (await run("host", "show", worker.host_id)).output
    assert 'reported enabledProjectIds     ["proj_a"]' in text


async def test_a_host_is_shown_beside_its_mutations(server: Server, run: Run) -> None:
    """What was asked and acked stands below what is reported: newest first, no more."""
    worker = await server.register()
    asked = [await worker.enqueue("modelAccess.clear", workload=f"w{n}") for n in range(3)]
    await worker.pending()
    await worker.beat(mutationFailures=[{"id": asked[0], "error": "no such workload"}])
    text = (await run("host", "show", "build-07")).output
    shown = [line for line in text.splitlines() if line.startswith("dmut_")]
    assert [line.split("\t")[0] for line in shown] == asked[::-1]
    assert shown[-1].split("\t")[1:3] == ["modelAccess.clear", "failed"]
    assert shown[-1].endswith("no such workload")
    limited = await run("host", "show", "build-07", "--limit", "1", "--json")
    (newest,) = json.loads(limited.output)["mutations"]
    assert (newest["id"], newest["status"]) == (asked[-1], "delivered")


async def test_mutation_is_enqueued_listed_and_cancelled(server: Server, run: Run) -> None:
    """An operator asks for a change, sees it, and takes it back."""
    host_id = (await run("host", "add", "build-07")).output.strip()
    params = '{"id": "proj_a"}'
    asked = await run("mutations", "enqueue", host_id, "project.enable", "--params", params)
    mutation_id = asked.output.strip()
    assert (await run("mutations", "cancel", mutation_id)).output == (
        f"{mutation_id} is cancelled\n"
    )
    assert "cancelled" in (await run("mutations", "list", host_id)).output
    done = await run("mutations", "cancel", mutation_id, fails=True)
    assert str(done.exception) == "HTTP 409: already_delivered"


async def test_a_host_is_removed(server: Server, run: Run) -> None:
    """A live one only by force; it is listed with --removed from then on."""
    host = await server.register()
    await host.enqueue()
    refused = await run("host", "remove", host.host_id, fails=True)
    assert "build-07 is alive: stop its daemon first" in str(refused.exception)
    done = await run("host", "remove", host.host_id, "--force")
    assert done.output == "removed; 1 mutations cancelled\n"
    assert host.host_id not in (await run("host", "list")).output
    assert host.host_id in (await run("host", "list", "--removed")).output


async def test_key_is_added_and_revoked(server: Server, run: Run) -> None:
    """A host's key works until it is revoked."""
    added = await run("key", "add", "--for-host", "--project", "p", "build", "--json")
    made = json.loads(added.output)
    body = {"hostname": "build-07", "capacity": 1}
    await server.ok("POST", "/api/workers/register", body, key=made["key"])
    listed = (await run("key", "list")).output.splitlines()
    (line,) = [one for one in listed if one.startswith(made["id"])]
    assert line.endswith("\tp")
    assert (await run("key", "revoke", made["id"])).output == f"{made['id']} is revoked\n"
    refused = await server.call("POST", "/api/workers/register", body, key=made["key"])
    assert refused.status_code == 401
    assert "key.revoke" in (await run("audit", "--limit", "1")).output


async def test_unreachable_server_is_an_error(run: Run) -> None:
    """Where nobody answers, the address is named."""
    done = await run("host", "list", "--url", "http://127.0.0.1:9", fails=True)
    assert isinstance(done.exception, AnswerError)
    assert str(done.exception).startswith(
        "cannot reach the control plane at http://127.0.0.1:9"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("key", "add", "\udcff"),
        ("audit", "--actor", "\udcff"),
        ("mutations", "enqueue", "build-07", "project.remove", "--params", '{"id": NaN}'),
    ],
)
async def test_what_cannot_be_sent_is_an_error_of_usage(
    run: Run, arguments: tuple[str, ...]
) -> None:
    """Neither an argument that is not UTF-8 nor a number that is none."""
    await run("host", "add", "build-07")
    refused = await run(*arguments, fails=True)
    assert refused.exit_code == click.UsageError.exit_code
    assert "Error: an argument cannot be sent: " in refused.output
    assert "HTTP 404" in str((await run("key", "revoke", "\udcff", fails=True)).exception)


async def test_a_password_in_the_address_is_not_printed(run: Run) -> None:
    """As of a proxy, when nobody answers."""
    done = await run("host", "list", "--url", "http://ada:pa@ss@127.0.0.1:9", fails=True)
    assert str(done.exception).startswith(
        "cannot reach the control plane at http://127.0.0.1:9: "
    )


async def test_a_key_is_in_its_file_alone(run: Run, tmp_path: Path) -> None:
    """JSON names the file."""
    file = tmp_path / "hosts.key"
    done = await run("key", "add", "hosts", "--write-key", str(file), "--json")
    made = json.loads(done.output)
    assert made.keys() == {"id", "keyFile"}
    assert read_key(Path(made["keyFile"])).startswith("rsk_live_")


@pytest.mark.parametrize("text", ["", "two keys", "k\nk", "\x1b"])
def test_key_file_holds_one_key(tmp_path: Path, text: str) -> None:
    """A file with no key in it, or more than one, is refused."""
    (tmp_path / "key").write_text(text)
    with pytest.raises(SettingsError, match="does not hold one key"):
        read_key(tmp_path / "key")


def test_missing_key_file_is_named(tmp_path: Path) -> None:
    """A key file that is not there is named."""
    with pytest.raises(SettingsError, match=r"cannot read the key file .*: No such file"):
        read_key(tmp_path / "key")


async def test_a_receipt_names_who_is_behind(
    server: Server, run: Run, tmp_path: Path
) -> None:
    """It says no with the reasons, and yes once the host has followed or is excluded."""
    (tmp_path / "token").write_text("t")
    await run(
        "credential", "set", "--kind", "github", f"GITHUB_TOKEN=@{tmp_path / 'token'}"
    )
    host = await server.register()
    body = {"orgId": ORG, "sessionId": "deploy"}
    held = await server.ok("POST", "/api/daemon/credentials/snapshot", body)
    await host.beat(uptake=[{"id": "deploy", "version": held["version"]}])
    body = {"orgId": ORG, "kind": "github"}
    rotated = await server.ok("POST", "/api/daemon/credentials/rotate", body)
    show = ("rotation", "show", rotated["rotationId"])
    assert (await run(*show)).output == (
        f"rotation {rotated['rotationId']}: github at {rotated['rotatedAt']}, "
        "requested by ada@acme.test\n"
        "notified 0 sessions, held 0, confirmed 0, received 0, unknown 0, behind 1\n"
        f"  behind: host build-07, session deploy: it has version {held['version']}\n"
        "safe to revoke the old value: no (1 session is behind)\n"
        "  exclude a host or a key with --without NAME, sessions that cannot tell with "
        "--accept-unknown\n"
    )
    assert (await run(*show, "--wait", "--timeout", "0", fails=True)).exit_code == 1
    shown = await run(*show, "--without", "build-07", "--wait", "--json")
    assert json.loads(shown.output)["receipt"]["safeToRevoke"] is True
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, *show, "--wait")
        said = {"id": "deploy", "version": held["version"] + 1, "behind": []}
        await host.beat(uptake=[said | {"consumers": {"received": 1}}])
    assert "safe to revoke the old value: yes\n" in (await run(*show)).output
    listed = json.loads((await run("rotation", "list", "--json")).output)["rotations"]
    assert [one["id"] for one in listed] == [rotated["rotationId"]]


async def test_a_host_is_shown_with_its_drift(server: Server, run: Run) -> None:
    """Asked, acked and reported stand side by side."""
    host = await server.register()
    mutation = await host.enqueue("project.enable", id="p")
    await host.beat()
    await host.beat(appliedMutations=[mutation], enabledProjectIds=[])
    later = server.platform.now() + timedelta(seconds=60)
    server.platform.presence.note(host.host_id, later, 0)
    shown = (await run("host", "show", host.host_id)).output
    assert shown.endswith("\np\tenabled\tenabled\tabsent\tdrift\n")


async def test_hosts_have_names(
    server: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On whichever page of the list; for a name that no host has, the nearest is told."""
    monkeypatch.setattr(host_names, "PAGE", 2)
    for name in ("build-1", "build-2", "build-3"):
        await run("host", "add", name)
    params = ("project.remove", "--params", '{"id": "p"}')
    mutation_id = (await run("mutations", "enqueue", "build-3", *params)).output.strip()
    assert mutation_id in (await run("mutations", "list", "build-3")).output
    assert mutation_id not in (await run("mutations", "list", "build-1")).output
    assert "build-2" in (await run("host", "show", "build-2")).output
    refused = await run("host", "show", "biuld-3", fails=True)
    assert "No host is named 'biuld-3'. Did you mean 'build-3'?" in refused.output
