"""A machine that is suspended for eight hours, and a loop that is blocked for 90 seconds.

The suspension: the daemon is frozen by SIGSTOP while its streams end and the boot time goes
on by eight hours (`rig.suspended`: there is no other way to move that clock). After SIGCONT
all is looked at anew, once: a few requests, no burst, and the newest value. The block:
strace holds the event loop in one system call. Nothing feeds the watchdog meanwhile, so
systemd would restart the daemon; where nobody does, it must go on by itself, and its
status must say what is true. Run it alone:
`.venv-dev/bin/python tests/soak/stopped_world.py`.
"""

import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
from kill_at_every_call import why_not
from rig.ending import leaving_nothing
from rig.host import Host, open_host
from rig.verdict import BrokenPromiseError

FROZEN_SECONDS = 40.0
HOURS = 8
BLOCKED_SECONDS = 90.0
WATCHDOG_SECONDS = 60.0
WELL_WITHIN = 30.0
MOST_REQUESTS = 8
"""A beat or two, a token, a registration, a stream, and snapshots around it."""
BODY = """\
[credentials]
project_id = "p"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
[projects]
"""


def _is_well(status: dict[str, Any]) -> bool:
    (session,) = status["sessions"]
    return bool(status["state"] == "ok" and session["stream"] == "live")


async def _well_again(host: Host, value: str) -> float:
    began = time.monotonic()
    await host.until_file(host.runtime / "build.env", value, within=WELL_WITHIN)
    await host.until(_is_well, within=WELL_WITHIN)
    return time.monotonic() - began


async def suspension(host: Host) -> str:
    """Freeze the daemon, and let hours pass."""
    asleep = host.directory / "asleep"
    asleep.write_text("0")
    host.environ = {"RENSEI_ASLEEP": str(asleep)}
    pid = await host.start("rig.suspended")
    await host.until(_is_well)
    os.kill(pid, signal.SIGSTOP)
    host.platform.drop_streams()
    host.platform.set_credential("github", "TOKEN", "meanwhile")
    await anyio.sleep(FROZEN_SECONDS)
    asleep.write_text(str(HOURS * 3600))
    before = host.platform.log.counts.total()
    os.kill(pid, signal.SIGCONT)
    took = await _well_again(host, "meanwhile")
    asked = host.platform.log.counts.total() - before
    if asked > MOST_REQUESTS:
        raise BrokenPromiseError(f"{asked} requests")
    log = (host.state / "log.jsonl").read_text()
    await host.until(lambda _: "host.resumed" in (host.state / "log.jsonl").read_text())
    if len(host.platform.rows.workers()) != 1:
        raise BrokenPromiseError(f"registered anew:\n{log}")
    return f"well {took:.1f} s after it went on, with {asked} requests"


async def block(host: Host) -> str:
    """Hold the loop for a minute and a half."""
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with notices:
        host.environ = {"WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6))}
        pid = await host.start()
        path = host.runtime / "notify.sock"
        path.unlink(missing_ok=True)
        notices.bind(str(path))
        notices.setblocking(False)
        await host.until(_is_well)
        words = [
            "strace",
            "-p",
            str(pid),
            "-o",
            "/dev/null",
            "-e",
            "trace=epoll_wait",
            "-e",
        ]
        words.append(f"inject=epoll_wait:delay_enter={int(BLOCKED_SECONDS * 1e6)}:when=1")
        with subprocess.Popen(words, stderr=subprocess.PIPE) as tracer:  # noqa: ASYNC220
            assert tracer.stderr is not None
            tracer.stderr.readline()  # it is attached
            try:
                said = await _during(host, notices)
                await anyio.sleep(BLOCKED_SECONDS - WATCHDOG_SECONDS)
                took = await _well_again(host, "meanwhile")
                await anyio.sleep(WATCHDOG_SECONDS / 2)
                if b"WATCHDOG=1" not in _drain(notices):
                    raise BrokenPromiseError("the watchdog is not fed again")
            finally:
                tracer.terminate()
    return f"well {took:.1f} s after it went on ({said})"


async def _during(host: Host, notices: socket.socket) -> str:
    """Look at the blocked daemon from outside; return what its status says."""
    host.platform.set_credential("github", "TOKEN", "meanwhile")
    host.platform.drop_streams()
    await anyio.sleep(1)
    _drain(notices)
    await anyio.sleep(WATCHDOG_SECONDS - 1)
    if b"WATCHDOG=1" in _drain(notices):
        raise BrokenPromiseError("the watchdog was fed by a daemon that hangs")
    code, *outputs = await host.command("status")
    told = "".join(outputs)
    said = next((line for line in told.splitlines() if "not answered" in line), "")
    if code != 2 or not said:
        raise BrokenPromiseError(f"status of a blocked daemon: {code}, {told}")
    return said.strip()


def _drain(notices: socket.socket) -> bytes:
    heard = b""
    try:
        while True:
            heard += notices.recv(4096) + b"\n"
    except BlockingIOError:
        return heard


async def main() -> None:
    """Try both; print one line each."""
    for trial in (suspension, block):
        if trial is block and (reason := why_not()) is not None:
            print(f"block: skipped: {reason}")
            continue
        with tempfile.TemporaryDirectory() as name:
            async with open_host(Path(name), beat_ms=5_000, body=BODY) as host:
                host.platform.set_credential("github", "TOKEN", "first")
                print(f"{trial.__name__}: {await trial(host)}", flush=True)


if __name__ == "__main__":
    with leaving_nothing():
        anyio.run(main)
