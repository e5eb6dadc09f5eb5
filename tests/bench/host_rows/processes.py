"""Processes that are measured: their processor time, their memory, and when they are ready.

Times are of `time.perf_counter`, which is one clock for all processes of a machine.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

WAIT_SECONDS = 60.0


class Cost(NamedTuple):
    """What one command took, in seconds and bytes."""

    wall: float
    cpu: float
    most_memory: float


_LOOP = """
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
            cpu = usage.ru_utime + usage.ru_stime
            taken[name].append((wall, cpu, usage.ru_maxrss * 1024))
json.dump(taken, sys.stdout)
"""
"""Runs and measures, in a process as small as there is: a child's `ru_maxrss` begins with
what its parent held. The commands take turns, so that a busy moment falls on all."""


def commands_cost(
    python: Path,
    commands: Mapping[str, Sequence[str]],
    environ: Mapping[str, str],
    rounds: int,
) -> dict[str, list[Cost]]:
    """Run commands in turn; return what each run took."""
    done = subprocess.run(
        [python, "-I", "-S", "-c", _LOOP],
        input=json.dumps([commands, dict(environ), rounds]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    return {name: [Cost(*cost) for cost in costs] for name, costs in found.items()}


def cpu_seconds(pid: int) -> float:
    """Return the processor time of all threads of a process, in nanosecond steps."""
    return time.clock_gettime(~pid << 3 | 2)


def children_seconds(pid: int) -> float:
    """Return the processor time of the children that a process has waited for.

    In steps of the kernel's clock, mostly of a hundredth of a second.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process and its children hold now, in bytes."""

    resident: int
    anonymous: int


def memory(pid: int) -> Memory:
    """Return what a process holds, with all below it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    own = [int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon")]
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    children = [child for thread in threads for child in thread.read_text().split()]
    below = [memory(int(child)) for child in children]
    return Memory(
        own[0] + sum(one.resident for one in below),
        own[1] + sum(one.anonymous for one in below),
    )


@dataclass(frozen=True, slots=True)
class Ready:
    """A process that has said READY=1."""

    process: subprocess.Popen[bytes]
    seconds: float
    """From its start."""
    cpu: float
    """Of its processor time until then."""
    children_cpu: float
    """Of that of the processes that it had waited for until then."""


@contextmanager
def started(
    command: Sequence[str | Path], environ: Mapping[str, str], place: Path
) -> Iterator[Ready]:
    """Run a daemon while the block runs; its output goes to a file in `place`."""
    notices = place / "notify.sock"
    notices.unlink(missing_ok=True)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard,
        (place / "output").open("ab") as output,
    ):
        heard.bind(str(notices))
        heard.settimeout(WAIT_SECONDS)
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**environ, "NOTIFY_SOCKET": str(notices)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            while b"READY=1" not in heard.recv(4096):
                pass
            cpu, children = cpu_seconds(process.pid), children_seconds(process.pid)
            yield Ready(process, time.perf_counter() - began, cpu, children)
        finally:
            process.terminate()
            process.wait(WAIT_SECONDS)


@contextmanager
def helper(
    python: Path, script: Path, *arguments: object, is_ready: bool = True
) -> Iterator["Helper"]:
    """Run one of the scripts beside this while the block runs, once it says "ready"."""
    with subprocess.Popen(
        [python, "-I", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"]},
    ) as process:
        try:
            one = Helper(process)
            assert not is_ready or one.answer() == "ready"
            yield one
        finally:
            process.kill()


@dataclass(frozen=True, slots=True)
class Helper:
    """A process that answers in lines of JSON."""

    process: subprocess.Popen[str]

    def ask(self, *what: object) -> None:
        """Send it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """Return its next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise ChildProcessError(f"{self.process.args!r} has ended")
        return json.loads(line)


def most_memory(pid: int) -> int:
    """Return the most resident memory that a process ever held, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0
