"""`credentials rotate --wait`: who is behind, and when the old value may go."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deadlines import HANG_SECONDS
from forked import Forked
from platform_template import ORG
from platform_thread import PlatformThread, running_platform

pytestmark = pytest.mark.slow

SNAPSHOT = "/api/daemon/credentials/snapshot"


class Fleet:
    """A platform with one host, which beats when it is told to."""

    def __init__(self, place: Path, platform: PlatformThread) -> None:
        self.place, self.platform = place, platform
        self.key = platform.add_key()
        (place / "key").write_text(self.key)
        (place / "key").chmod(0o600)
        (place / "config.toml").write_text(
            f'[platform]\nurl = "{platform.url}"\napi_key_file = "key"\norg_id = "{ORG}"\n'
            '[paths]\nstate = "state"\nruntime = "run"\n'
        )
        platform.set_credential("github", "TOKEN", "one")
        body = {"hostname": "build-07", "capacity": 1}
        self.worker = platform.ask_as(self.key, "POST", "/api/workers/register", body)
        self.report()

    def report(self, **consumers: int) -> None:
        """Take a snapshot as the host's session, and say that it is held."""
        body = {"orgId": ORG, "sessionId": "deploy", "projectId": "p"}
        version = self.platform.ask_as(self.key, "POST", SNAPSHOT, body)["version"]
        said = {"id": "deploy", "version": version, "consumers": consumers}
        path = f"/api/workers/{self.worker['workerId']}/heartbeat"
        token = self.worker["runtimeToken"]
        beat = {"activeCount": 0, "uptake": [said]}
        self.platform.ask_as(token, "POST", path, beat)

    def rotate(self, *options: str) -> Forked:
        """Start the command."""
        config = str(self.place / "config.toml")
        command = ("rensei_daemon", "credentials", "rotate", "github")
        return Forked(
            *(*command, "--config", config, *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.place)},
        )


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A host whose session holds the first value."""
    with running_platform() as platform:
        yield Fleet(tmp_path, platform)


def end(command: Forked) -> tuple[int, str, str]:
    """Return (exit code, output, errors) once it has ended."""
    output, errors = command.communicate(timeout=HANG_SECONDS)
    return command.returncode, output, errors


def test_it_ends_when_the_old_value_may_go(fleet: Fleet) -> None:
    """Not while the host is behind."""
    command = fleet.rotate("--wait")
    assert command.stdout is not None
    seen = [command.stdout.readline() for _ in range(2)]
    assert seen == [
        "rotated github: sent to 0 sessions\n",
        "notified 0, held 0, confirmed 0, received 0, unknown 0, behind 1\n",
    ]
    assert command.poll() is None
    fleet.report(confirmed=1)
    assert end(command) == (
        0,
        "notified 0, held 1, confirmed 1, received 0, unknown 0, behind 0\n"
        "safe to revoke the old value: yes\n",
        "",
    )


def test_it_names_who_is_behind(fleet: Fleet) -> None:
    """When the time is over; JSON has all of it."""
    code, output, errors = end(fleet.rotate("--wait", "--timeout", "0"))
    assert code == 1
    assert "  behind: host build-07, session deploy\n" in output
    assert "safe to revoke the old value: no (1 session is behind)" in errors
    code, output, _ = end(fleet.rotate("--wait", "--timeout", "0", "--json"))
    found: Any = json.loads(output)
    assert (code, found["receipt"]["is_safe"], found["receipt"]["behind"]) == (1, False, 1)
    assert found["rotation_id"].startswith("rot_")


def test_what_cannot_tell_may_be_accepted(fleet: Fleet) -> None:
    """A plain file's readers count as unknown."""
    command = fleet.rotate("--wait", "--accept-unknown", "--json")
    while not fleet.platform.ask("GET", "/api/admin/rotations")["rotations"]:
        assert command.poll() is None
    fleet.report(unknown=1)
    code, output, _ = end(command)
    assert (code, json.loads(output)["receipt"]["unknown"]) == (0, 1)


def test_a_host_may_be_left_out(fleet: Fleet) -> None:
    """By its name, as one that will not come back."""
    code, output, _ = end(fleet.rotate("--wait", "--timeout", "0", "--without", "build-07"))
    assert (code, output.splitlines()[-1]) == (0, "safe to revoke the old value: yes")


def test_a_platform_that_cannot_tell(fleet: Fleet) -> None:
    """The daemon of this host is asked, and the answer is not yes."""
    body = {"ok": True, "kind": "github", "sessionCount": 1, "rotatedAt": ""}
    path = "/api/daemon/credentials/rotate"
    fleet.platform.faults.add("POST", path, status=200, body=body)
    code, output, errors = end(fleet.rotate("--wait"))
    assert (code, output) == (3, "rotated github: sent to 1 session\n")
    assert "not running" in errors
