"""From a change at the source to the file on the host, and what an agent takes for it.

OpenBao's agent renders a template, looking once a second, which is the fastest it can; an
etcd client runs a shell that writes the file. Both servers and ours are on loopback, the
file is on a tmpfs, and the clock starts before the change is requested.
"""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from host_rows.frame import quantile
from host_rows.processes import cpu_seconds, memory

LONGEST_SECONDS = 30.0
REST_SECONDS = 5.0


@dataclass(frozen=True)
class Delivered:
    """What one agent takes."""

    name: str
    changes: Sequence[float]
    """Seconds from each change to the file."""
    start: float = 0.0
    """Seconds from its start to the first file."""
    cpu: float = 0.0
    """Seconds of processor time until then."""
    resident: float = 0.0
    anonymous: float = 0.0
    """MiB, at rest after the changes."""

    def cells(self) -> Iterator[str]:
        """Yield the cells of the table."""
        yield self.name
        yield f"{quantile(self.changes, 0.5) * 1000:.1f} ms"
        yield f"{max(self.changes) * 1000:.1f} ms"
        yield f"{self.start * 1000:.0f} ms, {self.cpu * 1000:.0f} ms of a core"
        yield f"{self.resident:.1f} MiB, {self.anonymous:.1f} MiB"


@dataclass
class Agent:
    """An agent that is to be measured."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    change: Callable[[str], None]
    """Set the value at the source, and return when that is accepted."""
    file: Path

    def measure(self, count: int) -> Delivered:
        """Start it, change the value so often, and let it rest."""
        self.file.unlink(missing_ok=True)
        began = time.perf_counter()
        with self.start() as process:
            try:
                until(self.file, "")
                ready, cpu = time.perf_counter() - began, cpu_seconds(process.pid)
                time.sleep(1)
                changes = [self._seconds(f"value-{number:06}") for number in range(count)]
                time.sleep(REST_SECONDS)
                held = memory(process.pid)
            finally:
                process.terminate()
        sizes = (size / 2**20 for size in (held.resident, held.anonymous))
        return Delivered(self.name, changes, ready, cpu, *sizes)

    def _seconds(self, value: str) -> float:
        began = time.perf_counter()
        self.change(value)
        until(self.file, value)
        taken = time.perf_counter() - began
        time.sleep(0.37)  # so that changes come at any moment of the agent's second
        return taken


def until(file: Path, value: str) -> None:
    """Wait until a file is there and holds the value."""
    ends = time.monotonic() + LONGEST_SECONDS
    while not (file.exists() and value in file.read_text()):
        if time.monotonic() > ends:
            raise TimeoutError(f"{file} never held {value}")
        time.sleep(0.0005)


# ---- OpenBao -----------------------------------------------------------------------------

_AGENT = """\
vault {{ address = "{address}" ca_cert = "{ca}" }}
auto_auth {{
  method "token_file" {{ config = {{ token_file_path = "{place}/token" }} }}
}}
template_config {{ static_secret_render_interval = "1s" }}
template {{
  contents = "{{{{with secret \\"secret/data/ci\\"}}}}{{{{.Data.data.TOKEN}}}}{{{{end}}}}"
  destination = "{place}/rendered"
}}
"""


@contextmanager
def openbao(bao: str, place: Path) -> Iterator[Agent]:
    """Serve OpenBao with TLS in memory, and lay out its agent."""
    from openbao import ROOT_TOKEN, running_openbao

    with running_openbao(place) as server:

        def change(value: str) -> None:
            server.call("POST", "secret/data/ci", {"data": {"TOKEN": value}})

        change("value-start")
        (place / "token").write_text(ROOT_TOKEN)
        config = place / "agent.hcl"
        config.write_text(
            _AGENT.format(address=server.address, ca=server.ca_file, place=place)
        )
        command = [bao, "agent", "-log-level=error", f"-config={config}"]
        yield Agent(
            "OpenBao agent, every second",
            lambda: _started(command, {"HOME": str(place)}),
            change,
            place / "rendered",
        )


# ---- etcd --------------------------------------------------------------------------------


@contextmanager
def etcd(place: Path) -> Iterator[Agent]:
    """Serve etcd, and lay out a client that watches a key and writes it to a file."""
    client, peer = "http://127.0.0.1:23790", "http://127.0.0.1:23800"
    words = ["etcd", f"--data-dir={place}/data", "--log-level=error"]
    words += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
    words += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
    words += [f"--initial-cluster=default={peer}"]
    control = ["etcdctl", f"--endpoints={client}"]
    with _started(words, {}) as server:
        try:
            file = place / "watched"

            def change(value: str) -> None:
                assert _exit_code([*control, "put", "TOKEN", value]) == 0

            _until_answers([*control, "get", "TOKEN"])
            script = f'printf %s "$ETCD_WATCH_VALUE" >{file}.tmp && mv {file}.tmp {file}'
            change("value-start")
            watch = [*control, "watch", "TOKEN", "--rev=1", "--", "sh", "-c", script]
            yield Agent("etcdctl watch", lambda: _started(watch, _API), change, file)
        finally:
            server.terminate()


_API = {"PATH": "/usr/bin:/bin", "ETCDCTL_API": "3"}


def _until_answers(command: Sequence[str]) -> None:
    ends = time.monotonic() + LONGEST_SECONDS
    while _exit_code(command):
        if time.monotonic() > ends:
            raise TimeoutError(" ".join(command))
        time.sleep(0.1)


def _exit_code(command: Sequence[str]) -> int:
    with _started(command, _API) as process:
        return process.wait()


def _started(
    command: Sequence[str | Path], environ: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    base = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    return subprocess.Popen(
        command,
        env={**base, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
