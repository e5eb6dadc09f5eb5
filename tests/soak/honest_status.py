"""How long `status` goes on saying ok when something is not: never past its promise.

One daemon, four troubles, each begun while the daemon is ok, and timed by the daemon's own
answers: beats that fail, a stream that is gone, credentials that nobody refreshes, and a
file that cannot be used. In the end all of it is fixed, and the daemon must be ok again.
Run it alone: `.venv-dev/bin/python tests/soak/honest_status.py`.
"""

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from rig.ending import leaving_nothing
from rig.host import Host, open_host
from rig.verdict import BrokenPromiseError

BEAT_SECONDS = 0.5
STALE_BEAT_SECONDS = 3.0
"""Three intervals, and at least this, since the last good beat."""
INVALID_SECONDS = 2.0
"""Since the file was saved."""
INTERRUPTED_SECONDS = 60.0
"""Since the stream went."""
REFRESH_SECONDS = 35.0
STALE_SESSION_SECONDS = 60.0
"""Since the `refreshUntil` of the last snapshot."""
LOOK_SECONDS = 0.5
"""How much later than promised we may see it: our own look, and a turn of its loop."""
ALWAYS = 1_000_000

BEAT, SNAPSHOT, STREAM = (
    "/api/workers/",
    "/api/daemon/credentials/snapshot",
    "/api/daemon/credentials/rotate-stream",
)
BODY = """\
[credentials]
project_id = "proj_1"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
[projects]
"""


def _says(status: dict[str, Any], code: str) -> bool:
    return any(condition["code"] == code for condition in status["conditions"])


def _is_ok(status: dict[str, Any]) -> bool:
    return bool(status["state"] == "ok")


async def _expect(host: Host, code: str, *, since: datetime, within: float) -> None:
    """Wait for a condition; it must come in time, and turn the state away from ok."""
    left = within - (datetime.now(UTC) - since).total_seconds()
    try:
        status = await host.until(
            lambda status: _says(status, code), within=max(left, 0) + LOOK_SECONDS
        )
    except TimeoutError:
        raise BrokenPromiseError(f"{code} is not told within {within:g} s") from None
    if status["state"] not in ("degraded", "failed"):
        raise BrokenPromiseError(f"with {code} the state is {status['state']}")
    took = (datetime.now(UTC) - since).total_seconds()
    print(f"{code}: {status['state']} after {took:.1f} s (promised {within:g})", flush=True)


async def beats_fail(host: Host) -> None:
    """The platform is there, and takes no beat."""
    host.platform.faults.add("POST", BEAT, times=ALWAYS)
    status = await host.until(
        lambda status: bool(status["heartbeat"]["consecutive_failures"])
    )
    last = datetime.fromisoformat(status["heartbeat"]["last_ok_at"])
    await _expect(host, "heartbeat.stale", since=last, within=STALE_BEAT_SECONDS)


async def file_breaks(host: Host) -> None:
    """A person saves half a line."""
    text = host.config.read_text()
    saved = datetime.now(UTC)
    host.config.write_text(f"{text}[broken\n")
    await _expect(host, "config.invalid", since=saved, within=INVALID_SECONDS)
    host.config.write_text(text)


async def stream_and_snapshots_go(host: Host) -> None:
    """Nothing comes any more: the stream is told of first, then the credentials' age."""
    for method, path in (("POST", SNAPSHOT), ("GET", STREAM)):
        host.platform.faults.add(method, path, times=ALWAYS)
    host.platform.drop_streams()
    cut = datetime.now(UTC)
    (session,) = (await host.status())["sessions"]
    until = datetime.fromisoformat(session["refresh_until"])
    async with anyio.create_task_group() as waiting:
        waiting.start_soon(_interrupted, host, cut)
        waiting.start_soon(_stale, host, until)


async def _interrupted(host: Host, cut: datetime) -> None:
    await _expect(host, "stream.interrupted", since=cut, within=INTERRUPTED_SECONDS)


async def _stale(host: Host, until: datetime) -> None:
    await _expect(host, "session.stale", since=until, within=STALE_SESSION_SECONDS)


async def live(place: Path) -> None:
    """Go through all four; print one line each."""
    beat_ms = int(BEAT_SECONDS * 1000)
    async with open_host(
        place, beat_ms=beat_ms, body=BODY, refresh_seconds=REFRESH_SECONDS
    ) as host:
        host.platform.set_credential("anthropic", "API_KEY", "value")
        await host.start()
        for trouble in (beats_fail, file_breaks, stream_and_snapshots_go):
            await host.until(_is_ok)
            await trouble(host)
            host.platform.faults.clear()
            fixed = time.monotonic()
            await host.until(_is_ok, within=90)
            print(f"ok again {time.monotonic() - fixed:.1f} s after it was fixed")


if __name__ == "__main__":
    with leaving_nothing(), tempfile.TemporaryDirectory() as name:
        anyio.run(live, Path(name))
