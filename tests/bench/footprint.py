"""What the daemon weighs at rest, and how soon it is there.

One daemon with one session beside a control plane on loopback, both from `.venv`, as a
host would install them. Resident memory is VmRSS of /proc in MiB once the daemon has
been idle for a while, the most of a few daemons; readiness is the time from the start of
the process to READY=1; `status` is the wall time of the whole command. The floor is a
bare `python -c pass` of the same interpreter. It fails over a limit, so run it alone on a
machine at rest: `.venv-dev/bin/python tests/bench/footprint.py`.
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
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

# A bench is run as a script, and shares this with the tests.
sys.path.append(str(Path(__file__).parents[1] / "support"))
from platform_thread import running_platform

BIN = Path(__file__).parents[2] / ".venv" / "bin"
RUNS = 7
DAEMONS = 3
IDLE_SECONDS = 20.0
CPU_SECONDS = 30.0

MOST_READY_SECONDS = 0.6
MOST_STATUS_SECONDS = 0.1
MOST_MEMORY = 48.0
MOST_CPU = 0.002

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


@dataclass(frozen=True)
class Row:
    """One thing that was measured; a limit of None is a floor to compare with."""

    what: str
    measured: float
    limit: float | None
    form: str

    def __str__(self) -> str:
        limit = "floor" if self.limit is None else f"< {self.form.format(self.limit)}"
        return f"{self.what:18} {self.form.format(self.measured):>18}   {limit}"

    @property
    def is_exceeded(self) -> bool:
        return self.limit is not None and self.measured >= self.limit


def weigh(place: Path, environ: Mapping[str, str]) -> list[Row]:
    """Measure everything."""

    def readiness() -> float:
        with daemon(place, environ) as (_, seconds):
            return seconds

    def idle_memory() -> float:
        with daemon(place, environ) as (process, _):
            time.sleep(IDLE_SECONDS)
            return resident(process.pid)

    ready = median(readiness)
    floor = wall([BIN / "python", "-c", "pass"], environ)
    memory = max(idle_memory() for _ in range(DAEMONS))
    with daemon(place, environ) as (process, _):
        time.sleep(IDLE_SECONDS)
        before = cpu_seconds(process.pid)
        status = wall([BIN / "rensei-daemon", "status"], environ)
        time.sleep(CPU_SECONDS)
        cpu = (cpu_seconds(process.pid) - before) / CPU_SECONDS
    return [
        Row("start to READY", ready, MOST_READY_SECONDS, "{:.3f} s"),
        Row("status", status, MOST_STATUS_SECONDS, "{:.3f} s"),
        Row("python -c pass", floor, None, "{:.3f} s"),
        Row("idle memory", memory, MOST_MEMORY, "{:.1f} MiB"),
        Row("idle processor", cpu, MOST_CPU, "{:.2%} of a core"),
    ]


async def main() -> int:
    """Print the table; fail over a limit."""
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
            table = await anyio.to_thread.run_sync(weigh, place, environ)
    print(*table, sep="\n")
    return int(any(row.is_exceeded for row in table))


if __name__ == "__main__":
    sys.exit(anyio.run(main))
