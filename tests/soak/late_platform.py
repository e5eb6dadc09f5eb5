"""A host that boots before its platform answers: 8, 40 and 75 s late.

The host is known to the platform, and its runtime directory is empty: no token, no values.
Whatever the daemon waits for by then, values must be in the env file within a second of the
first good beat. With and without an organisation kept from before the boot. Run it alone:
`.venv-dev/bin/python tests/soak/late_platform.py`.
"""

import json
import signal
import sys
import tempfile
import time
from pathlib import Path

import anyio

# A soak is run as a script, and shares this with the tests.
sys.path.append(str(Path(__file__).parents[1] / "support"))
from platform_template import ORG
from rig.ending import leaving_nothing
from rig.host import Host, open_host
from rig.verdict import BrokenPromiseError

LATE_SECONDS = (8.0, 40.0, 75.0)
VALUES_WITHIN = 1.0
"""Of the first good beat."""
BEAT_WITHIN = 60.0
"""Of the platform's first answer: an interval of 30 s, and its jitter."""
LOOK_SECONDS = 0.2
"""How much later we may see it: our own look, and the daemon's turn."""
ALWAYS = 1_000_000
BODY = """\
[credentials]
project_id = "proj_1"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
[projects]
"""


def _reboot(host: Host, *, keeps_organisation: bool) -> None:
    """Empty the runtime directory, as a boot does."""
    for path in host.runtime.iterdir():
        path.unlink()
    identity = host.state / "identity.json"
    saved = json.loads(identity.read_text())
    if not keeps_organisation:
        del saved["org_id"]
        identity.write_text(json.dumps(saved))


async def boot_early(
    place: Path, *, late: float, beat_ms: int = 30_000, keeps_organisation: bool = True
) -> str:
    """Boot with the platform that late; return how long values took after the beat."""
    async with open_host(place, beat_ms=beat_ms, body=BODY) as host:
        text = host.config.read_text()
        host.config.write_text(text.replace(f'org_id = "{ORG}"\n', ""))
        host.platform.set_credential("anthropic", "API_KEY", "value")
        await host.start()
        await host.until_file(host.runtime / "build.env", "value")
        await host.end(signal.SIGTERM)

        _reboot(host, keeps_organisation=keeps_organisation)
        for method in ("GET", "POST"):
            host.platform.faults.add(method, "/", times=ALWAYS)
        await host.start()
        await host.until(lambda s: bool(s["heartbeat"]["consecutive_failures"]))
        await anyio.sleep(late)
        host.platform.faults.clear()
        await host.until(
            lambda status: bool(status["heartbeat"]["last_ok_at"]), within=BEAT_WITHIN
        )
        beaten = time.monotonic()
        allowed = VALUES_WITHIN + LOOK_SECONDS
        try:
            await host.until_file(host.runtime / "build.env", "value", within=allowed)
        except TimeoutError:
            raise BrokenPromiseError(
                f"no values {VALUES_WITHIN:g} s after the first good beat"
            ) from None
        took = time.monotonic() - beaten
        await host.until(lambda s: bool(s["sessions"][0]["stream"] == "live"), within=2)
        return f"values {took:.2f} s after the first good beat"


async def main() -> None:
    """Boot with each lateness, both ways; print one line each."""
    for keeps in (True, False):
        for late in LATE_SECONDS:
            with tempfile.TemporaryDirectory() as name:
                said = await boot_early(Path(name), late=late, keeps_organisation=keeps)
            how = "organisation kept" if keeps else "organisation unknown"
            print(f"{late:g} s late, {how}: {said}", flush=True)


if __name__ == "__main__":
    with leaving_nothing():
        anyio.run(main)
