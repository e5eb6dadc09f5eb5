"""A throw-away copy of this host, booted with its own systemd in namespaces of its own.

One is booted for all tests of the folder. The package is installed on it from a wheel,
and the control plane listens on the loopback address of its own network. To boot another
systemd than this host's, name a directory with such a system in RENSEI_TEST_SYSTEM.
"""

import ctypes
import http.client
import json
import os
import socket
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from deadlines import HANG_SECONDS
from made_once import made_once
from needs import lack, need
from polling import wait_until

CHECKOUT = Path(__file__).parents[3]
PROGRAM = "/opt/rensei-daemon/bin/rensei-daemon"
PYTHON = "/opt/rensei-daemon/bin/python"
UNIT = "rensei-daemon.service"
CONFIG = "/etc/rensei-daemon/config.toml"
KEY = "/etc/credstore/rensei-daemon.api-key"
PORT = 7780
CLONE_NEWNET = 0x40000000

GOOD_CONFIG = f"""\
[platform]
url = "http://127.0.0.1:{PORT}"
[machine]
name = "h1"
[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "build"
group = "build"
env_file = "build.env"
[projects]
# kept by hand
"""


class Host:
    """A booted host, by the process that is its PID 1."""

    program = PROGRAM
    unit = UNIT
    config = CONFIG
    good_config = GOOD_CONFIG
    key_file = KEY
    env_file = "/run/rensei-daemon/build.env"

    def __init__(self, leader: int) -> None:
        self.leader = leader
        self.key = ""
        """The API key of the host's org."""

    until = staticmethod(wait_until)

    def start(self) -> None:
        """Have the daemon run by the good config, and be well."""
        is_changed = self.path(CONFIG).read_text() != GOOD_CONFIG
        self.write(CONFIG, GOOD_CONFIG)
        self.run("systemctl", "start", UNIT)
        if is_changed:
            self.run("systemctl", "reload", UNIT)
        wait_until(lambda: self.shown("StatusText")["StatusText"].startswith("ok"))

    def put_key(self) -> None:
        """Put the API key where the unit looks for it."""
        self.write(KEY, f"{self.key}\n")
        self.path(KEY).chmod(0o600)

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program there, as root."""
        entered = [*self.entered, *words]
        done = subprocess.run(
            entered,
            capture_output=True,
            text=True,
            timeout=HANG_SECONDS,
            check=False,
            cwd="/",
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    @property
    def entered(self) -> list[str]:
        """What has the words behind it run there."""
        return ["nsenter", f"--target={self.leader}", "--all", "--"]

    def path(self, name: str) -> Path:
        """Return where a file of the host is seen from here."""
        return Path(f"/proc/{self.leader}/root{name}")

    def write(self, name: str, text: str) -> None:
        """Write over a file in place, as some editors do."""
        self.path(name).write_text(text)

    def ask(self, method: str, path: str, body: object) -> dict[str, Any]:
        """Ask the platform that listens there, as its owner."""
        connection = http.client.HTTPConnection("127.0.0.1", PORT)
        # A socket belongs to the network of the thread that made it, for good.
        with ThreadPoolExecutor(1) as elsewhere:
            connection.sock = elsewhere.submit(self._connect).result()
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.key}",
        }
        connection.request(method, path, json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read().decode()
        connection.close()
        assert answer.status < 300, content
        parsed: dict[str, Any] = json.loads(content)
        return parsed

    def set_credentials(self, kind: str, **values: str) -> None:
        """Have the platform store values, and tell nobody."""
        self.ask("PUT", f"/api/admin/credentials/{kind}/values", {"values": values})

    def rotate(self, value: str) -> None:
        """Have the platform rotate the credential to this value."""
        self.set_credentials("github", TOKEN=value)
        body = {"orgId": "org_acme", "kind": "github"}
        self.ask("POST", "/api/daemon/credentials/rotate", body)

    def _connect(self) -> socket.socket:
        with Path(f"/proc/{self.leader}/ns/net").open() as network:
            assert ctypes.CDLL(None).setns(network.fileno(), CLONE_NEWNET) == 0
        return socket.create_connection(("127.0.0.1", PORT), timeout=HANG_SECONDS)

    def shown(self, *properties: str) -> dict[str, str]:
        """Return what systemd says of the unit."""
        said = self.run("systemctl", "show", UNIT, f"--property={','.join(properties)}")
        return dict(line.split("=", 1) for line in said.stdout.splitlines())

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """Return the unit's journal entries."""
        words = ["journalctl", f"--unit={UNIT}", "--output=json", *matches]
        return [json.loads(line) for line in self.run(*words).stdout.splitlines()]

    def status(self) -> dict[str, Any]:
        """Return what the daemon says of itself."""
        said = self.run(PROGRAM, "status", "--json", check=False).stdout
        parsed: dict[str, Any] = json.loads(said or "{}")
        return parsed


@contextmanager
def cgroup() -> Iterator[Path]:
    """Make a control group for a host of our own; skip the tests where that is not ours."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    group = next((Path(m[1]) for m in mounts if m[2] == "cgroup2"), None)
    if group is None:
        lack("boot", "no cgroup2 is mounted here")
    ours = group / f"rensei-test-{os.getpid()}"
    try:
        ours.mkdir()
    except OSError as error:
        lack("boot", f"no control group can be made: {error}")
    try:
        yield ours
    finally:
        for directory, _, _ in os.walk(ours, topdown=False):
            wait_until(partial(_removed, Path(directory)))


def _removed(directory: Path) -> bool:
    with suppress(OSError):
        directory.rmdir()
    return not directory.exists()


@contextmanager
def booted(scratch: Path, stage: Path, group: Path) -> Iterator[Host]:
    """Boot a host, and pull its plug at the end; skip the tests where none boots."""
    script = str(Path(__file__).with_name("boot.sh"))
    system = os.environ.get("RENSEI_TEST_SYSTEM", "/")
    prefix, packages = sys.base_prefix, sysconfig.get_path("purelib")
    enter = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(group)]
    # The host dies with the tests, however they die.
    apart = [
        "setpriv",
        "--pdeathsig=KILL",
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount",
        "--uts",
        "--ipc",
    ]
    boot = ["sh", script, system, str(scratch), str(stage), prefix, packages]
    words = [*enter, *apart, "--cgroup", "--net", "--", *boot]
    said = scratch / "said"
    with said.open("wb") as stderr, subprocess.Popen(words, stderr=stderr) as outer:

        def has_ended() -> bool:
            if outer.poll() is not None:
                lack("boot", said.read_text().strip())
            return False

        try:
            leader = wait_until(lambda: has_ended() or _child(outer.pid))
            host = Host(int(leader))
            wait_until(lambda: has_ended() or host.path("/run/systemd/private").exists())
            host.run("systemctl", "is-system-running", "--wait", check=False)
            yield host
        finally:
            outer.kill()


def _child(pid: int) -> str:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return ""


def staged() -> Path:
    """Return the package, built and installed in a virtual environment below /opt."""
    return made_once("stage", _stage)


def _stage(top: Path) -> None:
    house = top / "opt/rensei-daemon"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = house / "lib" / version / "site-packages"
    (house / "bin").mkdir(parents=True)
    (house / "bin/python").symlink_to(f"/opt/python/bin/{version}")
    (house / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
    build = ["-m", "hatchling", "build", "-t", "wheel", "-d", str(packages)]
    subprocess.run([sys.executable, *build], cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = packages.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(packages)
    wheel.unlink()
    (packages / "dependencies.pth").write_text("/opt/packages\n")
    words = [sys.executable, "-m", "compileall", "-q", "-d", "/opt", str(packages)]
    subprocess.run(words, check=True)
    for name in ("rensei-daemon", "rensei-platform"):
        program = house / "bin" / name
        module = name.replace("-", "_")
        program.write_text(
            f"#!/opt/rensei-daemon/bin/python\nfrom {module}.__main__ import main\nmain()\n"
        )
        program.chmod(0o755)


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A booted host on which `rensei-daemon install` has run, and the platform runs."""
    need("root", "systemd")
    with cgroup() as group:
        yield from _installed(tmp_path_factory.mktemp("host"), staged(), group)


def _installed(scratch: Path, stage: Path, group: Path) -> Iterator[Host]:
    with booted(scratch, stage, group) as host:
        host.run(PROGRAM, "install")
        serve_platform(host, PYTHON)
        furnish(host)
        yield host


def serve_platform(host: Host, *python: str) -> None:
    """Create a tenant there, and serve the control plane as a unit of its own."""
    database = "--database=sqlite:////run/platform.db"
    module = ("-m", "rensei_platform")
    tenant = ("--org=acme", "--org-id=org_acme", "--owner=ada@acme.test", "--json")
    said = host.run(*python, *module, "init", database, *tenant).stdout
    host.key = json.loads(said)["key"]
    serve = ("serve", database, f"--port={PORT}", "--heartbeat-interval-ms=300")
    unit = ("systemd-run", "--quiet", "--unit=control-plane")
    host.run(*unit, *python, *module, *serve, "--ready-file=/run/platform")
    wait_until(host.path("/run/platform").exists)


def furnish(host: Host) -> None:
    """Set up a credential and this host; configure the daemon."""
    host.ask("POST", "/api/admin/hosts", {"name": "h1", "id": "wh_h1"})
    host.set_credentials("github", TOKEN="first")
    host.run("groupadd", "build")
    drop_in = host.path(f"/etc/systemd/system/{UNIT}.d/groups.conf")
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nSupplementaryGroups=build\nRestartSec=100ms\n")
    host.run("systemctl", "daemon-reload")
    host.write(CONFIG, GOOD_CONFIG)
    host.put_key()


@pytest.fixture
def running(host: Host) -> Host:
    """The host with a daemon that runs, by the good config, and has its credentials."""
    host.start()
    return host
