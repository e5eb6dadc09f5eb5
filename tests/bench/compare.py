"""The daemon beside what people would use instead: `make compare`.

    .venv-dev/bin/python tests/bench/compare.py VENV MODULES [--write]

VENV has the Python peers and `bao`, MODULES the npm ones; etcd is taken from PATH.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import anyio
import anyio.to_thread
from host_rows import page
from host_rows.ending import leaving_nothing
from host_rows.frame import Run
from host_rows.scene import BEAT_MS, EVERYONES, Scene, scene
from peers import delivery, streams
from peers.delivery import Agent, Delivered

CHANGES = 15
CHECKOUT = Path(__file__).parents[2]
TMPFS = Path("/dev/shm")  # noqa: S108 - directories of its own are made in it
SKIPPED_SALT = (
    "Salt is not measured: it installs, but takes a master, an accepted key and a run of "
    "states for each change. httpx-sse connects once; the loop around it is ours."
)


def ours(one: Scene) -> Agent:
    """Return the daemon as an agent."""

    def start() -> subprocess.Popen[bytes]:
        one.runtime.mkdir(exist_ok=True)
        return subprocess.Popen(
            [one.program, "run"],
            env=one.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def change(value: str) -> None:
        one.platform.rotate(EVERYONES, GITHUB_TOKEN=value)

    return Agent("rensei-daemon", start, change, one.runtime / "s0.env")


async def deliveries(bao: str | None) -> list[Delivered]:
    """Measure every agent there is."""
    async with AsyncExitStack() as stack:
        run = Run(CHECKOUT / "build", TMPFS, CHECKOUT / ".venv/bin")
        one = await stack.enter_async_context(scene(run, beat_ms=BEAT_MS))
        one.configure()
        found = [await anyio.to_thread.run_sync(ours(one).measure, CHANGES)]
    with ExitStack() as peers:
        place = Path(peers.enter_context(tempfile.TemporaryDirectory(dir=TMPFS)))
        if bao:
            agent = peers.enter_context(delivery.openbao(bao, place))
            found.append(agent.measure(CHANGES))
        if shutil.which("etcd") and shutil.which("etcdctl"):
            found.append(peers.enter_context(delivery.etcd(place)).measure(CHANGES))
        else:
            print("etcd is not measured: apt-get install etcd-server etcd-client")
    return found


def part(
    found: list[Delivered],
    clients: list[streams.Client],
    rows: list[tuple[str, list[streams.Ran]]],
) -> Iterator[str]:
    """Yield the lines of the page."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    yield f"Measured with `make compare WRITE=1` {page.machine()}, load average {load}."
    yield from ("", f"{CHANGES} changes each, one after the other:", "")
    head = ("agent", "change to file, p50", "slowest", "start to first file")
    yield f"| {' | '.join((*head, 'resident, anonymous at rest'))} |"
    yield "|---|---|---|---|---|"
    for one in found:
        yield f"| {' | '.join(one.cells())} |"
    yield from ("", SKIPPED_SALT, "")
    yield "A value changes when something happens to the stream; how soon a client has it."
    yield "**no**: not within 10 s (204: 15 s, 64 MiB: 20 s, silence: 60 s)."
    yield ""
    yield from streams.table(clients, rows)


def main() -> int:
    """Measure, and print or write the part of the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("venv", type=Path)
    parser.add_argument("modules", type=Path)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    tempfile.tempdir = str(TMPFS)  # every source keeps its values in memory
    bao = shutil.which("bao", path=asked.venv / "bin")
    found = anyio.run(deliveries, bao)
    for one in found:
        print("  ".join(one.cells()), flush=True)
    clients = [*streams.clients(asked.venv, asked.modules)]
    rows = []
    for what, ran in streams.survey(clients):
        pairs = zip(clients, ran, strict=True)
        print(f"{what}: " + ", ".join(f"{c.name} {r}" for c, r in pairs), flush=True)
        rows.append((what, ran))
    lines = [*part(found, clients, rows)]
    if asked.write:
        page.write("compare", lines)
    return 0


if __name__ == "__main__":
    with leaving_nothing():
        sys.exit(main())
