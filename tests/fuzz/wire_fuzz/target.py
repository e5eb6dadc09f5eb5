"""The daemon under test, in a directory of its own, and what must always hold of it."""

import os
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rensei_daemon.control_api.client import request
from rensei_daemon.control_api.schema import STATUS, SYNC
from rensei_daemon.errors import ControlError
from wire_fuzz.valid_answers import CANARY, secrets_in

KEY = "rsk_live_" + "c0ffee5a" * 8
STATE_MIB = 48
OLD_LOGS = ("log.jsonl.1", "log.jsonl.2")
"""They lie there from the beginning, as large as they get, so that little is left."""
MOST_RESIDENT_MIB = 320
"""While an answer of 16 MiB is taken apart."""
MOST_DESCRIPTORS = 80
SESSIONS = 4
TROUBLES = ("Traceback", "internal error", "a mistake of ours")
CONFIG = """\
# the head: no mutation has any business here
[platform]
url = "http://127.0.0.1:{port}" # the platform
org_id = "org_fuzz"
[paths]
state = "{directory}/state"
runtime = "{directory}/run"
[log]
level = "debug" # all of it
file = "{directory}/log/daemon.jsonl"
[limits]
state_mib = {state_mib}
[mutations]
protected_projects = ["keeper"]
[credentials]
project_id = "proj_a"
{sessions}
# the projects

[projects]
keeper = {{ repositories = [] }} # of the keeper
"""
SESSION = """
[[credentials.sessions]]
id = "s{number}" # session {number}
env_file = "s{number}.env"
"""


class BrokenPromiseError(AssertionError):
    """Something does not hold that always has to."""


@dataclass
class Target:
    """A daemon, its files, and its process."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] = field(init=False)
    config: Path = field(init=False)
    program: Sequence[str] = (sys.executable, "-m", "rensei_daemon")
    environ: Mapping[str, str] = field(
        default_factory=lambda: {"PATH": os.environ["PATH"], "RENSEI_API_KEY": KEY}
    )
    most_state_bytes: int = 0
    most_descriptors: int = 0

    def __post_init__(self) -> None:
        """Lay out the directories and the file."""
        for name in ("state", "run", "log", "etc"):
            (self.directory / name).mkdir(mode=0o700)
        for name in OLD_LOGS:
            with (self.directory / "state" / name).open("wb") as log:
                log.truncate(10_000_000)
        self.config = self.directory / "etc/config.toml"
        sessions = "".join(SESSION.format(number=number) for number in range(SESSIONS))
        text = CONFIG.format(
            port=self.port, directory=self.directory, state_mib=STATE_MIB, sessions=sessions
        )
        self.config.write_text(text)
        self.comments = [line for line in text.splitlines() if "#" in line]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the daemon; in the end it must stop when it is asked to."""
        command = [*self.program, "run", "--config", str(self.config)]
        with (self.directory / "log/output").open("wb") as output:
            self.process = subprocess.Popen(
                command, env=self.environ, stdout=output, stderr=output
            )
        try:
            yield
            self.process.send_signal(signal.SIGTERM)
            if code := self.process.wait(30):
                raise BrokenPromiseError(f"it stopped with exit code {code}")
        finally:
            self.process.kill()
            self.process.wait()

    def ask(self, verb: tuple[str, str] = STATUS, *, within: float = 20.0) -> object:
        """Ask the daemon; None when it does not answer."""
        try:
            return request(self.socket, *verb, timeout_seconds=within)
        except ControlError:
            return None

    def wake_heartbeat(self) -> None:
        """Have it beat and take snapshots at once, however long it meant to wait."""
        self.ask(SYNC, within=1.0)

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.directory / "run/control.sock"

    @property
    def most_resident_mib(self) -> float:
        """The most memory it ever held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def check(self) -> None:
        """Look at all that can be looked at while it runs."""
        if self.process.poll() is not None:
            code = self.process.returncode
            raise BrokenPromiseError(f"it died ({code}): {self._last_words()}")
        if self.most_resident_mib > MOST_RESIDENT_MIB:
            raise BrokenPromiseError(f"it held {self.most_resident_mib:.0f} MiB of memory")
        descriptors = len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))
        self.most_descriptors = max(self.most_descriptors, descriptors)
        if descriptors > MOST_DESCRIPTORS:
            raise BrokenPromiseError(f"it holds {descriptors} descriptors")
        self._check_state()
        self.check_config()

    def _check_state(self) -> None:
        sizes = {}
        for path in (self.directory / "state").rglob("*"):
            with suppress(FileNotFoundError):
                sizes[path.name] = path.lstat().st_size
        size = sum(sizes.values())
        self.most_state_bytes = max(self.most_state_bytes, size)
        if size > STATE_MIB << 20:
            raise BrokenPromiseError(f"its state takes up {size / 2**20:.1f} MiB: {sizes}")

    def delivered_values(self) -> dict[str, set[str]]:
        """Return what is in the env file of each session."""
        found: dict[str, set[str]] = {}
        for number in range(SESSIONS):
            with suppress(FileNotFoundError):
                text = (self.directory / f"run/s{number}.env").read_text()
                found[f"s{number}"] = secrets_in(text)
        return found

    def check_config(self) -> None:
        """The file can be read, and every comment of ours still stands in it."""
        text = self.config.read_text()
        tomllib.loads(text)
        for line in self.comments:
            comment = line[line.index("#") :] if line.startswith("keeper") else line
            if comment not in text:
                raise BrokenPromiseError(f"lost from config.toml: {line}")

    def check_files(self) -> None:
        """Nothing it has written speaks of a mistake of its own, or holds a secret."""
        for path in self._written():
            content = path.read_bytes()
            for trouble in TROUBLES if path.parent.name == "log" else ():
                if (at := content.find(trouble.encode())) >= 0:
                    around = content[max(0, at - 1500) : at + 3000].decode(errors="replace")
                    raise BrokenPromiseError(f"{path.name} says: {around}")
            for secret in (CANARY, KEY):
                if (at := content.find(secret.encode())) >= 0:
                    around = content[max(0, at - 600) : at + 200].decode(errors="replace")
                    raise BrokenPromiseError(f"a secret is in {path.name}: {around}")

    def _written(self) -> Iterator[Path]:
        for name in ("state", "log", "etc"):
            yield from (p for p in (self.directory / name).rglob("*") if p.is_file())

    def check_journal(self) -> None:
        """The journal is whole."""
        with closing(sqlite3.connect(self.directory / "state/journal.db")) as journal:
            found = journal.execute("PRAGMA integrity_check").fetchone()[0]
        if found != "ok":
            raise BrokenPromiseError(f"the journal is broken: {found}")

    def _last_words(self) -> str:
        return (self.directory / "log/output").read_bytes()[-3000:].decode(errors="replace")
