"""What the commands cost that are called most, beside the least a Python program can.

One daemon with one session beside a control plane on loopback, both from `.venv`, as a
host would install them. Every command is run in turn, many rounds, so that a busy moment
of the machine falls on all of them. A JSON line for each: wall time from fork to exit and
processor time (median and 95th percentile, in milliseconds), and the most memory it ever
held (`ru_maxrss`, in MiB). The floor is `python -c pass` of the same interpreter; `status`
is to take less than 100 ms. Run it alone: `.venv-dev/bin/python tests/bench/commands.py`.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from footprint import BIN, CONFIG, daemon

# footprint.py has put what the tests share on the path.
from platform_thread import running_platform

ROUNDS = 40

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "python -c pass": ("python", "-c", "pass"),
    "rensei-daemon status": ("rensei-daemon", "status"),
    "rensei-daemon exec -- true": ("rensei-daemon", "exec", "--", "/bin/true"),
    "rensei-daemon --help": ("rensei-daemon", "--help"),
    "rensei-daemon run --help": ("rensei-daemon", "run", "--help"),
    "rensei-daemon logs -n 50": ("rensei-daemon", "logs", "-n", "50"),
}


LOOP = """
import json, os, sys, time
commands, environ, rounds = json.load(sys.stdin)
quiet = [(os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_RDWR, 0) for n in (0, 1, 2)]
taken = {name: [] for name in commands}
for number in range(rounds + 1):
    for name, argv in commands.items():
        started = time.perf_counter()
        pid = os.posix_spawn(argv[0], argv, environ, file_actions=quiet)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - started
        if status:
            sys.exit(f"{name} ended with {os.waitstatus_to_exitcode(status)}")
        if number:  # the first round fills the caches
            taken[name].append((wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss))
json.dump(taken, sys.stdout)
"""
"""Runs and measures, in a process as small as there is: a child's `ru_maxrss` begins with
what its parent held."""


def measure(place: Path, environ: Mapping[str, str]) -> None:
    """Print a line for each command."""
    commands = {
        name: [str(BIN / argv[0]), *argv[1:]]  # an absolute one stays what it is
        for name, argv in COMMANDS.items()
    }
    with daemon(place, environ):
        wait = [str(BIN / "rensei-daemon"), "credentials", "wait"]
        subprocess.run(wait, env=environ, check=True)
        done = subprocess.run(
            [str(BIN / "python"), "-I", "-S", "-c", LOOP],
            input=json.dumps([commands, environ, ROUNDS]),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    for name, counters in json.loads(done.stdout).items():
        walls, cpus, most = zip(*counters, strict=True)
        line: dict[str, Any] = {"command": name}
        for what, seconds in (("wall", walls), ("cpu", cpus)):
            ordered = sorted(seconds)
            line[f"{what}_ms_p50"] = round(statistics.median(ordered) * 1000, 1)
            line[f"{what}_ms_p95"] = round(ordered[int(len(ordered) * 0.95)] * 1000, 1)
        print(json.dumps({**line, "rss_mib": round(max(most) / 1024, 1)}), flush=True)


async def main() -> int:
    """Print the lines."""
    if not (BIN / "rensei-daemon").exists():
        print("make .venv/ready first")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with running_platform() as platform:
            platform.set_credential("github", "GITHUB_TOKEN", "x" * 40)
            (place / "config.toml").write_text(CONFIG.format(url=platform.url))
            environ = {
                "PATH": os.environ["PATH"],
                "RENSEI_API_KEY": platform.add_key(),
                "RENSEI_DAEMON_CONFIG": str(place / "config.toml"),
                "RENSEI_DAEMON_PATHS__STATE": str(place / "state"),
                "RENSEI_DAEMON_PATHS__RUNTIME": str(place / "run"),
            }
            await anyio.to_thread.run_sync(measure, place, environ)
    return 0


if __name__ == "__main__":
    sys.exit(anyio.run(main))
