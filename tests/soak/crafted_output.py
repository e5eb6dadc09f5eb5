"""A hook that prints what was crafted against the scrubber: nobody else waits for it.

Eight sessions have 500 values of 2 KiB each that all begin alike, and a hook prints 64 KiB
of that beginning at every rotation. Meanwhile the daemon is asked something small without
pause: the slowest answer of a rotation may be 20 ms slower than without that output.
Run it alone: `.venv-dev/bin/python tests/soak/crafted_output.py`.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import anyio
from rig.ending import leaving_nothing
from rig.host import Host, open_host
from rig.verdict import BrokenPromiseError

from rensei_daemon.control_api.client import request

SESSIONS = 8
VALUES = 500
LONGEST_SECONDS = 0.02
ROUNDS = 20
ROUND_SECONDS = 0.4
SESSION = """\
[[credentials.sessions]]
id = "s{number}"
project_id = "p{number}"
"""
HOOK = """\
#!/bin/sh
[ -e {place}/is-loud ] && head -c 65536 /dev/zero | tr '\\0' A
exit 0
"""


async def slowest_answer(host: Host, rounds: int) -> float:
    """Rotate so often, asking all the while; return the median of the slowest answers."""
    slowest, platform = [], host.platform
    for _ in range(rounds):
        value = f"value-{time.monotonic_ns()}"
        platform.rotate("small", SMALL=value)
        slowest.append(await anyio.to_thread.run_sync(ask, host, ROUND_SECONDS))
    return statistics.median(slowest)


def ask(host: Host, seconds: float) -> float:
    """Ask something small for so long; return the time of the slowest answer."""
    slowest, ends = 0.0, time.monotonic() + seconds
    while (began := time.monotonic()) < ends:
        request(host.runtime / "control.sock", "GET", "/v1/log-level", timeout_seconds=10)
        slowest = max(slowest, time.monotonic() - began)
    return slowest


async def live(place: Path, say: Callable[[str], None]) -> None:
    """Go through it; raises `BrokenPromiseError`."""
    hook = place / "hook"
    hook.write_text(HOOK.format(place=place))
    hook.chmod(0o755)
    blocks = "".join(SESSION.format(number=number) for number in range(SESSIONS))
    blocks = blocks.replace('id = "s0"\n', f'id = "s0"\non_rotate = ["{hook}"]\n')
    async with open_host(place, body=f"[credentials]\n{blocks}[projects]\n") as host:
        platform = host.platform
        for number in range(SESSIONS):
            values = {
                f"V{index}": f"{'A' * 2030}{number:08}{index:08}" for index in range(VALUES)
            }
            platform.set_credentials("crafted", values, project=f"p{number}")
        platform.set_credential("small", "SMALL", "value-0")
        await host.start()
        await host.until(lambda status: bool(status["state"] == "ok"))
        await host.platform.until(lambda: len(platform.streams) == SESSIONS)
        quiet = await slowest_answer(host, ROUNDS)
        (place / "is-loud").touch()
        loud = await slowest_answer(host, ROUNDS)
        code, said, _ = await host.command("logs", "--event", "hook.ended", "--json")
    if code or "too much of the rest may be secret" not in said:
        raise BrokenPromiseError("the hook's output was not looked through")
    told = (
        f"slowest answer of a rotation: {quiet * 1000:.1f} ms, "
        f"{loud * 1000:.1f} ms with crafted output"
    )
    say(told)
    if loud - quiet > LONGEST_SECONDS:
        raise BrokenPromiseError(told)


async def main() -> None:
    """Run it in memory, and print what was seen."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        await live(Path(name), lambda said: print(said, flush=True))


if __name__ == "__main__":
    with leaving_nothing():
        anyio.run(main)
