"""The demo's platform, daemon and worker, on paths that are removed at the end."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, TypeVar

import httpx

from rensei_daemon.cli.demo_children import Child, child, own_environment
from rensei_daemon.cli.demo_platform import DemoPlatform, init_platform, serve_words
from rensei_daemon.control_api.client import request
from rensei_daemon.errors import ControlError, TransientError

HOST, SESSION = "demo-host", "build"
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

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.key_file = folder / "api-key"
        self.children: list[Child] = []
        self.platform: DemoPlatform
        self.host_id = ""

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

    def prepare(self, platform: DemoPlatform) -> None:
        """Have a platform know this host and a credential; configure the daemon."""
        self.platform = platform
        self.host_id = platform.add_host(HOST)
        platform.set_credential("github", "GITHUB_TOKEN", "ghp_" + "a" * 36)
        _write_private(self.key_file, platform.key)
        names = {"url": platform.url, "host": HOST, "host_id": self.host_id}
        self.config.write_text(CONFIG.format(**names, session=SESSION))

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
        client = stack.enter_context(httpx.Client(trust_env=False, timeout=10.0))
        lab, ready = Lab(folder), folder / "platform.url"

        def start(name: str, *words: str) -> None:
            lab.children.append(stack.enter_context(child(name, folder, words)))

        key = init_platform(folder, own_environment())
        start("platform", *serve_words(folder, ready))
        lab.wait_for("the platform's start", ready.exists)
        lab.prepare(DemoPlatform(ready.read_text().strip(), key, client))
        start("daemon", "rensei_daemon", "run", "--config", str(lab.config))
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
