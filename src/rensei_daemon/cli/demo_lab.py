"""The demo's laboratory: a platform, a daemon, a worker, on paths that vanish with it."""

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, TypeVar

import httpx

from rensei_daemon.cli.admin_client import ask
from rensei_daemon.cli.demo_children import Child, child
from rensei_daemon.control_api.client import request
from rensei_daemon.errors import ControlError, TransientError

HOST, ORG, SESSION = "demo-host", "org_demo", "build"
HEARTBEAT_MS = 300
PATIENCE_SECONDS = 60.0
"""For a machine that is busy with other things; a process that ends is seen at once."""
ROOM_BYTES = 64 * 1024 * 1024

CONFIG = """\
# The demo's host. Everything in this file was written by a person;
# the daemon edits only what the platform asks it to.

[platform]
url = "{url}"
api_key_file = "api-key"
worker_host_id = "{host_id}"

[machine]
name = "{host}"          # as the fleet page shows it

[paths]
state = "state"
runtime = "run"

[credentials]
project_id = "payments"

[[credentials.sessions]]
id = "{session}"
env_file = "build.env"

[projects]
# what this host may work on

# the public API; ask Ada before touching it
payments = {{ repositories = ["https://github.com/acme/payments"] }}
legacy = {{ repositories = ["https://github.com/acme/legacy"] }} # to be retired
"""

_T = TypeVar("_T")


class Lab:
    """A platform and a daemon that run, and what the demo asks of them."""

    def __init__(self, folder: Path, url: str, client: httpx.Client) -> None:
        self.folder = folder
        self.url = url
        self.config = folder / "config.toml"
        self.key = ""
        self.host_id = ""
        self.children: list[Child] = []
        self._client = client

    def wait_for(self, what: str, look: Callable[[], _T | None]) -> _T:
        """Return what `look` finds as soon as it finds something.

        Raises RenseiError when a process ends meanwhile, or the time is up.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for process in self.children:
                process.check()
            with suppress(ControlError):
                found = look()
                if found:
                    return found
            time.sleep(0.02)
        raise TransientError(
            f"{what} did not happen within {PATIENCE_SECONDS:g} s",
            hint="\n  ".join(process.last_words() for process in self.children),
        )

    def furnish(self) -> None:
        """Set up an organisation with a key, this host and a credential."""
        ask(self.url, "orgs", {"name": "Demo", "id": ORG})
        value = {"kind": "github", "name": "GITHUB_TOKEN", "value": "ghp_" + "a" * 36}
        ask(self.url, "credentials", {"org": ORG, **value})
        self.key = ask(self.url, "keys", {"org": ORG, "role": "admin"})["key"]["token"]
        self.host_id = ask(self.url, "hosts", {"org": ORG, "name": HOST})["host"]["id"]
        _write_private(self.folder / "api-key", self.key)
        names = {"url": self.url, "host": HOST, "host_id": self.host_id, "session": SESSION}
        self.config.write_text(CONFIG.format(**names))

    def is_listening(self) -> bool:
        """Whether the platform can be reached."""
        with suppress(httpx.HTTPError):
            return self._client.get("/lab/state").is_success
        return False

    def enqueue(self, op: str, params: Mapping[str, object]) -> str:
        """Ask the platform for a change of this host, as an admin would; return its id."""
        answer = self._post("/api/daemon/mutations", self._mutation(op, params))
        return str(answer["mutation"]["id"])

    def _mutation(self, op: str, params: Mapping[str, object]) -> dict[str, object]:
        return {"workerHostId": self.host_id, "op": op, "params": params}

    def rotate(self, kind: str) -> None:
        """Have the platform rotate a credential, as an admin would."""
        self._post("/api/daemon/credentials/rotate", {"orgId": ORG, "kind": kind})

    def _post(self, path: str, body: object) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        response = self._client.post(path, json=body, headers=headers)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    def set_host_status(self, status: str) -> None:
        """Have the platform call this host that from the next heartbeat on."""
        ask(self.url, "host-status", {"host": self.host_id, "status": status})

    def outcome(self, mutation_id: str) -> str | None:
        """Return what the daemon told the platform about a mutation; None: nothing yet."""
        acks = self._client.get("/lab/state").json()["acks"]
        found = [ack for ack in acks if ack["id"] == mutation_id]
        return (found[0]["error"] or "applied") if found else None

    def status(self) -> dict[str, Any]:
        """Return the daemon's own status."""
        control = self.folder / "run" / "control.sock"
        status: dict[str, Any] = request(control, "GET", "/v1/status")
        return status


@contextmanager
def open_lab() -> Iterator[Lab]:
    """Start a platform and a daemon on temporary paths; end them and remove every trace."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(_temporary_folder()))
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        client = httpx.Client(base_url=url, trust_env=False, timeout=10.0)
        lab = Lab(folder, url, stack.enter_context(client))
        pace = ["--port", str(port), "--heartbeat-interval-ms", str(HEARTBEAT_MS)]

        def start(name: str, *words: str) -> None:
            module = ["rensei_daemon", *words]
            lab.children.append(stack.enter_context(child(name, folder, module)))

        start("platform", "platform", "serve", *pace)
        lab.wait_for("the platform's start", lab.is_listening)
        lab.furnish()
        start("daemon", "run", "--config", str(lab.config))
        lab.wait_for("the daemon's first beat", lambda: lab.status()["state"] != "starting")
        yield lab


def _temporary_folder() -> TemporaryDirectory[str]:
    # In memory where there is room, as the daemon's runtime directory should be.
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
    is_usable = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM_BYTES
    return TemporaryDirectory(prefix="rensei-demo-", dir=memory if is_usable else None)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Worker:
    """The demo's worker, and what it has said so far."""

    def __init__(self, process: Child) -> None:
        self.pid = process.process.pid
        self._child = process
        self._said: Queue[dict[str, Any]] = Queue()
        Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._child.process.stdout is not None  # noqa: S101 - opened as a pipe
        for line in self._child.process.stdout:
            self._said.put(json.loads(line))

    def next_report(self) -> tuple[float, str] | None:
        """Return when (monotonic) it got its next values, and its token; None: not yet."""
        try:
            said = self._said.get_nowait()
        except Empty:
            return None
        return float(said["at"]), str(said["values"]["GITHUB_TOKEN"])


@contextmanager
def open_worker(lab: Lab) -> Iterator[Worker]:
    """Start the worker on the daemon's credential socket."""
    environment = {
        "RENSEI_CREDENTIAL_SOCKET": str(lab.folder / "run" / "credentials.sock"),
        "RENSEI_CREDENTIAL_SESSION_ID": SESSION,
    }
    module = ["rensei_daemon.cli.demo_worker"]
    with child("worker", lab.folder, module, environment, piped=True) as process:
        lab.children.append(process)
        yield Worker(process)
