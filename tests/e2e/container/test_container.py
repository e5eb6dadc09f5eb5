"""The daemon as in a container: PID 1, a bare uid, a read-only root, three volumes."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.abc import Process
from deadlines import HANG_SECONDS
from needs import need
from polling import LOOK_SECONDS, until
from rig.tcp import free_port, get

from e2e.systemd.conftest import staged

if TYPE_CHECKING:
    from e2e.conftest import Lab

SCRIPT = str(Path(__file__).with_name("enter.sh"))
PROGRAM = "/opt/rensei-daemon/bin/rensei-daemon"
UID, WORKER, GROUP, STRANGERS = 12345, 23456, 20001, 20002

CONFIG = """\
[platform]
url = "{url}"
[machine]
name = "h1"
[metrics]
listen = "0.0.0.0:{port}"
[credentials]
project_id = "proj_a"
group = "20001"
[[credentials.sessions]]
id = "build"
group = "20001"
env_file = "build.env"
on_rotate = ["/etc/rensei-daemon/hook"]
[projects]
"""
# Leaves an orphan behind, out of reach in a session of its own, which ends a moment later.
HOOK = """\
#!/bin/sh
cd /run/rensei-daemon
up=$(setsid --fork sh -c 'exec >/dev/null 2>&1; sleep 0.05; echo $$ >>orphans')
exit 7
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stage() -> Path:
    """The package, installed below /opt."""
    need("root", "mount")
    return staged()


class Container:
    """One daemon below an unshare of ours."""

    def __init__(self, outer: Process, volume: Path, port: int) -> None:
        self.outer = outer
        self.volume = volume
        self.port = port

    @property
    def init(self) -> int:
        """The pid, seen from here, of what is PID 1 in there."""
        pid = self.outer.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())

    def path(self, name: str) -> Path:
        """Return where a file of the container is seen from here."""
        return Path(f"/proc/{self.init}/root{name}")

    def processes(self) -> set[str]:
        """Return the pid, there, of every process that was not waited for."""
        return {directory.name for directory in self.path("/proc").glob("[0-9]*")}

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of this name that were logged to stdout."""
        lines = (self.volume / "stdout").read_text().splitlines()
        return [event for line in lines if (event := json.loads(line))["event"] == name]


def entered(
    stage: Path, volumes: Path, access: str, uid: int, gid: int, *program: str
) -> list[str]:
    """Return what runs a program as a container's PID 1; the daemon is in GROUP too."""
    root = volumes / f"root-{uid}-{gid}"
    root.mkdir()
    apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--", "sh", SCRIPT]
    house = [str(root), str(stage), sys.base_prefix, sysconfig.get_path("purelib")]
    user = [str(volumes), access, str(uid), str(gid), str(GROUP if uid == UID else gid)]
    return ["setpriv", "--pdeathsig=KILL", *apart, *house, *user, *program]


@asynccontextmanager
async def container(lab: "Lab", stage: Path, volumes: Path) -> AsyncIterator[Container]:
    """Run the daemon as a container would, by an API key in the environment."""
    port = free_port()
    config = CONFIG.format(url=lab.platform.url, port=port)
    for name, text, mode in (("config.toml", config, 0o644), ("hook", HOOK, 0o755)):
        file = volumes / "etc" / name
        file.write_text(text)
        file.chmod(mode)
        os.chown(file, UID, UID)
    run = ("env", f"RENSEI_API_KEY={lab.key}", PROGRAM, "run")
    words = entered(stage, volumes, "rw", UID, UID, *run)
    with (volumes / "stdout").open("wb") as stdout:
        process = await anyio.open_process(
            words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=None
        )
        async with process:
            inside = Container(process, volumes, port)
            try:
                yield inside
            finally:
                if process.returncode is None:
                    # Having changed its user, it does not die with the processes above it.
                    os.kill(inside.init, signal.SIGKILL)


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """The three volumes, which belong to the daemon's user, and a way there."""
    for parent in (tmp_path, *tmp_path.parents):
        parent.chmod(parent.stat().st_mode | 0o011)
    for name in ("etc", "state", "run"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, UID, UID)
    return tmp_path


async def until_ready(port: int) -> None:
    """Ask for readiness until it is there."""
    status = 0
    while status != 200:
        with suppress(OSError):
            status, _ = await get(port, "/readyz")
        await anyio.sleep(LOOK_SECONDS)


async def test_a_daemon_lives_in_a_container(
    lab: "Lab", stage: Path, volumes: Path
) -> None:
    """Ready over TCP, JSON on stdout, config and env file in the volumes, no zombie."""
    async with container(lab, stage, volumes) as inside:
        with anyio.fail_after(HANG_SECONDS):
            await until_ready(inside.port)
            assert os.statvfs(inside.path("/")).f_flag & os.ST_RDONLY
            env_file = inside.path("/run/rensei-daemon/build.env")
            await until(env_file.exists)
            assert env_file.read_text() == 'TOKEN="canary-one-7f3a"\n'
            assert env_file.stat().st_uid == UID
            lab.enqueue("project.add", id="proj_b", repository="https://github.com/acme/b")
            await until(lambda: "proj_b" in (volumes / "etc/config.toml").read_text())
            orphans = inside.path("/run/rensei-daemon/orphans")
            await until(lambda: orphans.exists() and orphans.read_text())
            orphan = orphans.read_text().split()[0]
            await until(lambda: orphan not in inside.processes())
            assert inside.events("hook.ended")[0]["exit_code"] == 7
            os.kill(inside.init, signal.SIGTERM)
            assert await inside.outer.wait() == 0
    assert inside.events("daemon.stopped")


async def test_another_container_has_credentials_by_the_directory(
    lab: "Lab", stage: Path, volumes: Path
) -> None:
    """Mounted read-only, it has file and socket for one group, known by its number."""
    words = ("--wait=10", "--", "sh", "-c", "echo $TOKEN; cat /run/rensei-daemon/build.env")

    async def worker(gid: int) -> tuple[int, bytes, bytes]:
        argv = entered(stage, volumes, "ro", WORKER, gid, PROGRAM, "exec", *words)
        done = await anyio.run_process(argv, check=False)
        return done.returncode, done.stdout, done.stderr

    async with container(lab, stage, volumes) as inside:
        with anyio.fail_after(HANG_SECONDS):
            await until_ready(inside.port)
            await until(inside.path("/run/rensei-daemon/build.env").exists)
            had = b'canary-one-7f3a\nTOKEN="canary-one-7f3a"\n'
            assert await worker(GROUP) == (0, had, b"")
            code, out, err = await worker(STRANGERS)
            assert (code, out) == (77, b"")
            assert b"credentials.sock is there, not permitted: join group 20001" in err
