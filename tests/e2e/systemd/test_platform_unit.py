"""The control plane as a service of a real systemd."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from certificates import write_certificate
from polling import wait_until

if TYPE_CHECKING:
    from e2e.systemd.conftest import Host

pytestmark = pytest.mark.slow

PROGRAM = "/opt/rensei-daemon/bin/rensei-platform"
PYTHON = "/opt/rensei-daemon/bin/python"
UNIT = "rensei-platform.service"
CONFIG = "/etc/rensei-platform/platform.toml"
STATE = "/var/lib/rensei-platform"
SETTINGS = f"""\
database = "sqlite:///{STATE}/platform.db"
tls_certificate = "/etc/rensei-platform/tls.pem"
tls_key = "/etc/rensei-platform/tls.key"
"""
OPEN_STREAM = """
import ssl, sys, urllib.request
context = ssl._create_unverified_context()
url = "https://127.0.0.1:8790/api/daemon/credentials/rotate-stream?sessionId=s"
headers = {"Authorization": "Bearer " + open("/root/owner.key").read().strip()}
request = urllib.request.Request(url, headers=headers)
with urllib.request.urlopen(request, context=context) as answer:
    print(answer.readline().decode().strip(), flush=True)
    while line := answer.readline():
        pass
print("ended", flush=True)
"""


class Service:
    """The unit on a booted host."""

    def __init__(self, host: "Host") -> None:
        self.host = host

    def systemctl(self, *words: str, check: bool = True) -> int:
        """Run systemctl with the unit; return its exit code."""
        done: int = self.host.run("systemctl", *words, UNIT, check=check).returncode
        return done

    def shown(self, *properties: str) -> dict[str, str]:
        """Return what systemd says of the unit."""
        words = ("systemctl", "show", UNIT, f"--property={','.join(properties)}")
        lines = self.host.run(*words).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)

    def log(self, event: str) -> list[dict[str, Any]]:
        """Return the events of a name that the unit has logged."""
        words = ("journalctl", f"--unit={UNIT}", "--output=cat")
        lines = self.host.run(*words).stdout.splitlines()
        logged = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in logged if line.get("event") == event]

    def certificate(self) -> str:
        """Return the certificate that it serves with."""
        script = "import ssl; print(ssl.get_server_certificate(('127.0.0.1', 8790)))"
        return str(self.host.run(PYTHON, "-c", script).stdout).strip()

    def put_certificate(self, directory: Path) -> str:
        """Make a certificate and put it where the settings say; return it."""
        made, key = write_certificate(directory)
        for name, text in (("tls.key", key.read_text()), ("tls.pem", made.read_text())):
            self.host.write(f"/etc/rensei-platform/{name}", text)
        self.host.run("chown", "-R", "rensei-platform:", "/etc/rensei-platform")
        return made.read_text().strip()


@pytest.fixture(scope="module")
def installed(host: "Host", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The unit as an operator makes it: install, settings, init."""
    said = host.run(PROGRAM, "install").stdout
    assert f"wrote /etc/systemd/system/{UNIT}" in said
    host.write(CONFIG, SETTINGS)
    service = Service(host)
    service.put_certificate(tmp_path_factory.mktemp("first"))
    found = ("--org=Acme", "--org-id=org_acme", "--owner=ada@acme.test")
    host.run(PROGRAM, "init", *found, "--write-key=/root/owner.key")
    yield service
    service.systemctl("stop")


@pytest.fixture
def service(installed: Service) -> Service:
    """The unit, which runs."""
    installed.systemctl("start")
    return installed


def test_it_is_ready_and_confined(service: Service) -> None:
    """`systemctl start` returns when it serves, as a user of its own, with files of its."""
    assert service.shown("ActiveState", "User", "StatusText") == {
        "ActiveState": "active",
        "User": "rensei-platform",
        "StatusText": "serving at https://127.0.0.1:8790",
    }
    seen = service.host.run("find", STATE, "-printf", "%u %m %f\\n").stdout.splitlines()
    assert {line.split()[0] for line in seen} == {"rensei-platform"}
    assert "rensei-platform 700 rensei-platform" in seen
    assert "rensei-platform 600 platform.db.key" in seen
    words = ("systemd-analyze", "security", "--threshold=22", "--no-pager", UNIT)
    service.host.run(*words)


def test_a_reload_reads_certificate_and_log(service: Service, tmp_path: Path) -> None:
    """The process stays; what needs a restart is named; a wrong file changes nothing."""
    before = service.shown("MainPID")
    renewed = service.put_certificate(tmp_path)
    service.host.write(CONFIG, SETTINGS + 'log_level = "debug"\nport = 8791\n')
    service.systemctl("reload")
    wait_until(lambda: service.certificate() == renewed)
    (read,) = wait_until(lambda: service.log("config.read"))
    assert read["restart_needed_for"] == ["port"]
    service.host.write(CONFIG, "nonsense\n")
    service.systemctl("reload")
    wait_until(lambda: service.log("config.not_read"))
    assert service.shown("MainPID", "ActiveState") == before | {"ActiveState": "active"}
    service.host.write(CONFIG, SETTINGS)


def test_it_is_back_after_a_kill(service: Service) -> None:
    """With another process, and ready again."""
    before = service.shown("MainPID")["MainPID"]
    service.host.run("kill", "-KILL", before)
    ready = wait_until(lambda: len(service.log("server.ready")) > 1)
    assert ready
    assert service.shown("MainPID")["MainPID"] not in ("0", before)
    assert service.certificate()


def test_a_stop_ends_the_streams(service: Service) -> None:
    """Each is ended properly and in time, and the program ends with 0."""
    words = [*service.host.entered, PYTHON, "-c", OPEN_STREAM]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd="/") as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == ": hello\n"
        service.systemctl("stop")
        assert reader.stdout.read() == "ended\n"
    assert service.shown("Result", "ExecMainStatus", "ActiveState") == {
        "Result": "success",
        "ExecMainStatus": "0",
        "ActiveState": "inactive",
    }


def test_commands_of_root_leave_the_files_to_the_service(installed: Service) -> None:
    """What root does to the database while it stands still keeps nobody from a start.

    Root has created it in the same way, before the first start.
    """
    service = installed
    service.systemctl("stop")
    service.host.run("rm", "-f", f"{STATE}/platform.db.lock")
    service.host.run(PROGRAM, "migrate")
    service.systemctl("start")
    seen = service.host.run("find", STATE, "-printf", "%u\\n").stdout.split()
    assert set(seen) == {"rensei-platform"}


def test_a_wrong_setting_is_not_tried_again(installed: Service) -> None:
    """The unit fails with our exit code, and our line says what is wrong."""
    service = installed
    service.systemctl("stop")
    service.host.write(CONFIG, SETTINGS + "prot = 1\n")
    assert service.systemctl("start", check=False) != 0
    assert service.shown("ExecMainStatus", "ActiveState", "NRestarts") == {
        "ExecMainStatus": "78",
        "ActiveState": "failed",
        "NRestarts": "0",
    }
    said = service.host.run("journalctl", f"--unit={UNIT}", "--output=cat").stdout
    assert "'prot': no such key; did you mean port?" in said
    service.host.write(CONFIG, SETTINGS)
    service.systemctl("reset-failed")
