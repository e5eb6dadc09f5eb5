"""The demo's laboratory: three processes of their own, on paths that vanish with it."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, TypeVar

import httpx

from rensei_daemon.cli.lab import ask
from rensei_daemon.control_api.client import request
from rensei_daemon.errors import ControlError, RenseiError, TransientError

HOST, ORG, SESSION = "demo-host", "org_demo", "build"
HEARTBEAT_MS = 300
PATIENCE_SECONDS = 10.0

CONFIG = """\
# The demo's host. Everything in this file was written by a person;
# the daemon edits only what the platform asks it to.

[platform]
url = "{url}"
api_key_file = "api-key"

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

    def __init__(self, folder: Path, url: str, key: str, host_id: str) -> None:
        self.folder = folder
        self.url = url
        self.config = folder / "config.toml"
        self.key = key
        self.host_id = host_id
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=10.0)

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


def wait_for(what: str, look: Callable[[], _T | None]) -> _T:
    """Return what `look` finds as soon as it finds something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(ControlError):
            found = look()
            if found:
                return found
        time.sleep(0.02)
    raise TransientError(f"{what} did not happen within {PATIENCE_SECONDS:g} s")


@contextmanager
def open_lab() -> Iterator[Lab]:
    """Start a platform and a daemon on temporary paths; end them and remove every trace."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(_temporary_folder()))
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        pace = ["--port", str(port), "--heartbeat-interval-ms", str(HEARTBEAT_MS)]
        stack.enter_context(_process(folder, "platform", ["platform", "serve", *pace]))
        wait_for("the platform's start", lambda: _furnish(url))
        key = ask(url, "keys", {"org": ORG, "role": "admin"})["key"]["token"]
        host_id = ask(url, "hosts", {"org": ORG, "name": HOST})["host"]["id"]
        lab = Lab(folder, url, key, host_id)
        _write_private(folder / "api-key", key)
        lab.config.write_text(CONFIG.format(url=url, host=HOST, session=SESSION))
        daemon = ["run", "--config", str(lab.config)]
        stack.enter_context(_process(folder, "daemon", daemon))
        wait_for(
            "the daemon's first beat", lambda: lab.status()["state"] in ("ok", "degraded")
        )
        yield lab


def _temporary_folder() -> TemporaryDirectory[str]:
    # In memory where there is such a place, as the daemon's runtime directory should be.
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
    is_usable = memory.is_dir() and os.access(memory, os.W_OK)
    return TemporaryDirectory(prefix="rensei-demo-", dir=memory if is_usable else None)


def _is_up(lab: Lab) -> bool:
    return bool(lab.status()["state"] != "starting")


@contextmanager
def _telling(output: Path) -> Iterator[None]:
    """Add to an error what the process last said."""
    try:
        yield
    except TransientError as error:
        error.hint = output.read_text(errors="replace")[-500:].strip()
        raise


def _furnish(url: str) -> bool:
    try:
        ask(url, "orgs", {"name": "Demo", "id": ORG})
    except TransientError:
        return False
    value = {
        "org": ORG,
        "kind": "github",
        "name": "GITHUB_TOKEN",
        "value": "ghp_" + "a" * 36,
    }
    ask(url, "credentials", value)
    return True


def _environment() -> dict[str, str]:
    """Return the caller's environment without what speaks to a daemon of the host's own."""
    own = ("RENSEI_", "DONMAI_", "CREDENTIALS_DIRECTORY")
    return {key: value for key, value in os.environ.items() if not key.startswith(own)}


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(folder: Path, name: str, arguments: list[str]) -> Iterator[None]:
    command = [sys.executable, "-m", "rensei_daemon", *arguments]
    with (folder / f"{name}.out").open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Worker:
    """The demo's worker, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self._said: Queue[dict[str, Any]] = Queue()
        Thread(target=self._listen, args=(process,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - opened as a pipe below
        for line in process.stdout:
            self._said.put(json.loads(line))

    def next_report(self) -> tuple[float, str]:
        """Return when (monotonic) the worker got its next values, and its token."""
        try:
            said = self._said.get(timeout=PATIENCE_SECONDS)
        except Empty:
            message = "the worker has not been told of its credentials"
            raise RenseiError(message) from None
        return float(said["at"]), str(said["values"]["GITHUB_TOKEN"])


@contextmanager
def open_worker(lab: Lab) -> Iterator[Worker]:
    """Start the worker on the daemon's credential socket."""
    environment = {
        **_environment(),
        "RENSEI_CREDENTIAL_SOCKET": str(lab.folder / "run" / "credentials.sock"),
        "RENSEI_CREDENTIAL_SESSION_ID": SESSION,
    }
    command = [sys.executable, "-m", "rensei_daemon.cli.demo_worker"]
    process = subprocess.Popen(  # noqa: S603 - our own program
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        yield Worker(process)
    finally:
        _end(process)
