"""A link that dies without a word: stream and beat notice, and recover by themselves.

The platform and the daemon live in two network namespaces with a pair of veth devices
between them; the platform sends no keepalives, so that nobody but the daemon's host can
notice. First nothing happens, for longer than a dead stream may go unnoticed: the stream
lives. Then the platform's end of the link goes down: nothing is refused, everything is
swallowed. Both namespaces go with the script. Run it alone, perhaps with more patience:
`.venv-dev/bin/python tests/soak/half_open.py [QUIET_SECONDS]`.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
from rig.ending import leaving_nothing
from rig.host import Host, open_host
from rig.verdict import BrokenPromiseError

BEAT_WITHIN = 21.0
"""A call takes 20 s at most; a second for us to see it."""
STREAM_WITHIN = 45.0
"""The kernel alone would take 45.7 s: its timers are coarse."""
RECOVERED_WITHIN = 30.0
QUIET_SECONDS = 60.0
PLATFORM, DAEMON = "127.9.0.1", "127.9.0.2"
"""Loopback addresses, for the sake of plain HTTP, on a link that is none."""
BODY = """\
[credentials]
project_id = "p"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
[projects]
"""


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


def _lay(device: str, address: str, *entry: str) -> None:
    """Give a namespace its end of the cable."""
    for words in (
        ("sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet"),
        ("ip", "link", "set", "lo", "up"),
        ("ip", "address", "del", "127.0.0.1/8", "dev", "lo"),
        ("ip", "address", "add", "127.0.0.1/32", "dev", "lo"),
        ("ip", "address", "add", f"{address}/30", "dev", device),
        ("ip", "link", "set", device, "up"),
    ):
        _run(*entry, *words)


@contextmanager
def cable() -> Iterator[tuple[str, ...]]:
    """Lay a cable to another namespace; yield what leads a program there."""
    words = ["unshare", "--net", "sh", "-c", "echo; exec sleep 600"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            other.stdout.readline()
            entry = ("nsenter", f"--target={other.pid}", "--net")
            _run("ip", "link", "add", "here", "type", "veth", "peer", "name", "there")
            _run("ip", "link", "set", "there", "netns", str(other.pid))
            _lay("here", PLATFORM)
            _lay("there", DAEMON, *entry)
            yield entry
        finally:
            other.kill()


def _stream(status: dict[str, Any]) -> str:
    (session,) = status["sessions"]
    return str(session["stream"])


async def _stay_quiet(host: Host, seconds: float) -> None:
    """Let the stream be silent; raises `BrokenPromiseError` if it does not live on."""
    streams = list(host.platform.streams)
    await anyio.sleep(seconds)
    if list(host.platform.streams) != streams:
        raise BrokenPromiseError("a healthy stream was given up")
    print(f"the stream lives after {seconds:.0f} s of silence", flush=True)


async def _cut(host: Host) -> None:
    """Cut the link, and wait until beat and stream have noticed."""
    cut = time.monotonic()
    _run("ip", "link", "set", "here", "down")
    await host.until(
        lambda status: bool(status["heartbeat"]["consecutive_failures"]),
        within=BEAT_WITHIN,
    )
    print(f"the beat noticed after {time.monotonic() - cut:.1f} s", flush=True)
    left = STREAM_WITHIN - (time.monotonic() - cut)
    await host.until(lambda status: _stream(status) == "interrupted", within=left)
    print(f"the stream noticed after {time.monotonic() - cut:.1f} s", flush=True)


async def live(place: Path, quiet_seconds: float) -> None:
    """Cut the link and fix it; raises `TimeoutError` for what is not noticed in time."""
    with cable() as entry:
        async with open_host(
            place, beat_ms=1000, body=BODY, keepalive_seconds=3600, address=PLATFORM
        ) as host:
            host.entry = entry
            platform = host.platform
            platform.set_credential("github", "TOKEN", "before")
            await host.start()
            await host.until(
                lambda status: status["state"] == "ok" and _stream(status) == "live"
            )
            await _stay_quiet(host, quiet_seconds)
            await _cut(host)
            platform.set_credential("github", "TOKEN", "meanwhile")
            fixed = time.monotonic()
            _run("ip", "link", "set", "here", "up")
            await host.until_file(
                host.runtime / "build.env", "meanwhile", within=RECOVERED_WITHIN
            )
            print(f"all well {time.monotonic() - fixed:.1f} s after it was fixed")
            workers = platform.rows.workers()
            if len(workers) != 1:
                raise BrokenPromiseError(f"registered {len(workers)} times")


def main() -> None:
    """Start over in a namespace of our own, or go through with it."""
    if sys.argv[1:2] == ["--inside"]:
        with tempfile.TemporaryDirectory() as name:
            anyio.run(live, Path(name), float(sys.argv[2]))
        return
    if os.geteuid() != 0:
        print("skipped: network namespaces take root")
        return
    quiet = sys.argv[1] if sys.argv[1:] else str(QUIET_SECONDS)
    words = ["unshare", "--net", sys.executable, __file__, "--inside", quiet]
    os.execvp("unshare", words)  # noqa: S606


if __name__ == "__main__":
    with leaving_nothing():
        main()
