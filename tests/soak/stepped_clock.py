"""The clock jumps, by two hours, a day and from 1970 to today, under a daemon that runs.

After each step nothing may be called stale, though nothing new arrives; `clock.skewed` is
told as long as it is true. Then a mutation must reach the file and a credential its env
file, with the worker the daemon had before. libfaketime moves the daemon's wall clock; the
platform keeps the true time. Run it alone:
`.venv-dev/bin/python tests/soak/stepped_clock.py`.
"""

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from rig.ending import leaving_nothing
from rig.host import Host, open_host
from rig.model import Model
from rig.verdict import BrokenPromiseError, check

LIBRARY = "libfaketimeMT.so.1"
LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
DECADES = f"-{int(time.time()) - 86400}"
"""Back to the second day of 1970."""
STEPS = (DECADES, "+0", "+7200", "-7200", "+86400", "-86400", "+0")
WELL_WITHIN = 20.0
QUIET_SECONDS = 4.0
"""How long nothing new arrives after a step."""
BODY = """\
[credentials]
project_id = "proj_1"
env_name = "production"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
[projects]
"""


def library() -> Path | None:
    """Find the library that moves a process's clock."""
    found = (f for root in LIBRARIES for f in Path(root).glob(f"**/faketime/{LIBRARY}"))
    return next(found, None)


async def step(host: Host, model: Model, offset: str, number: int) -> float:
    """Step the clock, and return how long everything took to be well again."""
    platform = host.platform
    (host.directory / "clock").write_text(f"{offset}\n")
    stepped = time.monotonic()
    await host.until(lambda status: _tells_truly(status, offset), within=WELL_WITHIN)
    quiet = time.monotonic()
    while time.monotonic() < quiet + QUIET_SECONDS:
        status = await host.status()
        if not _tells_truly(status, offset):
            raise BrokenPromiseError(f"at {offset} s: {_grave(status)}")
        await anyio.sleep(0.2)
    mutation = host.enqueue("project.add", id=f"proj_{number}", repository="r")
    model.apply(mutation)
    value = f"value-{number}"
    platform.rotate("anthropic", API_KEY=value)
    await host.settled([mutation], within=WELL_WITHIN)
    await host.until_file(host.runtime / "build.env", value, within=WELL_WITHIN)
    await host.until(lambda status: _tells_truly(status, offset), within=WELL_WITHIN)
    check(host, model)
    return time.monotonic() - stepped


def _grave(status: dict[str, Any]) -> set[str]:
    return {c["code"] for c in status["conditions"] if c["severity"] != "info"}


def _tells_truly(status: dict[str, Any], offset: str) -> bool:
    """Whether the clock is all that is wrong, if it is."""
    wanted = {"clock.skewed"} if float(offset) else set()
    return _grave(status) == wanted and _is_moved(status, offset)


def _is_moved(status: dict[str, Any], offset: str) -> bool:
    """Whether the daemon's own times show the step: else nothing would be proved."""
    last = datetime.fromisoformat(status["heartbeat"]["last_ok_at"])
    moved = (last - datetime.now(UTC)).total_seconds()
    return abs(moved - float(offset)) < 3600


async def main() -> None:
    """Step through all of it; print one line each."""
    found = library()
    if found is None:
        print("skipped: there is no libfaketime (apt-get install faketime)")
        return
    with tempfile.TemporaryDirectory() as name:
        async with open_host(Path(name), beat_ms=2_000, body=BODY) as host:
            clock = host.directory / "clock"
            clock.write_text(f"{STEPS[0]}\n")
            host.environ = {
                "LD_PRELOAD": str(found),
                "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
            }
            host.platform.set_credential("anthropic", "API_KEY", "value")
            await host.start()
            await host.until(lambda status: bool(status["heartbeat"]["last_ok_at"]))
            model, began = Model(), time.monotonic()
            for number, offset in enumerate(STEPS):
                took = await step(host, model, offset, number)
                print(f"clock at {offset:>6} s: all well {took:.1f} s later", flush=True)
            workers = len(host.platform.rows.workers())
            minutes = (time.monotonic() - began) / 60
            if workers > 2 + minutes:  # a changed project set registers once a minute
                raise BrokenPromiseError(f"registered {workers} times")


if __name__ == "__main__":
    with leaving_nothing():
        anyio.run(main)
