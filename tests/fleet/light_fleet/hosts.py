"""A process of many light hosts: each is a daemon's own loops on files of its own.

It reads its description, a JSON object, from the first line of its standard input, and then
commands: `start` starts the loops of all, `state` has it print a JSON line, and the end of
the input ends it. Left out of a daemon are its log, its sockets, and the loops that look
after its host: `LOOPS` has the others, which `wiring.Daemon` wires as it always does.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import structlog
from anyio.abc import TaskGroup

from rensei_daemon.core.health import StreamState
from rensei_daemon.locations import Locations
from rensei_daemon.logs.setup import LogControl
from rensei_daemon.logs.writer import Writer
from rensei_daemon.resources import open_platform, open_resources
from rensei_daemon.settings.fitting import FittingValidator
from rensei_daemon.settings.local_validator import LocalValidator
from rensei_daemon.settings.sources import Sources
from rensei_daemon.wiring import Daemon

LOOPS = (
    "heartbeat",
    "uptake",
    "mutations",
    "mutation events",
    "runtime token",
    "registration",
    "identity",
    "stream sockets",
    "dead peers",
    "deferred work",
    "files in memory",
)
STARTING = 16
"""Hosts that start at the same time. Each real one has a processor of its own; if hundreds
start at once on one, all of them miss the time limits of their first requests."""
FIRST_SECONDS = 10.0
"""After which the next one starts, though this one is not well yet."""
NAME = "TOKEN"
"""The variable whose value is looked at."""
TEXT = """\
[platform]
url = "{url}"
api_key_file = "{key_file}"

[machine]
name = "host-{number:05}"

[[credentials.sessions]]
id = "sess-{number:05}"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The hosts of one process."""

    url: str
    key_file: str
    directory: str
    first: int
    count: int


class LightHost:
    """One host, and since when it is well."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.healthy_since: float | None = None
        self._became_healthy = anyio.Event()
        self.is_started = False
        self.value, self.value_since = "", 0.0
        daemon.board.on_change = self._look

    async def run(self) -> None:
        """Run the loops until cancelled."""
        self.is_started = True
        loops = self._daemon.loops()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._daemon.sessions.run)
            for name in LOOPS:
                tasks.start_soon(loops[name])

    async def wait_started(self) -> None:
        """Wait until it was well for the first time, but not for ever."""
        with anyio.move_on_after(FIRST_SECONDS):
            await self._became_healthy.wait()

    @property
    def applied(self) -> int:
        """How many mutations have been applied."""
        return self._daemon.board.mutations.applied

    @property
    def error(self) -> str:
        """Why it is not well; empty if it is, or has not tried yet."""
        board = self._daemon.board
        if self.healthy_since is not None:
            return ""
        failures = [session.snapshot_failure for session in board.sessions.values()]
        failures += [session.stream_failure for session in board.sessions.values()]
        found = board.heartbeat.last_error or next(filter(None, failures), None)
        return str(found or "")

    def _look(self) -> None:
        if not self._is_healthy():
            self.healthy_since = None
        elif self.healthy_since is None:
            self.healthy_since = time.monotonic()
            self._became_healthy.set()
        for rotation in self._daemon.sessions.rotations:
            value = rotation.credentials.env.get(NAME, "")
            if value != self.value:
                self.value, self.value_since = value, time.monotonic()

    def _is_healthy(self) -> bool:
        """Whether it beats, and its session has values and a stream."""
        board = self._daemon.board
        beat, sessions = board.heartbeat, board.sessions.values()
        return (
            beat.last_ok_at is not None
            and not beat.consecutive_failures
            and all(
                session.stream is StreamState.LIVE
                and session.generation > 0
                and session.snapshot_failure is None
                for session in sessions
            )
        )


@asynccontextmanager
async def opened(described: Description, number: int) -> AsyncIterator[LightHost]:
    """Lend a host whose loops do not run yet."""
    place = Path(described.directory) / f"host-{number:05}"
    place.mkdir()
    config, state, runtime = place / "config.toml", place / "state", place / "run"
    config.write_text(
        TEXT.format(url=described.url, key_file=described.key_file, number=number)
    )
    locations = Locations(config=config, state=state, runtime=runtime)
    environ = {"RENSEI_MACHINE_ID": f"mid_{number:05}"}
    log = LogControl("error", Writer(()))
    sources = Sources(path=config, runtime=runtime, environ=environ)
    validator = FittingValidator(sources, LocalValidator(sources))
    with open_resources(
        locations, environ=environ, validator=validator, log=log
    ) as resources:
        async with open_platform(resources) as http:
            yield LightHost(Daemon(resources, http))


def state(hosts: Sequence[LightHost]) -> dict[str, Any]:
    """Return how the hosts are: counts, and when the last of them got there."""
    healthy = [at for host in hosts if (at := host.healthy_since) is not None]
    values: dict[str, list[float]] = {}
    for host in hosts:
        values.setdefault(host.value, []).append(host.value_since)
    return {
        "healthy": [len(healthy), max(healthy, default=0.0)],
        "values": {value: [len(times), max(times)] for value, times in values.items()},
        "applied": sum(host.applied for host in hosts),
        "started": sum(host.is_started for host in hosts),
        "errors": Counter(host.error for host in hosts if host.error),
    }


async def start(hosts: Sequence[LightHost], running: TaskGroup) -> None:
    """Start all hosts, some at a time; return when the last one has been started."""
    slots = anyio.Semaphore(STARTING)

    async def wait_started(host: LightHost) -> None:
        await host.wait_started()
        slots.release()

    for host in hosts:
        await slots.acquire()
        running.start_soon(host.run)
        running.start_soon(wait_started, host)


async def main() -> None:
    """Run what the standard input describes and asks for."""
    structlog.configure(processors=[_drop])
    described = Description(**json.loads(sys.stdin.readline()))
    numbers = range(described.first, described.first + described.count)
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(opened(described, number)) for number in numbers
        ]
        print("opened", flush=True)
        async with anyio.create_task_group() as tasks:
            while command := await anyio.to_thread.run_sync(sys.stdin.readline):
                if command == "start\n":
                    tasks.start_soon(start, hosts, tasks)
                else:
                    print(json.dumps(state(hosts)), flush=True)
            tasks.cancel_scope.cancel()


def _drop(_: Any, __: str, ___: Any) -> Any:
    raise structlog.DropEvent


if __name__ == "__main__":
    anyio.run(main, backend_options={"use_uvloop": True})
