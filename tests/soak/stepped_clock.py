"""The clock jumps by a day, forth and back twice over, under a daemon that runs.

After each step a mutation must reach the file, a credential its env file, and the daemon
must call itself well, with the worker it had before. libfaketime moves the daemon's wall
clock; the platform keeps the true time. Run it alone:
`.venv-dev/bin/python tests/soak/stepped_clock.py`.
"""

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import anyio
from rig.host import ORG, Host, open_host
from rig.model import Model
from rig.verdict import BrokenPromiseError, check

LIBRARY = "libfaketimeMT.so.1"
LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
STEPS = ("+86400", "-86400", "+86400", "+0")
WELL_WITHIN = 10.0
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
    state = host.platform.state
    (host.directory / "clock").write_text(f"{offset}\n")
    stepped = time.monotonic()
    mutation = host.enqueue("project.add", id=f"proj_{number}", repository="r")
    model.apply(mutation)
    value = f"value-{number}"
    state.set_credential(ORG, "anthropic", "API_KEY", value, is_staged=True)
    state.rotate(ORG, "anthropic")
    await host.settled([mutation], within=WELL_WITHIN)
    await host.until_file(host.runtime / "build.env", value, within=WELL_WITHIN)
    await host.until(
        lambda status: bool(status["state"] == "ok" and _is_moved(status, offset)),
        within=WELL_WITHIN,
    )
    check(host, model)
    return time.monotonic() - stepped


def _is_moved(status: dict[str, dict[str, str]], offset: str) -> bool:
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
        async with open_host(Path(name), beat_ms=200, body=BODY) as host:
            clock = host.directory / "clock"
            clock.write_text("+0\n")
            host.environ = {
                "LD_PRELOAD": str(found),
                "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
            }
            host.platform.state.set_credential(ORG, "anthropic", "API_KEY", "value")
            await host.start()
            await host.until(lambda status: bool(status["state"] == "ok"))
            model = Model()
            for number, offset in enumerate(STEPS):
                took = await step(host, model, offset, number)
                print(f"clock at {offset:>6} s: all well {took:.1f} s later", flush=True)
            workers = len(host.platform.state.workers)
            if workers != 1:
                raise BrokenPromiseError(f"registered {workers} times")


if __name__ == "__main__":
    anyio.run(main)
