"""Runs `make demo` and `make test ALL=1` on minimal Debian machines, as a new user would.

A machine is a directory that debootstrap filled with the least there is, python3,
python3-venv and make (kept in the cache for the next time), and in it a fresh clone of the
last commit: below /root for root, below /home for a user. Takes root, debootstrap, git,
and a way to the package index. Ends with a table; exits 1 unless all went well.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

MACHINES = ("bookworm-root", "bookworm-user", "trixie-root", "trixie-user")
COMMANDS = ("demo", "test")
PACKAGES = "python3,python3-venv,make"
CHECKOUT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rensei-daemon"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WAYS_TO_THE_INDEX = ("PIP_INDEX_URL", "PIP_CERT", "http_proxy", "https_proxy", "no_proxy")
HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"
"""As Debian's installer has it."""
MOST_SECONDS = 1800


class Ran(NamedTuple):
    """How a command went on a machine."""

    machine: str
    python: str
    command: str
    ended: str
    seconds: float
    left: str
    said: str


def say(text: str) -> None:
    """Say what is going on, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def least_system(release: str) -> Path:
    """Return a minimal system of a Debian release; make it, if it is not there yet."""
    place = CACHE / "bare" / release
    if place.exists():
        return place
    say(f"{release}: debootstrap fills {place} (about a minute, once)")
    made = place.with_suffix(".part")
    made.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(made, ignore_errors=True)
    words = [
        "debootstrap",
        "--variant=minbase",
        f"--include={PACKAGES}",
        release,
        str(made),
    ]
    with place.with_suffix(".log").open("wb") as log:
        subprocess.run(words, stdout=log, stderr=log, check=True)
    return made.rename(place)


class Machine:
    """A minimal system with a user and a clone."""

    def __init__(self, root: Path, user: str) -> None:
        self.root = root
        self.user = user
        self.home = "/root" if user == "root" else f"/home/{user}"
        self.clone = f"{self.home}/rensei-daemon"

    def prepare(self) -> None:
        """Add the user, the clone, and how this host reaches the package index."""
        if self.user != "root":
            self._run("useradd", "--create-home", self.user)
        clone = f"{self.root}{self.clone}"
        subprocess.run(["git", "clone", "-q", f"file://{CHECKOUT}", clone], check=True)
        self._run("chown", "-R", f"{self.user}:", self.clone)
        (self.root / "etc/hosts").write_text(HOSTS)
        for name in ("etc/resolv.conf", CERTIFICATES):
            with suppress(FileNotFoundError):
                shutil.copy(Path("/", name), self.root / name)

    def _run(self, *words: str) -> str:
        words = ("chroot", str(self.root), *words)
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    def python(self) -> str:
        """Return the version of its Python."""
        return self._run("python3", "--version").split()[1]

    def make(self, target: str, load: int, shm_kib: int, log: Path) -> tuple[str, str]:
        """Make a target as the user; return how that ended, and what it left running."""
        inside = str(Path(__file__).with_name("inside.sh"))
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc"]
        where = [str(self.root), self.user, self.clone, str(load), str(shm_kib)]
        way = [f"{key}={os.environ[key]}" for key in WAYS_TO_THE_INDEX if key in os.environ]
        environ = ["env", "-i", f"HOME={self.home}", f"PATH={PATH}", "ALL=1", *way]
        words = [*apart, "sh", inside, *where, *environ, "make", target]
        try:
            with log.open("wb") as out:
                done = subprocess.run(words, stdout=out, stderr=out, timeout=MOST_SECONDS)
        except subprocess.TimeoutExpired:
            return f"not within {MOST_SECONDS} s", ""
        left = (self.root / "left").read_text().strip()
        return "ok" if done.returncode == 0 else f"exit {done.returncode}", left


@contextmanager
def open_machine(release: str, user: str) -> Iterator[Machine]:
    """Give a machine, and take it away at the end."""
    base = least_system(release)
    with tempfile.TemporaryDirectory(prefix=f"{release}-{user}-", dir=base.parent) as name:
        root = Path(name) / "root"
        subprocess.run(["cp", "-a", "--reflink=auto", base, root], check=True)
        machine = Machine(root, user)
        machine.prepare()
        yield machine


def try_machine(name: str, load: int, shm_kib: int) -> Iterator[Ran]:
    """Run the commands on a machine, one after the other."""
    release, who = name.split("-")
    with open_machine(release, "root" if who == "root" else "tester") as machine:
        python = machine.python()
        for command in COMMANDS:
            log = CACHE / "bare" / f"{name}-{command}.log"
            say(f"{name}: make {command}, its output in {log}")
            started = time.monotonic()
            ended, left = machine.make(command, load, shm_kib, log)
            seconds = time.monotonic() - started
            said = log.read_text(errors="replace")
            yield Ran(name, python, command, ended, seconds, left, said)


def show(ran: Ran) -> None:
    """Say how a command went; when it did not go well, also its last words."""
    say(f"{ran.machine}: make {ran.command}: {ran.ended} after {ran.seconds:.0f} s")
    if ran.ended != "ok" or ran.left:
        print("\n".join(ran.said.splitlines()[-40:]), flush=True)
    if ran.left:
        print(f"left running:\n{ran.left}", flush=True)


def table(results: list[Ran]) -> str:
    """Lay out what ran where, and how it went."""
    lines = [f"{'machine':15}{'python':9}{'command':12}{'seconds':>7}  result"]
    for ran in results:
        skipped = re.findall(r"^ +\d+ tests?  +(.+?):", ran.said, flags=re.MULTILINE)
        passed = re.findall(r"^.*\d+ passed.*$", ran.said, flags=re.MULTILINE)
        notes = [ran.ended, *passed[-1:], *(["left processes"] if ran.left else [])]
        notes += [f"skipped for want of {', '.join(skipped)}"] if skipped else []
        lines.append(
            f"{ran.machine:15}{ran.python:9}{'make ' + ran.command:12}{ran.seconds:7.0f}"
            f"  {'; '.join(notes)}"
        )
    return "\n".join(lines)


def main() -> None:
    """Try the machines that are named, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("machines", nargs="*", metavar="MACHINE", help=", ".join(MACHINES))
    parser.add_argument("--load", type=int, default=0, help="processes that keep it busy")
    parser.add_argument("--shm-kib", type=int, default=64, help="the size of /dev/shm")
    given = parser.parse_args()
    results = []
    for name in given.machines or MACHINES:
        for ran in try_machine(name, given.load, given.shm_kib):
            show(ran)
            results.append(ran)
    print(f"\n{table(results)}")
    sys.exit(any(ran.ended != "ok" or ran.left for ran in results))


if __name__ == "__main__":
    main()
