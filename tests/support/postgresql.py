"""A real PostgreSQL cluster for tests, on a socket of its own.

What `initdb` makes is made once for all the clusters of a run, and copied for each.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from made_once import made_once
from needs import need, postgresql_programs

_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""A cluster that lives as long as a test need not survive the machine."""
ROLE = "postgres"
_SHM = "/dev/shm"  # noqa: S108 - a directory with a random name is made in it
_MEMORY = _SHM if os.access(_SHM, os.W_OK) else None
"""Where there is room in memory: a database is 300 files."""


class Cluster:
    """A cluster, which trusts whoever can reach its directory."""

    def __init__(
        self, directory: Path, programs: Path, owner: int | None, settings: dict[str, str]
    ) -> None:
        self.directory, self._programs, self._owner = directory, programs, owner
        self._settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(directory),
            **settings,
        }
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        options = (f"--{name}={value}" for name, value in self._settings.items())
        self._process = process = subprocess.Popen(
            [self._programs / "postgres", "-D", self.directory / "data", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            user=self._owner,
            cwd=self.directory,
            text=True,
        )
        assert process.stderr is not None
        logged = ""
        for line in process.stderr:
            logged += line
            if "ready to accept connections" in line:
                return
        raise AssertionError(logged)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it: at once, without a checkpoint, or with one (SIGINT), to be copied."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.communicate()

    def sql(self, statement: str, user: str = ROLE, password: str = "") -> str:
        """Return what psql prints for a statement. Raise CalledProcessError if it fails."""
        host = f"host={self.directory} user={user} dbname=postgres"
        done = subprocess.run(
            [
                self._programs / "psql",
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                statement,
                host,
            ],
            env={"PGPASSWORD": password},
            capture_output=True,
            check=True,
            text=True,
        )
        return done.stdout.strip()


@contextmanager
def running_postgresql(
    *, trust: bool = True, of: Callable[[], Path] | None = None, **settings: str
) -> Iterator[Cluster]:
    """Start a cluster and stop it; skip the test where there is none.

    Without `trust` every role but the superuser needs its password. `of` returns a
    directory that `made_from_new` has filled, which this one is a copy of.
    """
    need("postgresql")
    directory = Path(tempfile.mkdtemp(prefix="rensei-pg-", dir=_MEMORY))
    try:
        cluster = _copy(of() if of else _initialized(), directory, settings)
        if not trust:
            rules = f"local all {ROLE} trust\nlocal all all scram-sha-256\n"
            (directory / "data" / "pg_hba.conf").write_text(rules)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(directory)


def made_from_new(prepare: Callable[[Cluster], None], directory: Path) -> None:
    """Fill a directory with a new cluster, have it prepared while it runs, and stop it."""
    cluster = _copy(_initialized(), directory, {})
    cluster.start()
    try:
        prepare(cluster)
    finally:
        cluster.stop(signal.SIGINT)


def _copy(original: Path, directory: Path, settings: dict[str, str]) -> Cluster:
    owner = _owner(directory)
    command = ["cp", "-R", str(original / "data"), str(directory)]
    subprocess.run(command, check=True, user=owner, umask=0o077, cwd=directory)
    return Cluster(directory, _programs(), owner, {**_FAST, **settings})


def _initialized() -> Path:
    """Return a directory with what every cluster begins with."""
    return made_once("postgresql", _initialize)


def _initialize(directory: Path) -> None:
    owner = _owner(directory)
    options = ["-U", ROLE, "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale"]
    subprocess.run(
        [_programs() / "initdb", "-D", directory / "data", *options],
        check=True,
        capture_output=True,
        user=owner,
        cwd=directory,
    )


def _programs() -> Path:
    programs = postgresql_programs()
    assert programs is not None
    return programs


def _owner(directory: Path) -> int | None:
    """Return who runs the cluster: it refuses to be root. None for ourselves."""
    if os.geteuid() != 0:
        return None
    owner = pwd.getpwnam(ROLE)
    os.chown(directory, owner.pw_uid, owner.pw_gid)
    return owner.pw_uid
