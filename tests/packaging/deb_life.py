"""The package's life on real systems: install, run, upgrade, remove, purge.

    deb_life.py RELEASE=DIRECTORY...

DIRECTORY is what `make deb` has filled: the package, wheels/ and host-system/, a minimal
system of that release. Each is booted with its own systemd, over a layer in memory, with
the control plane on its loopback. Takes root; leaves nothing.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
sys.path[:0] = [str(CHECKOUT / "tests"), str(CHECKOUT / "tests/support")]

from polling import wait_until  # noqa: E402 - as above

from e2e.systemd.conftest import (  # noqa: E402 - found where the line above says
    CONFIG,
    GOOD_CONFIG,
    KEY,
    UNIT,
    Host,
    booted,
    cgroup,
    furnish,
    serve_platform,
)

OLD = "0.0.9"
BUILD = "usr/lib/rensei-daemon/rensei_daemon/BUILD"
STATE = "/var/lib/rensei-daemon"
STEPS: list[Callable[["Debian"], None]] = []


class Debian:
    """A booted Debian, and the two packages it is given."""

    old = "/opt/old.deb"
    new = "/opt/new.deb"

    def __init__(self, host: Host, version: str) -> None:
        self.host = host
        self.version = version
        """What the program of the new package says it is."""

    def run(self, *words: str) -> str:
        """Run a program there that must succeed; return what it said."""
        return self.host.run("env", "DEBIAN_FRONTEND=noninteractive", *words).stdout

    def has(self, name: str) -> bool:
        """Tell whether a file, or a link that leads nowhere, is there."""
        return os.path.lexists(self.host.path(name))

    def status(self) -> dict[str, object]:
        """Return what `rensei-daemon status --json` says."""
        said = self.host.run("rensei-daemon", "status", "--json", check=False).stdout
        parsed: dict[str, object] = json.loads(said or "{}")
        return parsed

    def owner(self, name: str) -> str:
        """Return the mode and the owner of a file."""
        return self.run("stat", "--format=%a %U:%G", name).strip()


def step(action: Callable[[Debian], None]) -> Callable[[Debian], None]:
    """Take a function into the life, in the order of the file."""
    STEPS.append(action)
    return action


@step
def an_install_brings_everything_and_starts_nothing(debian: Debian) -> None:
    """The older package, on a system that has never seen one."""
    debian.run("dpkg", "--install", debian.old)
    shown = debian.host.shown("LoadState", "ActiveState", "UnitFileState", "FragmentPath")
    # The older systemd names a merged /usr by its other name.
    assert shown.pop("FragmentPath").endswith(f"/lib/systemd/system/{UNIT}"), shown
    assert shown == {
        "LoadState": "loaded",
        "ActiveState": "inactive",
        "UnitFileState": "disabled",
    }, shown
    assert debian.run("id", "--user", "--name", "rensei-daemon") == "rensei-daemon\n"
    assert debian.owner("/etc/rensei-daemon") == "755 rensei-daemon:rensei-daemon"
    assert debian.owner(CONFIG) == "644 rensei-daemon:rensei-daemon"
    assert debian.owner("/etc/credstore") == "700 root:root"
    said = debian.run("rensei-daemon", "--version")
    assert said == f"rensei-daemon, version {OLD}\n", said
    assert debian.run("dpkg", "--verify", "rensei-daemon") == ""


@step
def systemd_has_nothing_to_say_about_the_unit(debian: Debian) -> None:
    """Checked by its own tool."""
    done = debian.host.run("systemd-analyze", "verify", UNIT)
    assert (done.stdout, done.stderr) == ("", ""), done


@step
def the_key_is_placed_and_the_daemon_is_ready(debian: Debian) -> None:
    """By `install --key-file`, with the packaged unit left alone."""
    host = debian.host
    furnish(host)
    host.path(KEY).rename(host.path("/root/key"))
    debian.run("rensei-daemon", "install", "--key-file", "/root/key")
    assert debian.owner(KEY) == "600 root:root"
    assert not debian.has(f"/etc/systemd/system/{UNIT}")
    host.write(CONFIG, GOOD_CONFIG)
    debian.run("systemctl", "enable", "--now", UNIT)
    assert host.shown("ActiveState")["ActiveState"] == "active"
    wait_until(lambda: debian.status().get("state") == "ok")
    wait_until(host.path("/run/rensei-daemon/build.env").exists)


@step
def a_program_newer_than_the_daemon_is_told(debian: Debian) -> None:
    """Between unpacking and configuring, as after an upgrade without a restart."""
    debian.run("dpkg", "--unpack", debian.new)
    status = debian.status()
    assert status["version"] == OLD, status
    conditions = status["conditions"]
    assert isinstance(conditions, list)
    told = {condition["code"]: condition for condition in conditions}
    assert told["program.outdated"]["hint"] == "systemctl restart rensei-daemon", told


@step
def an_upgrade_keeps_the_config_and_restarts_the_daemon(debian: Debian) -> None:
    """The operator's text to the byte, the record, and the worker's id."""
    host = debian.host
    edited = GOOD_CONFIG.replace("kept by hand", "kept by hand, through an upgrade")
    host.write(CONFIG, edited)
    before, pid = debian.status(), host.shown("MainPID")
    debian.run("dpkg", "--configure", "rensei-daemon")
    wait_until(lambda: debian.status().get("state") == "ok")
    after = debian.status()
    assert host.shown("MainPID") != pid
    assert after["version"] == debian.version, after
    assert after["worker_id"] == before["worker_id"]
    assert host.path(CONFIG).read_text() == edited
    assert debian.owner(CONFIG) == "644 rensei-daemon:rensei-daemon"


@step
def the_doctor_finds_nothing_amiss(debian: Debian) -> None:
    """No check fails, and the packaged unit passes both of its own."""
    done = debian.host.run("rensei-daemon", "doctor", "--json", check=False)
    checks = json.loads(done.stdout)["checks"]
    assert not [check for check in checks if check["verdict"] == "fail"], done.stdout
    verdicts = {check["code"]: check["verdict"] for check in checks}
    assert (verdicts["unit"], verdicts["hardening"]) == ("pass", "pass"), done.stdout


@step
def a_daemon_that_is_stopped_stays_stopped(debian: Debian) -> None:
    """Also through an upgrade; the same version again is one."""
    debian.run("systemctl", "stop", UNIT)
    debian.run("dpkg", "--install", debian.new)
    assert debian.host.shown("ActiveState")["ActiveState"] == "inactive"
    debian.run("systemctl", "start", UNIT)


@step
def a_removal_stops_it_and_keeps_what_is_the_operators(debian: Debian) -> None:
    """Config, key, record and user stay; of the program nothing does."""
    text = debian.host.path(CONFIG).read_text()
    debian.run("dpkg", "--remove", "rensei-daemon")
    assert debian.host.shown("ActiveState")["ActiveState"] in ("inactive", "failed")
    assert debian.host.path(CONFIG).read_text() == text
    assert all(map(debian.has, (KEY, f"{STATE}/journal.db")))
    for name in ("/usr/lib/rensei-daemon", "/usr/bin/rensei-daemon", "/run/rensei-daemon"):
        assert not debian.has(name), name


@step
def installed_again_it_goes_on_where_it_was(debian: Debian) -> None:
    """The config that was kept is not written over by the example."""
    text = debian.host.path(CONFIG).read_text()
    debian.run("dpkg", "--install", debian.new)
    assert debian.host.path(CONFIG).read_text() == text
    debian.run("systemctl", "start", UNIT)
    wait_until(lambda: debian.status().get("state") == "ok")


@step
def a_purge_leaves_nothing_but_the_user(debian: Debian) -> None:
    """No config, key, record or link of an enabled unit."""
    debian.run("dpkg", "--purge", "rensei-daemon")
    assert debian.host.shown("LoadState")["LoadState"] == "not-found"
    left = debian.run("find", "/etc", "/usr", "/var", "/run", "-xdev", "-name", "*rensei*")
    ours = [line for line in left.splitlines() if f"{UNIT}.d" not in line]
    # The first is the test's own drop-in.
    assert ours == [], ours


def older(tree: Path, made: Path, name: str = BUILD, text: str = f"{OLD}\n") -> None:
    """Pack the package of the version before: the same, but for what it says it is."""
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {OLD}", control.read_text()))
    (tree / name).write_text(text)
    sums = tree / "DEBIAN/md5sums"
    kept = [line for line in sums.read_text().splitlines() if not line.endswith(name)]
    sums.write_text("\n".join(kept) + "\n")
    words = ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), str(made)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def debian(directory: Path) -> Iterator[Debian]:
    """Boot a system with both packages in /opt, and the platform on its loopback."""
    [package] = directory.glob("rensei-daemon_*.deb")
    os.environ["RENSEI_TEST_SYSTEM"] = str(directory / "host-system")
    with tempfile.TemporaryDirectory() as top, cgroup() as group:
        scratch, tree, opt = (Path(top, name) for name in ("scratch", "tree", "stage/opt"))
        scratch.mkdir()
        opt.mkdir(parents=True)
        shutil.copy(package, opt / "new.deb")
        subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
        version = (tree / BUILD).read_text().strip()
        older(tree, opt / "old.deb")
        shutil.copytree((tree / BUILD).parents[1], opt / "platform")
        for wheel in (directory / "wheels").glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(opt / "platform")
        with booted(scratch, opt.parent, group) as host:
            serve_platform(host, "env", "PYTHONPATH=/opt/platform", "/usr/bin/python3")
            yield Debian(host, version)


def passes_lintian(package: Path) -> bool:
    """Have lintian look at the package, where there is one; print what it finds."""
    if shutil.which("lintian") is None:
        print("  skip  lintian: it is not installed here")
        return True
    words = ["lintian", "--allow-root", "--fail-on=error,warning", str(package)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    print(f"  {'FAIL' if done.returncode else 'pass'}  lintian\n{done.stdout}", end="")
    return done.returncode == 0


def live(release: str, directory: Path) -> bool:
    """Walk through the whole life on one release; tell whether all of it held."""
    [package] = directory.glob("rensei-daemon_*.deb")
    with debian(directory) as system:
        name = system.run("sh", "-c", '. /etc/os-release; echo "$PRETTY_NAME"').strip()
        systemd = system.run("systemctl", "--version").split()[1]
        print(f"{release}: {name}, systemd {systemd}", flush=True)
        if not passes_lintian(package):
            return False
        for action in STEPS:
            words = action.__name__.replace("_", " ")
            try:
                action(system)
            except AssertionError as error:
                print(f"  FAIL  {words}\n{error}")
                return False
            print(f"  pass  {words}", flush=True)
    return True


def main() -> None:
    """Walk through it on every release that is named."""
    if os.geteuid() != 0:
        sys.exit("Booting a system takes root: run this as root.")
    try:
        lives = [live(*_named(word)) for word in sys.argv[1:]]
    except pytest.skip.Exception as reason:  # noqa: TID251 - what cannot be had is no pass here
        sys.exit(f"no system can be booted here: {reason}")
    sys.exit(0 if lives and all(lives) else 1)


def _named(word: str) -> tuple[str, Path]:
    release, _, directory = word.partition("=")
    return release, Path(directory)


if __name__ == "__main__":
    main()
