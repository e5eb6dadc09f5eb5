"""The demo's control plane: how it is started, and what an admin asks of it over HTTP."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

from rensei_daemon.cli.own_program import source
from rensei_daemon.errors import RenseiError, UsageError

ORG, OWNER = "org_demo", "ada@demo.test"
MODULE = "rensei_platform"
HEARTBEAT_MS = 300

_LIBRARIES = ("alembic", "sqlalchemy", "starlette", "uvicorn")
"""Some of the extra's: whoever has one of them has installed it."""
_INIT_SECONDS = 60.0


def require_platform() -> None:
    """Raise UsageError unless the libraries of the control plane are installed."""
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the control plane needs {' and '.join(missing)}: not installed",
            hint=f"in an environment of its own: pip install '{source()}[platform]'",
        )


def init_platform(folder: Path, environ: Mapping[str, str]) -> str:
    """Create a database with an organization, and return its owner's API key."""
    words = ["--org", "Demo", "--org-id", ORG, "--owner", OWNER, "--json"]
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", MODULE, "init", *_database(folder), *words],
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_INIT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RenseiError("the control plane cannot be set up", hint=done.stderr[-4096:])
    key: str = json.loads(done.stdout)["key"]
    return key


def serve_words(folder: Path, ready_file: Path) -> list[str]:
    """Return the command that serves the database in a folder, on a free port."""
    pace = ["--port", "0", "--heartbeat-interval-ms", str(HEARTBEAT_MS)]
    return [MODULE, "serve", *_database(folder), *pace, "--ready-file", str(ready_file)]


def _database(folder: Path) -> list[str]:
    return ["--database", f"sqlite:///{folder / 'platform.db'}"]


def command_line() -> list[str]:
    """Return how a shell starts `rensei-platform` of this installation."""
    program = Path(sys.argv[0]).absolute().with_name("rensei-platform")
    if os.access(program, os.X_OK):
        return [str(program)]
    return [sys.executable, "-m", MODULE]


class DemoPlatform:
    """A running control plane, asked with its owner's key."""

    def __init__(self, url: str, key: str, client: httpx.Client) -> None:
        self.url, self.key = url, key
        self._client = client

    def add_host(self, name: str) -> str:
        """Add a host before it registers, and return its id."""
        return str(self._ask("POST", "/api/admin/hosts", {"name": name})["id"])

    def set_host_status(self, host_id: str, status: str) -> None:
        """Tell a host this of itself with each heartbeat."""
        path = f"/api/admin/hosts/{host_id}/status"
        self._ask("PUT", path, {"hostStatus": {"status": status}})

    def set_credential(self, kind: str, name: str, value: str) -> None:
        """Store a value, and tell nobody."""
        path = f"/api/admin/credentials/{kind}/values"
        self._ask("PUT", path, {"values": {name: value}})

    def rotate(self, kind: str) -> None:
        """Rotate a credential."""
        self._ask("POST", "/api/daemon/credentials/rotate", {"orgId": ORG, "kind": kind})

    def enqueue(self, host_id: str, op: str, params: Mapping[str, object]) -> str:
        """Ask a host for a change, and return the id of the mutation."""
        body = {"workerHostId": host_id, "op": op, "params": params}
        answer = self._ask("POST", "/api/daemon/mutations", body)
        return str(answer["mutation"]["id"])

    def outcome(self, host_id: str, mutation_id: str) -> str | None:
        """Return "applied", or the error of a mutation; None while it is undecided."""
        answer = self._ask("GET", f"/api/daemon/mutations?workerHostId={host_id}")
        (found,) = [one for one in answer["mutations"] if one["id"] == mutation_id]
        if found["status"] not in ("applied", "failed"):
            return None
        return str(found["error"] or "applied")

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        response = self._client.request(
            method, f"{self.url}{path}", json=body, headers=headers
        )
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer
