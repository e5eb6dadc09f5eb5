"""What the daemon weighs at rest, and how soon it is there.

One daemon with one session beside a local platform on loopback, both from `.venv`, as a
host would install them. Resident memory is VmRSS of /proc in MiB once the daemon has
been idle for a while; readiness is the time from the start of the process to READY=1;
`status` is the wall time of the whole command. The floors are a bare `python -c pass` of
the same interpreter. Run it alone: `.venv-dev/bin/python tests/bench/footprint.py`.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from rensei_daemon.local_platform.running import running

BIN = Path(__file__).parents[2] / ".venv" / "bin"
RUNS = 7
IDLE_SECONDS = 20.0
CPU_SECONDS = 30.0

CONFIG = """\
[platform]
url = "{url}"

[credentials]
project_id = "proj_a"

[[credentials.sessions]]
id = "build"
env_file = "build.env"

[projects]
proj_a = {{ repositories = ["https://git.example/acme/a"] }}
"""


@contextmanager
def daemon(
    place: Path, environ: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Run the daemon; yield the process and how long READY took."""
    notices = place / "notify.sock"
    notices.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(notices))
        heard.settimeout(20)
        started = time.perf_counter()
        process = subprocess.Popen(
            [BIN / "rensei-daemon", "run"],
            env={**environ, "NOTIFY_SOCKET": str(notices)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while b"READY=1" not in heard.recv(4096):
                pass
            yield process, time.perf_counter() - started
        finally:
            process.terminate()
            process.wait()


def resident(pid: int) -> float:
    """Return VmRSS in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wall(command: list[str | Path], environ: Mapping[str, str]) -> float:
    """Return the median wall time of a command, in seconds."""

    def once() -> float:
        started = time.perf_counter()
        subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - started

    return median(once)


def median(measure: Callable[[], float]) -> float:
    """Return the median of a few measurements, after one that does not count."""
    measure()
    return statistics.median(measure() for _ in range(RUNS))


def weigh(place: Path, environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Measure everything; return (what, measured, target)."""

    def readiness() -> float:
        with daemon(place, environ) as (_, seconds):
            return seconds

    ready = median(readiness)
    floor = wall([BIN / "python", "-c", "pass"], environ)
    with daemon(place, environ) as (process, _):
        time.sleep(IDLE_SECONDS)
        memory = resident(process.pid)
        before = cpu_seconds(process.pid)
        status = wall([BIN / "rensei-daemon", "status"], environ)
        time.sleep(CPU_SECONDS)
        cpu = (cpu_seconds(process.pid) - before) / CPU_SECONDS
    return [
        ("start to READY", f"{ready:.3f} s", "< 0.6 s"),
        ("status", f"{status:.3f} s", "< 0.1 s"),
        ("python -c pass", f"{floor:.3f} s", "floor"),
        ("idle memory", f"{memory:.1f} MiB", "< 48 MiB"),
        ("idle processor", f"{cpu:.2%} of a core", "< 0.2 %"),
    ]


async def main() -> int:
    """Print the table."""
    if not (BIN / "rensei-daemon").exists():
        print("make .venv/ready first")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        async with running() as platform:
            org = platform.state.add_org("acme").id
            platform.state.set_credential(org, "github", "GITHUB_TOKEN", "x" * 40)
            (place / "config.toml").write_text(CONFIG.format(url=platform.url))
            environ = {
                "PATH": os.environ["PATH"],
                "RENSEI_API_KEY": platform.state.add_key(org),
                "RENSEI_DAEMON_CONFIG": str(place / "config.toml"),
                "RENSEI_DAEMON_PATHS__STATE": str(place / "state"),
                "RENSEI_DAEMON_PATHS__RUNTIME": str(place / "run"),
            }
            table = await anyio.to_thread.run_sync(weigh, place, environ)
    for what, measured, target in table:
        print(f"{what:18} {measured:>18}   {target}")
    return 0


if __name__ == "__main__":
    sys.exit(anyio.run(main))
