"""The program `rensei-platform` as an operator starts it."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import forked
from deadlines import HANG_SECONDS
from polling import wait_until

from rensei_platform.locations import STATE_VARIABLE

PACKAGE = "rensei_platform"


@dataclass
class Program:
    """Runs commands with their state in a directory of their own."""

    directory: Path
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: object, exit_code: int = 0, **environ: str) -> str:
        """Return what a command prints on stdout; on stderr if it is to fail."""
        done = forked.run(
            PACKAGE,
            *map(str, arguments),
            env=self.environment() | environ,
            cwd=self.directory,
        )
        assert done.returncode == exit_code, (done.returncode, done.stdout, done.stderr)
        return done.stderr if exit_code else done.stdout

    def json(self, *arguments: object) -> Any:
        """Return what a command prints with --json."""
        return json.loads(self.run(*arguments, "--json"))

    def init(self, database: str, *more: object) -> str:
        """Found the organization `org_acme`, and return its owner's key."""
        owner = ("--org", "Acme", "--org-id", "org_acme", "--owner", "ada@acme.test")
        key = self.json("init", "--database", database, *owner, *more)["key"]
        (self.directory / "owner.key").write_text(key)
        return str(key)

    @contextmanager
    def serving(self, *arguments: object, stop: int = signal.SIGTERM) -> Iterator[str]:
        """Serve while the block runs; lend the URL. The program must end with 0."""
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        with forked.Forked(
            PACKAGE,
            *("serve", *map(str, arguments), "--ready-file", str(ready)),
            env=self.environment(),
            cwd=self.directory,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                wait_until(lambda: ready.exists() or process.poll() is not None)
                assert process.poll() is None, process.stderr and process.stderr.read()
                yield ready.read_text().strip()
            finally:
                process.send_signal(stop)
                _, errors = process.communicate(timeout=HANG_SECONDS)
            assert stop != signal.SIGTERM or process.returncode == 0, errors

    def environment(self) -> dict[str, str]:
        """Return the environment of a command."""
        kept = {"PATH": os.environ["PATH"], "HOME": str(self.directory)}
        return kept | {STATE_VARIABLE: str(self.directory / "state")} | self.environ
