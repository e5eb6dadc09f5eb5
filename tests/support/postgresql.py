"""A real PostgreSQL cluster for tests, on a socket of its own."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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

    def stop(self) -> None:
        """Stop it at once, without a checkpoint."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT)
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
def running_postgresql(*, trust: bool = True, **settings: str) -> Iterator[Cluster]:
    """Start a cluster and stop it; skip the test where there is none.

    Without `trust` every role but the superuser needs its password.
    """
    need("postgresql")
    directory = Path(tempfile.mkdtemp(prefix="rensei-pg-", dir=_MEMORY))
    programs = postgresql_programs()
    assert programs is not None
    try:
        data = directory / "data"
        owner = _owner(directory)
        options = ["-U", ROLE, "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale"]
        subprocess.run(
            [programs / "initdb", "-D", data, *options],
            check=True,
            capture_output=True,
            user=owner,
            cwd=directory,
        )
        if not trust:
            rules = f"local all {ROLE} trust\nlocal all all scram-sha-256\n"
            (data / "pg_hba.conf").write_text(rules)
        cluster = Cluster(directory, programs, owner, {**_FAST, **settings})
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(directory)


def _owner(directory: Path) -> int | None:
    """Return who runs the cluster: it refuses to be root. None for ourselves."""
    if os.geteuid() != 0:
        return None
    owner = pwd.getpwnam(ROLE)
    os.chown(directory, owner.pw_uid, owner.pw_gid)
    return owner.pw_uid
