"""A stop while a name server, or the disk below the state, is silent: within five seconds.

The name server is a socket on loopback that never answers, in a network and a mount
namespace of the daemon's own; for that it must be root, or it is skipped, in words. The
disk is one whose flushes take half a minute (`rig.slow_disk`). Run it alone:
`.venv-dev/bin/python tests/soak/hanging_stop.py`.
"""

import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import anyio
from rig.ending import leaving_nothing
from rig.host import Host, open_host
from rig.verdict import BrokenPromiseError

STOP_WITHIN = 5.0
ENTER = """\
set -e
export DAEMON=$$
ip link set lo up
mount --bind "$1" /etc/resolv.conf
shift
"$PYTHON" -c 'import os, socket, time
hole = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hole.bind(("127.0.0.1", 53))
while os.getppid() == int(os.environ["DAEMON"]):
    time.sleep(0.2)' &
exec "$@"
"""


async def _stop(host: Host, expected: int) -> str:
    began = time.monotonic()
    code = await host.end(signal.SIGTERM)
    took = time.monotonic() - began
    if took > STOP_WITHIN or code != expected:
        raise BrokenPromiseError(f"exit code {code} after {took:.1f} s")
    return f"stopped within {took:.1f} s, exit code {code}"


async def name_server(place: Path) -> str:
    """Stop while the platform's name is being looked up; the error must name DNS."""
    async with open_host(place) as host:
        resolv = place / "resolv.conf"
        resolv.write_text("nameserver 127.0.0.1\noptions timeout:20 attempts:1\n")
        script = place / "enter.sh"
        script.write_text(ENTER)
        host.environ = {
            "PYTHON": sys.executable,
            "RENSEI_DAEMON_PLATFORM__URL": "https://platform.example",
        }
        host.entry = ["unshare", "--net", "--mount", "sh", str(script), str(resolv)]
        await host.start()
        status = await host.until(lambda s: bool(s["heartbeat"]["last_error"]))
        said = status["heartbeat"]["last_error"]
        if "DNS" not in said:
            raise BrokenPromiseError(f"the error does not name DNS: {said}")
        return f"{await _stop(host, 0)} ({said})"


async def disk(place: Path) -> str:
    """Stop while a flush takes half a minute: nothing is torn, and the end is told."""
    async with open_host(place) as host:
        mark = place / "slow"
        host.environ = {"RENSEI_SLOW_DISK": str(mark)}
        await host.start("rig.slow_disk")
        await host.until(lambda status: bool(status["heartbeat"]["last_ok_at"]))
        before = host.config.read_text()
        mark.touch()
        mutation = host.enqueue("project.add", id="proj_1", repository="r")
        await host.platform.until(
            lambda: host.platform.rows.mutation(mutation.id).delivered_at
        )
        went = await _stop(host, 1)
        if host.config.read_text() != before:
            raise BrokenPromiseError("the configuration was touched without a flush")
        if "ended by force" not in (place / "stderr").read_text():
            raise BrokenPromiseError("nothing is said of the end")
        return went


async def main() -> None:
    """Try both; print one line each."""
    for trial in (name_server, disk):
        name = trial.__name__.replace("_", " ")
        if trial is name_server and (reason := why_not()) is not None:
            print(f"{name}: skipped: {reason}")
            continue
        with tempfile.TemporaryDirectory() as place:
            print(f"{name}: {await trial(Path(place))}", flush=True)


def why_not() -> str | None:
    """Return why the daemon can have no network of its own here, or None."""
    if os.geteuid() != 0:
        return "only root may make namespaces"
    lacking = [tool for tool in ("unshare", "ip") if shutil.which(tool) is None]
    return f"needs {' and '.join(lacking)}" if lacking else None


if __name__ == "__main__":
    with leaving_nothing():
        anyio.run(main)
