"""Who has the new value after each thing that happens to a stream."""

import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from host_rows.processes import most_memory

from peers.hostile_server import FAULTS, Fault, Server, serving

HERE = Path(__file__).parent
CHECKOUT = Path(__file__).parents[3]
OURS = "rensei-daemon"
START_SECONDS = 5.0
CONFIG = """\
[platform]
url = "{url}"
org_id = "org_1"
[paths]
state = "{place}/state"
runtime = "{place}"
[credentials]
project_id = "p"
[[credentials.sessions]]
id = "s"
env_file = "s.env"
"""


@dataclass(frozen=True)
class Client:
    """How a client is started; `{url}` stands for the stream's address."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ran:
    """What became of a client."""

    seconds: float | None
    """From the change until it had the new value; None if it did not in time."""
    most_memory: float
    """In MiB."""
    ended: bool

    def __str__(self) -> str:
        """Return it as the table shows it."""
        end = ", ended" if self.ended else ""
        if self.seconds is None:
            return f"**no**{end}"
        return f"{self.seconds:.1f} s" if self.seconds >= 0.05 else "at once"


def clients(venv: Path, modules: Path) -> Iterator[Client]:
    """Yield the clients that are installed."""
    yield Client(
        OURS,
        [str(CHECKOUT / ".venv/bin/rensei-daemon"), "run"],
        {
            "RENSEI_API_KEY": "rsk_live_" + "a" * 64,
            "RENSEI_DAEMON_CONFIG": "{place}/c.toml",
        },
    )
    python, script = str(venv / "bin/python"), str(HERE / "stream_clients.py")
    for library in ("launchdarkly", "aiohttp", "httpx"):
        yield Client(library, [python, script, library, "{url}"])
    module = modules / "node_modules/eventsource/dist/index.js"
    if module.exists():
        script = str(HERE / "eventsource_client.mjs")
        where = module.resolve().as_uri()
        yield Client("npm eventsource", ["node", script, where, "{url}"])


def survey(found: Sequence[Client]) -> Iterator[tuple[str, list[Ran]]]:
    """Yield each fault, and what became of every client: all at the same time."""
    for fault, seconds in FAULTS.items():
        yield (fault.__doc__ or "").rstrip("."), _one(fault, seconds, found)


def _one(fault: Fault, seconds: float, found: Sequence[Client]) -> list[Ran]:
    with ExitStack() as stack:
        running = [stack.enter_context(_Running(client, fault)) for client in found]
        ends = time.monotonic() + START_SECONDS + seconds
        while time.monotonic() < ends and not all(one.is_done for one in running):
            for one in running:
                one.look()
            time.sleep(0.005)
        return [one.ran() for one in running]


class _Running:
    """A client with a server of its own."""

    def __init__(self, client: Client, fault: Fault) -> None:
        self._client, self._fault, self._stack = client, fault, ExitStack()
        self._had_at = 0.0
        self._most = 0.0

    def __enter__(self) -> "_Running":
        self._server: Server = self._stack.enter_context(serving(self._fault))
        place = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        path = "/api/daemon/credentials/rotate-stream?sessionId=s"
        named = {"url": self._server.url + path, "place": str(place)}
        (place / "c.toml").write_text(CONFIG.format(url=self._server.url, place=place))
        is_ours = self._client.name == OURS
        self._file = place / ("s.env" if is_ours else "output")
        output = self._stack.enter_context((place / "output").open("wb"))
        self._process = subprocess.Popen(
            [word.format(**named) for word in self._client.command],
            env={
                "PATH": "/usr/bin:/bin:/usr/local/bin",
                **{k: v.format(**named) for k, v in self._client.environ.items()},
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
        )
        return self

    def look(self) -> None:
        """See whether it has the new value."""
        if not self._had_at and self._file.exists() and "two" in self._file.read_text():
            self._had_at = time.monotonic()

    @property
    def is_done(self) -> bool:
        """Whether nothing more can be learnt."""
        return bool(self._had_at)

    def ran(self) -> Ran:
        """Return what became of it."""
        ended = self._process.poll() is not None
        memory = 0.0 if ended else most_memory(self._process.pid) / 2**20
        seconds = max(0.0, self._had_at - self._server.changed_at) if self._had_at else None
        return Ran(seconds, memory, ended)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stack.close()


def table(found: Sequence[Client], rows: Sequence[tuple[str, list[Ran]]]) -> Iterator[str]:
    """Yield the lines of the table, and the most memory below it."""
    yield "| what happens | " + " | ".join(client.name for client in found) + " |"
    yield "|---" * (len(found) + 1) + "|"
    for what, ran in rows:
        yield f"| {what} | " + " | ".join(map(str, ran)) + " |"
    most = (max(ran[n].most_memory for _, ran in rows) for n in range(len(found)))
    yield "| *most memory it held* | " + " | ".join(f"{m:.0f} MiB" for m in most) + " |"
