"""The life of the control plane's package on real systems, as deb_life.py has the daemon's.

    platform_life.py RELEASE=DIRECTORY...

It is installed, given a database, started, upgraded while a host beats and a stream is
open, removed, installed again and purged. Takes root; leaves nothing.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deb_life import OLD, older, passes_lintian
from polling import wait_until  # likewise

from e2e.systemd.conftest import Host, booted, cgroup  # its path is set by the line above

NAME = "rensei-platform"
UNIT = f"{NAME}.service"
CONFIG = f"/etc/{NAME}/platform.toml"
UNPACK_SECONDS = 300
"""For a hundred megabytes of packages, on a machine that does something else as well."""
STATE = f"/var/lib/{NAME}"
ASK = """
import json, sys, urllib.request
method, path, body = sys.argv[1:]
request = urllib.request.Request(
    "http://127.0.0.1:8790" + path, body.encode() or None, method=method,
    headers={"Authorization": "Bearer " + open("/root/owner.key").read().strip(),
             "Content-Type": "application/json"})
print(urllib.request.urlopen(request).read().decode())
"""
Step = Callable[["Debian"], None]
STEPS: list[Step] = []


class Debian:
    """A booted Debian, and the two packages it is given."""

    old, new = "/opt/old.deb", "/opt/new.deb"

    def __init__(self, host: Host, version: str) -> None:
        self.host, self.version = host, version

    def run(self, *words: str) -> str:
        """Run a program there that must succeed; return what it said."""
        entered = [*self.host.entered, "env", "DEBIAN_FRONTEND=noninteractive", *words]
        how = {"capture_output": True, "text": True, "timeout": UNPACK_SECONDS, "cwd": "/"}
        done = subprocess.run(entered, check=False, **how)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)

    def has(self, name: str) -> bool:
        """Tell whether a file, or a link that leads nowhere, is there."""
        return os.path.lexists(self.host.path(name))

    def owner(self, name: str) -> str:
        """Return the mode and the owner of a file."""
        return self.run("stat", "--format=%a %U:%G", name).strip()

    def shown(self, name: str) -> str:
        """Return what systemd says of the unit."""
        said = self.run("systemctl", "show", UNIT, f"--property={name}", "--value")
        return said.strip()

    def ask(self, method: str, path: str, body: object = None) -> object:
        """Ask the server as its owner."""
        text = "" if body is None else json.dumps(body)
        return json.loads(self.run("/usr/bin/python3", "-c", ASK, method, path, text))


def step(action: Step) -> Step:
    """Take a function into the life, in the order of the file."""
    STEPS.append(action)
    return action


@step
def an_install_brings_everything_and_starts_nothing(debian: Debian) -> None:
    """On a system that has never seen one."""
    said = debian.run("dpkg", "--install", debian.old)
    assert f"next: {NAME} install" in said, said
    assert debian.shown("LoadState") == "loaded"
    assert debian.shown("ActiveState") == "inactive"
    assert debian.shown("UnitFileState") == "disabled"
    assert debian.run("id", "--user", "--name", NAME) == f"{NAME}\n"
    assert debian.owner(CONFIG) == "644 root:root"
    assert "[providers" not in debian.host.path(CONFIG).read_text()
    said = debian.run(NAME, "--version")
    assert OLD in said, said
    assert debian.run("dpkg", "--verify", NAME) == ""


@step
def systemd_has_nothing_to_say_about_the_unit(debian: Debian) -> None:
    """Checked by its own tool."""
    done = debian.host.run("systemd-analyze", "verify", UNIT)
    assert (done.stdout, done.stderr) == ("", ""), done


@step
def the_next_steps_lead_to_a_server_that_is_ready(debian: Debian) -> None:
    """As `install` names them: a database, an owner's key, and the unit."""
    said = debian.run(NAME, "install")
    assert "wrote" not in said, said
    text = debian.host.path(CONFIG).read_text()
    debian.host.write(CONFIG, f'database = "sqlite:///{STATE}/platform.db"\n{text}')
    found = ("--org=Acme", "--org-id=org_acme", "--owner=ada@acme.test")
    debian.run(NAME, "init", *found, "--write-key=/root/owner.key")
    debian.run("systemctl", "enable", "--now", UNIT)
    assert debian.shown("ActiveState") == "active"
    assert debian.owner(STATE) == f"700 {NAME}:{NAME}"
    assert debian.owner(f"{STATE}/platform.db").endswith(f" {NAME}:{NAME}")
    assert debian.owner(f"{STATE}/platform.db.key") == f"600 {NAME}:{NAME}"
    values = {"values": {"TOKEN": "kept through an upgrade"}}
    debian.ask("PUT", "/api/admin/credentials/github/values", values)
    debian.ask("POST", "/api/admin/hosts", {"name": "h1", "id": "wh_h1"})
    body = {"workerHostId": "wh_h1", "op": "project.enable", "params": {"id": "p"}}
    debian.ask("POST", "/api/daemon/mutations", body)


@step
def a_reload_reads_the_settings_again(debian: Debian) -> None:
    """Of a system with as few programs as can be."""
    debian.run("systemctl", "reload", UNIT)
    journal = ("journalctl", f"--unit={UNIT}", "--output=cat")
    wait_until(lambda: "config.read" in debian.run(*journal))


@step
def the_doctor_finds_nothing_amiss(debian: Debian) -> None:
    """As root, beside the running server."""
    done = debian.host.run(NAME, "doctor", "--json", check=False)
    errors = [one for one in json.loads(done.stdout)["checks"] if one["state"] == "error"]
    assert not errors, done.stdout


@step
def an_upgrade_keeps_the_settings_and_restarts_the_server(debian: Debian) -> None:
    """The operator's text to the byte, the values and what hosts are owed."""
    text = debian.host.path(CONFIG).read_text() + "\n# kept by hand\n"
    debian.host.write(CONFIG, text)
    before = debian.shown("MainPID")
    debian.run("dpkg", "--install", debian.new)
    assert debian.shown("ActiveState") == "active"
    assert debian.shown("MainPID") not in ("0", before)
    assert debian.host.path(CONFIG).read_text() == text
    assert debian.version in debian.run(NAME, "--version")
    _has_kept_everything(debian)


def _has_kept_everything(debian: Debian) -> None:
    body = {"orgId": "org_acme", "sessionId": "s"}
    found = debian.ask("POST", "/api/daemon/credentials/snapshot", body)
    assert isinstance(found, dict)
    assert found["env"] == {"TOKEN": "kept through an upgrade"}, found
    history = debian.ask("GET", "/api/daemon/mutations?workerHostId=wh_h1")
    assert isinstance(history, dict)
    assert [one["status"] for one in history["mutations"]] == ["pending"], history


@step
def a_server_that_is_stopped_stays_stopped(debian: Debian) -> None:
    """Also through an upgrade; the same version again is one."""
    debian.run("systemctl", "stop", UNIT)
    debian.run("dpkg", "--install", debian.new)
    assert debian.shown("ActiveState") == "inactive"
    debian.run("systemctl", "start", UNIT)


@step
def a_removal_stops_it_and_keeps_what_is_the_operators(debian: Debian) -> None:
    """Settings, database and master key stay; of the program nothing does."""
    debian.run("dpkg", "--remove", NAME)
    assert debian.shown("ActiveState") in ("inactive", "failed")
    kept = (CONFIG, f"{STATE}/platform.db", f"{STATE}/platform.db.key")
    assert all(map(debian.has, kept))
    for name in (f"/usr/lib/{NAME}", f"/usr/bin/{NAME}"):
        assert not debian.has(name), name


@step
def installed_again_it_goes_on_where_it_was(debian: Debian) -> None:
    """With the settings that were kept."""
    text = debian.host.path(CONFIG).read_text()
    debian.run("dpkg", "--install", debian.new)
    assert debian.host.path(CONFIG).read_text() == text
    debian.run("systemctl", "start", UNIT)
    _has_kept_everything(debian)


@step
def a_purge_leaves_nothing_but_the_user(debian: Debian) -> None:
    """No setting, database, key or link of an enabled unit."""
    debian.run("dpkg", "--purge", NAME)
    wait_until(lambda: debian.shown("LoadState") == "not-found")
    left = debian.run("find", "/etc", "/usr", "/var", "/run", "-xdev", "-name", f"*{NAME}*")
    assert left == "", left


@contextmanager
def booted_debian(directory: Path) -> Iterator[Debian]:
    """Boot a system with both packages in /opt."""
    [package] = directory.glob(f"{NAME}_*.deb")
    os.environ["RENSEI_TEST_SYSTEM"] = str(directory / "host-system")
    with tempfile.TemporaryDirectory() as top, cgroup() as group:
        scratch, tree, opt = (Path(top, name) for name in ("scratch", "tree", "stage/opt"))
        scratch.mkdir()
        opt.mkdir(parents=True)
        shutil.copy(package, opt / "new.deb")
        subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
        [metadata] = (tree / f"usr/lib/{NAME}").glob("rensei_daemon-*.dist-info/METADATA")
        text = metadata.read_text()
        version = text.partition("\nVersion: ")[2].partition("\n")[0]
        name, before = str(metadata.relative_to(tree)), text.replace(version, OLD, 1)
        older(tree, opt / "old.deb", name, before)
        with booted(scratch, opt.parent, group) as host:
            yield Debian(host, version)


def live(release: str, directory: Path) -> bool:
    """Walk through the whole life on one release; tell whether all of it held."""
    print(release, flush=True)
    [package] = directory.glob(f"{NAME}_*.deb")
    if not passes_lintian(package):
        return False
    with booted_debian(directory) as debian:
        for action in STEPS:
            words = action.__name__.replace("_", " ")
            try:
                action(debian)
            except AssertionError as error:
                print(f"  FAIL  {words}\n{error}")
                traceback.print_tb(error.__traceback__)
                return False
            print(f"  pass  {words}", flush=True)
    return True


def main() -> None:
    """Walk through it on every release that is named."""
    if os.geteuid() != 0:
        sys.exit("Booting a system takes root: run this as root.")
    named = [word.partition("=") for word in sys.argv[1:]]
    try:
        lives = [live(release, Path(directory)) for release, _, directory in named]
    except pytest.skip.Exception as reason:  # noqa: TID251 - what cannot be had is no pass here
        sys.exit(f"no system can be booted here: {reason}")
    sys.exit(0 if lives and all(lives) else 1)


if __name__ == "__main__":
    main()
